"""Pairs of photos: by name, by clock, or refused with a remedy; every photo is in one row."""

from __future__ import annotations

import hashlib
import io
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.names import identifier
from dpedtool.dataset.params import PairParams
from dpedtool.dataset.schema import Pair
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.pair.stage import pair_files, pair_folders

START = datetime(2024, 5, 4, 10, 0, 0)
RHYTHM = (0, 11, 31, 38, 80, 95, 140, 151, 200, 260)


def photo(path: Path, seconds: float | None = None) -> Path:
    """A photo that differs from all others, with a capture time if one is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = PillowImage.Exif()
    exif[270] = ascii(path)
    if seconds is not None:
        exif.get_ifd(0x8769)[36867] = (START + timedelta(seconds=seconds)).strftime("%Y:%m:%d %H:%M:%S")
    content = io.BytesIO()
    PillowImage.fromarray(np.zeros((8, 8, 3), np.uint8)).save(content, "JPEG", exif=exif)
    path.write_bytes(content.getvalue())
    return path


def couples(folder: Path, by: str = "auto", **params: Any) -> dict[str, str | None]:
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
    for index, seconds in enumerate(RHYTHM[:8]):
        photo(tmp_path / "phone" / f"{index}.jpg", seconds)
        photo(tmp_path / "dslr" / f"{(index + 1) % 8}.jpg", seconds)
    assert couples(tmp_path)["3.jpg"] == "3.jpg"  # eight shots are too few to overrule names
    assert couples(tmp_path, "clock")["3.jpg"] == "4.jpg"


def numbered_session(folder: Path, missed: int) -> None:
    """Both cameras count from 0, but the phone misses one shot: from then on equal numbers are the wrong moment."""
    rng = np.random.default_rng(0)
    for index, seconds in enumerate(np.cumsum(rng.uniform(8, 90, 40))):
        photo(folder / "dslr" / f"IMG_{index:04d}.jpg", seconds + 37)
        if index != missed:
            photo(folder / "phone" / f"IMG_{index - (index > missed):04d}.jpg", seconds)


def test_names_that_the_clocks_contradict_are_not_trusted(tmp_path: Path) -> None:
    numbered_session(tmp_path, missed=4)
    pairing = pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams())
    assert "equal file names contradict the capture times in 35 of 39 cases" in pairing.note
    found = couples(tmp_path)
    assert found.pop("- no_phone_photo") == "IMG_0004.jpg"
    assert found == {f"IMG_{i:04d}.jpg": f"IMG_{i + (i >= 4):04d}.jpg" for i in range(39)}
    assert couples(tmp_path, "name")["IMG_0004.jpg"] == "IMG_0004.jpg"


def test_names_that_few_clocks_contradict_stay(tmp_path: Path) -> None:
    numbered_session(tmp_path, missed=30)
    pairing = pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams())
    assert pairing.note == "paired by equal file names"
    assert all(row.clock_offset_s is None for row in pairing.rows)


def test_an_even_rhythm_does_not_contradict_names(tmp_path: Path) -> None:
    for index in range(20):
        photo(tmp_path / "phone" / f"{index}.jpg", 10 * index)
        photo(tmp_path / "dslr" / f"{index}.jpg", 10 * index + 10)
    photo(tmp_path / "phone/last.jpg", 200)
    photo(tmp_path / "dslr/first.jpg", 0)
    assert couples(tmp_path)["7.jpg"] == "7.jpg"


def test_names_stay_where_the_clocks_tell_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(40):
        photo(tmp_path / "phone" / f"{index}.jpg", rng.uniform(0, 9000))
        photo(tmp_path / "dslr" / f"{index}.jpg", rng.uniform(0, 9000))
    assert couples(tmp_path) == {f"{index}.jpg": f"{index}.jpg" for index in range(40)}


def test_a_photo_without_a_time_is_named_as_such(tmp_path: Path) -> None:
    timed_session(tmp_path)
    photo(tmp_path / "phone" / "untimed.jpg")
    rows = pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams()).rows
    (row,) = [row for row in rows if row.pair_id == "phone--untimed"]
    assert row.reason == "no_capture_time"


def test_an_even_rhythm_is_refused_until_the_offset_is_stated(tmp_path: Path) -> None:
    for index in range(12):
        photo(tmp_path / "phone" / f"a{index:02d}.jpg", 10 * index)
        photo(tmp_path / "dslr" / f"b{index:02d}.jpg", 10 * index)
    with pytest.raises(
        DpedtoolError, match=r"\+0\.0 s or by -10\.0 s: these offsets explain 12 and 11 of 12"
    ) as refused:
        pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams())
    assert "same name" in str(refused.value)
    assert "pair.offset_s" in str(refused.value)
    assert couples(tmp_path, offset_s=0)["a03.jpg"] == "b03.jpg"
    assert couples(tmp_path, offset_s=9.5)["a03.jpg"] == "b04.jpg"
    with pytest.raises(DpedtoolError, match=r"correct pair\.offset_s \(now 500 s\)"):
        pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams(offset_s=500))


def test_times_that_do_not_fit_are_refused_with_figures_and_a_remedy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(30):
        photo(tmp_path / "phone" / f"a{index:02d}.jpg", rng.uniform(0, 9000))
        photo(tmp_path / "dslr" / f"b{index:02d}.jpg", rng.uniform(0, 9000))
    with pytest.raises(DpedtoolError, match=r"best offset, [+-]\d+\.\d s, explains only \d of 30 shots") as refused:
        pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams())
    # No other limit and no other share would help.
    assert all(remedy in str(refused.value) for remedy in ("same name", "pair.by=pictures"))
    assert not any(remedy in str(refused.value) for remedy in ("pair.max_offset_s", "pair.min_share"))


def test_clocks_further_apart_than_the_limit_are_refused_until_it_is_raised(tmp_path: Path) -> None:
    timed_session(tmp_path, offset=5 * 86_400)
    with pytest.raises(DpedtoolError, match=r"no offset explains any of 9 shots.*pair\.max_offset_s \(now 90000 s\)"):
        pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams())
    assert couples(tmp_path, max_offset_s=1e6)["IMG_0002.jpg"] == "_MG_0502.jpg"


def test_the_share_that_must_be_explained_can_be_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index, seconds in enumerate(np.cumsum(rng.uniform(8, 90, 40))):
        photo(tmp_path / "phone" / f"a{index:02d}.jpg", seconds)
        photo(tmp_path / "dslr" / f"b{index:02d}.jpg", seconds if index < 14 else rng.uniform(5000, 9000))
    with pytest.raises(DpedtoolError, match=r"explains only 14 of 40 shots, but at least 50% are needed"):
        pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams())
    assert couples(tmp_path, min_share=0.3)["a05.jpg"] == "b05.jpg"


def test_one_shot_each_is_a_pair_and_one_of_two_is_not_known(tmp_path: Path) -> None:
    photo(tmp_path / "phone/a.jpg", 0)
    photo(tmp_path / "dslr/b.jpg", 63)
    assert couples(tmp_path) == {"a.jpg": "b.jpg"}
    photo(tmp_path / "dslr/c.jpg", 90)
    with pytest.raises(DpedtoolError, match=r"\+63\.0 s or by \+90\.0 s"):
        pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams())


def test_a_few_unrelated_shots_are_no_pairs(tmp_path: Path) -> None:
    for index, (phone_s, dslr_s) in enumerate(zip((0, 11, 40, 92), (0, 29, 75, 140), strict=True)):
        photo(tmp_path / "phone" / f"a{index}.jpg", phone_s)
        photo(tmp_path / "dslr" / f"b{index}.jpg", dslr_s)
    with pytest.raises(DpedtoolError, match="at least 80%"):
        pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams())


def test_a_note_tells_how_far_the_clock_moved(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index, seconds in enumerate(np.cumsum(rng.uniform(8, 90, 160))):
        photo(tmp_path / "phone" / f"a{index:03d}.jpg", seconds)
        photo(tmp_path / "dslr" / f"b{index:03d}.jpg", seconds + (37 if index < 80 else 3637))
    pairing = pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams())
    assert pairing.note.endswith("the DSLR's clock minus the phone's is between +37.0 and +3637.0 s")
    offsets = {row.phone_path.stem: row.clock_offset_s for row in pairing.rows if row.phone_path}
    assert [offsets[name] for name in ("a079", "a080")] == [37, 3637]


# Photos that cannot be used


def test_a_photo_that_cannot_be_read_is_a_row(tmp_path: Path) -> None:
    for name in ("phone/a.jpg", "dslr/a.jpg", "dslr/b.jpg", "dslr/c.jpg"):
        photo(tmp_path / name)
    for name in ("phone/b.jpg", "phone/d.jpg"):
        (tmp_path / name).symlink_to(tmp_path / "nowhere.jpg")
    rows = pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams()).rows
    by_id = {row.pair_id: row for row in rows}
    assert [row.reason for row in by_id.values()] == ["", "unreadable_photo", "unreadable_photo", "no_phone_photo"]
    assert by_id["phone--a"].status == "paired"
    broken = by_id["phone--b"]
    assert broken.status == "unpaired"
    assert "b.jpg cannot be read: No such file" in broken.detail
    assert broken.phone_sha256 is None
    assert broken.dslr_sha256 is not None


def test_a_name_that_is_not_utf8_is_a_row_without_a_path(tmp_path: Path) -> None:
    for name in ("phone/a.jpg", "phone/caf\udce9.jpg", "dslr/a.jpg", "dslr/caf\udce9.jpg"):
        photo(tmp_path / name)
    rows = pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams()).rows
    assert [row.reason for row in rows] == ["", "unusable_name", "unusable_name"]
    for row in rows[1:]:
        assert (row.status, row.phone_path, row.dslr_path) == ("unpaired", None, None)
        assert r"caf\xe9.jpg" in row.detail
    write_rows(tmp_path / "out" / "pairs.parquet", Pair, rows)
    assert len(read_rows(tmp_path / "out" / "pairs.parquet", Pair)) == 3


def test_a_name_with_the_end_of_a_line_is_a_row_and_cannot_pretend_to_be_a_message(tmp_path: Path) -> None:
    for name in ("phone/a.jpg", "phone/b\nError: all is lost.jpg", "dslr/a.jpg"):
        photo(tmp_path / name)
    rows = pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams()).rows
    assert [row.reason for row in rows] == ["", "unusable_name"]
    assert r"b\nError: all is lost.jpg" in rows[1].detail


def test_folders_whose_names_are_not_utf8_are_refused(tmp_path: Path) -> None:
    phone, dslr = photo(tmp_path / "caf\udce9/phone/a.jpg"), photo(tmp_path / "dslr/a.jpg")
    with pytest.raises(DpedtoolError, match=r"caf\\xe9.* is not one line of valid UTF-8: rename"):
        pair_folders(phone.parent, dslr.parent, PairParams())
    with pytest.raises(DpedtoolError, match=r"caf\\xe9.* is not one line of valid UTF-8: rename"):
        pair_files(dslr, phone)
    photo(tmp_path / "phone/\udce9.jpg")
    with pytest.raises(DpedtoolError, match=r"No photo in .*phone has a name that is one line of valid UTF-8"):
        pair_folders(tmp_path / "phone", dslr.parent, PairParams())


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
