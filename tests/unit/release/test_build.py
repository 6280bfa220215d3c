"""Building a release: same bytes, all or nothing, no private data, and what is refused."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image as PillowImage
from release_rig import patch_images
from split_rig import SIZE_PX, frame, picture, selection, write_patches

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import file_sha256, read_json
from dpedtool.dataset.params import ReleaseParams, SplitParams
from dpedtool.dataset.photos.decoding import decode_image, decode_photo
from dpedtool.dataset.schema import Photo
from dpedtool.dataset.sidecars.selection import AlignedPairs, PhotoSize
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline import memory
from dpedtool.pipeline.release import build, room
from dpedtool.pipeline.release.build import build_release
from dpedtool.pipeline.release.columns import PATCHES, SCHEMAS, STACKS, meanings
from dpedtool.pipeline.release.whole_photos import WholePhoto, choose, left_out, photo_need
from dpedtool.pipeline.split.stage import split

PARAMS = ReleaseParams(
    name="pairs", licence="CC-BY-4.0", authors=("Doe, Jane",), contact="pairs@example.org", patches_a_file=3, examples=2
)
SCENES = [f"s{number:02d}" for number in range(8)]
GPS = {1: "N", 2: (47.0, 22.0, 0.0), 3: "E", 4: (8.0, 32.0, 0.0)}


def images(name: str) -> tuple[bytes, bytes]:
    made = patch_images(name, SIZE_PX)
    return made.phone, made.dslr


def write_split(folder: Path, phones: tuple[str, ...] = ("a", "b")) -> Path:
    """Eight scenes of some phones, whose photos are JPEG files with a position and a serial number."""
    tables = {}
    for phone in phones:
        photos = folder / "photos" / phone
        photos.mkdir(parents=True)
        frames = [frame(scene, phone, phone_path=photos / f"{scene}.jpg") for scene in SCENES]
        frames = [replace(one, phone_sha256=photo(one.phone_path, one.scene_id)) for one in frames]
        tables[phone] = write_patches(folder / "patches", phone, frames, images)
        SELECTION.write(folder / "patches" / phone / "selection.json")
    split(tables, folder / "splits", SplitParams(test=0.3, validation=0.2))
    return folder / "splits"


SELECTION = selection(pairs=AlignedPairs(9, 8, 1, 0, {"parallax": 1}, [PhotoSize(900, 600, 8)]))


def photo(path: Path, scene: str) -> str:
    exif = PillowImage.Exif()
    exif[0x10F], exif[0x110], exif[0x13B] = "Maker", "Maker Phone 3", "Jane Roe"
    exif.get_ifd(0x8769)[0xA431] = "SN-12345678"
    exif.get_ifd(0x8825).update(GPS)
    grey = picture(int(hashlib.sha256(scene.encode()).hexdigest()[:6], 16), 48, 64)
    PillowImage.fromarray(np.dstack([grey] * 3)).save(path, exif=exif, quality=90)
    return file_sha256(path)


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_split(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def released(splits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "release"
    build_release(splits, out, PARAMS)
    return out


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def interrupt(
    monkeypatch: pytest.MonkeyPatch,
    how: Callable[..., None],
    splits: Path,
    out: Path,
    params: ReleaseParams = PARAMS,
) -> None:
    """Build a release until its documents would be written."""
    with monkeypatch.context() as patch:
        patch.setattr(build._Build, "_write_documents", how)
        with pytest.raises(KeyboardInterrupt):
            build_release(splits, out, params)


def test_a_limit_of_the_memory_changes_no_byte_and_refuses_what_does_not_fit(
    splits: Path, released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_main", lambda: memory.MAIN)
    with pytest.raises(DpedtoolError, match=r"A file of \d+ patches of \S+ needs at least 0\.3\d GB of memory, but"):
        build_release(splits, tmp_path / "release", PARAMS, workers=2, max_memory=10**6)
    build_release(splits, tmp_path / "release", PARAMS, workers=2, max_memory=400 * 10**6)
    assert sums(tmp_path / "release") == sums(released)


def test_full_size_photos_need_memory_by_their_size(splits: Path) -> None:
    photos = read_rows(Photo.table_in(splits), Photo)
    wanted = choose(photos, PARAMS)
    assert wanted
    for one in wanted:
        need = photo_need(one)
        assert need.what == f"The full-size photo of {one.pair_id}"
        height, width = cv2.imread(str(one.path)).shape[:2]
        assert need.size == memory.ITEM + memory.WHOLE_PHOTO.phone * height * width


def sums(folder: Path) -> str:
    return (folder / "SHA256SUMS").read_text()


def test_sha256sum_finds_every_file_as_listed(released: Path) -> None:
    done = subprocess.run(["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"], cwd=released, check=False)
    assert done.returncode == 0
    listed = [line.split("  ", 1)[1] for line in sums(released).splitlines()]
    there = {path.relative_to(released).as_posix() for path in released.rglob("*") if path.is_file()}
    assert listed == sorted(listed)
    assert set(listed) == there - {"SHA256SUMS"}


def test_what_stands_beside_the_images_is_there(released: Path) -> None:
    beside = {path.name for path in released.iterdir()}
    documents = {"README.md", "LICENSE", "CITATION.cff", "croissant.json", "release.json", "statistics.json"}
    assert beside == {
        *documents,
        *("patches.parquet", "pairs.parquet", "scenes.parquet", "examples", "SHA256SUMS"),
        *PARAMS.layouts,
    }
    about = read_json(released / "release.json")
    assert (about["format"], about["size_px"], about["encoded"], about["pairs"]) == (2, SIZE_PX, 32, 16)
    assert about["counts"]["a"] == about["counts"]["b"]
    assert sum(about["counts"]["a"].values()) == 16
    assert "licence_file" not in about["release"]
    example = decode_photo((released / "examples" / "a.png").read_bytes(), Path("a.png"))
    assert example.shape[0] >= 4 * SIZE_PX


def test_every_layout_holds_the_images_that_were_cut(released: Path) -> None:
    for row in pq.read_table(released / PATCHES).to_pylist():
        cut = images(row["patch_id"])
        assert [row[f"{side}_image_sha256"] for side in ("phone", "dslr")] == [
            hashlib.sha256(content).hexdigest() for content in cut
        ]
        parts = {"train": "training_data", "validation": "validation_data/patches", "test": "test_data/patches"}
        for camera, content in zip((row["phone"], "canon"), cut, strict=True):
            loose = released / "dped" / row["phone"] / parts[row["split"]] / camera / f"{row['number']}.jpg"
            one, two = (decode_image(each, loose).astype(int) for each in (loose.read_bytes(), content))
            assert np.abs(one - two).mean() < 4
        stem = f"{row['phone']}/{row['split']}-{row['file']:05d}"
        assert all(content in (released / "webdataset" / f"{stem}.tar").read_bytes() for content in cut)
        rows = pq.read_table(released / "parquet" / f"{stem}.parquet").to_pylist()
        (found,) = [one for one in rows if one["patch_id"] == row["patch_id"]]
        assert (found["phone_image"]["bytes"], found["dslr_image"]["bytes"]) == cut


def test_the_tables_have_their_columns(released: Path) -> None:
    for name, schema in SCHEMAS.items():
        if name == STACKS:
            continue
        found = pq.read_schema(released / name)
        # Parquet calls what is in a list an element.
        assert [(field.name, str(field.type).replace("element", "item")) for field in found] == [
            (field.name, str(field.type)) for field in schema
        ]
        assert meanings(found) == meanings(schema)


def test_patches_that_were_cut_as_jpeg_are_taken_over_as_they_are(tmp_path: Path) -> None:
    def jpegs(name: str) -> tuple[bytes, bytes]:
        made = (cv2.imencode(".jpg", decode_image(content, Path(name)))[1].tobytes() for content in images(name))
        return next(made), next(made)

    table = write_patches(tmp_path / "patches", "a", [frame("s01")], jpegs)
    SELECTION.write(table.parent / "selection.json")
    split({"a": table}, tmp_path / "splits", SplitParams(test=0, validation=0))
    build_release(tmp_path / "splits", tmp_path / "release", PARAMS)
    (first, *_) = pq.read_table(tmp_path / "release" / PATCHES).to_pylist()
    loose = tmp_path / "release/dped/a/training_data/canon/0.jpg"
    assert loose.read_bytes() == jpegs(first["patch_id"])[1]
    assert read_json(tmp_path / "release/release.json")["encoded"] == 0


# Same input, same bytes; all or nothing


def test_another_folder_and_more_workers_give_the_same_bytes(splits: Path, released: Path, tmp_path: Path) -> None:
    shutil.copytree(splits.parent, tmp_path / "moved")
    build_release(tmp_path / "moved" / "splits", tmp_path / "elsewhere", PARAMS, workers=2)
    assert sums(tmp_path / "elsewhere") == sums(released)


def test_an_interrupted_build_leaves_nothing_and_goes_on(
    splits: Path, released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[object] = []
    real = build.write_chunk

    def interrupted(chunk: Any, **where: Any) -> Any:
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(chunk)
        return real(chunk, **where)

    monkeypatch.setattr(build, "write_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_release(splits, tmp_path / "release", PARAMS)
    assert not (tmp_path / "release").exists()
    monkeypatch.setattr(build, "write_chunk", lambda chunk, **where: (written.append(chunk), real(chunk, **where))[1])
    build_release(splits, tmp_path / "release", PARAMS)
    assert len(written) == len(set(written))
    assert sums(tmp_path / "release") == sums(released)
    assert list(tmp_path.iterdir()) == [tmp_path / "release"]


def test_what_an_interrupted_build_of_other_images_left_is_not_taken(
    splits: Path, released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch, stop, splits, tmp_path / "release", replace(PARAMS, jpeg_quality=50, patches_a_file=2))
    build_release(splits, tmp_path / "release", PARAMS)
    assert sums(tmp_path / "release") == sums(released)


def test_another_sentence_does_not_write_the_images_again(
    splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch, stop, splits, tmp_path / "release")
    monkeypatch.setattr(build, "write_chunk", stop)
    build_release(splits, tmp_path / "release", replace(PARAMS, description="Others."))
    assert "Others." in (tmp_path / "release/README.md").read_text()


def test_an_earlier_release_makes_way_only_where_that_is_asked(splits: Path, released: Path, tmp_path: Path) -> None:
    out = shutil.copytree(released, tmp_path / "release")
    (out / "added").touch()
    with pytest.raises(DpedtoolError, match="is already a release: choose another folder, or add --replace"):
        build_release(splits, out, PARAMS)
    assert (out / "added").exists()
    build_release(splits, out, PARAMS, replace_old=True)
    assert sums(out) == sums(released)
    assert not (out / "added").exists()
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_of_something_else_is_never_replaced(splits: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(DpedtoolError, match="exists and is not a release"):
        build_release(splits, tmp_path, PARAMS, replace_old=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


# Private data


def test_full_size_photos_of_the_test_keep_their_pixels_and_nothing_else(splits: Path, released: Path) -> None:
    tested = sorted(
        (row for row in read_rows(Photo.table_in(splits), Photo) if row.split == "test"),
        key=lambda row: (row.phone, row.pair_id),
    )
    photos = read_json(released / "release.json")["photos"]
    assert [(one["phone"], one["pair_id"], one["lossless"]) for one in photos] == [
        (row.phone, row.pair_id, True) for row in tested
    ]
    for row, one in zip(tested, photos, strict=True):
        content = (released / one["file"]).read_bytes()
        before = row.phone_path.read_bytes()
        assert np.array_equal(decode_photo(content, Path("x.jpg")), decode_photo(before, Path("x.jpg")))
        assert all(mark in before for mark in (b"SN-12345678", b"Jane Roe", b"Exif"))
        assert not any(mark in content for mark in (b"SN-12345678", b"Jane Roe", b"Exif"))


def test_cameras_are_named_and_no_path_of_this_machine_is_told(splits: Path, released: Path) -> None:
    assert read_json(released / "statistics.json")["cameras"] == {"a": "Maker Phone 3", "b": "Maker Phone 3"}
    for path in released.rglob("*"):
        if path.is_file():
            assert os.fsencode(splits.parent) not in path.read_bytes(), path


@pytest.mark.parametrize("told", ["/home/jane/photos", r"C:\\Users\\Jane\\photos", "/Users/jane/photos"])
def test_a_path_in_what_the_publisher_says_ends_the_build(splits: Path, tmp_path: Path, told: str) -> None:
    with pytest.raises(DpedtoolError, match="Nothing was released, as the files would contain private data"):
        build_release(splits, tmp_path / "release", replace(PARAMS, description=f"Photos of {told} and others."))
    assert not (tmp_path / "release").exists()


def test_private_data_in_a_patch_ends_the_build(tmp_path: Path) -> None:
    def with_comment(name: str) -> tuple[bytes, bytes]:
        phone, dslr = (cv2.imencode(".jpg", decode_image(one, Path(name)))[1].tobytes() for one in images(name))
        return phone, dslr[:2] + b"\xff\xfe\x00\x0ahello xy" + dslr[2:]

    table = write_patches(tmp_path / "patches", "a", [frame("s01")], with_comment)
    SELECTION.write(table.parent / "selection.json")
    split({"a": table}, tmp_path / "splits", SplitParams(test=0, validation=0))
    with pytest.raises(DpedtoolError, match="Nothing was released"):
        build_release(tmp_path / "splits", tmp_path / "release", replace(PARAMS, layouts=("webdataset",)))


def test_a_photo_that_is_gone_is_left_out_and_said(tmp_path: Path) -> None:
    splits = write_split(tmp_path, ("a",))
    (gone, *_) = [row for row in read_rows(Photo.table_in(splits), Photo) if row.split == "test"]
    gone.phone_path.unlink()
    built = build_release(splits, tmp_path / "release", PARAMS)
    assert len(built.notes) == 1
    assert built.notes[0].startswith(f"The full-size photo of {gone.pair_id} is left out: ")
    assert gone.pair_id not in {one["pair_id"] for one in read_json(tmp_path / "release/release.json")["photos"]}


@pytest.mark.parametrize(("most", "expected"), [(0, 0), (1, 1), (None, 3)])
def test_no_more_full_size_photos_than_are_wanted(
    splits: Path, tmp_path: Path, most: int | None, expected: int
) -> None:
    rows = [row for row in read_rows(Photo.table_in(splits), Photo) if row.split == "test" and row.phone == "a"]
    out = tmp_path / "release"
    build_release(splits, out, replace(PARAMS, full_size_photos=most, layouts=("dped",)))
    assert len(list((out / "dped/a/test_data").glob("full_size_test_images/*"))) == min(expected, len(rows))


# What is refused before anything is written


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": None}, "has no name: set release.name"),
        ({"licence": None}, "has no licence, without which nobody may use it"),
        ({"licence": "CC-BY-9.0"}, "CC-BY-9.0"),
        ({"licence": "LicenseRef-ours"}, "LicenseRef-ours"),
        ({"dslr_folder": "a"}, "A phone is called a, like the DSLR's folder"),
    ],
)
def test_what_a_release_needs_is_asked_for(
    splits: Path, tmp_path: Path, changes: Mapping[str, Any], sentence: str
) -> None:
    with pytest.raises(DpedtoolError, match=sentence):
        build_release(splits, tmp_path / "release", replace(PARAMS, **changes))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("left", "sentence"),
    [
        ({"f_bavail": 1}, r"has 0\.\d\d GB free, but the release may need 0\.\d\d GB"),
        ({"f_favail": 3}, r"has room for 3 more files, but the layouts of single files need \d\d"),
    ],
)
def test_too_small_a_disk_is_noticed_before(
    splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: Mapping[str, int], sentence: str
) -> None:
    plenty = {"f_bavail": 10**9, "f_frsize": 4096, "f_files": 10**9, "f_favail": 10**9}
    monkeypatch.setattr(room.os, "statvfs", lambda _: SimpleNamespace(**{**plenty, **left}))
    with pytest.raises(DpedtoolError, match=sentence):
        build_release(splits, tmp_path / "release", PARAMS)
    assert not (tmp_path / "release").exists()


def test_many_loose_files_are_warned_of() -> None:
    few, many = ({"a": {"train": count, "validation": 0, "test": 0}} for count in (10_000, 10_001))
    assert room.loose_files_notes(few, PARAMS) == []
    assert "20002 files, up to 10001 in one folder" in room.loose_files_notes(many, PARAMS)[0]
    assert room.loose_files_notes(many, replace(PARAMS, layouts=("parquet",))) == []


def test_the_citation_and_the_croissant_name_the_same_licence(released: Path) -> None:
    assert "CC-BY-4.0" in (released / "CITATION.cff").read_text()
    licence = json.loads((released / "croissant.json").read_text())["license"]
    assert licence == "https://creativecommons.org/licenses/by/4.0/legalcode"


def test_of_many_photos_that_are_gone_the_first_are_named() -> None:
    gone = [WholePhoto("a", str(number), "", False, f"Photo {number} is left out.") for number in range(14)]
    assert left_out(gone)[-2:] == ["Photo 11 is left out.", "2 more are left out."]
    assert len(left_out(gone[:12])) == 12


# After a kill


def test_what_a_killed_build_has_left_is_written_anew(
    splits: Path, released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / ".release.release-part"

    def killed(*_: object) -> None:
        for left in ("README.md", "CITATION.cff", ".x1.dpedtool-part", "dped/a/stray.jpg"):
            (hidden / left).parent.mkdir(parents=True, exist_ok=True)
            (hidden / left).write_text("cut sh")
        raise KeyboardInterrupt

    interrupt(monkeypatch, killed, splits, tmp_path / "release")
    build_release(splits, tmp_path / "release", PARAMS)
    assert sums(tmp_path / "release") == sums(released)


def test_a_finding_can_be_mended(splits: Path, released: Path, tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match="Nothing was released"):
        build_release(splits, tmp_path / "release", replace(PARAMS, description="From /home/jane/photos."))
    build_release(splits, tmp_path / "release", PARAMS)
    assert sums(tmp_path / "release") == sums(released)


def test_a_photo_that_has_gone_since_a_killed_build_is_not_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = write_split(tmp_path, ("a",))
    interrupt(monkeypatch, stop, splits, tmp_path / "release")
    tested = sorted(row.pair_id for row in read_rows(Photo.table_in(splits), Photo) if row.split == "test")
    (tmp_path / "photos/a" / f"{tested[-1].removeprefix('a-')}.jpg").unlink()
    build_release(splits, tmp_path / "release", PARAMS)
    photos = list((tmp_path / "release/dped/a/test_data/full_size_test_images").iterdir())
    assert len(photos) == len(tested) - 1


@pytest.mark.parametrize("was_renamed", [False, True])
def test_a_kill_while_names_change_loses_no_release(
    splits: Path, released: Path, tmp_path: Path, was_renamed: bool
) -> None:
    old = shutil.copytree(released, tmp_path / ".release.release-part.old")
    if was_renamed:
        shutil.copytree(released, tmp_path / "release")
    with pytest.raises(DpedtoolError, match="is already a release"):
        build_release(splits, tmp_path / "release", PARAMS)
    assert sums(tmp_path / "release") == sums(released)
    assert not old.exists()
    build_release(splits, tmp_path / "release", PARAMS, replace_old=True)
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


def test_the_licence_is_spelled_as_spdx_does(splits: Path, released: Path, tmp_path: Path) -> None:
    build_release(splits, tmp_path / "release", replace(PARAMS, licence="cc-by-4.0"))
    assert sums(tmp_path / "release") == sums(released)


def test_a_write_that_fails_names_the_place(splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(build, "write_chunk", full)
    with pytest.raises(OSError, match="No space left") as caught:
        build_release(splits, tmp_path / "release", PARAMS)
    assert caught.value.filename == str(tmp_path / ".release.release-part")


def test_photos_that_become_png_may_take_several_times_as_much(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.heic"):
        (tmp_path / name).write_bytes(bytes(10))
    assert (room._size(tmp_path / "a.jpg"), room._size(tmp_path / "a.heic")) == (10, 60)


def test_names_that_tell_a_day_are_said(tmp_path: Path) -> None:
    table = write_patches(tmp_path / "patches", "a", [frame("PXL_20230511_142231"), frame("s02")], images)
    SELECTION.write(table.parent / "selection.json")
    split({"a": table}, tmp_path / "splits", SplitParams(test=0, validation=0))
    built = build_release(tmp_path / "splits", tmp_path / "release", PARAMS)
    assert built.notes[0].startswith("The name of 1 photo says when it was taken, such as PXL_20230511_142231.jpg. ")
    assert read_json(tmp_path / "release/statistics.json")["dated_names"] == 1


def test_a_phone_of_an_odd_name_is_refused(tmp_path: Path) -> None:
    splits = write_split(tmp_path, ("phöne",))
    with pytest.raises(DpedtoolError, match="The phone is called 'phöne', a name that some programs cannot handle"):
        build_release(splits, tmp_path / "release", PARAMS)


def test_blanks_in_the_name_of_a_phone_are_none_in_the_release(tmp_path: Path) -> None:
    build_release(write_split(tmp_path, ("my phone",)), tmp_path / "release", PARAMS)
    names = [path.relative_to(tmp_path / "release").as_posix() for path in (tmp_path / "release").rglob("*")]
    assert any("my_phone" in name for name in names)
    assert not any(" " in name for name in names)
    with pytest.raises(DpedtoolError, match="The names my phone, my_phone of phones are equal in a release"):
        build_release(write_split(tmp_path / "both", ("my phone", "my_phone")), tmp_path / "other", PARAMS)
