"""The order of photos within a second and without times, and a camera's clock without changes of zone."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from timed_photos import couples, photo

from dpedtool.dataset.names import in_order_of_names
from dpedtool.dataset.photos.exif import Taken
from dpedtool.pipeline.pair.order import in_order_taken, on_one_clock
from dpedtool.pipeline.pair.shots import Shot

START = datetime(2024, 10, 27, 2, 50)


@pytest.mark.parametrize(
    "names",
    [
        ["IMG_BURST6.JPG", "IMG_BURST7.JPG", "IMG_BURST10.JPG", "IMG_BURST11.JPG"],
        ["IMG_1.JPG", "IMG_1 (1).JPG", "IMG_1 (2).JPG", "IMG_1 (10).JPG", "IMG_2.JPG"],
        ["IMG_1.JPG", "IMG_1(1).JPG", "IMG_1-2.JPG", "IMG_1_3.JPG", "IMG_1~4.JPG", "IMG_2.JPG"],
        ["IMG_9998.JPG", "IMG_9999.JPG", "IMG_0001.JPG", "IMG_0002.JPG"],
        ["IMG_9999.JPG", "IMG_0000.JPG"],
        ["IMG_9999.JPG", "IMG_9999 (1).JPG", "IMG_0001.JPG", "IMG_0001 (1).JPG"],
        ["dsc_9999.jpg", "DSC_0001.JPG", "dsc_0002.jpg"],
        ["_DSC9930.ARW", "_DSC9999.ARW", "_DSC0050.ARW"],
        ["DSC09998.JPG", "DSC09999.JPG", "DSC00001.JPG"],
        ["P5019999.JPG", "P5020001.JPG"],
        ["IMG_999.JPG", "IMG_001.JPG"],
        ["PXL_20240501_102043998.jpg", "PXL_20240501_102044001.jpg"],
        ["IMG_9000.JPG", "IMG_9999.JPG", "IMG_0001.JPG"],
        # The highest number is far away: nothing began again.
        ["IMG_0001.JPG", "IMG_0002.JPG", "IMG_5000.JPG"],
        ["B000.JPG", "B011.JPG", "IMG_9999.JPG", "IMG_0001.JPG"],
        ["1.jpg", "2.jpg", "10.jpg", "a.jpg"],
    ],
)
def test_names_are_in_the_order_in_which_cameras_give_them(names: list[str]) -> None:
    for given in (names, names[::-1], sorted(names)):
        assert in_order_of_names(given) == names


def shots(*said: tuple[str, float | None, float | None]) -> list[Shot]:
    return [
        Shot(Path(name), name, Taken(START + timedelta(seconds=s) if s is not None else None, utc_offset_s=zone))
        for name, s, zone in said
    ]


def test_times_come_before_names_and_photos_without_a_time_last() -> None:
    given = shots(("IMG_0001", 0, None), ("IMG_9999", 0, None), ("IMG_0002", -1, None), ("A", None, None))
    ordered = in_order_taken(given)
    assert [shot.path.name for shot in ordered] == ["IMG_0002", "IMG_9999", "IMG_0001", "A"]
    assert [shot.rank for shot in ordered] == [0, 1, 2, 3]


def test_the_end_of_summer_time_does_not_put_a_clock_back() -> None:
    """02:50 +02:00, 02:55 +02:00, then 02:05 +01:00, ten minutes later; a photo in between has no zone."""
    given = shots(("a", 0, 7200), ("b", 300, 7200), ("c", -2700, 3600), ("d", -2640, None), ("e", None, None))
    found = {shot.path.name: shot for shot in on_one_clock(given)}
    # The camera's first photo by its clock is c, whose zone counts.
    assert [found[name].zone_s for name in "abcde"] == [3600] * 5
    assert [found[name].moved_s for name in "abcde"] == [3600, 3600, 0, 0, 0]
    seconds = [found[name].seconds for name in "abcd"]
    assert [each - seconds[0] for each in seconds] == [0, 300, 900, 960]


def test_a_camera_without_zones_keeps_its_clock() -> None:
    given = shots(("a", 0, None), ("b", 5, None))
    assert on_one_clock(given) == given


def burst(folder: Path, phones: list[str], dslrs: list[str]) -> None:
    """Twelve pairs that fix the clocks, then a burst within a second."""
    rhythm = (0, 43, 137, 189, 226, 321, 507, 672, 831, 895, 1014, 1087)
    for index, seconds in enumerate(rhythm):
        photo(folder / "phone" / f"A{index:03d}.jpg", seconds)
        photo(folder / "dslr" / f"B{index:03d}.jpg", seconds + 100)
    for phone, dslr in zip(phones, dslrs, strict=True):
        photo(folder / "phone" / phone, 1177)
        photo(folder / "dslr" / dslr, 1277)


@pytest.mark.parametrize(
    ("phones", "dslrs"),
    [
        ([f"P{i}.jpg" for i in range(5)], [f"IMG_{i:04d}.jpg" for i in (9998, 9999, 1, 2, 3)]),
        ([f"IMG_BURST{i}.jpg" for i in range(7, 12)], [f"DSC_{i}.jpg" for i in range(100, 105)]),
        (["I.jpg", *(f"I ({i}).jpg" for i in range(1, 5))], [f"D{i}.jpg" for i in range(5)]),
    ],
)
def test_a_burst_within_a_second_is_paired_in_the_order_of_its_names(
    tmp_path: Path, phones: list[str], dslrs: list[str]
) -> None:
    burst(tmp_path, phones, dslrs)
    found = couples(tmp_path)
    assert {name: found[name] for name in phones} == dict(zip(phones, dslrs, strict=True))
