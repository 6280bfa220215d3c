"""An open pair of the report in a browser: comparing its pictures, and the texts about it."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pairs_page import (
    COUNT,
    Open,
    Seen,
    details_of,
    lines,
    make_pictures,
    one_pair,
    open_pair,
    style,
    title,
    told,
)

from benchmarks import made_up_pairs
from benchmarks.made_up_pairs import make_details, make_rows, render_pairs, write_details
from dpedtool.dataset.photos.encoding import encode_image

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_the_slider_moves_by_pointer_and_by_keyboard(visit: Open) -> None:
    page = visit()
    open_pair(page)
    start = style(page, ".compare-stage img.over", "clipPath")
    stage = page.locator(".compare-stage").bounding_box()
    assert stage
    page.mouse.move(stage["x"] + stage["width"] * 0.5, stage["y"] + 50)
    page.mouse.down()
    page.mouse.move(stage["x"] + stage["width"] * 0.25, stage["y"] + 50)
    page.mouse.up()
    dragged = style(page, ".compare-stage img.over", "clipPath")
    assert dragged != start
    slider = page.locator(".compare-own input[type=range]")
    assert float(slider.input_value()) == pytest.approx(25, abs=0.5)
    before = title(page)
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert float(slider.input_value()) == pytest.approx(25.5, abs=0.5)
    assert style(page, ".compare-stage img.over", "clipPath") != dragged
    assert title(page) == before


def visible_picture(page: Page) -> str:
    return page.locator(".compare-stage img.over").get_attribute("data-name") or ""


def test_flicker_swaps_by_itself_and_by_hand(visit: Open) -> None:
    page = visit()
    open_pair(page)
    page.get_by_role("button", name="Flicker", exact=True).click()
    first = visible_picture(page)
    page.wait_for_function("name => document.querySelector('.compare-stage img.over').dataset.name !== name", arg=first)
    page.get_by_role("button", name="Stop").click()
    stopped = visible_picture(page)
    page.locator("#pair-title").focus()
    page.keyboard.press("Space")
    assert {stopped, visible_picture(page)} == {"phone", "DSLR"}
    assert page.locator(".compare-stage .compare-label").inner_text() == visible_picture(page)
    page.get_by_role("button", name="Swap").click()
    assert visible_picture(page) == stopped


def test_nothing_moves_by_itself_where_motion_is_to_be_reduced(visit: Open) -> None:
    page = visit(reduced_motion="reduce")
    open_pair(page)
    page.keyboard.press("2")
    assert page.get_by_role("button", name="Manual only").is_disabled()
    first = visible_picture(page)
    page.wait_for_timeout(500)
    assert visible_picture(page) == first
    page.keyboard.press("Space")
    assert visible_picture(page) != first


def test_a_checkerboard_of_as_many_squares_as_one_likes(visit: Open) -> None:
    page = visit()
    open_pair(page)
    page.keyboard.press("3")
    size = style(page, ".compare-stage img.over", "maskSize")
    page.locator(".compare-own input[type=range]").fill("4")
    assert style(page, ".compare-stage img.over", "maskSize") != size
    assert style(page, ".compare-stage img.over", "maskSize").startswith("50% ")


def test_residuals_are_arrows_that_tell_their_figures(visit: Open) -> None:
    page = visit()
    open_pair(page)
    page.keyboard.press("5")
    drawn = "() => [...document.querySelectorAll('.overlay g path')].map(path => path.getAttribute('d')).join()"
    before = page.evaluate(drawn)
    page.locator(".compare-own select").select_option("100")
    assert page.evaluate(drawn) != before
    assert page.locator(".compare-stage .scale").inner_text() == "0.5 px"
    page.locator(".compare-own input[type=range]").fill("1")
    assert "misplaced" in page.locator(".told").inner_text()
    page.locator(".compare-stage").hover(position={"x": 20, "y": 20})
    assert page.locator(".told").inner_text().startswith("(16, 16): dx 0.05 px, dy ")
    assert "the median shift is 0.31 px" in page.locator(".legend").inner_text()
    assert page.locator(".overlay pattern").count() == 1


def test_patches_are_counted_by_reason_and_can_be_hidden(visit: Open) -> None:
    page = visit()
    open_pair(page)
    page.keyboard.press("6")
    details = make_details("any")
    flat = sum(window.reason == "flat" for window in details.windows)
    toggle = page.get_by_role("button", name=f"flat ({flat})")
    shown = page.locator(".overlay path:is(.kept, .rejected):visible").count()
    toggle.click()
    assert page.locator(".overlay path:is(.kept, .rejected):visible").count() == shown - 1
    assert toggle.get_attribute("aria-pressed") == "false"
    page.locator(".compare-own input[type=range]").fill("1")
    told = page.locator(".told").inner_text()
    assert "rejected" in told
    assert "NCC 0.7" in told


def test_depth_is_a_picture_over_the_photo_that_tells_its_figures(visit: Open) -> None:
    page = visit()
    open_pair(page)
    page.keyboard.press("7")
    assert page.get_by_role("button", name="Depth", exact=True).get_attribute("aria-pressed") == "true"
    page.wait_for_function("document.querySelector('.compare-stage img.depth').naturalWidth > 1")
    over = (
        "[...document.querySelectorAll('.compare-stage > img:not(.away)')].map(image => image.dataset.name || 'depth')"
    )
    assert page.evaluate(over) == ["phone", "depth"]
    assert page.evaluate("getComputedStyle(document.querySelector('[data-name=DSLR]')).zIndex") == "auto"
    summary = page.get_by_role("img", name="Depth: nodes displace places by up to 4.00 px, to the left or to the right")
    assert summary.count() == 1
    legend = page.locator(".legend").inner_text()
    assert "\N{MINUS SIGN}4 px to the left" in legend
    assert "+4 px to the right" in legend
    assert "If the DSLR stood to the right of the phone, what is displaced to the left is nearer" in legend
    assert "squeezed (0.0 %)" in legend
    page.get_by_label("Colours").fill("20")
    assert style(page, ".compare-stage img.depth", "opacity") == "0.2"
    page.get_by_label("places, the most displaced first").fill("1")
    assert told(page).endswith("displaced by 4.00 px to the left")
    hover(page, 450, 100)
    assert told(page).endswith("displaced by 2.00 px to the right")
    page.keyboard.press("1")
    assert page.locator(".compare-stage img.depth").count() == 0


def test_pairs_without_nodes_have_no_view_of_depth_and_keep_the_choice(visit: Open, tmp_path: Path) -> None:
    rows = [row for row in make_rows(COUNT) if row.status == "aligned"][:3]
    for row in rows:
        details = details_of(row.id, "aligned")
        write_details(
            tmp_path, details if row != rows[1] else dataclasses.replace(details, depth=None), make_pictures()
        )
    (tmp_path / "report.html").write_text(render_pairs(rows), encoding="utf-8")
    page = visit(path=tmp_path / "report.html")
    open_pair(page)
    page.keyboard.press("7")
    views = []
    for _ in rows:
        page.wait_for_selector(".compare-modes [aria-pressed=true]")
        views.append(page.locator(".compare-modes [aria-pressed=true]").inner_text())
        page.keyboard.press("n")
        page.wait_for_timeout(200)
    assert views == ["Depth", "Slider", "Depth"]


def test_facts_say_which_model_a_pair_has(visit: Open, tmp_path: Path) -> None:
    page = visit(path=one_pair(tmp_path, model="local", hidden=0.1234, jump=0.05))
    open_pair(page)
    facts = page.locator(".pair-figures div").all_inner_texts()
    assert {"Model\nlocal", "Hidden\n12.3 %", "Depth jumps\n5.0 %"} <= set(facts)
    page = visit(path=one_pair(tmp_path))
    open_pair(page)
    facts = page.locator(".pair-figures").inner_text()
    assert "Hidden" not in facts
    assert "Depth jumps" not in facts


def test_spots_are_sharp_large_and_flicker_together(visit: Open) -> None:
    page = visit()
    open_pair(page)
    assert style(page, ".spots img", "imageRendering") == "pixelated"
    assert page.locator(".spots img").first.evaluate("image => image.clientWidth / image.naturalWidth") >= 3
    page.get_by_role("button", name="Flicker together").click()
    assert page.locator(".spots img:visible").count() == 2
    page.wait_for_selector(".spots.dslr")
    # In one look, as they swap meanwhile.
    shown = "images => images.filter(image => getComputedStyle(image.closest('.cut')).visibility === 'visible')"
    alts = page.locator(".spots .cut img").evaluate_all(f"images => ({shown})(images).map(image => image.alt)")
    sides = {alt.split()[0] for alt in alts}
    assert len(sides) == 1


@pytest.mark.parametrize(
    ("place", "words", "pictures"), [(1, "they are shown side by side", 2), (2, "no partner", 1), (3, "no pictures", 0)]
)
def test_pairs_without_a_common_grid_say_so(visit: Open, place: int, words: str, pictures: int) -> None:
    page = visit()
    lines(page).nth(place).click()
    page.wait_for_selector(".pair-note:visible")
    assert words in page.locator(".pair-note").inner_text()
    assert page.locator(".pair-pictures img:visible").count() == pictures


def test_a_single_file_needs_no_folder(visit: Open, seen: Seen, tmp_path: Path) -> None:
    row = make_rows(COUNT)[5]
    kinds = {".jpg": "jpeg", ".png": "png"}
    files = {
        f"files/pairs/{row.id}/{name}": f"data:image/{kinds[name[-4:]]};base64,{base64.b64encode(content).decode()}"
        for name, content in make_pictures().items()
    }
    embedded = {"files": files, "details": {row.id: dataclasses.asdict(details_of(row.id, "aligned"))}}
    (tmp_path / "single.html").write_text(render_pairs([row], embedded), encoding="utf-8")
    page = visit(path=tmp_path / "single.html")
    open_pair(page)
    loaded = "[...document.querySelectorAll('dialog img, .thumb img')].every(image => image.naturalWidth > 1)"
    page.wait_for_function(loaded)
    page.keyboard.press("7")
    page.wait_for_function("document.querySelector('.compare-stage img.depth').naturalWidth > 1")
    assert [url for url in seen.requests if url.startswith("file:")] == [(tmp_path / "single.html").as_uri()]


STATIC = """<!doctype html><style>{style}</style><body><div data-compare>{images}</div><p>after</p>{script}"""


def test_static_pictures_are_compared_likewise(visit: Open, tmp_path: Path) -> None:
    images = ""
    for index, name in enumerate(["before", "after"]):
        picture = made_up_pairs.make_picture(index)
        (tmp_path / f"{index}.png").write_bytes(encode_image(picture, ".png"))
        images += f'<img data-name="{name}" alt="{name}" src="{index}.png" width="480" height="360">'
    templates = Path(made_up_pairs.page.__file__).parent / "templates"
    texts = [(templates / name).read_text(encoding="utf-8") for name in ("style.css", "compare.css", "compare.js")]
    script = f"<script>{texts[2]}</script>"
    for name, text in (("with", script), ("without", "")):
        whole = STATIC.format(style=texts[0] + texts[1], images=images, script=text)
        (tmp_path / f"{name}.html").write_text(whole, encoding="utf-8")
    plain = visit(path=tmp_path / "without.html", java_script_enabled=False)
    assert plain.locator("img:visible").count() == 2
    page = visit(path=tmp_path / "with.html")
    assert page.locator(".compare-modes button").all_inner_texts() == ["Slider", "Flicker", "Side by side"]
    assert page.locator(".compare-label").all_inner_texts() == ["before", "after"]
    page.get_by_role("button", name="Side by side").click()
    assert page.locator("figure img:visible").count() == 2


def test_a_phone_held_sideways_shows_the_picture_first(visit: Open) -> None:
    page = visit((740, 360), has_touch=True)
    open_pair(page, 4)
    page.keyboard.press("5")
    page.locator(".pair-body").evaluate("body => { body.scrollTop = 0 }")
    stage = page.locator(".compare-view").bounding_box()
    assert stage
    assert 360 - stage["y"] > 150


# What is missing, late or damaged


def test_a_page_that_was_sent_without_its_folder_says_so(visit: Open, seen: Seen, tmp_path: Path) -> None:
    row = make_rows(COUNT)[5]
    (tmp_path / "report.html").write_text(render_pairs([row]), encoding="utf-8")
    page = visit(path=tmp_path / "report.html")
    lines(page).first.click()
    page.wait_for_selector(".pair-pictures .note.bad")
    assert "copy the folder files along with the page" in page.locator(".pair-pictures").inner_text()
    assert f"{row.residual_px:.3f} px" in page.locator(".pair-figures").inner_text()
    assert all("ERR_FILE_NOT_FOUND" in error for error in seen.errors)
    seen.errors.clear()


@pytest.mark.parametrize("name", ["phone.jpg", "dslr.jpg"])
def test_a_missing_picture_does_not_look_like_a_perfect_alignment(
    visit: Open, seen: Seen, tmp_path: Path, name: str
) -> None:
    path = one_pair(tmp_path)
    next(tmp_path.glob(f"files/pairs/*/{name}")).unlink()
    page = visit(path=path)
    lines(page).first.click()
    page.wait_for_selector(".pair-pictures .note.bad")
    assert f"{name} cannot be shown: copy the folder files" in page.locator(".pair-pictures").inner_text()
    assert page.locator(".pair-pictures img").count() == 0
    page.keyboard.press("2")
    assert all("ERR_FILE_NOT_FOUND" in error for error in seen.errors)
    seen.errors.clear()


def test_a_missing_picture_of_the_depth_does_not_look_like_a_flat_scene(
    visit: Open, seen: Seen, tmp_path: Path
) -> None:
    path = one_pair(tmp_path)
    next(tmp_path.glob("files/pairs/*/depth.jpg")).unlink()
    page = visit(path=path)
    open_pair(page)
    page.keyboard.press("7")
    page.wait_for_selector(".pair-pictures .note.bad")
    assert "depth.jpg cannot be shown: copy the folder files" in page.locator(".pair-pictures").inner_text()
    assert all("ERR_FILE_NOT_FOUND" in error for error in seen.errors)
    seen.errors.clear()


def test_nothing_is_compared_until_both_pictures_are_there(visit: Open) -> None:
    page = visit()
    decode = """() => {
      const decode = HTMLImageElement.prototype.decode;
      const late = new Promise(resolve => { window.arrive = resolve; });
      HTMLImageElement.prototype.decode = function () { return late.then(() => decode.call(this)); };
    }"""
    page.evaluate(decode)
    lines(page).first.click()
    page.wait_for_selector(".compare-stage", state="attached")
    assert page.locator(".compare-stage").is_hidden()
    assert page.locator(".compare-stage img:visible").count() == 0
    page.keyboard.press("2")
    assert page.locator(".compare-stage img:visible").count() == 0
    page.evaluate("window.arrive()")
    page.wait_for_selector(".compare-stage")
    ground = style(page, ".compare-stage img.over", "backgroundColor")
    assert ground.startswith("rgb(")


def test_details_that_are_cut_short_are_said_to_be_damaged(visit: Open, seen: Seen, tmp_path: Path) -> None:
    path = one_pair(tmp_path)
    script = next(tmp_path.glob("files/pairs/*/details.js"))
    script.write_text(script.read_text(encoding="utf-8")[:400], encoding="utf-8")
    page = visit(path=path)
    lines(page).first.click()
    page.wait_for_selector(".pair-pictures .note.bad")
    told = page.locator(".pair-pictures").inner_text()
    assert "details.js is damaged, or belongs to another pair: make the report again." in told
    assert seen.errors == []


def test_a_report_without_pictures_looks_for_none(visit: Open, seen: Seen, tmp_path: Path) -> None:
    rows = make_rows(COUNT, pictures=False)
    (tmp_path / "report.html").write_text(render_pairs(rows, has_pictures=False), encoding="utf-8")
    page = visit(path=tmp_path / "report.html")
    lines(page).first.click()
    page.keyboard.press("ArrowRight")
    assert page.locator(".pair-pictures").inner_text() == "This report was made without pictures."
    assert page.locator(".pair-pictures .bad").count() == 0
    assert len(seen.requests) == 1


# Which windows a figure is of


def hover(page: Page, x: float, y: float) -> None:
    """Point at a place in px of the picture."""
    stage = page.locator(".compare-stage").bounding_box()
    assert stage
    times = stage["width"] / made_up_pairs.SIZE[0]
    page.locator(".compare-stage").hover(position={"x": x * times, "y": y * times})


def test_every_residual_says_of_which_windows_it_is(visit: Open) -> None:
    page = visit()
    open_pair(page)
    page.keyboard.press("5")
    details = make_details("any")
    legend = page.locator(".legend").inner_text()
    assert f"Certain windows outside the mask ({details.certain}): the median shift is 0.24 px" in legend
    assert f"fit well at any place ({details.fitting}), including unclear ones" in legend
    slider = page.locator(".compare-own input[type=range]")
    slider.fill(str(len(details.shifts)))
    assert "unclear: its shift is not known so well, and does not count in the certain residual" in told(page)
    masked = [shift for shift in details.shifts if (shift.x, shift.y) == (144, 112)]
    assert masked
    hover(page, 144, 112)
    assert told(page).startswith("(144, 112)")
    assert "it touches the mask and does not count in any residual" in told(page)
    hover(page, 16, 16)
    assert "mask" not in told(page)


def test_an_open_pair_tells_its_certain_residual_and_what_that_is(visit: Open, tmp_path: Path) -> None:
    page = visit(path=one_pair(tmp_path, certain_p95_px=0.35, certain=210, amiss=2, residual_p95_px=1.37))
    first = lines(page).first
    assert first.locator(".p-p95").inner_text().split("\n") == ["0.35", "all 1.37"]
    open_pair(page)
    figure = page.locator(".pair-figures div", has_text="Certain residual, p95")
    assert figure.locator("dd").inner_text() == "0.350 px"
    assert "known to a quarter of a px" in (figure.get_attribute("title") or "")
    unmeasured = visit(path=one_pair(tmp_path, certain_p95_px=None, certain=3, residual_p95_px=1.37))
    open_pair(unmeasured)
    figure = unmeasured.locator(".pair-figures div", has_text="Certain residual, p95")
    assert figure.locator("dd").inner_text() == "not measured"
    assert "sorted by the 95th percentile of all windows" in (figure.get_attribute("title") or "")


def test_reasons_are_called_as_in_the_overview(visit: Open) -> None:
    page = visit()
    open_pair(page)
    page.keyboard.press("6")
    words = page.locator(".legend .toggle").all_inner_texts()
    assert sum(text.strip().startswith("low NCC (") for text in words) == 1


def test_what_the_row_tells_stands_once_in_an_open_pair(visit: Open, tmp_path: Path) -> None:
    detail = "It has no mate."
    page = visit(path=one_pair(tmp_path, kind="alone", status="unpaired", reason="no_dslr_photo", detail=detail))
    open_pair(page)
    assert page.locator("dialog").inner_text().count(detail) == 1
    assert page.locator(".pair-note").inner_text() == "This photo has no partner."


# Keyboard and screen reader


def test_keys_work_after_the_last_pair_was_reached_by_clicks(visit: Open) -> None:
    page = visit()
    open_pair(page, 1)
    page.locator("[data-step='-1']").click()
    assert title(page) == make_rows(COUNT)[0].id
    assert page.locator("[data-step='-1']").get_attribute("aria-disabled") == "true"
    page.locator("[data-step='-1']").click(force=True)
    assert title(page) == make_rows(COUNT)[0].id
    page.keyboard.press("ArrowRight")
    assert title(page) == make_rows(COUNT)[1].id
    assert page.locator("[data-step='-1']").get_attribute("aria-disabled") == "false"


def test_stepping_is_told_to_those_who_do_not_see_it(visit: Open) -> None:
    page = visit()
    rows = make_rows(COUNT)
    open_pair(page, 4)
    status = page.locator("dialog").get_by_role("status")
    for key, place in (("ArrowRight", 5), ("ArrowLeft", 4)):
        page.keyboard.press(key)
        assert status.inner_text() == f"{rows[place].id}, {place + 1} of {COUNT}, {rows[place].status}"
