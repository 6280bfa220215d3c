"""The report's list of pairs in a browser, as people use it: mouse, keyboard, phone, dark room, hostile names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pairs_page import (
    COUNT,
    HOSTILE,
    NARROW,
    SCRIPT,
    Open,
    Seen,
    count,
    details_of,
    lines,
    one_pair,
    open_pair,
    sideways,
    title,
)

from benchmarks.made_up_pairs import make_rows, render_pairs, write_details

if TYPE_CHECKING:
    from playwright.sync_api import Page


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
    assert page.locator(f"select[name=session] option[value={'y' + SCRIPT!r}]").count() == 1
    assert page.locator("select[name=tag] option[value^='place=']").inner_text() == f"place: {SCRIPT} (1)"
    assert not any(url.endswith("/x") for url in seen.requests)


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
    page.locator(".pair-list .name:focus", has_text=third).wait_for()  # the page hears of the closing a moment later
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


def test_sessions_and_tags_choose_pairs(visit: Open) -> None:
    """Of the pairs 1 to 59, every second is of the first day. A quarter is indoor, one in rain too, one in the sun."""
    page = visit()
    tags, sessions = page.locator("select[name=tag]"), page.locator("select[name=session]")
    assert tags.locator("option").all_inner_texts() == [
        "All (60)",
        "indoor (30)",
        f"place: {SCRIPT} (1)",
        "weather: rain (15)",
        "weather: sun (15)",
    ]
    assert sessions.locator("option").all_inner_texts()[:3] == ["All (60)", "first day (29)", "second day (30)"]
    tags.select_option("indoor=yes")
    assert count(page) == f"30 of {COUNT} pairs"
    assert sessions.locator("option").all_inner_texts()[:3] == ["All (30)", "first day (15)", "second day (15)"]
    sessions.select_option("first day")
    assert count(page) == f"15 of {COUNT} pairs"
    assert tags.locator("option").all_inner_texts()[-2:] == ["weather: rain (15)", "weather: sun (0)"]
    page.wait_for_function("() => location.hash === '#session=first+day&tag=indoor%3Dyes'")
    open_pair(page)
    figures = page.locator(".pair-figures").inner_text()
    assert "Session\nfirst day" in figures
    assert "Tags\nindoor, weather: rain" in figures
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Show all").click()
    assert (tags.input_value(), sessions.input_value()) == ("", "")
    page.locator("input[type=search]").fill("second")
    assert count(page) == f"30 of {COUNT} pairs"


def test_the_keyboard_chooses_a_tag(visit: Open) -> None:
    page = visit()
    page.locator("select[name=split]").focus()
    for name in ("session", "tag"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.name") == name
    assert page.get_by_label("Tag").evaluate("select => select === document.activeElement")
    page.keyboard.press("ArrowDown")
    assert count(page) == f"30 of {COUNT} pairs"


def test_a_link_names_a_session_and_a_tag(visit: Open) -> None:
    page = visit(fragment="#session=second+day&tag=weather%3Dsun")
    assert count(page) == f"15 of {COUNT} pairs"
    assert page.locator("select[name=tag]").input_value() == "weather=sun"
    for fragment in ("#session=third+day&tag=weather", "#tag=constructor&session=__proto__"):
        assert count(visit(fragment=fragment)) == f"{COUNT} of {COUNT} pairs"


def test_without_sessions_and_tags_there_is_nothing_to_choose(visit: Open, tmp_path: Path) -> None:
    path = one_pair(tmp_path, session="Day 1")
    page = visit(path=path, fragment="#session=Day+1")
    assert page.locator("select[name=session], select[name=tag]").count() == 0
    assert count(page) == "1 of 1 pairs"
    assert not page.get_by_role("button", name="Show all").is_visible()
    open_pair(page)
    assert "Tags" not in page.locator(".pair-figures").inner_text()


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


# The list and an open pair

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


def test_a_phone_shows_it_all_without_scrolling_sideways(visit: Open) -> None:
    page = visit(NARROW, has_touch=True)
    assert sideways(page) <= 0
    rows = "parseFloat(getComputedStyle(document.querySelector('.pair-list')).getPropertyValue('--row'))"
    assert lines(page).first.evaluate("line => line.offsetHeight") == page.evaluate(rows)
    open_pair(page)
    for key in "1234567":
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
    for name in (None, "1", "4", "5", "6", "7"):
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


def test_nothing_jumps_while_a_slow_machine_starts_the_page(visit: Open, report: Path) -> None:
    context = visit().context
    page = context.new_page()
    context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 10})
    page.goto(report.as_uri())
    page.wait_for_function(ALL_THERE)
    page.evaluate(SHIFTS)
    page.evaluate(NOW)
    assert page.evaluate("window.shifted.map(entry => entry.value)") == []


# Keyboard and screen reader

FAR = 4 * 66 + 20 * 66
"""px by which the wheel turns, so that the first lines are no longer drawn."""


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
