"""Other people's folders in the layout of DPED: faults other than leaks, and parallel reading changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from split_rig import picture

from dpedtool.pipeline.foreign.dped_layout import FILES_A_BATCH, find_layout, survey, verify_layout
from dpedtool.pipeline.release.verification.verify import verify

PARTS = {"training_data": 6, "validation_data/patches": 2, "test_data/patches": 3}


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    home = tmp_path / "iphone"
    for first, (part, count) in enumerate(PARTS.items()):
        for camera, add in (("iphone", 0), ("canon", 500)):
            (home / part / camera).mkdir(parents=True)
            for index in range(count):
                write(home / part / camera / f"{index}.jpg", 100 * first + add + index)
    (home / "test_data" / "full_size_test_images").mkdir()
    write(home / "test_data" / "full_size_test_images" / "0.jpg", 7, 60)
    return home


def write(path: Path, seed: int, side: int = 40) -> None:
    cv2.imwrite(str(path), np.dstack([picture(seed, side, side)] * 3))


def faults(folder: Path) -> list[str]:
    return list(verify(folder).faults)


def test_a_clean_folder_has_no_faults(phone: Path) -> None:
    verdict = verify(phone.parent)
    assert verdict.faults == []
    assert not verdict.is_proof
    said = "\n".join(verdict.said)
    assert "12 training images were compared with 4 validation and 6 test images, and these with each other" in said
    assert "Read: 23 images." in said
    assert "All 22 patches that can be read have the same size: 40 x 40 px." in said


@pytest.mark.parametrize(
    ("source", "copy"),
    [
        ("training_data", "validation_data/patches"),
        ("training_data", "test_data/patches"),
        ("validation_data/patches", "test_data/patches"),
    ],
)
def test_any_two_sides_are_compared(phone: Path, source: str, copy: str) -> None:
    shutil.copy(phone / source / "canon" / "1.jpg", phone / copy / "canon" / "0.jpg")
    (fault,) = faults(phone)
    assert fault.endswith("are the same file.")
    assert f"{source}/canon/1.jpg" in fault
    assert f"{copy}/canon/0.jpg" in fault


def test_names_are_relative_and_metadata_are_found(phone: Path) -> None:
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (47.0, 30.0, 0.0)}
    path = phone / "test_data" / "full_size_test_images" / "0.jpg"
    with Image.open(path) as photo:
        photo.load()
        photo.save(path, exif=exif)
    assert faults(phone.parent) == ["iphone/test_data/full_size_test_images/0.jpg: EXIF with GPS position."]
    path.parent.rename(path.parent.with_name("full_size_test_images_canon"))
    assert faults(phone.parent) == ["iphone/test_data/full_size_test_images_canon/0.jpg: EXIF with GPS position."]


def test_a_gap_in_the_numbers_and_names_that_are_none(phone: Path) -> None:
    for camera in ("iphone", "canon"):
        (phone / "training_data" / camera / "2.jpg").unlink()
        (phone / "test_data" / "patches" / camera / "1.jpg").rename(phone / "test_data/patches" / camera / "01.jpg")
    assert sorted(faults(phone)) == [
        *(
            f"test_data/patches/{camera}: 1 image is not named by a number, as DPED's layout asks, such as 01."
            for camera in ("canon", "iphone")
        ),
        *(
            f"training_data/{camera}: its 5 images are not numbered from 0 to 4: 2 is missing."
            for camera in ("canon", "iphone")
        ),
    ]


def test_a_patch_and_a_folder_of_other_sizes(phone: Path) -> None:
    write(phone / "training_data" / "iphone" / "3.jpg", 3, 30)
    for index in range(3):
        write(phone / "test_data" / "patches" / "canon" / f"{index}.jpg", 700 + index, 50)
    assert sorted(faults(phone)) == [
        "test_data/patches/canon: its images are 50 x 50 px, but most patches are 40 x 40 px.",
        "training_data/iphone/3.jpg: it is 30 x 30 px, but most patches are 40 x 40 px.",
    ]


def test_in_plain_folders_the_two_of_a_pair_have_one_size(phone: Path) -> None:
    write(phone / "training_data" / "iphone" / "3.jpg", 3, 30)
    assert faults(phone / "training_data") == ["iphone/3.jpg: it is 30 x 30 px, but canon/3.jpg is 40 x 40 px."]


def test_processes_find_the_same_in_the_same_order(phone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpedtool.pipeline.foreign.dped_layout.FILES_A_BATCH", 4)
    (phone / "training_data" / "iphone" / "3.jpg").write_text("no photo")
    shutil.copy(phone / "training_data" / "canon" / "1.jpg", phone / "test_data" / "patches" / "canon" / "0.jpg")
    first = verify(phone)
    assert len(first.faults) == 2
    assert verify(phone, workers=2) == first


def test_batches_that_end_in_any_order_give_one_verdict(phone: Path) -> None:
    names = [phone / "training_data" / camera / f"{index}.jpg" for camera in ("canon", "iphone") for index in (1, 4)]
    for name in names:
        name.write_text("no photo")
    for index in range(6, FILES_A_BATCH + 3):
        for camera in ("canon", "iphone"):
            (phone / "training_data" / camera / f"{index}.jpg").write_text("neither")
    layout = find_layout(phone)
    assert layout is not None
    backwards = survey(layout, lambda read, batches: [(paths, read(paths)) for paths in reversed(batches)])
    assert backwards.verdict == verify_layout(phone)
    assert len(backwards.verdict.faults) == 4 + 2 * (FILES_A_BATCH - 3)
