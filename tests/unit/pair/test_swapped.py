"""Folders in the wrong order are named, where the photos' EXIF blocks show both."""

from __future__ import annotations

from pathlib import Path

import pytest
from photo_exif import photo_bytes
from PIL import Image as PillowImage
from PIL.TiffImagePlugin import IFDRational

from dpedtool.dataset.names import identifier
from dpedtool.pipeline.pair.shots import Shot
from dpedtool.pipeline.pair.swapped import notes_of_swapped

Of = tuple[str, str, float, int]
CANON: Of = ("Canon", "Canon EOS 70D", 50.0, 80)
APPLE: Of = ("Apple", "iPhone 3GS", 3.85, 0)
NO_NAME_PHONE: Of = ("", "", 4.2, 26)
NO_NAME_CAMERA: Of = ("", "", 35.0, 52)
COMPACT: Of = ("Ricoh", "Some Compact", 10.0, 27)
NOTHING: Of = ("", "", 0.0, 0)


def shots(folder: Path, *cameras: Of) -> list[Shot]:
    folder.mkdir()
    found = []
    for index, (make, model, focal_mm, on_film_mm) in enumerate(cameras):
        exif = PillowImage.Exif()
        if make:
            exif[0x10F], exif[0x110] = make, model
        details = exif.get_ifd(0x8769)
        if focal_mm:
            details[0x920A] = IFDRational(round(focal_mm * 100), 100)
        if on_film_mm:
            details[0xA405] = on_film_mm
        path = folder / f"{index}.jpg"
        path.write_bytes(photo_bytes("jpeg", exif))
        found.append(Shot(path, identifier(path.stem)))
    return found


@pytest.mark.parametrize(
    ("phone", "dslr", "names"),
    [
        (CANON, APPLE, ("Canon EOS 70D", "Apple iPhone 3GS")),
        (NO_NAME_CAMERA, NO_NAME_PHONE, ("a crop factor of 1.5", "a crop factor of 6.2")),
        (("SONY", "ILCE-7M3", 0.0, 0), ("Google", "Pixel 7", 0.0, 0), ("SONY ILCE-7M3", "Google Pixel 7")),
        (("NIKON CORPORATION", "NIKON D5500", 0.0, 0), ("samsung", "SM-S911B", 0.0, 0), ("NIKON D5500", "SM-S911B")),
        (APPLE, CANON, None),
        (CANON, CANON, None),
        (APPLE, APPLE, None),
        (CANON, NOTHING, None),
        (COMPACT, APPLE, None),
    ],
)
def test_only_folders_that_both_show_it_are_named(
    tmp_path: Path, phone: Of, dslr: Of, names: tuple[str, str] | None
) -> None:
    folders = tmp_path / "a", tmp_path / "b"
    notes = notes_of_swapped(*folders, shots(folders[0], phone, phone), shots(folders[1], dslr))
    assert len(notes) == bool(names)
    if names:
        assert notes[0].startswith(f"The folders may be swapped: the photos in {folders[0]}, given as the phone's")
        assert notes[0].index(names[0]) < notes[0].index(names[1])


def test_a_folder_of_both_kinds_and_a_photo_that_cannot_be_read_show_nothing(tmp_path: Path) -> None:
    mixed, phones = shots(tmp_path / "a", CANON, APPLE), shots(tmp_path / "b", APPLE)
    assert notes_of_swapped(tmp_path / "a", tmp_path / "b", mixed, phones) == []
    mixed[0].path.write_bytes(b"")
    assert notes_of_swapped(tmp_path / "a", tmp_path / "b", mixed[:1], phones) == []
