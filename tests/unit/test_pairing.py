"""Pairs of photos: by name, by clock, or refused with a remedy; every photo is in one row."""

from __future__ import annotations

import hashlib
import io
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from dataset.errors import DpedtoolError
from dataset.params import PairParams
from pipeline.pairing import identifier, pair_files, pair_folders

START = datetime(2024, 5, 4, 10, 0, 0)
RHYTHM = (0, 11, 31, 38, 80, 95, 140, 151, 200, 260)


def photo(path: Path, seconds: float | None = None) -> Path:
    """A photo that no other equals, with a capture time where one is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = PillowImage.Exif()
    exif[270] = str(path)
    if seconds is not None:
        exif.get_ifd(0x8769)[36867] = (START + timedelta(seconds=seconds)).strftime("%Y:%m:%d %H:%M:%S")
    content = io.BytesIO()
    PillowImage.fromarray(np.zeros((8, 8, 3), np.uint8)).save(content, "JPEG", exif=exif)
    path.write_bytes(content.getvalue())
    return path


def couples(folder: Path, by: str = "auto", **params: float) -> dict[str, str | None]:
    rows = pair_folders(folder / "phone", folder / "dslr", PairParams(by=by, **params)).rows
    return {
        row.phone_path.name if row.phone_path else f"- {row.reason}": row.dslr_path.name if row.dslr_path else None
        for row in rows
    }


def timed_session(folder: Path, offset: float = 37) -> None:
    for index, seconds in enumerate(RHYTHM):
        if index != 3:
            photo(folder / "phone" / f"IMG_{index:04d}.jpg", seconds)
        if index != 6:
            photo(folder / "dslr" / f"_MG_{index + 500:04d}.jpg", seconds + offset)


def test_equal_names_are_pairs_whatever_suffix_and_capitals(tmp_path: Path) -> None:
    for name in ("phone/a.jpg", "phone/B.JPG", "dslr/a.jpeg", "dslr/b.jpg"):
        photo(tmp_path / name)
    assert couples(tmp_path) == {"a.jpg": "a.jpeg", "B.JPG": "b.jpg"}


def test_a_photo_without_a_namesake_is_a_row_with_its_reason(tmp_path: Path) -> None:
    for name in ("phone/a.jpg", "phone/b.jpg", "dslr/a.jpg", "dslr/c.jpg"):
        photo(tmp_path / name)
    pairing = pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams())
    by_id = {row.pair_id: row for row in pairing.rows}
    assert list(by_id) == sorted(by_id) == ["phone--a", "phone--b", "phone--missing--c"]
    assert [row.status for row in by_id.values()] == ["paired", "unpaired", "unpaired"]
    assert [row.reason for row in by_id.values()] == ["", "no_dslr_photo", "no_phone_photo"]
    assert "c.jpg" in by_id["phone--missing--c"].detail
    assert by_id["phone--a"].scene_id == "a"
    assert by_id["phone--b"].scene_id is None
    assert by_id["phone--missing--c"].scene_id == "c"
    assert "names" in pairing.note


def test_rows_carry_the_sums_of_their_files(tmp_path: Path) -> None:
    phone, dslr = photo(tmp_path / "phone/a.jpg", 5), photo(tmp_path / "dslr/a.jpg")
    (row,) = pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams()).rows
    assert row.phone_sha256 == hashlib.sha256(phone.read_bytes()).hexdigest()
    assert row.dslr_sha256 == hashlib.sha256(dslr.read_bytes()).hexdigest()
    assert (row.phone_time, row.dslr_time) == ("2024-05-04T10:00:05", None)


def test_other_names_are_paired_by_the_clock(tmp_path: Path) -> None:
    timed_session(tmp_path)
    pairing = pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams())
    found = couples(tmp_path)
    assert found.pop("- no_phone_photo") == "_MG_0503.jpg"
    assert found.pop("IMG_0006.jpg") is None
    assert found == {f"IMG_{i:04d}.jpg": f"_MG_{i + 500:04d}.jpg" for i in (0, 1, 2, 4, 5, 7, 8, 9)}
    assert "+37.0 s" in pairing.note
    assert "beware" not in pairing.note
    paired = [row for row in pairing.rows if row.status == "paired"]
    assert all(row.clock_offset_s == pytest.approx(37) for row in paired)
    assert all(row.clock_error_s == pytest.approx(0, abs=1e-6) for row in paired)


def test_a_few_names_in_common_by_chance_do_not_decide(tmp_path: Path) -> None:
    for index, seconds in enumerate(RHYTHM):
        photo(tmp_path / "phone" / f"IMG_{index:04d}.jpg", seconds)
        photo(tmp_path / "dslr" / f"IMG_{index + 7:04d}.jpg", seconds + 100)
    assert couples(tmp_path)["IMG_0007.jpg"] == "IMG_0014.jpg"
    assert couples(tmp_path, "name")["IMG_0007.jpg"] == "IMG_0007.jpg"


def test_the_clock_can_be_asked_for_although_names_match(tmp_path: Path) -> None:
    for index, seconds in enumerate(RHYTHM):
        photo(tmp_path / "phone" / f"{index}.jpg", seconds)
        photo(tmp_path / "dslr" / f"{(index + 1) % 10}.jpg", seconds)
    assert couples(tmp_path)["3.jpg"] == "3.jpg"
    assert couples(tmp_path, "clock")["3.jpg"] == "4.jpg"


def test_a_photo_without_a_time_is_named_as_such(tmp_path: Path) -> None:
    timed_session(tmp_path)
    photo(tmp_path / "phone" / "untimed.jpg")
    rows = pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams()).rows
    (row,) = [row for row in rows if row.pair_id == "phone--untimed"]
    assert row.reason == "no_capture_time"


def test_an_even_rhythm_is_told(tmp_path: Path) -> None:
    for index in range(12):
        photo(tmp_path / "phone" / f"a{index:02d}.jpg", 10 * index)
        photo(tmp_path / "dslr" / f"b{index:02d}.jpg", 10 * index)
    assert "beware" in pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams()).note


@pytest.mark.parametrize(
    ("by", "words"), [("auto", "no file names in common"), ("name", "no file names"), ("clock", "no capture times")]
)
def test_folders_with_nothing_in_common_are_refused_with_a_remedy(tmp_path: Path, by: str, words: str) -> None:
    photo(tmp_path / "phone/a.jpg")
    photo(tmp_path / "dslr/b.jpg")
    with pytest.raises(DpedtoolError, match=words) as refused:
        pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams(by=by))
    assert "same name" in str(refused.value)


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    photo(tmp_path / "phone/a.jpg")
    with pytest.raises(DpedtoolError, match="no folder"):
        pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams())
    (tmp_path / "dslr").mkdir()
    with pytest.raises(DpedtoolError, match="no photos"):
        pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams())


def test_a_phone_folder_that_is_a_link_keeps_its_name(tmp_path: Path) -> None:
    photo(tmp_path / "disk/a.jpg")
    photo(tmp_path / "dslr/a.jpg")
    (tmp_path / "phone").symlink_to(tmp_path / "disk")
    (row,) = pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams()).rows
    assert row.phone == "phone"


def test_two_files_are_one_pair(tmp_path: Path) -> None:
    phone, dslr = photo(tmp_path / "IMG 1.jpg"), photo(tmp_path / "x.jpg")
    (row,) = pair_files(phone, dslr).rows
    assert (row.status, row.phone_path, row.dslr_path, row.scene_id) == ("paired", phone, dslr, "x")
    with pytest.raises(DpedtoolError, match="There is no photo"):
        pair_files(phone, tmp_path / "none.jpg")


# Names


def test_a_plain_name_stays() -> None:
    assert identifier("IMG_0041-b") == "IMG_0041-b"


@pytest.mark.parametrize("name", ["IMG 0041", "a.b", "ü", "", "x" * 300, "../../etc", "<img src=x onerror=alert(1)>"])
def test_any_other_name_becomes_a_safe_one_of_its_own(name: str) -> None:
    safe = identifier(name)
    assert safe.replace("_", "").replace("-", "").isalnum()
    assert safe.isascii()
    assert 0 < len(safe) <= 40
    assert safe == identifier(name)
    assert safe != identifier(name + "x")


def test_photos_that_differ_in_suffix_or_capitals_alone_have_names_of_their_own(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "A.jpg", "b c.jpg", "b_c.jpg"):
        photo(tmp_path / "phone" / name)
    for name in ("a.jpg", "b c.jpg", "b_c.jpg"):
        photo(tmp_path / "dslr" / name)
    rows = pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams(by="name")).rows
    assert len({row.pair_id.lower() for row in rows}) == len(rows) == 6


def test_a_second_suffix_makes_no_two_photos_one(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a.jpg.png"):
        photo(tmp_path / "phone" / name)
    for name in ("a.jpg.png", "z.jpg"):
        photo(tmp_path / "dslr" / name)
    rows = pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams(by="name")).rows
    assert len({row.pair_id for row in rows}) == len(rows) == 4


def test_two_phones_never_share_a_pair_id(tmp_path: Path) -> None:
    photo(tmp_path / "dslr/x.jpg")
    photo(tmp_path / "cam/x.jpg")
    photo(tmp_path / "cam/b-x.jpg")
    photo(tmp_path / "cam-b/x.jpg")
    rows = [
        row
        for phone in ("cam", "cam-b")
        for row in pair_folders(tmp_path / phone, tmp_path / "dslr", PairParams(by="name")).rows
    ]
    assert len({row.pair_id for row in rows}) == len(rows) == 3


def test_a_patch_of_the_longest_names_fits_a_tar_header(tmp_path: Path) -> None:
    phone = tmp_path / ("camera-" * 9)
    photo(phone / f"{'x' * 90}.jpg")
    photo(tmp_path / "dslr" / f"{'x' * 90}.jpg")
    (row,) = pair_folders(phone, tmp_path / "dslr", PairParams()).rows
    assert len(f"{row.pair_id}--x12345-y12345.phone.png") <= 100
