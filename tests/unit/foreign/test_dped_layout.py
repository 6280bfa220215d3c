"""Folders in the layout of DPED: images on both sides are found, and finding none is not called a proof."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from split_rig import jpeg, picture

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.foreign.dped_layout import verify_layout


def patch(seed: int) -> np.ndarray:
    return picture(seed, 100, 100)


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """A phone's data set: 12 training pairs, 4 test pairs, a full-size photo."""
    home = tmp_path / "iphone"
    places = [("training_data", 12, 0), ("test_data/patches", 4, 100)]
    for name, count, first in places:
        for camera, add in (("iphone", 0), ("canon", 500)):
            folder = home / name / camera
            folder.mkdir(parents=True)
            for index in range(count):
                (folder / f"{index}.jpg").write_bytes(jpeg(patch(first + add + index)))
    full = home / "test_data" / "full_size_test_images"
    full.mkdir()
    (full / "0.jpg").write_bytes(jpeg(picture(7, 300, 400)))
    return home


def said(folder: Path) -> str:
    return "\n".join(verify_layout(folder).said)


def test_a_clean_folder_has_no_faults_but_no_proof_either(phone: Path) -> None:
    verdict = verify_layout(phone)
    assert verdict.faults == []
    assert not verdict.is_proof
    assert "cannot be verified" in verdict.said[0]
    assert "24 training images were compared with 8 test images" in said(phone)
    assert "Read: 33 images." in said(phone)


def test_several_phones_in_one_folder(phone: Path) -> None:
    shutil.copytree(phone / "training_data", phone.parent / "sony" / "training_data")
    shutil.copytree(phone / "test_data", phone.parent / "sony" / "test_data")
    assert "48 training images were compared with 16 test images" in said(phone.parent)
    assert verify_layout(phone.parent).faults == []


def test_an_equal_file_is_found_across_cameras_and_phones(phone: Path) -> None:
    other = phone.parent / "sony" / "test_data" / "patches" / "canon"
    other.mkdir(parents=True)
    shutil.copy(phone / "training_data" / "canon" / "3.jpg", other / "9.jpg")
    (fault,) = verify_layout(phone.parent).faults
    assert fault.endswith("are the same file.")
    assert "canon/3.jpg" in fault
    assert "canon/9.jpg" in fault


def test_equal_pixels_in_another_format_are_found(phone: Path) -> None:
    training = phone / "training_data" / "iphone" / "5.jpg"
    grey = cv2.imdecode(np.frombuffer(training.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    cv2.imwrite(str(phone / "test_data" / "patches" / "iphone" / "1.png"), grey)
    (phone / "test_data" / "patches" / "iphone" / "1.jpg").unlink()
    (fault,) = verify_layout(phone).faults
    assert fault.endswith("have the same pixels.")


CHANGES: dict[str, Callable[[np.ndarray], bytes]] = {
    "compressed": lambda grey: jpeg(grey, 40),
    "brighter": lambda grey: jpeg(np.clip(grey * 1.2 + 10, 0, 255).astype(np.uint8)),
    "noisy": lambda grey: jpeg(
        np.clip(grey + np.random.default_rng(1).normal(0, 8, grey.shape), 0, 255).astype(np.uint8)
    ),
    "a part of it": lambda grey: jpeg(cv2.resize(grey[1:, 1:], (100, 100))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nearly_the_same_content_is_found(phone: Path, change: str) -> None:
    (phone / "test_data" / "patches" / "canon" / "2.jpg").write_bytes(CHANGES[change](patch(504)))
    (fault,) = verify_layout(phone).faults
    assert "canon/4.jpg" in fault
    assert "canon/2.jpg show the same: detail correlates by" in fault


def test_skies_are_not_taken_for_each_other(phone: Path) -> None:
    ramp = np.linspace(80, 120, 100)[:, None] + np.zeros(100)
    rng = np.random.default_rng(0)
    for place, seed in (("training_data", 0), ("test_data/patches", 1)):
        noisy = np.clip(ramp + rng.normal(0, 2, (100, 100)), 0, 255).astype(np.uint8)
        (phone / place / "canon" / "0.jpg").write_bytes(jpeg(noisy, 95))
        (phone / place / "iphone" / "0.jpg").write_bytes(jpeg(np.full((100, 100), 90 + seed, np.uint8)))
    assert verify_layout(phone).faults == []
    assert "(2 too plain for the last check)" in said(phone)


def test_straight_edges_at_one_place_are_not_the_same(phone: Path) -> None:
    edge = np.where(np.arange(100) < 70, 200, 60) + np.zeros((100, 1))
    rng = np.random.default_rng(0)
    for place in ("training_data", "test_data/patches"):
        noisy = np.clip(edge + rng.normal(0, 3, (100, 100)), 0, 255).astype(np.uint8)
        (phone / place / "canon" / "0.jpg").write_bytes(jpeg(noisy, 95))
    assert verify_layout(phone).faults == []


def test_a_missing_mate_and_an_unreadable_file_are_named(phone: Path) -> None:
    (phone / "training_data" / "canon" / "3.jpg").unlink()
    (phone / "test_data" / "patches" / "iphone" / "2.jpg").write_text("no photo")
    faults = verify_layout(phone).faults
    assert len(faults) == 2
    assert any("canon has no image 3" in fault for fault in faults)
    assert any("2.jpg" in fault for fault in faults)
    assert "1 of them unreadable" in said(phone)


def test_one_side_alone_has_nothing_to_be_compared_with(phone: Path) -> None:
    shutil.rmtree(phone / "training_data")
    verdict = verify_layout(phone)
    assert (verdict.faults, verdict.is_proof) == ([], False)
    assert "holds only test images" in said(phone)


def test_plain_folders_of_patches_are_read_and_their_mates_looked_for(phone: Path) -> None:
    plain = phone / "training_data"
    (plain / "canon" / "3.jpg").unlink()
    (fault,) = verify_layout(plain).faults
    assert "canon has no image 3" in fault
    assert "does not say what its images are for" in said(plain)
    assert "23 images" in said(plain)
    assert "12 images" in said(plain / "iphone")


def test_a_folder_of_something_else_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no images")
    with pytest.raises(DpedtoolError, match=r"nothing to verify in .*: name a folder that `dpedtool split` wrote"):
        verify_layout(tmp_path)
    with pytest.raises(DpedtoolError, match="There is no folder"):
        verify_layout(tmp_path / "none")


def test_a_camera_without_an_image_is_one_fault(phone: Path) -> None:
    for path in (phone / "training_data" / "canon").iterdir():
        path.unlink()
    (fault,) = verify_layout(phone).faults
    assert fault == f"{phone / 'training_data' / 'canon'} holds no images, but the folder next to it does."


def test_a_layout_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "training_data" / "iphone").mkdir(parents=True)
    with pytest.raises(DpedtoolError, match="nothing to verify"):
        verify_layout(tmp_path)
