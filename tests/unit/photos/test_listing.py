"""Which files of a folder are its photos."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.photos.listing import list_photos, search_folder


def test_photos_are_listed_by_name_without_hidden_files_folders_and_others(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", ".hidden.jpg", "notes.txt", "c.tiff"):
        (tmp_path / name).write_text("")
    (tmp_path / "d.jpg").mkdir()
    assert [path.name for path in list_photos(tmp_path)] == ["a.png", "b.JPG", "c.tiff"]


def test_of_a_moment_that_was_written_twice_the_jpeg_is_taken(tmp_path: Path) -> None:
    for name in ("1.HEIC", "1.JPG", "2.CR2", "2.jpeg", "3.dng", "4.heic", "4.png", "5.JPG", "5.NEF", "5.tif"):
        (tmp_path / name).write_text("")
    kept = [path.name for path in list_photos(tmp_path)]
    assert kept == ["1.JPG", "2.jpeg", "3.dng", "4.heic", "4.png", "5.JPG", "5.tif"]
    every = [path.name for path in search_folder(tmp_path).photos]
    assert [name for name in every if name not in kept] == ["1.HEIC", "2.CR2", "5.NEF"]
    assert every == sorted(every)


def test_folders_without_photos_say_what_they_hold(tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"holds no photos \(nothing\)"):
        list_photos(tmp_path)
    (tmp_path / "a.MOV").write_text("")
    with pytest.raises(DpedtoolError, match=r"only 1 video \(\.mov\)"):
        list_photos(tmp_path)
    with pytest.raises(DpedtoolError, match="is not a folder"):
        list_photos(tmp_path / "a.MOV")
    with pytest.raises(DpedtoolError, match="There is no folder"):
        list_photos(tmp_path / "none")
