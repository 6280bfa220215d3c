"""Moments with several frames in a browser: one line each in the list, and every frame in the viewer."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pairs_page import NARROW, WIDE, Open, count, details_of, lines, make_pictures, sideways, title

from benchmarks.made_up_pairs import make_rows, render_pairs, with_frames, write_details
from dpedtool.pipeline.report.pairs.contract import PairRow

if TYPE_CHECKING:
    from playwright.sync_api import Page

MOMENTS = 4


def of_four_moments() -> list[PairRow]:
    """Four aligned pairs with equal figures: a burst, a pair of photos, a bracket, a pair of photos."""
    aligned = [row for row in make_rows(60) if row.status == "aligned"][:MOMENTS]
    names = "burst", "single", "bracket", "last"
    return with_frames(
        [dataclasses.replace(row, id=name, certain_p95_px=0.2) for row, name in zip(aligned, names, strict=True)], 2
    )


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moments")
    rows = of_four_moments()
    (folder / "report.html").write_text(render_pairs(rows), encoding="utf-8")
    pictures = make_pictures()
    for row in rows:
        write_details(folder, details_of(row.id, "aligned"), pictures)
    return folder / "report.html"


def frame_buttons(page: Page) -> list[str]:
    return page.locator(".pair-frames button").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")


def pressed(page: Page) -> str:
    return page.locator(".pair-frames [aria-pressed=true] .frame-name").inner_text()


def test_a_moment_is_one_line_with_the_count_of_its_frames(visit: Open, moments: Path) -> None:
    page = visit(path=moments)
    assert count(page) == "4 of 4 moments"
    assert lines(page).locator(".name").all_inner_texts() == ["burst", "single", "bracket", "last"]
    assert lines(page).locator(".frames").all_inner_texts() == [
        "burst of 3, 1 not aligned", "", "3 frames, \u22122 0 +2 EV, 1 not aligned", ""
    ]  # fmt: skip
    assert page.locator(".pair-list table").get_attribute("aria-rowcount") == str(MOMENTS + 1)
    assert "The frames of a moment, such as a burst, have one line" in page.locator(".pair-order").inner_text()


def test_arrows_go_through_the_frames_and_on_to_the_next_moment(visit: Open, moments: Path) -> None:
    page = visit(path=moments)
    lines(page).first.click()
    assert (title(page), pressed(page)) == ("burst", "Frame 2 of 3")
    seen = []
    for _ in range(6):
        page.keyboard.press("ArrowRight")
        seen.append(title(page))
    assert seen == ["burst-2", "single", "bracket-0", "bracket", "bracket-2", "last"]
    assert page.locator(".pair-place").inner_text() == "4 of 4"
    page.keyboard.press("ArrowRight")
    assert title(page) == "last"
    back = []
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
        back.append(title(page))
    assert back == ["bracket-2", "bracket", "bracket-0", "single", "burst-2", "burst", "burst-0", "burst-0"]
    page.keyboard.press("Escape")
    page.locator(".pair-list .name:focus", has_text="burst").wait_for()


def test_other_keys_and_the_buttons_of_the_bar_go_from_moment_to_moment(visit: Open, moments: Path) -> None:
    page = visit(path=moments, fragment="#pair=burst-0")
    page.keyboard.press("n")
    assert title(page) == "single"
    page.keyboard.press("n")
    assert title(page) == "bracket"
    page.get_by_role("button", name="Next pair").click()
    assert title(page) == "last"
    page.keyboard.press("p")
    page.get_by_role("button", name="Previous pair").click()
    assert title(page) == "single"


def test_each_frame_is_a_button_that_says_how_it_fared(visit: Open, moments: Path) -> None:
    page = visit(path=moments, fragment="#pair=bracket")
    box = page.get_by_role("group", name="Frames of this moment")
    residual = next(row.residual_px for row in of_four_moments() if row.id == "bracket")
    assert frame_buttons(page) == [
        f"Frame 1 of 3, aligned, 1/240 s, ISO 100, \u22122 EV, residual {residual:.2f} px",
        f"Frame 2 of 3, aligned, base frame, 1/60 s, ISO 100, 0 EV, residual {residual:.2f} px",
        f"Frame 3 of 3, rejected: motion blur, 1/15 s, ISO 100, +2 EV, residual {residual:.2f} px",
    ]
    assert "rejected" in box.inner_text()
    page.get_by_role("button", name="Frame 3 of 3").click()
    assert (title(page), pressed(page)) == ("bracket-2", "Frame 3 of 3")
    page.wait_for_url("**#pair=bracket-2")
    page.wait_for_selector(".compare-stage img[src*='bracket-2']")
    assert page.locator(".pair-said").inner_text() == "bracket-2, frame 3 of 3, 3 of 4, rejected"


def test_the_keyboard_reaches_the_frames_and_keeps_its_place(visit: Open, moments: Path) -> None:
    page = visit(path=moments, fragment="#pair=burst")
    page.locator(".pair-frames button").first.focus()
    page.keyboard.press("Enter")
    assert (title(page), page.locator(":focus .frame-name").inner_text()) == ("burst-0", "Frame 1 of 3")
    page.keyboard.press("ArrowRight")
    assert (title(page), page.locator(":focus .frame-name").inner_text()) == ("burst", "Frame 2 of 3")
    page.keyboard.press("n")
    assert page.evaluate("document.activeElement.id") == "pair-title"


def test_a_pair_of_photos_has_no_frames(visit: Open, moments: Path) -> None:
    page = visit(path=moments, fragment="#pair=single")
    assert not page.locator(".pair-frames").is_visible()
    assert page.locator(".pair-said").inner_text() == "single, 2 of 4, aligned"


def test_a_moment_is_found_by_any_of_its_frames(visit: Open, moments: Path) -> None:
    page = visit(path=moments)
    statuses = {name: page.locator(f".pair-statuses [data-status={name}] small") for name in ("rejected", "aligned")}
    assert [statuses[name].inner_text() for name in ("rejected", "aligned")] == ["2", "4"]
    page.locator("select[name=reason]").select_option("motion_blur")
    assert count(page) == "2 of 4 moments"
    assert lines(page).locator(".name").all_inner_texts() == ["burst-2", "bracket-2"]
    assert [statuses[name].inner_text() for name in ("rejected", "aligned")] == ["2", "0"]
    lines(page).first.click()
    assert (title(page), page.locator(".pair-place").inner_text()) == ("burst-2", "1 of 2")
    page.keyboard.press("Escape")
    page.locator("input[name=text]").fill("bracket-0")
    assert count(page) == "0 of 4 moments"
    page.locator("select[name=reason]").select_option("")
    assert lines(page).locator(".name").all_inner_texts() == ["bracket-0"]


def test_runs_without_bursts_speak_of_pairs(visit: Open) -> None:
    page = visit()
    assert count(page).endswith("pairs")
    assert set(lines(page).locator(".frames").all_inner_texts()) == {""}
    assert "moment" not in page.locator("#pairs").inner_text()


def test_how_many_frames_a_moment_has_is_told_in_any_case(visit: Open, tmp_path: Path) -> None:
    """Exposures may be unknown, and long brackets have no room."""
    rows = {row.id: dataclasses.replace(row, pictures=False) for row in of_four_moments()}
    frame = rows["burst"].frame
    assert frame
    unknown = dataclasses.replace(frame, exposure_s=None, iso=None, ev=None)
    long = [
        dataclasses.replace(rows["single"], id=f"long-{number}", frame=place)
        for number in range(7)
        for place in [dataclasses.replace(frame, of="long-3", number=number, exposure_s=2.0, ev=(number - 3) / 3)]
    ]
    bare = [
        dataclasses.replace(rows[name], frame=dataclasses.replace(unknown, number=index))
        for index, name in enumerate(("burst-0", "burst"))
    ]
    (tmp_path / "report.html").write_text(render_pairs([*bare, *long], has_pictures=False), encoding="utf-8")
    page = visit(path=tmp_path / "report.html", fragment="#pair=burst")
    assert frame_buttons(page)[0].startswith("Frame 1 of 2, aligned, base frame, exposure not known")
    page.keyboard.press("n")
    assert title(page) == "long-3"
    assert "2 s, ISO 100, +0.3 EV" in frame_buttons(page)[4]
    page.keyboard.press("Escape")
    assert lines(page).locator(".frames").all_inner_texts() == ["2 frames", "7 frames, \u22121 to +1 EV"]


def test_photos_of_further_references_follow_the_frames(visit: Open, tmp_path: Path) -> None:
    rows = {row.id: dataclasses.replace(row, pictures=False) for row in of_four_moments()}
    frame = rows["burst"].frame
    assert frame
    places = [
        ("single", dataclasses.replace(frame, of="single", number=0, is_base=True)),
        ("single--sony", dataclasses.replace(frame, of="single", number=3, is_base=False, ev=None, reference="sony")),
        ("burst", frame),
        ("burst-1", dataclasses.replace(frame, number=frame.number + 1, is_base=False)),
        ("burst--sony", dataclasses.replace(frame, number=9, is_base=False, ev=None, reference="sony")),
    ]
    shown = [dataclasses.replace(rows["single"], id=name, frame=place) for name, place in places]
    (tmp_path / "report.html").write_text(render_pairs(shown, has_pictures=False), encoding="utf-8")
    page = visit(path=tmp_path / "report.html", fragment="#pair=single")
    assert [label.split(",")[0] for label in frame_buttons(page)] == ["Base reference", "Reference sony"]
    page.keyboard.press("n")
    assert [label.split(",")[0] for label in frame_buttons(page)] == ["Frame 1 of 2", "Frame 2 of 2", "Reference sony"]
    page.keyboard.press("Escape")
    assert lines(page).locator(".frames").all_inner_texts() == ["2 references", "burst of 2, 2 references"]


@pytest.mark.parametrize("size", [NARROW, WIDE])
def test_frames_fit_on_every_screen(visit: Open, moments: Path, size: tuple[int, int]) -> None:
    page = visit(size, path=moments)
    assert lines(page).nth(2).locator(".frames").inner_text().startswith("3 frames")
    assert sideways(page) <= 0
    lines(page).nth(2).click()
    page.wait_for_selector(".compare-stage")
    button = page.locator(".pair-frames [aria-pressed=true]").bounding_box()
    assert button
    assert button["x"] >= 0
    assert button["x"] + button["width"] <= size[0]
    assert button["height"] < 80
    assert sideways(page) <= 0
