"""What verify says about releases: whole ones have no faults, and the sums and the folder are checked."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from release_damage import (
    COUNTS,
    FILE,
    LOOSE,
    MATE,
    PHOTO,
    TAR,
    TEST,
    Change,
    add_position,
    edit,
    edit_json,
    faults,
    flip,
    renew,
    same_view,
    set_in,
)
from release_rig import PARAMS, write_release

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.release.columns import PAIRS, PATCHES
from dpedtool.pipeline.release.description import CARD, LICENCE, RELEASE, SUMS
from dpedtool.pipeline.release.verification.verify import verify
from dpedtool.pipeline.runner import Lost


@pytest.mark.parametrize("name", [LOOSE, TAR, FILE, PATCHES, PHOTO, CARD, LICENCE])
def test_a_flipped_byte_is_found_in_every_kind_of_file(release: Path, name: str) -> None:
    flip(release / name)
    expected = f"{name}: it is not the file that was released: its SHA-256 differs from {SUMS}."
    assert expected in faults(release)


def test_the_sums_of_a_pair_that_was_removed_whole_are_missed(release: Path) -> None:
    for name in (LOOSE, MATE):
        (release / name).unlink()
    found = faults(release)
    for name, side in ((LOOSE, "phone"), (MATE, "DSLR")):
        assert f"{name}: it is listed in {SUMS}, but missing." in found
        assert any(re.fullmatch(rf"{name}: patch .*: the {side}'s image is missing\.", line) for line in found)


BAD_LINES = {
    "/etc/hostname": r"names '/etc/hostname', which is not a plain name inside the folder",
    "../outside.jpg": r"names '\.\./outside\.jpg', which is not a plain name",
    "dped/../../outside.jpg": r"names 'dped/\.\./\.\./outside\.jpg', which is not a plain name",
    "dped//x.jpg": r"names 'dped//x\.jpg', which is not a plain name",
    r"C:\x.jpg": r"names 'C:\\\\x\.jpg', which is not a plain name",
    "LICENSE": r"names LICENSE a second time",
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_names_in_the_list_of_sums_lead_nowhere(release: Path, name: str) -> None:
    (release.parent / "outside.jpg").write_bytes((release / LOOSE).read_bytes())
    lines = (release / SUMS).read_text().splitlines()
    (release / SUMS).write_text("\n".join([*lines, f"{'0' * 64}  {name}"]) + "\n")
    (fault,) = faults(release)
    assert re.match(rf"{SUMS}: line {len(lines) + 1} {BAD_LINES[name]}", fault)


def test_a_list_of_sums_that_is_none(release: Path) -> None:
    (release / SUMS).write_bytes(b"\0\xff\n" * 1000)
    found = [line for line in faults(release) if line.startswith(SUMS)]
    assert len(found) == 21
    assert f"{SUMS}: too many lines are wrong, so the rest was not read." in found
    (release / SUMS).unlink()
    assert f"{SUMS}: it is missing, so nothing proves that the files are those that were released." in faults(release)
    (release / SUMS).symlink_to("/dev/zero")
    assert f"{SUMS}: it is a link, but a release has no links: put the file itself there." in faults(release)


def test_links_are_named_and_never_followed(release: Path) -> None:
    outside = release.parent / "outside.jpg"
    shutil.move(release / LOOSE, outside)
    (release / LOOSE).symlink_to(outside)
    found = faults(release)
    assert f"{LOOSE}: it is a link, but a release has no links: put the file itself there." in found
    assert any(re.fullmatch(rf"{LOOSE}: patch .*: the phone's image is missing\.", line) for line in found)


def test_a_folder_that_is_a_link_is_not_gone_into(release: Path) -> None:
    shutil.move(release / "dped", release.parent / "outside")
    (release / "dped").symlink_to(release.parent / "outside")
    found = faults(release)
    assert "dped: it is a link, but a release has no links: put the file itself there." in found
    assert not [line for line in found if "image is missing" in line]
    assert f"{MATE}: it is listed in {SUMS}, but missing." in found


def test_what_would_never_end_is_not_read(release: Path) -> None:
    (release / LICENCE).unlink()
    os.mkfifo(release / LICENCE)
    assert f"{LICENCE}: it is neither a file nor a folder: remove it." in faults(release)


def test_an_unlisted_file_is_named_and_what_hubs_add_is_not(release: Path) -> None:
    for name in (".gitattributes", ".git/config", ".cache/huggingface/x"):
        (release / name).parent.mkdir(parents=True, exist_ok=True)
        (release / name).write_text("x")
    verdict = verify(release)
    assert verdict.faults == []
    assert any(".cache, .git, .gitattributes" in line for line in verdict.said)
    (release / ".hidden").write_text("x")
    (release / "dped" / ".gitattributes").write_text("x")
    assert [line for line in faults(release) if "is not listed in" in line] == [
        f".hidden: it is not listed in {SUMS}.",
        f"dped/.gitattributes: it is not listed in {SUMS}.",
    ]


def test_values_that_unpack_to_much_are_not_read(release: Path) -> None:
    edit(release / PATCHES, lambda row: set_in(row, phone_photo="x" * 2**21))
    assert f"{PATCHES}: its column phone_photo has a value of more than 65536 bytes: it was not read." in faults(
        release
    )


def test_images_that_are_stored_once_for_many_rows_are_not_read(release: Path) -> None:
    pq.write_table(pq.read_table(release / FILE), release / FILE, use_dictionary=["phone_image.bytes"])
    expected = f"{FILE}: its column phone_image.bytes is stored as a dictionary, which may unpack to any size"
    assert any(line.startswith(expected) for line in faults(release))


def test_an_image_whose_header_claims_much_is_not_decoded(release: Path) -> None:
    content = (release / LOOSE).read_bytes()
    at = content.index(b"\xff\xc0") + 5
    (release / LOOSE).write_bytes(content[:at] + b"\xff\xff\xff\xff" + content[at + 4 :])
    assert any("is 65535 x 65535 px" in line for line in faults(release))


def test_without_release_json_files_are_looked_at_all_the_same(release: Path) -> None:
    (release / RELEASE).unlink()
    flip(release / TAR)
    add_position(release / LOOSE)
    renew(release)
    found = faults(release)
    assert f"{RELEASE}: it is missing." in found
    assert f"{LOOSE}: EXIF with GPS position." in found


def test_without_thumbnails_views_are_not_compared_and_that_is_said(tmp_path: Path) -> None:
    params = replace(PARAMS, thumbnails=False, layouts=("webdataset",))
    folder = write_release(tmp_path / "release", ("iphone",), {"train": 2, "validation": 0, "test": 1}, params=params)
    edit(folder / PAIRS, lambda row: set_in(row, thumbnail=None))
    renew(folder)
    verdict = verify(folder)
    assert verdict.faults == []
    assert "Views could not be compared across the sides of the split" in verdict.said[-1]
    assert [line for line in verdict.said if line.startswith("Layout")] == [
        "Layout webdataset: 3 of 3 patches have both images, undamaged and 32 x 32 px, as the tables say."
    ]


def test_limits_that_are_laxer_than_usual_hide_nothing(release: Path) -> None:
    same_view(release)
    edit(release / PAIRS, lambda row: set_in(row, near_keypoints=10**6, near_minutes=0.0))
    renew(release)
    verdict = verify(release)
    assert verdict.faults == []
    (said,) = [line for line in verdict.said if "laxer than the usual 12 and 30" in line]
    assert re.search(r"By the usual ones \d more would be on two sides, the first: iphone-.* show the same view", said)


def test_thumbnails_that_were_taken_out_are_missed(release: Path) -> None:
    edit(release / PAIRS, lambda row: set_in(row, thumbnail=None))
    renew(release)
    assert faults(release) == ["pairs.parquet: it has no thumbnails, but release.json says that it has."]


def exchange(one: Path, two: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


ALONE: dict[str, Change] = {
    "swapped folders": lambda folder: exchange((folder / LOOSE).parent, (folder / MATE).parent),
    "swapped mates": lambda folder: exchange(folder / LOOSE, folder / MATE),
    "exchanged patches": lambda folder: exchange(folder / LOOSE, (folder / LOOSE).with_name("2.jpg")),
}


@pytest.mark.parametrize("defect", ALONE)
def test_layout_dped_alone_is_compared_with_the_table(tmp_path: Path, defect: str) -> None:
    folder = write_release(tmp_path / "release", ("iphone",), COUNTS, params=replace(PARAMS, layouts=("dped",)))
    assert faults(folder) == []
    ALONE[defect](folder)
    renew(folder)
    assert any(
        re.fullmatch(rf"{LOOSE}: patch .*: the phone's image does not have the SHA-256 that is in {PATCHES}\.", line)
        for line in faults(folder)
    )


def test_patches_that_were_cut_as_jpeg_lie_in_layout_dped_byte_for_byte(release: Path) -> None:
    edit_json(release / RELEASE, lambda data: set_in(data, encoded=6))
    renew(release)
    expected = f"{RELEASE}: its count of patches that were encoded again for layout dped is 6, but 7 were found."
    assert faults(release) == [expected]
    edit_json(release / RELEASE, lambda data: set_in(data, encoded=0))
    renew(release)
    assert sum("does not show what was cut" in line for line in faults(release)) == 14


def test_the_verdict_is_the_same_for_any_number_of_workers(release: Path) -> None:
    (release / MATE).unlink()
    flip(release / TAR)
    flip(release / TEST)
    assert verify(release, workers=2) == verify(release)


def test_a_worker_that_dies_is_a_defect_and_the_others_are_looked_at(
    release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_the_first(work: Callable[[Any], Any], items: list[Any], **_: object) -> Any:
        yield items[0], Lost("worker_lost", "The memory ran out.")
        yield from ((item, work(item)) for item in items[1:])

    monkeypatch.setattr("dpedtool.pipeline.release.verification.verify.run", lose_the_first)
    (fault,) = faults(release)
    assert re.fullmatch(r"dped/.*0\.jpg and 7 other files could not be checked: The memory ran out\.", fault)


def test_another_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match="name a folder that `dpedtool split` wrote"):
        verify(tmp_path)
    with pytest.raises(DpedtoolError, match="There is no folder"):
        verify(tmp_path / "none")


def test_a_whole_release_has_no_faults_and_is_a_proof(whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    verdict = verify(whole)
    assert verdict.faults == []
    assert verdict.is_proof
    said = "\n".join(verdict.said)
    assert "7 patches of 4 pairs, 1 phone and 4 scenes" in said
    for layout in ("webdataset", "parquet", "dped"):
        assert f"Layout {layout}: 7 of 7 patches have both images, undamaged and 32 x 32 px" in said
    assert "No scene is on two sides (4 checked)." in said
    assert "No two near-duplicate views are on two sides" in said
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before
