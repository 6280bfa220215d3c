"""Pairs from two folders of images with equal names: their choice, their order, and errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.training.data import FolderPairs, read_names


def write(folder: Path, texture, names: list[str], side: int = 40, start: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names, start):
        (folder / name).write_bytes(encode_image(texture(side, side, seed=seed), Path(name).suffix))
    return folder


def test_pairs_are_those_of_equal_names_as_people_count(tmp_path: Path, texture) -> None:
    phone = write(tmp_path / "phone", texture, ["10.jpg", "9.jpg", "1.png", "alone.jpg"])
    dslr = write(tmp_path / "dslr", texture, ["9.jpg", "10.png", "1.png", "other.jpg"])
    pairs = FolderPairs(phone, dslr)
    assert pairs.names() == pairs.photos() == ["1.png", "9.jpg", "10.jpg"]
    assert len(pairs) == 3
    np.testing.assert_array_equal(pairs.images(0)[0], texture(40, 40, seed=2))
    np.testing.assert_array_equal(pairs.images(2)[1], texture(40, 40, seed=1))
    assert torch.equal(pairs.read([2, 0]).dslr[1], pairs.read([0]).dslr[0])


def test_a_list_gives_the_pairs_and_their_order(tmp_path: Path, texture) -> None:
    phone, dslr = (write(tmp_path / name, texture, ["1.png", "2.png", "3.v2.png"]) for name in ("phone", "dslr"))
    assert FolderPairs(phone, dslr, ["3.v2", "1.png"]).names() == ["3.v2.png", "1.png"]
    assert len(FolderPairs(phone, dslr, [])) == 0


def test_what_is_listed_must_be_in_both_folders(tmp_path: Path, texture) -> None:
    phone, dslr = write(tmp_path / "phone", texture, ["1.png", "2.png"]), write(tmp_path / "dslr", texture, ["1.png"])
    with pytest.raises(DpedtoolError, match=r"7\.png is listed, but .*phone has no image of that name"):
        FolderPairs(phone, dslr, ["1.png", "7.png"])
    with pytest.raises(DpedtoolError, match=r"2\.png is listed, but .*dslr has no image of that name"):
        FolderPairs(phone, dslr, ["2.png"])


def test_a_pair_that_is_listed_twice_is_refused(tmp_path: Path, texture) -> None:
    phone, dslr = (write(tmp_path / name, texture, ["1.png", "2.png"]) for name in ("phone", "dslr"))
    with pytest.raises(DpedtoolError, match=r"^1\.png is listed twice and .*: list it once\.$"):
        FolderPairs(phone, dslr, ["1", "2", "1.png"])


def test_a_file_lists_names_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("\ufeff7.png\n3\r\n\n  a b.jpg \n", encoding="utf-8")
    assert read_names(tmp_path / "names") == ["7.png", "3", "a b.jpg"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read .No such file"), (b"\xff\xfe\x00", "is not UTF-8 text"), (b"\n \n", "lists no names")],
)
def test_a_list_that_cannot_be_used_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "names").write_bytes(content)
    with pytest.raises(DpedtoolError, match=message):
        read_names(tmp_path / "names")


def test_folders_without_a_common_name_are_refused(tmp_path: Path, texture) -> None:
    phone, dslr = write(tmp_path / "phone", texture, ["1.png"]), write(tmp_path / "dslr", texture, ["2.png"])
    with pytest.raises(DpedtoolError, match=r"phone and .*dslr have no image names in common"):
        FolderPairs(phone, dslr)
    with pytest.raises(DpedtoolError, match="There is no folder"):
        FolderPairs(phone, tmp_path / "none")


def test_one_name_twice_is_refused(tmp_path: Path, texture) -> None:
    phone, dslr = write(tmp_path / "phone", texture, ["1.png", "1.jpg"]), write(tmp_path / "dslr", texture, ["1.png"])
    with pytest.raises(DpedtoolError, match=r"1\.jpg and .*1\.png have the same name"):
        FolderPairs(phone, dslr)


def test_a_pair_of_two_sizes_is_refused(tmp_path: Path, texture) -> None:
    phone = write(tmp_path / "phone", texture, ["1.png"])
    dslr = write(tmp_path / "dslr", texture, ["1.png"], side=48)
    with pytest.raises(
        DpedtoolError, match=r"phone.1\.png is 40x40 px and .*dslr.1\.png is 48x48 px, but the images of"
    ):
        FolderPairs(phone, dslr).images(0)


def test_pairs_of_two_sizes_are_not_read_together(tmp_path: Path, texture) -> None:
    for name in ("phone", "dslr"):
        write(tmp_path / name, texture, ["1.png"])
        write(tmp_path / name, texture, ["2.png"], side=48)
    pairs = FolderPairs(tmp_path / "phone", tmp_path / "dslr")
    assert pairs.read([1]).phone.shape == (1, 3, 48, 48)
    with pytest.raises(DpedtoolError, match=r"1\.png is 40x40 px and 2\.png is 48x48 px, but images used together"):
        pairs.read([0, 1])


def test_a_damaged_image_is_refused_with_its_path(tmp_path: Path, texture) -> None:
    phone, dslr = (write(tmp_path / name, texture, ["1.png", "2.png"]) for name in ("phone", "dslr"))
    (dslr / "2.png").write_text("no image")
    pairs = FolderPairs(phone, dslr)
    assert pairs.read([0]).phone.shape == (1, 3, 40, 40)
    with pytest.raises(DpedtoolError, match=r"dslr.2\.png.*repair or remove it\.$"):
        pairs.images(1)


def test_the_digest_follows_names_contents_and_order(tmp_path: Path, texture) -> None:
    phone, dslr = (write(tmp_path / name, texture, ["1.png", "2.png"]) for name in ("phone", "dslr"))
    whole = FolderPairs(phone, dslr).digest()
    assert FolderPairs(phone, dslr, ["1", "2"]).digest() == whole
    digests = {whole, FolderPairs(phone, dslr, ["2", "1"]).digest(), FolderPairs(phone, dslr, ["1"]).digest()}
    write(dslr, texture, ["2.png"], start=5)
    digests.add(FolderPairs(phone, dslr).digest())
    assert len(digests) == 4
