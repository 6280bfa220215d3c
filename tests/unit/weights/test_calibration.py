"""Images for exports in int8: few enough, none on both sides, and windows of large ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.training.weights import calibration
from dpedtool.training.weights.calibration import from_folders, from_photos, from_table


def write(folder: Path, count: int, height: int = 8, width: int = 10, scale: int = 1) -> Path:
    """Write images of one colour each: the blue value is the number of the image."""
    folder.mkdir()
    for number in range(count):
        image = np.full((scale * height, scale * width, 3), (number, 100, 200), np.uint8)
        cv2.imwrite(str(folder / f"{number:03}.png"), image)
    return folder


def numbers(images) -> list[int]:
    """Return which images these are, by their blue value."""
    return [int(image[2, 0, 0]) for image in images]


@pytest.mark.parametrize(("count", "measured"), [(2, [1]), (3, [2]), (5, [4]), (11, [4, 9])])
def test_every_fifth_photo_is_measured_and_the_others_are_calibrated_on(
    tmp_path: Path, count: int, measured: list[int]
) -> None:
    found = from_photos(write(tmp_path / "photos", count))
    assert numbers(one.phone for one in found.measured) == measured
    assert numbers(found.calibration) == [number for number in range(count) if number not in measured]
    assert all(one.target is None for one in found.measured)
    assert found.calibration[0][:, 0, 0].tolist() == [200, 100, 0]


def test_at_most_so_many_are_used_spread_from_the_first_to_the_last(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(calibration, "MOST_CALIBRATED", 3)
    monkeypatch.setattr(calibration, "MOST_MEASURED", 2)
    found = from_photos(write(tmp_path / "photos", 20))
    assert numbers(found.calibration) == [0, 10, 18]
    assert numbers(one.phone for one in found.measured) == [4, 19]


def test_large_photos_are_cut_into_windows(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(calibration, "MOST_CALIBRATED", 4)
    (tmp_path / "photos").mkdir()
    image = np.zeros((2 * 128 + 60, 3 * 128 + 5, 3), np.uint8)
    image[128:256, 256:384] = 7
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / "photos" / name), image)
    found = from_photos(tmp_path / "photos")
    # Of the six windows of the first photo, these are the first, the third, the fourth and the last one.
    assert [tuple(window.shape) for window in found.calibration] == [(3, 128, 128)] * 4
    assert [int(window.min()) for window in found.calibration] == [0, 0, 0, 7]
    assert len(found.measured) == 6


def test_pairs_of_folders_keep_their_targets(tmp_path: Path) -> None:
    phone, dslr = write(tmp_path / "phone", 6), write(tmp_path / "dslr", 6)
    found = from_folders(phone, dslr)
    assert numbers(found.calibration) == [0, 1, 2, 3, 5]
    assert numbers(one.target for one in found.measured) == [4]


@pytest.mark.parametrize(
    ("splits", "measured"), [({"train": 3, "validation": 2, "test": 4}, 4), ({"train": 3, "validation": 2}, 2)]
)
def test_a_table_is_measured_on_its_test_patches_or_else_on_those_for_validation(
    tmp_path: Path, make_samples, splits: dict[str, int], measured: int
) -> None:
    found = from_table(make_samples(tmp_path / "samples", splits))
    assert (len(found.calibration), len(found.measured)) == (3, measured)
    assert all(one.target is not None for one in found.measured)


def test_targets_that_are_larger_are_cut_alike(tmp_path: Path, make_samples, monkeypatch) -> None:
    monkeypatch.setattr(calibration, "WINDOW_PX", 16)
    found = from_table(make_samples(tmp_path / "samples", {"train": 1, "test": 1}, target_scale=2))
    assert {tuple(one.phone.shape) for one in found.measured} == {(3, 16, 16)}
    for one in found.measured:
        assert one.target is not None
        small = one.target.float().unflatten(2, (16, 2)).unflatten(1, (16, 2)).mean((2, 4))
        # The phone's patch is 0.7 times the reduced target, and 20 brighter.
        assert (small * 0.7 + 20 - one.phone).abs().max() < 3


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_are_one_sentence(tmp_path: Path, count: int) -> None:
    with pytest.raises(DpedtoolError, match="holds no photos" if not count else "holds too few images, but int8"):
        from_photos(write(tmp_path / "photos", count))


def test_a_damaged_photo_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "photos", 3)
    (folder / "001.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DpedtoolError, match=r"001\.png.*: repair or remove it\.$"):
        from_photos(folder)
