"""The pairs of the report in a browser, as people use them: mouse, keyboard, phone, dark room, hostile names."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import made_up_pairs
from benchmarks.made_up_pairs import make_details, make_pictures, make_rows, render_pairs, write_details
from dpedtool.dataset.photos.files import encode_image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

HOSTILE = "<img src=x onerror=alert(1)>.jpg"
SCRIPT = "</script><script>alert(2)</script><!--"
WIDE, NARROW = (1280, 900), (360, 740)
COUNT = 60
Open = Callable[..., "Page"]


@dataclasses.dataclass
class Seen:
    """What a page did that nobody asked it to."""

    errors: list[str]
    requests: list[str]

    def watch(self, page: Page) -> None:
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: (self.errors.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self.requests.append(request.url))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of sixty pairs with their folders; the first has hostile names, one is apart, one alone, one none."""
    folder = tmp_path_factory.mktemp("report")
    rows = make_rows(COUNT)
    rows[0] = dataclasses.replace(rows[0], phone_file=HOSTILE, scene=SCRIPT, detail=SCRIPT, phone=f"x{SCRIPT}")
    (folder / "report.html").write_text(render_pairs(rows), encoding="utf-8")
    pictures = make_pictures()
    for row, kind in zip(rows, ["aligned", "apart", "alone", "none"] + ["aligned"] * COUNT, strict=False):
        write_details(folder, details_of(row.id, kind), pictures)
    return folder / "report.html"


def details_of(pair_id: str, kind: Any) -> Any:
    details = make_details(pair_id)
    if kind == "aligned":
        return dataclasses.replace(
            details, spots=[dataclasses.replace(details.spots[0], title=HOSTILE), details.spots[1]]
        )
    bare = dataclasses.replace(details, kind=kind, crop=None, shifts=[], windows=[], mask=[], spots=[])
    return (
        bare if kind == "apart" else dataclasses.replace(bare, dslr=None, phone=bare.phone if kind == "alone" else None)
    )


@pytest.fixture
def seen() -> Seen:
    return Seen([], [])


@pytest.fixture
def visit(browser: Browser, report: Path, seen: Seen) -> Iterator[Open]:
    """Open the page: (size, fragment, path, settings of the context); what it must not do is asserted at the end."""
    contexts = []

    def go(size: tuple[int, int] = WIDE, fragment: str = "", path: Path = report, **settings: Any) -> Page:
        contexts.append(browser.new_context(viewport={"width": size[0], "height": size[1]}, **settings))
        page = contexts[-1].new_page()
        seen.watch(page)
        page.goto(path.as_uri() + fragment)
        return page

    yield go
    for context in contexts:
        context.close()
    assert seen.errors == []
    assert [url for url in seen.requests if not url.startswith(("file:", "data:"))] == []


def lines(page: Page) -> Locator:
    return page.locator(".pair-list tbody tr:not(.spacer)")


def count(page: Page) -> str:
    return page.locator(".pair-count [role=status]").inner_text()


def open_pair(page: Page, place: int = 0) -> None:
    lines(page).nth(place).click()
    page.wait_for_selector(".compare-stage")


def title(page: Page) -> str:
    return page.locator("#pair-title").inner_text()


def style(page: Page, selector: str, name: str) -> str:
    return str(page.eval_on_selector(selector, f"element => getComputedStyle(element)['{name}']"))


def test_hostile_names_are_text(visit: Open, seen: Seen) -> None:
    page = visit()
    assert lines(page).first.locator(".scene").inner_text() == HOSTILE
    assert lines(page).first.locator(".detail").inner_text() == SCRIPT
    open_pair(page)
    assert HOSTILE in page.locator(".pair-figures").inner_text()
    assert SCRIPT in page.locator(".pair-why").inner_text()
    assert HOSTILE in page.locator(".spots").inner_text()
    assert page.locator(".spots figure").first.locator("img").count() == 2
    assert page.locator(f"select[name=phone] option[value={'x' + SCRIPT!r}]").count() == 1
    assert not any(url.endswith("/x") for url in seen.requests)


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
    assert "amiss" in page.locator(".told").inner_text()
    page.locator(".compare-stage").hover(position={"x": 20, "y": 20})
    assert page.locator(".told").inner_text().startswith("(16, 16): dx 0.05 px, dy ")
    assert "off by 0.31 px in the median" in page.locator(".legend").inner_text()
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
    ("place", "words", "pictures"), [(1, "side by side as they are", 2), (2, "no partner", 1), (3, "no pictures", 0)]
)
def test_pairs_without_a_common_grid_say_so(visit: Open, place: int, words: str, pictures: int) -> None:
    page = visit()
    lines(page).nth(place).click()
    page.wait_for_selector(".pair-note:visible")
    assert words in page.locator(".pair-note").inner_text()
    assert page.locator(".pair-pictures img:visible").count() == pictures


def test_the_keyboard_suffices(visit: Open) -> None:
    page = visit()
    page.locator(".pair-list .name").first.focus()
    page.keyboard.press("ArrowDown")
    second = page.locator(".pair-list .name:focus").inner_text()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    assert title(page) == second
    assert page.evaluate("location.hash") == f"#pair={second}"
    page.keyboard.press("ArrowRight")
    third = title(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert title(page) == third != second
    page.keyboard.press("p")
    page.keyboard.press("n")
    assert page.locator(".pair-place").inner_text() == f"3 of {COUNT}"
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    assert page.locator(".pair-list .name:focus").inner_text() == third
    page.keyboard.press("End")
    assert page.locator("tr:has(.name:focus)").get_attribute("aria-rowindex") == str(COUNT + 1)


def test_filters_and_search_choose_pairs(visit: Open) -> None:
    rows = make_rows(COUNT)
    page = visit()
    assert count(page) == f"{COUNT} of {COUNT} pairs"
    page.locator(".pair-statuses [data-status=rejected]").click()
    rejected = [row for row in rows if row.status == "rejected"]
    assert count(page) == f"{len(rejected)} of {COUNT} pairs"
    page.locator("select[name=reason]").select_option(rejected[1].reason)
    alike = sum(row.reason == rejected[1].reason for row in rejected)
    assert count(page) == f"{alike} of {COUNT} pairs"
    chosen = page.locator("select[name=reason] option:checked").inner_text()
    assert chosen == f"{rejected[1].reason.replace('_', ' ')} ({alike})"
    page.get_by_role("button", name="Show all").click()
    page.locator("select[name=phone]").select_option("sony")
    page.locator("select[name=split]").select_option("train")
    both = sum(row.phone == "sony" and row.split == "train" for row in rows)
    assert 0 < both < COUNT
    assert count(page) == f"{both} of {COUNT} pairs"
    assert lines(page).count() <= both
    page.get_by_role("button", name="Show all").click()
    page.locator("input[type=search]").fill(f"{rows[7].id[-5:]} IMG")
    assert count(page) == f"1 of {COUNT} pairs"
    page.locator("input[type=search]").fill("no such pair")
    assert page.locator(".pair-none").is_visible()


def test_a_link_opens_a_pair_with_its_filters(visit: Open) -> None:
    rows = make_rows(COUNT)
    page = visit(fragment=f"#pair={rows[-1].id}&status=aligned&sort=coverage%3Aup&reason=nonsense&split=%3Cb%3E")
    assert title(page) == rows[-1].id
    aligned = sum(row.status == "aligned" for row in rows)
    assert page.locator(".pair-place").inner_text().endswith(f"of {aligned}")
    page.keyboard.press("Escape")
    assert count(page) == f"{aligned} of {COUNT} pairs"
    unknown = visit(fragment="#pair=%3Cscript%3E&sort=constructor")
    assert not unknown.locator("dialog").is_visible()
    assert count(unknown) == f"{COUNT} of {COUNT} pairs"


def test_going_back_closes_the_pair(visit: Open) -> None:
    page = visit()
    open_pair(page, 4)
    page.go_back()
    page.wait_for_selector("dialog", state="hidden")
    page.go_forward()
    page.wait_for_selector("dialog[open]")
    assert title(page) == make_rows(COUNT)[4].id


def test_headers_sort_and_what_has_no_value_comes_last(visit: Open) -> None:
    page = visit()
    head = page.get_by_role("columnheader", name="Residual median, px")
    rows = make_rows(COUNT)
    assert lines(page).nth(1).locator(".name").inner_text() == rows[1].id
    known = sorted((row.residual_px for row in rows if row.residual_px is not None), reverse=True)
    for way, wanted in (("descending", known[0]), ("ascending", known[-1])):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == way
        assert lines(page).first.locator(".p-residual").inner_text() == f"{wanted:.2f}"
        page.locator(".pair-list .name").first.focus()
        page.keyboard.press("End")
        assert lines(page).last.locator(".p-residual").inner_text() == "\N{EN DASH}"
    page.locator("select[name=sort]").select_option(label="Worst first")
    assert head.get_attribute("aria-sort") == "none"
    assert lines(page).nth(1).locator(".name").inner_text() == rows[1].id


LUMINANCE = """selector => {
  const own = (element, name) => getComputedStyle(element)[name].match(/[\\d.]+/g).map(Number);
  const element = document.querySelector(selector);
  let behind = element;
  while (own(behind, 'backgroundColor')[3] === 0) behind = behind.parentElement;
  const light = ([r, g, b]) => [r, g, b].map(value => value / 255)
    .map(value => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const [text, ground] = [light(own(element, 'color')), light(own(behind, 'backgroundColor'))];
  return [(Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05), ground];
}"""
TEXTS = [
    "h2",
    ".pair-list .name",
    ".pair-list .scene",
    ".pair-list .detail",
    ".badge.bad",
    ".badge.good",
    ".p-residual",
]
TEXTS += [".pair-statuses [aria-pressed=true]", ".pair-statuses small", ".pair-list thead small", ".pair-filters label"]
TEXTS += [".compare-modes [aria-pressed=true]", ".compare-modes button", ".pair-figures dt", ".legend p", ".told"]


def test_text_can_be_read_by_day_and_by_night(visit: Open) -> None:
    grounds = {}
    for scheme in ("light", "dark"):
        page = visit(color_scheme=scheme)
        lines(page).last.scroll_into_view_if_needed()
        page.locator(".pair-list").evaluate("list => { list.scrollTop = 4 * 66 }")
        page.wait_for_selector(".badge.good")
        open_pair(page)
        page.keyboard.press("5")
        found = {selector: page.evaluate(LUMINANCE, selector) for selector in TEXTS}
        assert {selector: ratio for selector, (ratio, _) in found.items() if ratio < 4.5} == {}
        grounds[scheme] = found["h2"][1]
    assert grounds["dark"] < 0.05 < 0.9 < grounds["light"]


def sideways(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def test_a_phone_shows_it_all_without_scrolling_sideways(visit: Open) -> None:
    page = visit(NARROW, has_touch=True)
    assert sideways(page) <= 0
    rows = "parseFloat(getComputedStyle(document.querySelector('.pair-list')).getPropertyValue('--row'))"
    assert lines(page).first.evaluate("line => line.offsetHeight") == page.evaluate(rows)
    open_pair(page)
    for key in "123456":
        page.keyboard.press(key)
        assert sideways(page) <= 0
        assert page.locator(".pair-body").evaluate("body => body.scrollWidth - body.clientWidth") <= 0
    close = page.get_by_role("button", name="Close").bounding_box()
    assert close
    assert close["x"] + close["width"] <= NARROW[0]


# Shifts of the layout, but for those that follow from what the user has just done.
SHIFTS = """() => {
  window.shifted = [];
  const note = list => window.shifted.push(...list.getEntries().filter(entry => !entry.hadRecentInput));
  new PerformanceObserver(note).observe({type: 'layout-shift', buffered: true});
}"""


BOXES = """() => [...document.querySelectorAll('.pair-list *, .pair-body *')].map(element => {
  const box = element.getBoundingClientRect();
  return [element.className, box.x, box.y, box.width, box.height].join();
})"""
# Files are there at once: what stands before they are is seen by taking the pictures away.
TAKE_AWAY = """() => document.querySelectorAll('.pair-list img, .pair-body img').forEach(image => {
  image.dataset.taken = image.src;
  image.onerror = null;
  image.removeAttribute('src');
})"""
# Once what has changed before is drawn.
NOW = "() => new Promise(tell => requestAnimationFrame(() => requestAnimationFrame(() => tell(performance.now()))))"
GIVE_BACK = "() => document.querySelectorAll('[data-taken]').forEach(image => { image.src = image.dataset.taken; })"
ALL_THERE = "() => [...document.querySelectorAll('.pairs img')].every(image => image.naturalWidth && !image.hidden)"


def test_nothing_jumps_when_pictures_arrive(visit: Open) -> None:
    page = visit()
    page.evaluate(SHIFTS)
    # From the start to the first click, and then while pictures are away: what a click changes may come late.
    spans = []
    for name in (None, "1", "4", "5", "6"):
        if name == "1":
            open_pair(page)
        if name:
            page.keyboard.press(name)
        page.wait_for_function(ALL_THERE)
        start = page.evaluate(NOW) if name else 0
        page.evaluate(TAKE_AWAY)
        assert not page.evaluate("document.querySelector('.pair-list img').naturalWidth")
        before = page.evaluate(BOXES)
        page.evaluate(GIVE_BACK)
        page.wait_for_function(ALL_THERE)
        assert page.evaluate(BOXES) == before
        spans.append((start, page.evaluate(NOW)))
    found = page.evaluate("window.shifted.map(entry => [entry.startTime, entry.value])")
    assert [value for time, value in found if any(start <= time <= end for start, end in spans)] == []


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


def test_a_single_file_needs_no_folder(visit: Open, seen: Seen, tmp_path: Path) -> None:
    row = make_rows(COUNT)[5]
    kinds = {".jpg": "jpeg", ".png": "png"}
    files = {
        f"files/pairs/{row.id}/{name}": f"data:image/{kinds[name[-4:]]};base64,{base64.b64encode(content).decode()}"
        for name, content in make_pictures().items()
    }
    embedded = {"files": files, "details": {row.id: dataclasses.asdict(make_details(row.id))}}
    (tmp_path / "single.html").write_text(render_pairs([row], embedded), encoding="utf-8")
    page = visit(path=tmp_path / "single.html")
    open_pair(page)
    loaded = "[...document.querySelectorAll('dialog img, .thumb img')].every(image => image.naturalWidth > 1)"
    page.wait_for_function(loaded)
    assert [url for url in seen.requests if url.startswith("file:")] == [(tmp_path / "single.html").as_uri()]


def test_thousands_of_pairs_are_few_lines_at_a_time(visit: Open, tmp_path: Path) -> None:
    rows = make_rows(6000, pictures=False)
    write_details(tmp_path, details_of(rows[-1].id, "none"), {})
    (tmp_path / "report.html").write_text(render_pairs(rows), encoding="utf-8")
    page = visit(path=tmp_path / "report.html")
    assert lines(page).count() < 40
    page.locator(".pair-list").evaluate("list => { list.scrollTop = list.scrollHeight }")
    last = page.locator(".pair-list .name", has_text=rows[-1].id)
    last.wait_for()
    assert lines(page).count() < 40
    bottom = page.locator(".pair-list").bounding_box()
    there = lines(page).last.bounding_box()
    assert bottom
    assert there
    assert there["y"] + there["height"] <= bottom["y"] + bottom["height"] + 1
    last.click()
    assert title(page) == rows[-1].id
    assert page.locator("[data-step='1']").is_disabled()


def test_a_run_without_pairs_is_told_in_words(visit: Open, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(render_pairs([]), encoding="utf-8")
    assert "There are no pairs" in visit(path=tmp_path / "report.html").locator("#pairs").inner_text()


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


# What is missing, late or damaged

FAR = 4 * 66 + 20 * 66
"""px by which the wheel turns, so that the first lines are not drawn any more."""


def one_pair(folder: Path, *, kind: Any = "aligned", **changes: Any) -> Path:
    """A page of one aligned pair and its folder."""
    row = dataclasses.replace(make_rows(COUNT)[-1], **changes)
    (folder / "report.html").write_text(render_pairs([row]), encoding="utf-8")
    write_details(folder, details_of(row.id, kind), make_pictures())
    return folder / "report.html"


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
    assert "details.js is damaged, or tells of another pair: make the report again." in told
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


def test_every_residual_says_of_which_windows_it_is(visit: Open) -> None:
    page = visit()
    open_pair(page)
    page.keyboard.press("5")
    details = make_details("any")
    legend = page.locator(".legend").inner_text()
    assert (
        f"Certain windows outside the mask ({details.certain}): off by 0.24 px in the median and by 0.90 px" in legend
    )
    assert f"fit well anywhere ({details.fitting}), unclear ones" in legend
    slider = page.locator(".compare-own input[type=range]")
    slider.fill(str(len(details.shifts)))
    assert "unclear: its shift is not known so well, and has no say in the certain residual" in told(page)
    masked = [shift for shift in details.shifts if (shift.x, shift.y) == (144, 112)]
    assert masked
    hover(page, 144, 112)
    assert told(page).startswith("(144, 112)")
    assert "it touches the mask and has no say in any residual" in told(page)
    hover(page, 16, 16)
    assert "mask" not in told(page)


def told(page: Page) -> str:
    return page.locator(".told").inner_text()


def hover(page: Page, x: float, y: float) -> None:
    """Point at a place of the picture, in its px."""
    stage = page.locator(".compare-stage").bounding_box()
    assert stage
    times = stage["width"] / made_up_pairs.SIZE[0]
    page.locator(".compare-stage").hover(position={"x": x * times, "y": y * times})


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


# Texts of a card that lie over each other, or reach beyond it.
OVERLAPS = """card => {
  const shown = [...card.querySelectorAll('.thumb, .name, .p-sorted, .p-kept span, .badge, .p-split')]
    .map(element => [element.className, element.getBoundingClientRect()]).filter(([, box]) => box.width);
  const apart = (one, other) => one.right <= other.left || other.right <= one.left
    || one.bottom <= other.top || other.bottom <= one.top;
  const right = card.getBoundingClientRect().right;
  return shown.filter(([, box], at) => box.right > right
    || shown.slice(at + 1).some(([, other]) => !apart(box, other))).map(([name]) => name);
}"""


def test_cards_show_what_they_are_sorted_by(visit: Open, tmp_path: Path) -> None:
    measured = {"certain_p95_px": 0.35, "residual_p95_px": 1.37, "residual_px": 0.12, "coverage": 0.913}
    page = visit(NARROW, path=one_pair(tmp_path, **measured))
    figure = lines(page).first.locator(".p-residual")
    assert figure.inner_text() == "certain p95 0.35 px"
    for key, text in (
        ("residual_px:down", "median 0.12 px"),
        ("residual_p95_px:down", "p95 of all 1.37 px"),
        ("coverage:up", "coverage 91.3 %"),
        ("id:up", "certain p95 0.35 px"),
    ):
        page.locator("select[name=sort]").select_option(key)
        assert figure.inner_text() == text
        assert sideways(page) <= 0
        assert lines(page).first.evaluate(OVERLAPS) == []
    page = visit(NARROW, path=one_pair(tmp_path, **measured | {"certain_p95_px": None}))
    assert lines(page).first.locator(".p-residual").inner_text() == "p95 of all 1.37 px"


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


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.className || document.activeElement.tagName"))


def scroll_far(page: Page) -> None:
    page.locator(".pair-list").evaluate("(list, far) => { list.scrollTop = far }", FAR)
    page.wait_for_selector(".pair-list tr[data-place='0']", state="detached")


def test_the_list_can_be_reached_after_it_was_scrolled_by_the_wheel(visit: Open) -> None:
    page = visit()
    scroll_far(page)
    page.locator(".pair-list thead button").last.focus()
    page.keyboard.press("Tab")
    assert focused(page) == "name"
    first = FAR // 66
    assert page.locator("tr:has(.name:focus)").get_attribute("data-place") == str(first)
    page.keyboard.press("ArrowDown")
    assert page.locator("tr:has(.name:focus)").get_attribute("data-place") == str(first + 1)


def test_arrows_go_on_where_a_line_with_the_focus_was_scrolled_away(visit: Open) -> None:
    page = visit()
    page.locator(".pair-list .name").first.focus()
    scroll_far(page)
    assert focused(page) == "pair-list"
    page.keyboard.press("ArrowDown")
    assert page.locator("tr:has(.name:focus)").get_attribute("data-place") == str(FAR // 66)
    page.keyboard.press("Home")
    assert page.locator("tr:has(.name:focus)").get_attribute("data-place") == "0"


def test_stepping_is_told_to_those_who_do_not_see_it(visit: Open) -> None:
    page = visit()
    rows = make_rows(COUNT)
    open_pair(page, 4)
    status = page.locator("dialog").get_by_role("status")
    for key, place in (("ArrowRight", 5), ("ArrowLeft", 4)):
        page.keyboard.press(key)
        assert status.inner_text() == f"{rows[place].id}, {place + 1} of {COUNT}, {rows[place].status}"


def test_show_all_hands_the_focus_to_the_search(visit: Open) -> None:
    page = visit()
    page.locator("input[type=search]").fill("sony")
    page.keyboard.press("Tab")
    assert page.get_by_role("button", name="Show all").evaluate("button => button === document.activeElement")
    page.keyboard.press("Enter")
    assert count(page) == f"{COUNT} of {COUNT} pairs"
    assert page.evaluate("document.activeElement.name") == "text"


def test_a_pair_opened_by_a_link_gives_the_focus_back_to_it(visit: Open, report: Path) -> None:
    pair_id = make_rows(COUNT)[40].id
    path = report.with_name("linked.html")
    link = f'<section id="patches"><a href="#pair={pair_id}">its pair</a></section><section id="pairs"'
    path.write_text(report.read_text(encoding="utf-8").replace('<section id="pairs"', link), encoding="utf-8")
    page = visit(path=path)
    page.get_by_role("link", name="its pair").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    assert title(page) == pair_id
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="hidden")
    page.wait_for_function("() => location.hash === '#patches'")
    assert page.evaluate("document.activeElement.textContent") == "its pair"
    open_pair(page, 2)
    page.keyboard.press("Escape")
    page.wait_for_selector("tr[data-place='2'] .name:focus")


def test_a_phone_held_sideways_shows_the_picture_first(visit: Open) -> None:
    page = visit((740, 360), has_touch=True)
    open_pair(page, 4)
    page.keyboard.press("5")
    page.locator(".pair-body").evaluate("body => { body.scrollTop = 0 }")
    stage = page.locator(".compare-view").bounding_box()
    assert stage
    assert 360 - stage["y"] > 150
