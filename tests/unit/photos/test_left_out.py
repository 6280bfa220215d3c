"""What a folder holds besides photos: counted by kind, named in one line, and no kind forgotten."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from photo_exif import photo_bytes

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.photos.listing import list_photos, search_folder
from dpedtool.pipeline.cli import main

KINDS = {
    "not_downloaded": [".IMG_1.HEIC.icloud", "IMG_2.JPG.icloud", "c.cloudf"],
    "empty_files": ["empty.JPG"],
    "videos": ["IMG_3.MOV", "PXL_1.MP", "a.mp4"],
    "sidecars": ["IMG_1.AAE", "IMG_1.xmp"],
    "hidden_photos": [".trashed-17-IMG_9.jpg"],
    "misnamed_photos": ["photo.jpg_large"],
    "other_files": ["notes.txt", "no-suffix"],
}
OF_NO_INTEREST = ["._IMG_1.JPG", ".DS_Store", "Thumbs.db"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "camera").mkdir()
    for name in [*(name for names in KINDS.values() for name in names), *OF_NO_INTEREST]:
        (tmp_path / "camera" / name).write_bytes(b"" if name == "empty.JPG" else b"other")
    for name in ("a.jpg", "photo.jpg_large"):
        (tmp_path / "camera" / name).write_bytes(photo_bytes("jpeg", None))
    for place in ("100CANON", "101CANON/deep", ".hidden", "films"):
        (tmp_path / "camera" / place).mkdir(parents=True)
    for name in ("100CANON/b.jpg", "100CANON/c.CR2", "101CANON/deep/d.heic", ".hidden/e.jpg", "films/f.mov"):
        (tmp_path / "camera" / name).write_bytes(b"")
    return tmp_path / "camera"


def test_every_file_is_read_or_counted_by_its_kind(folder: Path) -> None:
    found = search_folder(folder)
    assert [path.name for path in found.photos] == ["a.jpg", "empty.JPG"]
    assert found.left_out.as_json() == {
        "folder": str(folder),
        **{kind: len(names) for kind, names in KINDS.items()},
        "photos_in_subfolders": 3,
    }
    assert found.left_out.sentence == (
        f"Left out of {folder}: 3 files that are not downloaded from the cloud (.IMG_1.HEIC.icloud, IMG_2.JPG.icloud, "
        "c.cloudf), 1 empty file (empty.JPG), 3 videos (.mov, .mp, .mp4), 2 sidecars (.aae, .xmp), 1 photo with the "
        "suffix of another kind of file (photo.jpg_large is JPEG), 1 hidden photo (.trashed-17-IMG_9.jpg), 2 other "
        "files (.txt, no suffix), 3 photos in sub-folders (100CANON, 101CANON); --recursive reads sub-folders."
    )


def test_with_sub_folders_their_files_are_counted_too(folder: Path) -> None:
    found = search_folder(folder, recursive=True)
    assert [path.name for path in found.photos] == ["b.jpg", "c.CR2", "d.heic", "a.jpg", "empty.JPG"]
    assert found.left_out.counts["videos"] == 4
    assert "photos_in_subfolders" not in found.left_out.counts


def test_nothing_is_said_of_a_folder_of_photos(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    assert search_folder(tmp_path).left_out.sentence == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_sub_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "locked").mkdir(mode=0)
    assert "1 sub-folder that cannot be read (locked)" in search_folder(tmp_path).left_out.sentence


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("100APPLE/a.jpg", r"no photos, only 1 photo in sub-folders \(100APPLE\): name one .*--recursive \(captures"),
        (".a.HEIC.icloud", r"only 1 file that is not downloaded from the cloud \(\.a\.HEIC\.icloud\): download them"),
        ("a.mov", r"only 1 video \(\.mov\): put JPEG"),
        ("._a.jpg", r"holds no photos \(nothing\): put JPEG"),
    ],
)
def test_a_folder_without_photos_says_what_it_holds_and_what_helps(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DpedtoolError, match=words):
        list_photos(tmp_path)


def test_pair_prints_one_line_and_keeps_the_counts_in_its_json(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "dslr").mkdir()
    (tmp_path / "dslr/a.jpg").write_bytes(photo_bytes("png", None))
    (folder / "empty.JPG").unlink()
    words = ["pair", folder, tmp_path / "dslr", "-o", tmp_path / "out", "--json"]
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert [line[:8] for line in done.stderr.splitlines()].count("Left out") == 1
    told = json.loads(done.stdout)["left_out"]
    assert [each["folder"] for each in told] == [str(folder)]
    assert (told[0]["videos"], told[0]["photos_in_subfolders"]) == (3, 3)
    done = CliRunner().invoke(main, [*(str(word) for word in words), "--recursive"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"] == 4
