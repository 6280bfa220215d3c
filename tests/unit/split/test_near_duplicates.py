"""Near-duplicate views: what links two photos, and what does not."""

from __future__ import annotations

import errno
import io
import os
from datetime import datetime, timedelta

import cv2
import numpy as np
import pytest
from photo_headers import jpeg_header, png_header
from split_rig import jpeg, picture
from threadpoolctl import threadpool_info, threadpool_limits

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.measure.cells import cosines
from dpedtool.pipeline.split import appearances, near_duplicates
from dpedtool.pipeline.split.near_duplicates import Limits, View, agreement, find_links, look_at

NOON = datetime(2024, 5, 1, 12)
LIMITS = Limits(minutes=30, keypoints=12)


def view(name: str, grey: np.ndarray, minutes: float | None = None, quality: int = 85) -> View:
    return View(name, jpeg(grey, quality), None if minutes is None else NOON + timedelta(minutes=minutes))


def moved(grey: np.ndarray, shift: float = 0, turn: float = 0, zoom: float = 1) -> np.ndarray:
    """The picture moved to the right by a share of its width, turned by degrees, zoomed."""
    height, width = grey.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom)
    matrix[0, 2] += shift * width
    return cv2.warpAffine(grey, matrix, (width, height), borderValue=90)


def linked(
    one: np.ndarray, two: np.ndarray, apart: float | None = None, limits: Limits = LIMITS, quality: int = 85
) -> bool:
    times = (None, None) if apart is None else (0, apart)
    return bool(find_links([view("a", one, times[0]), view("b", two, times[1], quality)], limits))


def with_passer_by(grey: np.ndarray) -> np.ndarray:
    return cv2.ellipse(grey.copy(), (150, 100), (30, 70), 0, 0, 360, 40, -1)


CHANGES = {
    "shifted": lambda grey: moved(grey, shift=0.2),
    "turned": lambda grey: moved(grey, turn=2),
    "zoomed": lambda grey: moved(grey, zoom=1.1),
    "brighter": lambda grey: np.clip(grey * 1.4 + 10, 0, 255).astype(np.uint8),
    "darker": lambda grey: (grey * 0.3).astype(np.uint8),
    "with a passer-by": with_passer_by,
    "upside down": lambda grey: np.ascontiguousarray(grey[::-1, ::-1]),
    "all of it": lambda grey: (with_passer_by(moved(grey, 0.05, 2, 1.1)) * 0.6).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("seed", range(3))
def test_the_same_view_is_found_without_any_time(change: str, seed: int) -> None:
    assert linked(picture(seed), CHANGES[change](picture(seed)), quality=50)


def test_other_views_are_not_linked_though_they_follow_at_once() -> None:
    views = [view(str(seed), picture(seed), seed / 10) for seed in range(12)]
    assert find_links(views, LIMITS) == []


def test_mirrored_is_not_the_same_view() -> None:
    assert not linked(picture(0), np.ascontiguousarray(picture(0)[:, ::-1]), apart=1)


def test_a_thing_in_common_is_not_a_view() -> None:
    one, two = picture(0), picture(1)
    two[100:150, 180:240] = one[10:60, 10:70]
    assert agreement(look_at(view("a", one)), look_at(view("b", two))).coverage < 0.1
    assert not linked(one, two, apart=1)


def blend(share: float) -> np.ndarray:
    """One picture in part of the frame, another elsewhere."""
    mixed = picture(1)
    mixed[:, : round(256 * share)] = picture(0)[:, : round(256 * share)]
    return mixed


def test_little_agreement_is_enough_within_minutes_only() -> None:
    few = agreement(look_at(view("a", picture(0))), look_at(view("b", blend(0.4)))).keypoints
    limits = Limits(minutes=30, keypoints=few + 5)
    assert linked(picture(0), blend(0.4), apart=29, limits=limits)
    assert not linked(picture(0), blend(0.4), apart=31, limits=limits)
    assert not linked(picture(0), blend(0.4), limits=limits)


def plain(shade: int) -> np.ndarray:
    """A sky: brighter towards one side, without keypoints."""
    rows, columns = np.mgrid[:170, :256]
    grey = {0: 90 + rows * 0.6, 1: 200 - columns * 0.4}[shade]
    return grey.astype(np.uint8)


def test_frames_without_keypoints_are_compared_as_a_whole() -> None:
    assert len(look_at(view("a", plain(0))).points) < 7
    assert linked(plain(0), (plain(0) * 0.7).astype(np.uint8))
    assert not linked(plain(0), plain(1), apart=1)


def test_a_blurred_frame_of_a_burst_is_found_by_light_and_dark() -> None:
    blurred = cv2.GaussianBlur(picture(0), (0, 0), 4)
    (link,) = find_links([view("a", picture(0), 0), view("b", blurred, 0.1)], LIMITS)
    assert link.evidence.endswith("6 s apart")
    assert not linked(picture(1), blurred, apart=0.1)


def test_a_single_grey_value_is_like_nothing() -> None:
    grey = np.full((170, 256), 90, np.uint8)
    assert find_links([view("a", grey, 0), view("b", grey, 0), view("c", picture(0), 0)], LIMITS) == []


def test_a_tiny_photo_is_no_obstacle() -> None:
    assert find_links([view("a", picture(0)[:1, :1]), view("b", picture(0)[:3, :200])], LIMITS) == []


def test_links_are_a_matter_of_the_two_alone() -> None:
    """The same photos have the same links, in any order and with any other photos."""
    first = [view(f"{seed}", picture(seed), seed) for seed in range(6)]
    first += [view(f"{seed}+", moved(picture(seed), 0.1, 1), seed + 500) for seed in range(3)]
    more = [view(f"x{seed}", moved(picture(seed), -0.1), seed + 900) for seed in range(8)]
    links = find_links(first, LIMITS)
    assert [(link.one, link.two) for link in links] == [("0", "0+"), ("1", "1+"), ("2", "2+")]
    names = {one.name for one in first}
    among = [link for link in find_links([*more, *first[::-1]], LIMITS) if {link.one, link.two} <= names]
    assert among == links


def test_photos_on_one_side_are_not_compared_where_sides_are_given() -> None:
    views = [view(name, moved(picture(0), shift)) for name, shift in (("a", 0), ("b", 0.05), ("c", 0.1))]
    links = find_links(views, LIMITS, {"a": "train", "b": "train", "c": "test"})
    assert [(link.one, link.two) for link in links] == [("a", "c"), ("b", "c")]


def striped(seed: int) -> np.ndarray:
    """A facade: many corners that resemble each other, and all those of other facades."""
    rng = np.random.default_rng(seed)
    grey = np.full((170, 256), 150, np.uint8)
    for x, y in np.mgrid[0:12, 0:8].reshape(2, -1).T.tolist():
        left, top = 20 * x + int(rng.integers(3, 10)), 20 * y + int(rng.integers(3, 10))
        size, shade = rng.integers(5, 12, 2).tolist(), int(rng.integers(20, 120))
        grey[top : top + size[0], left : left + size[1]] = shade
    return grey


def test_few_photos_of_different_views_are_matched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matching any two of a few thousand photos would take hours."""
    matched = []
    monkeypatch.setattr(near_duplicates, "agreement", lambda *two: matched.append(two) or agreement(*two))
    views = [view(str(seed), striped(seed)) for seed in range(40)]
    views += [view(f"{seed}+", moved(striped(seed), 0.1, 1)) for seed in range(5)]
    links = find_links(views, LIMITS)
    assert [(link.one, link.two) for link in links] == [(f"{seed}", f"{seed}+") for seed in range(5)]
    assert len(matched) < 0.05 * 45 * 44 / 2


def test_libraries_start_no_threads_beside_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of BLAS that wait for each other's processors made the comparison five times as slow."""
    threads: set[int] = set()

    def look(*two: near_duplicates.Appearance) -> near_duplicates.Agreement:
        threads.update(found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas")
        return agreement(*two)

    monkeypatch.setattr(near_duplicates, "agreement", look)
    with threadpool_limits(2, user_api="blas"):
        assert linked(picture(0), picture(0))
        after = {found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"}
    assert (threads, after) == ({1}, {2})


def test_blocks_hide_no_two_photos_from_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    views = [view(str(seed), moved(picture(seed // 3), seed % 3 / 10)) for seed in range(9)]
    links = find_links(views, LIMITS)
    monkeypatch.setattr(near_duplicates, "BLOCK", 2)
    assert len(links) == 9
    assert find_links(views, LIMITS) == links
    sides = {str(seed): ("test", "train", "validation")[seed % 3] for seed in range(9)}
    assert find_links(views, LIMITS, sides) == links


def test_photos_on_one_side_are_not_even_compared_by_their_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def count(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
        compared.append((len(ones), len(others)))
        return cosines(ones, others)

    monkeypatch.setattr(near_duplicates, "cosines", count)
    views = [view(str(seed), picture(seed)) for seed in range(6)]
    sides = ("train", "train", "train", "test", "train", "validation")
    find_links(views, LIMITS, {str(seed): side for seed, side in enumerate(sides)})
    assert sorted(compared) == [(1, 1), (1, 4), (4, 1)]


def test_keypoints_in_a_file_give_the_same_links(monkeypatch: pytest.MonkeyPatch) -> None:
    views = [view(str(seed), moved(picture(seed // 2), seed % 2 / 10), seed) for seed in range(6)]
    links = find_links(views, LIMITS)
    monkeypatch.setattr(appearances, "MOST_BYTES_IN_MEMORY", 1)
    assert len(links) == 3
    assert find_links(views, LIMITS) == links


def test_a_full_disk_is_told_with_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(appearances.tempfile, "SpooledTemporaryFile", lambda _: Full())
    with pytest.raises(DpedtoolError, match=r"\(No space left on device\): make room there, or .* TMPDIR\."):
        find_links([view("a", picture(0))], LIMITS)


def test_a_thumbnail_that_is_no_picture_is_refused() -> None:
    with pytest.raises(DpedtoolError, match="thumbnail of a cannot be decoded"):
        find_links([View("a", b"no picture", None)], LIMITS)


def test_a_thumbnail_whose_header_claims_gigabytes_is_not_decoded() -> None:
    for content in (jpeg_header(30_000, 30_000), png_header(30_000, 30_000), jpeg(np.zeros((300, 300), np.uint8))):
        with pytest.raises(DpedtoolError, match="The thumbnail of a cannot be decoded"):
            look_at(View("a", content, None))
