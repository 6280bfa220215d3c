"""The pairs of images in a folder, and what they are for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.foreign.dped_pairs import Couple, find_pairs


def put(folder: Path, names: Iterable[object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / str(name)).write_bytes(b"image")


def put_both(above: Path, numbers: Iterable[int], cameras: tuple[str, str] = ("iphone", "canon")) -> None:
    for camera in cameras:
        put(above / camera, (f"{number}.jpg" for number in numbers))


@pytest.fixture
def iphone(tmp_path: Path) -> Path:
    """A phone's folder in DPED's layout: 12 pairs for training, 3 for the test."""
    home = tmp_path / "data" / "iphone"
    put_both(home / "training_data", range(12))
    put_both(home / "test_data" / "patches", range(3))
    return home


def parts(folder: Path, dslr: str = "canon", split: str | None = None) -> list[tuple[str, str, int]]:
    return [(found.phone, found.split, len(found.couples)) for found in find_pairs(folder, dslr, split).pairs]


def refusal(folder: Path, dslr: str = "canon", split: str | None = None) -> str:
    with pytest.raises(DpedtoolError) as error:
        find_pairs(folder, dslr, split)
    return str(error.value)


def test_a_phone_has_parts_whose_pairs_are_in_the_order_of_their_numbers(iphone: Path) -> None:
    found = find_pairs(iphone)
    training, test = found.pairs
    assert (training.phone, training.split, test.split) == ("iphone", "train", "test")
    assert [couple.name for couple in training.couples] == [str(number) for number in range(12)]
    assert test.couples[2] == Couple("2", "2.jpg", "2.jpg")
    assert (test.phone_dir, test.dslr_dir) == tuple(iphone / "test_data/patches" / name for name in ("iphone", "canon"))
    assert found.full_size == 0


def test_several_phones_a_validation_part_and_a_release(iphone: Path, tmp_path: Path) -> None:
    put_both(iphone / "validation_data" / "patches", range(2))
    put(iphone / "test_data" / "full_size_test_images", ["0.jpg", "1.jpg", "readme.txt"])
    put_both(iphone.parent / "sony" / "training_data", range(1), ("sony", "canon"))
    expected = [("iphone", "train", 12), ("iphone", "validation", 2), ("iphone", "test", 3), ("sony", "train", 1)]
    assert parts(iphone.parent) == expected
    assert find_pairs(iphone.parent).full_size == 2
    release = tmp_path / "release"
    put(release / "examples", ["iphone.png"])
    iphone.parent.rename(release / "dped")
    assert parts(release) == expected


def test_two_plain_folders_are_for_what_the_user_says(tmp_path: Path) -> None:
    put_both(tmp_path, range(4))
    assert parts(tmp_path, split="test") == [("iphone", "test", 4)]
    assert parts(tmp_path, dslr="iphone", split="train") == [("canon", "train", 4)]
    assert refusal(tmp_path).endswith("does not say what its images are for: set --as to train, validation or test.")


def test_a_layout_that_says_what_its_images_are_for_is_not_told_otherwise(iphone: Path) -> None:
    assert refusal(iphone, split="test").endswith("as DPED does: leave out --as.")


def test_images_without_a_mate_are_named_and_suffixes_may_differ(tmp_path: Path) -> None:
    put(tmp_path / "iphone", ["1.jpg", "2.png", ".3.jpg", "notes.txt"])
    put(tmp_path / "canon", ["2.jpg", "4.JPG"])
    (found,) = find_pairs(tmp_path, split="train").pairs
    assert found.couples == [Couple("1", "1.jpg", None), Couple("2", "2.png", "2.jpg"), Couple("4", None, "4.JPG")]


def test_which_folder_is_the_phones_must_be_clear(iphone: Path) -> None:
    assert refusal(iphone, dslr="nikon").endswith(
        "holds images in canon, iphone, but there must be two folders, and one of them must be the DSLR's, nikon: give "
        "its name by --dslr, and move other folders away."
    )
    put(iphone / "training_data" / "sony", ["1.jpg"])
    assert "holds images in canon, iphone, sony, but there must be two" in refusal(iphone)


def test_what_holds_no_pairs_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none").startswith("There is no folder")
    assert "nor two folders of images" in refusal(tmp_path)
    (tmp_path / "training_data" / "iphone").mkdir(parents=True)
    assert refusal(tmp_path).endswith("holds no patches: training_data and test_data are empty.")


def test_two_images_of_one_name_are_refused(iphone: Path) -> None:
    put(iphone / "training_data" / "canon", ["3.png"])
    assert refusal(iphone).endswith("have the same name with different suffixes: remove one.")


@pytest.mark.parametrize("inner", ["training_data/iphone/77.jpg", "training_data/canon", "validation_data", "../sony"])
def test_links_that_lead_out_of_the_folder_are_refused(iphone: Path, tmp_path: Path, inner: str) -> None:
    outside = tmp_path / "outside"
    put_both(outside / "patches", range(1))
    put_both(outside / "training_data", range(1))
    link = iphone / inner
    if link.is_dir():
        link.rename(tmp_path / "away")
    link.symlink_to(outside / "patches/iphone/0.jpg" if link.suffix else outside)
    assert "leads out of" in refusal(iphone.parent)


def test_links_inside_the_folder_are_followed(iphone: Path) -> None:
    (iphone / "training_data" / "iphone" / "12.jpg").symlink_to(iphone / "training_data" / "iphone" / "0.jpg")
    assert find_pairs(iphone).pairs[0].couples[12] == Couple("12", "12.jpg", None)


def test_a_name_that_no_table_can_hold_is_refused(iphone: Path) -> None:
    os.close(os.open(os.fsencode(iphone / "training_data" / "iphone") + b"/\xff.jpg", os.O_CREAT))
    assert refusal(iphone).endswith("is not one line of valid UTF-8: rename it.")
