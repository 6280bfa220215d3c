"""The picture of a photo before and after: it fits, shows both photos unchanged, and chooses useful details."""

from __future__ import annotations

import numpy as np
import pytest

from dpedtool.dataset.photos.pixels import Image
from dpedtool.training.enhance.side_by_side import DETAIL_SIDE_PX, DETAILS, GAP_PX, INNER_GAP_PX, WIDTH_PX, side_by_side

PAIR_PX = 2 * DETAIL_SIDE_PX + INNER_GAP_PX


def plain(height: int, width: int, level: int = 128) -> Image:
    return np.full((height, width, 3), level, np.uint8)


def details(picture: Image) -> list[tuple[Image, Image]]:
    """Return the squares at the bottom, before and after, if all details are there."""
    first = (picture.shape[1] - DETAILS * PAIR_PX - (DETAILS - 1) * GAP_PX) // 2
    lower = picture[-DETAIL_SIDE_PX - GAP_PX : -GAP_PX]
    starts = [first + number * (PAIR_PX + GAP_PX) for number in range(DETAILS)]
    return [(lower[:, x : x + DETAIL_SIDE_PX], lower[:, x + PAIR_PX - DETAIL_SIDE_PX : x + PAIR_PX]) for x in starts]


def shows(picture: Image, part: Image) -> bool:
    """Return whether a part is somewhere in the picture, px for px."""
    height, width = part.shape[:2]
    starts = np.argwhere((picture == part[0, 0]).all(axis=2))
    return any(np.array_equal(picture[y : y + height, x : x + width], part) for y, x in starts)


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (20, 3000), (3000, 20), (100, 100), (1, 9000), (601, 399), (988, 989), (3000, 4000)]
)
def test_any_size_makes_a_picture_that_fits(height: int, width: int) -> None:
    before = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    picture = side_by_side(before, 255 - before)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert picture.shape[1] <= WIDTH_PX
    assert picture.shape[0] <= 2000


@pytest.mark.parametrize(("height", "width", "factor"), [(100, 100, 4), (300, 400, 1), (900, 40, 1)])
def test_photos_that_fit_are_shown_px_for_px(height: int, width: int, factor: int, texture) -> None:
    before, after = texture(height, width, seed=1), texture(height, width, seed=2)
    picture = side_by_side(before, after)
    # Look between the middle and the edge, where there is no frame.
    for photo in (before, after):
        assert shows(picture, photo[-30:-10, 5:-5].repeat(factor, axis=0).repeat(factor, axis=1))


def test_a_panorama_lies_below_itself() -> None:
    before, after = plain(100, 1000, 90), plain(100, 1000, 200)
    picture = side_by_side(before, after)
    rows_before = np.flatnonzero((picture[:, 1000] == 90).all(axis=1))
    rows_after = np.flatnonzero((picture[:, 1000] == 200).all(axis=1))
    assert rows_before.min() < rows_after.min()


def test_details_are_the_photo_at_its_own_size(texture) -> None:
    before = texture(1500, 2200)
    after = 255 - before
    picture = side_by_side(before, after)
    for shown_before, shown_after in details(picture):
        assert shows(before, shown_before)
        assert np.array_equal(shown_after, 255 - shown_before)


def test_details_are_where_there_is_something_to_see_and_apart(texture) -> None:
    before = plain(2000, 3000)
    marks = [(300, 400), (300, 2400), (1500, 1300)]
    for number, (y, x) in enumerate(marks):
        before[y : y + 200, x : x + 200] = texture(200, 200, seed=number)
    # Structure in black and white alone is useless.
    before[1700:1990, 2600:2990] = 255 * (np.indices((290, 390)).sum(axis=0) % 2)[..., None]
    picture = side_by_side(before, before)
    contrasts = [float(shown.std()) for shown, _ in details(picture)]
    assert min(contrasts) > 5
    assert max(contrasts) < 60


def test_a_plain_photo_is_shown_too() -> None:
    picture = side_by_side(plain(1200, 1600, 0), plain(1200, 1600, 255))
    assert picture.shape[1] <= WIDTH_PX
    assert (picture[-20, 20] == 0).all()


def test_the_photos_stay_as_they_are(texture) -> None:
    before, after = texture(300, 400, seed=1), texture(300, 400, seed=2)
    kept = before.copy(), after.copy()
    side_by_side(before, after)
    assert np.array_equal(before, kept[0])
    assert np.array_equal(after, kept[1])


def test_photos_of_two_sizes_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        side_by_side(plain(4, 5), plain(5, 4))
