"""Releases that are damaged by hand in every way, with renewed sums: each defect is reported with its file."""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from release_damage import (
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
    is_test,
    renew,
    same_view,
    set_in,
)

from dpedtool.dataset.io import file_sha256
from dpedtool.pipeline.foreign.dped_layout import PARTS
from dpedtool.pipeline.release.columns import PAIRS, PATCHES
from dpedtool.pipeline.release.description import CARD, CITATION, CROISSANT, LICENCE, RELEASE, SUMS

LAUGHS = "\n".join(
    [*(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}' if n else 'x'] * 9)}]" for n in range(10)), "license: *l9"]
)
"""Half a kilobyte of YAML that expands to gigabytes."""


def edit_tar(path: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[str, bytes] | None]) -> None:
    """Write a shard again, of the members that `change` returns."""
    with tarfile.open(path) as shard:
        members = [(member, shard.extractfile(member).read()) for member in shard]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as shard:
        for member, content in members:
            if kept := change(member, content):
                info = tarfile.TarInfo(kept[0])
                info.size = len(kept[1])
                shard.addfile(info, io.BytesIO(kept[1]))


def replace_text(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def patch_at(folder: Path, number: int, split: str = "train") -> str:
    rows = pq.read_table(folder / PATCHES).to_pylist()
    return next(row["patch_id"] for row in rows if (row["split"], row["number"]) == (split, number))


def leak(column: str) -> Change:
    """Give the test's photos what the training's have, in both tables."""

    def change(folder: Path) -> None:
        value = next(row for row in pq.read_table(folder / PAIRS).to_pylist() if row["split"] == "train")[column]
        for name in (PATCHES, PAIRS):
            edit(folder / name, lambda row: set_in(row, **{column: value}) if column in row and is_test(row) else None)

    return change


def without(member: str) -> Change:
    def change(folder: Path) -> None:
        name = f"{patch_at(folder, 1)}.{member}"
        edit_tar(folder / TAR, lambda info, content: None if info.name.startswith(name) else (info.name, content))

    return change


def truncate(path: Path, share: float = 0.5) -> None:
    os.truncate(path, int(share * path.stat().st_size))


def foreign_column(folder: Path) -> None:
    table = pq.read_table(folder / PAIRS)
    pq.write_table(table.append_column("owner", pa.array(["Jane"] * len(table))), folder / PAIRS)


def lacking_column(folder: Path) -> None:
    pq.write_table(pq.read_table(folder / PATCHES).drop_columns(["ncc"]), folder / PATCHES)


def other_type(folder: Path) -> None:
    table = pq.read_table(folder / PAIRS)
    at = table.column_names.index("accepted")
    pq.write_table(table.set_column(at, "accepted", table["accepted"].cast(pa.string())), folder / PAIRS)


def swap(folder: Path) -> None:
    """Put one patch's image in the place of another's of the same side, encoded again."""
    pixels = cv2.imread(str(folder / "dped/iphone/training_data/iphone/2.jpg"))
    cv2.imwrite(str(folder / LOOSE), pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])


def set_jpeg_sums(folder: Path, row: dict[str, Any]) -> None:
    """Give a row the sums of the files of layout dped as they lie there."""
    above = folder / "dped/iphone" / PARTS[row["split"]]
    for side, name in (("phone", "iphone"), ("dslr", "canon")):
        row[f"{side}_jpeg_sha256"] = file_sha256(above / name / f"{row['number']}.jpg")


def resize(folder: Path) -> None:
    cv2.imwrite(str(folder / LOOSE), cv2.imread(str(folder / LOOSE))[:, :30])


def grey(folder: Path) -> None:
    cv2.imwrite(str(folder / LOOSE), cv2.imread(str(folder / LOOSE), cv2.IMREAD_GRAYSCALE))


def cut_off(folder: Path) -> None:
    """End a JPEG too early, but with its end marker."""
    content = (folder / LOOSE).read_bytes()
    (folder / LOOSE).write_bytes(content[: len(content) * 3 // 4] + b"\xff\xd9")


def twice_in_tar(folder: Path) -> None:
    with tarfile.open(folder / TAR, "a", format=tarfile.USTAR_FORMAT) as shard:
        shard.addfile(tarfile.TarInfo(f"{patch_at(folder, 0)}.phone.png"))


def foreign_member(folder: Path) -> None:
    with tarfile.open(folder / TAR, "a", format=tarfile.USTAR_FORMAT) as shard:
        shard.addfile(tarfile.TarInfo("notes.txt"))


def link_member(folder: Path) -> None:
    info = tarfile.TarInfo("../outside")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
    with tarfile.open(folder / TAR, "a", format=tarfile.USTAR_FORMAT) as shard:
        shard.addfile(info)


def of_another_split(folder: Path) -> None:
    shutil.copy(folder / "webdataset/iphone/test-00000.tar", folder / TAR)


def hide_in_tar(place: Callable[[tarfile.TarInfo], int]) -> Change:
    """Put a letter into a shard where nobody reads it; below 0: from its end."""

    def change(folder: Path) -> None:
        with tarfile.open(folder / TAR) as shard:
            members = shard.getmembers()
        member = next(member for member in members if member.size % 512)
        content = bytearray((folder / TAR).read_bytes())
        at = place(member)
        assert content[at] == 0
        content[at] = ord("x")
        (folder / TAR).write_bytes(content)
        if member.offset <= at < member.offset_data:
            header = content[member.offset : member.offset + 512]
            header[148:156] = b" " * 8
            content[member.offset + 148 : member.offset + 156] = b"%06o\0 " % sum(header)
            (folder / TAR).write_bytes(content)

    return change


def hide_in_parquet(name: str) -> Change:
    """Put text before the footer, whose offsets stay right."""

    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        (folder / name).write_bytes(content[:footer] + b"Jane Doe" + content[footer:])

    return change


RESUMMED: dict[str, tuple[Change, str]] = {
    "a file of a pair is gone": (
        lambda folder: (folder / MATE).unlink(),
        rf"{MATE}: patch iphone-train-\d-\d: the DSLR's image is missing\.",
    ),
    "a member of a shard is gone": (
        without("dslr"),
        rf"{TAR}: patch iphone-train-\d-\d: the DSLR's image is missing\.",
    ),
    "both images are gone from a shard": (
        without(""),
        rf"{TAR}: patch iphone-train-\d-\d: both images are missing\.",
    ),
    "a shard is gone": (
        lambda folder: (folder / TAR).unlink(),
        rf"{TAR}: it is missing, together with its 3 patches\.",
    ),
    "a shard is truncated": (lambda folder: truncate(folder / TAR), rf"{TAR}: .*unexpected end of data"),
    "a parquet file is truncated": (lambda folder: truncate(folder / FILE), rf"{FILE}: "),
    "a shard of another split": (
        of_another_split,
        rf"{TAR}: patch iphone-test-0-\d: it is here twice, or does not belong in this file\.",
    ),
    "a member is there twice": (twice_in_tar, rf"{TAR}: it contains the member 'iphone-train.*\.phone\.png' twice\."),
    "a member is foreign": (foreign_member, rf"{TAR}: its member 'notes\.txt' does not belong to any of its patches\."),
    "a member is a link": (
        link_member,
        rf"{TAR}: its member '\.\./outside' is not a plain file: it was not unpacked\.",
    ),
    "facts in a shard": (
        lambda folder: edit_tar(
            folder / TAR,
            lambda info, content: (info.name, b"{}" if info.name == f"{patch_at(folder, 0)}.json" else content),
        ),
        rf"{TAR}: patch .*: its json differs from {PATCHES}\.",
    ),
    "facts in a parquet file": (
        lambda folder: edit(folder / FILE, lambda row: set_in(row, ncc=0.5)),
        rf"{FILE}: its column ncc differs from {PATCHES}\.",
    ),
    "an image in a parquet file": (
        lambda folder: edit(folder / FILE, lambda row: set_in(row, phone_image=row["dslr_image"])),
        rf"{FILE}: patch .*: the phone's image does not have the SHA-256 that is in {PATCHES}\.",
    ),
    "an image in a parquet file is empty": (
        lambda folder: edit(folder / FILE, lambda row: set_in(row, phone_image=None)),
        rf"{FILE}: patch .*: the phone's image is missing\.",
    ),
    "a position": (lambda folder: add_position(folder / LOOSE), rf"{LOOSE}: .*GPS"),
    "a position in a whole photo": (lambda folder: add_position(folder / PHOTO), rf"{PHOTO}: .*GPS"),
    "another picture": (
        lambda folder: [swap(folder), edit(folder / PATCHES, lambda row: set_jpeg_sums(folder, row))][0],
        rf"{LOOSE}: patch .*: the phone's image does not show what was cut\.",
    ),
    "no sums of loose files": (
        lambda folder: edit(folder / PATCHES, lambda row: set_in(row, phone_jpeg_sha256=None)),
        rf"{LOOSE}: patch .*: the phone's image has no SHA-256 in {PATCHES}\.",
    ),
    "another size": (resize, rf"{LOOSE}: .* is 30 x 32 px of 3 x 8 bit, not 32 x 32 px of 3 x 8 bit\."),
    "a grey image": (grey, rf"{LOOSE}: .* is 32 x 32 px of 1 x 8 bit"),
    "a JPEG that ends too early": (cut_off, rf"{LOOSE}: .* (cannot be decoded|is damaged)"),
    "no image": (lambda folder: (folder / LOOSE).write_text("no"), rf"{LOOSE}: .* is neither a PNG nor a JPEG file\."),
    "a whole photo that ends too early": (lambda folder: truncate(folder / PHOTO), rf"{PHOTO}: the JPEG data ends"),
    "a whole photo is gone": (
        lambda folder: (folder / PHOTO).unlink(),
        rf"{PHOTO}: the full-size photo of the pair iphone-test-0 is missing\.",
    ),
    "a whole photo of the training": (
        lambda folder: edit_json(folder / RELEASE, lambda data: set_in(data["photos"][0], pair_id="iphone-train-0")),
        rf"{PHOTO}: it is a full-size test photo, but its pair iphone-train-0 is in train\.",
    ),
    "an image of the test in the training": (
        lambda folder: [shutil.copy(folder / TEST, folder / LOOSE)][0] and None,
        rf"{TEST}: the same image is on 2 sides: {TEST} in test, {LOOSE} in train\.",
    ),
    "a leaked scene": (leak("scene_id"), rf"{PAIRS}: The scene train-0 is on 2 sides: iphone-test-0 in test, .* train"),
    "a leaked frame": (leak("dslr_sha256"), rf"{PAIRS}: The DSLR frame, by SHA-256, .* is on 2 sides"),
    "a leaked photo": (leak("phone_sha256"), rf"{PAIRS}: The phone photo, by SHA-256, .* is on 2 sides"),
    "a leaked group": (leak("group"), rf"{PAIRS}: The group of scenes train-0 is on 2 sides"),
    "a leaked view": (same_view, rf"{PAIRS}: iphone-.* in .* and iphone-.* in .* show the same view"),
    "a leaked patch": (
        lambda folder: edit(folder / PATCHES, lambda row: set_in(row, phone_image_sha256="a" * 64)),
        rf"{PATCHES}: The same image is on 3 sides: ",
    ),
    "a pair on another side": (
        lambda folder: edit(folder / PAIRS, lambda row: set_in(row, split="train")),
        rf"{PATCHES}: there are 2 patches of the pair iphone-test-0 with split 'test', but {PAIRS} has 'train'\.",
    ),
    "an unknown pair": (
        lambda folder: edit(folder / PATCHES, lambda row: set_in(row, pair_id="x") if is_test(row) else None),
        rf"{PATCHES}: there are 2 patches of the pair x, which is not in {PAIRS}\.",
    ),
    "a count of a pair": (
        lambda folder: edit(folder / PAIRS, lambda row: set_in(row, accepted=9) if is_test(row) else None),
        rf"{PAIRS}: pair iphone-test-0: {PATCHES} has 2 of the 9 patches that were cut from it\.",
    ),
    "a patch that is there twice": (
        lambda folder: edit(folder / PATCHES, lambda row: set_in(row, patch_id="x") if is_test(row) else None),
        rf"{PATCHES}: x appears more than once\.",
    ),
    "numbers with a gap": (
        lambda folder: edit(folder / PATCHES, lambda row: set_in(row, number=row["number"] + 7)),
        rf"{PATCHES}: row group 0, iphone, train, is file 0 from number 7, but should be file 0 from number 0\.",
    ),
    "a phone that leads out": (
        lambda folder: edit(folder / PATCHES, lambda row: set_in(row, phone="../..")),
        rf"{PATCHES}: its phone '\.\./\.\.' cannot be the name of a folder\.",
    ),
    "an unknown split": (
        lambda folder: edit(folder / PATCHES, lambda row: set_in(row, split="dev")),
        rf"{PATCHES}: its split 'dev' is not one of train, validation, test\.",
    ),
    "counts": (
        lambda folder: edit_json(folder / RELEASE, lambda data: set_in(data["counts"]["iphone"], test=7)),
        rf"{RELEASE}: its count of patches of iphone, test is 7, but {PATCHES} has 2\.",
    ),
    "a count of pairs": (
        lambda folder: edit_json(folder / RELEASE, lambda data: set_in(data, pairs=99)),
        rf"{RELEASE}: its count of pairs is 99, but {PAIRS} has 4\.",
    ),
    "a foreign column": (foreign_column, rf"{PAIRS}: its column owner is not part of a release\."),
    "a column is gone": (lacking_column, rf"{PATCHES}: it has no column ncc\."),
    "a column of another type": (other_type, rf"{PAIRS}: its column accepted is string, but should be int64"),
    "a damaged table": (lambda folder: truncate(folder / PATCHES), rf"{PATCHES}: it is not a readable parquet file"),
    "a thumbnail": (
        lambda folder: edit(folder / PAIRS, lambda row: set_in(row, thumbnail=b"x") if is_test(row) else None),
        rf"{PAIRS}: pair iphone-test-0: its thumbnail is not a grey JPEG of at most 256 px\.",
    ),
    "a time": (
        lambda folder: edit(folder / PAIRS, lambda row: set_in(row, minute=1e300)),
        rf"{PAIRS}: pair iphone-.*: its minute 1e\+300 is not a time",
    ),
    "no licence text": (lambda folder: (folder / LICENCE).unlink(), rf"{LICENCE}: it is missing\."),
    "an empty licence text": (lambda folder: (folder / LICENCE).write_text(""), rf"{LICENCE}: it is empty"),
    "another licence on the card": (
        lambda folder: replace_text(folder / CARD, "license: cc-by-4.0", "license: mit"),
        rf"{CARD}: it names the licence 'mit', but {RELEASE} names CC-BY-4\.0\.",
    ),
    "another licence to cite": (
        lambda folder: replace_text(folder / CITATION, "license: CC-BY-4.0", "license: MIT"),
        rf"{CITATION}: it names the licence 'MIT', but {RELEASE} names CC-BY-4\.0\.",
    ),
    "another licence for machines": (
        lambda folder: edit_json(folder / CROISSANT, lambda data: set_in(data, license="MIT")),
        rf"{CROISSANT}: it names the licence 'MIT', but {RELEASE} names CC-BY-4\.0\.",
    ),
    "an unknown licence": (
        lambda folder: edit_json(folder / RELEASE, lambda data: set_in(data["release"], licence="mine")),
        rf"{RELEASE}: 'release' is not valid: 'mine' is not the SPDX identifier",
    ),
    "a key of release.json": (
        lambda folder: edit_json(folder / RELEASE, lambda data: set_in(data["release"], colour="red")),
        rf"{RELEASE}: 'release' has unknown keys: colour\.",
    ),
    "another format": (
        lambda folder: edit_json(folder / RELEASE, lambda data: set_in(data, format=3)),
        rf"{RELEASE}: its format is 3, but this version reads 1 to 2",
    ),
    "texts in place of numbers": (
        lambda folder: edit_json(folder / RELEASE, lambda data: set_in(data, size_px="32", pairs=True)),
        rf"{RELEASE}: 'size_px' must be a whole number from 1, not \"32\"\.",
    ),
    "a photo that leads out": (
        lambda folder: edit_json(folder / RELEASE, lambda data: set_in(data["photos"][0], file="../x.jpg")),
        rf"{RELEASE}: 'photos' has an entry that does not name a file",
    ),
    "a surplus image": (
        lambda folder: [shutil.copy(folder / LOOSE, (folder / LOOSE).with_name("99.jpg"))][0] and None,
        r"dped/iphone/training_data/iphone/99\.jpg: it is not part of the release\.",
    ),
    "JSON that is nested without end": (
        lambda folder: (folder / "statistics.json").write_text("[" * 200_000) and None,
        r"statistics\.json: it is damaged: ",
    ),
    "front matter that is nested without end": (
        lambda folder: (folder / CARD).write_text("---\n" + "[" * 50_000 + "\n---\n") and None,
        rf"{CARD}: it is damaged: ",
    ),
    "aliases that expand to gigabytes": (
        lambda folder: replace_text(folder / CITATION, "license: CC-BY-4.0", LAUGHS) and None,
        rf"{CITATION}: it is damaged: it has an alias, but a release has no aliases",
    ),
    "aliases in front matter": (
        lambda folder: replace_text(folder / CARD, "license: cc-by-4.0", LAUGHS) and None,
        rf"{CARD}: it is damaged: it has an alias, but a release has no aliases",
    ),
    "a name that is not a text": (
        lambda folder: replace_text(folder / CARD, "config_name: iphone", "config_name: [[1, 2]]") and None,
        rf"{CARD}: dataset_info has an entry whose config_name is not a text\.",
    ),
    "a licence to cite that is not a text": (
        lambda folder: replace_text(folder / CITATION, "license: CC-BY-4.0", f"license: 0x{'f' * 9999}") and None,
        rf"{CITATION}: it names the licence '0xfff",
    ),
    "an impossible sign": (
        lambda folder: replace_text(folder / CITATION, "license: CC-BY-4.0", 'license: "\\Uffffffff"') and None,
        rf"{CITATION}: it is damaged: ",
    ),
    "a citation of many pages": (
        lambda folder: replace_text(folder / CITATION, "license: CC-BY-4.0", "license: " + "x" * 2**18) and None,
        rf"{CITATION}: it is damaged: it has more than 262144 characters\.",
    ),
    "a number of thousands of digits": (
        lambda folder: edit_json(folder / RELEASE, lambda data: set_in(data, encoded=10**4000)),
        rf"{RELEASE}: 'encoded' must be a whole number from 0, not 1000",
    ),
    "statistics without anything": (
        lambda folder: (folder / "statistics.json").write_text("{}") and None,
        rf"statistics\.json: its phones are not those of {RELEASE}\.",
    ),
    "a count in the statistics": (
        lambda folder: edit_json(folder / "statistics.json", lambda data: set_in(data["splits"]["test"], patches=99)),
        rf"statistics\.json: its splits\.test\.patches is 99, but {RELEASE} says 2\.",
    ),
    "pairs in the statistics": (
        lambda folder: edit_json(folder / "statistics.json", lambda data: set_in(data["splits"]["test"], pairs=None)),
        rf"statistics\.json: the pairs of its splits do not add up to the 4 of {RELEASE}\.",
    ),
    "another licence's text": (
        lambda folder: replace_text(folder / LICENCE, "Identifier: CC-BY-4.0", "Identifier: MIT"),
        rf"{LICENCE}: it names the licence 'MIT', but {RELEASE} names CC-BY-4\.0\.",
    ),
    "text before a table's footer": (hide_in_parquet(PAIRS), rf"{PAIRS}: its bytes \d+ to \d+ belong to no column\."),
    "text before a file's footer": (hide_in_parquet(FILE), rf"{FILE}: its bytes \d+ to \d+ belong to no column\."),
    "an index of pages": (
        lambda folder: pq.write_table(pq.read_table(folder / PAIRS), folder / PAIRS, write_page_index=True),
        rf"{PAIRS}: its bytes \d+ to \d+ belong to no column\.",
    ),
    "a letter in a header's rest": (
        hide_in_tar(lambda member: member.offset + 505),
        rf"{TAR}: the header of its member 'iphone-.*' holds more than such headers should\.",
    ),
    "a letter behind a name": (
        hide_in_tar(lambda member: member.offset + 90),
        rf"{TAR}: the header of its member 'iphone-.*' holds more than such headers should\.",
    ),
    "a letter behind a member": (
        hide_in_tar(lambda member: member.offset_data + member.size),
        rf"{TAR}: the padding of its member 'iphone-.*' is not all zeros\.",
    ),
    "a letter at a shard's end": (
        hide_in_tar(lambda _: -1),
        rf"{TAR}: the bytes after its last member, from byte \d+ on, are not all zeros\.",
    ),
    "a program next to the documents": (
        lambda folder: (folder / "iphonex.py").write_text("x = 1\n") and None,
        r"iphonex\.py: it is not part of the release\.",
    ),
    "a program in a folder": (
        lambda folder: [(folder / "more").mkdir(), (folder / "more/evil.py").write_text("x = 1\n")][0],
        r"more/evil\.py: it is not part of the release\.",
    ),
    "an NCC": (
        lambda folder: edit(folder / PATCHES, lambda row: set_in(row, best_ncc=2.0)),
        rf"{PATCHES}: its column best_ncc has 2, which is not between -1 and 1\.",
    ),
    "a length below zero": (
        lambda folder: edit(folder / PATCHES, lambda row: set_in(row, residual_error_px=-1.0)),
        rf"{PATCHES}: its column residual_error_px has -1, which is not between 0 and 1e\+06\.",
    ),
    "a box at NaN": (
        lambda folder: edit(folder / PATCHES, lambda row: set_in(row, dslr_x=float("nan"))),
        rf"{PATCHES}: its column dslr_x has a value that is not a finite number: nan\.",
    ),
    "a homography without end": (
        lambda folder: edit(folder / PATCHES, lambda row: set_in(row, dslr_from_patch=[float("inf")] * 9)),
        rf"{PATCHES}: its column dslr_from_patch has a value that is not a finite number: inf\.",
    ),
    "a box outside of any photo": (
        lambda folder: edit(folder / PATCHES, lambda row: set_in(row, x=10**9)),
        rf"{PATCHES}: its column x has 1e\+09, which is not between -1e\+06 and 1e\+06\.",
    ),
    "limits of near-duplicates": (
        lambda folder: edit(folder / PAIRS, lambda row: set_in(row, near_keypoints=-1)),
        rf"{PAIRS}: its near_keypoints cannot be those of a split: ",
    ),
    "limits that are NaN": (
        lambda folder: edit(folder / PAIRS, lambda row: set_in(row, near_minutes=float("nan"))),
        rf"{PAIRS}: its near_minutes cannot be those of a split: ",
    ),
    "a card without front matter": (
        lambda folder: (folder / CARD).write_text("# Pairs\n") and None,
        rf"{CARD}: it is damaged: it does not begin with the front matter",
    ),
}


@pytest.mark.parametrize("defect", RESUMMED)
def test_a_defect_is_named_although_the_sums_are_right(release: Path, defect: str) -> None:
    change, expected = RESUMMED[defect]
    change(release)
    renew(release)
    found = faults(release)
    assert [line for line in found if line.startswith(SUMS) or "SHA-256 differs from" in line] == []
    assert any(re.match(expected, line) for line in found), "\n".join(found)
