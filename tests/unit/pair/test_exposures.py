"""Files of one exposure: raw beside developed, HEIC beside JPEG; which one stands for it, and what becomes of both."""

from __future__ import annotations

import importlib
import io
import json
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from photo_exif import DATE_TIME
from photo_samples import dng, mosaic
from PIL import Image as PillowImage

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import PairParams
from dpedtool.dataset.photos.formats import raw
from dpedtool.dataset.schema import CameraShot, Pair
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.cli import main
from dpedtool.pipeline.pair.exposures import read_folder
from dpedtool.pipeline.pair.intake import Folders, PairedFolders, pair_into
from dpedtool.pipeline.pair.notes import CHOICE

START = datetime(2024, 5, 4, 10, 0, 0)
EXPOSURE = (1 / 64, 128)
needs_raw = pytest.mark.skipif(not raw.FORMAT.extra.is_installed, reason="needs the extra raw")


def scene(blur: float = 0) -> np.ndarray:
    rng = np.random.default_rng(0)
    layers = [cv2.GaussianBlur(rng.normal(size=(240, 320)), (0, 0), sigma) for sigma in (2, 6)]
    grey = np.clip(128 + 40 * sum(layer / layer.std() for layer in layers), 0, 255).astype(np.uint8)
    return cv2.GaussianBlur(grey, (0, 0), blur) if blur else grey


def photo(path: Path, seconds: float | None = None, *, blur: float = 0, exposure: tuple[float, int] = EXPOSURE) -> None:
    """A photo that differs from all others, of the format that its suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = None if seconds is None else START + timedelta(seconds=seconds)
    if path.suffix.lower() == ".dng":
        counts = mosaic(scene(blur) * 100.0)
        counts[0, 0] = sum(ascii(path).encode()) % 60000
        says = {} if time is None else {DATE_TIME: time.strftime("%Y:%m:%d %H:%M:%S")}
        path.write_bytes(dng(counts, 1, {DATE_TIME: ""} | says))
        return
    exif = PillowImage.Exif()
    exif[270] = ascii(path)
    details = exif.get_ifd(0x8769)
    details[33434], details[34855] = exposure
    if time:
        details[36867], details[37521] = time.strftime("%Y:%m:%d %H:%M:%S"), f"{time.microsecond // 10_000:02d}"
    content = io.BytesIO()
    picture = PillowImage.fromarray(scene(blur)).convert("RGB")
    if path.suffix.lower() == ".heic":
        importlib.import_module("pillow_heif").from_pillow(picture).save(content, exif=exif.tobytes())
    else:
        picture.save(content, "JPEG" if path.suffix.lower() == ".jpg" else "TIFF", exif=exif)
    path.write_bytes(content.getvalue())


def lying(folder: Path) -> dict[str, str | None]:
    """The photos that stand for an exposure, and the file names of those that lie beside one."""
    found = read_folder(folder, "")
    return {shot.path.name: None for shot in found.photos} | {
        shot.path.name: shot.beside.path.name for shot in found.beside
    }


def paired(folder: Path, **params: object) -> PairedFolders:
    return pair_into(folder / "out", [Folders(folder / "phone", folder / "dslr")], PairParams(**params))


def frames(found: PairedFolders) -> dict[str, tuple[str | None, str | None, int | None, int | None, str | None]]:
    return {
        row.phone_path.name: (row.scene_id, row.role, row.frame, row.frames, row.matched_by)
        for row in found.rows
        if row.phone_path
    }


def shots(found: PairedFolders) -> dict[str, tuple[str, str | None, str | None]]:
    return {f"{shot.camera}/{shot.path.name}": (shot.role, shot.beside, shot.scene_id) for shot in found.shots}


# Which file stands for the exposure


def test_a_raw_file_lies_beside_what_was_developed_from_it(tmp_path: Path) -> None:
    pairs = {"1.DNG": "1.JPG", "b.cr2": "B.tif", "3.NEF": "3.heic", "4.dng": "4.JPG", "4.HEIC": "4.JPG"}
    for name in (*pairs, *pairs.values(), "4.png", "5.dng", "6.heic", "6.png"):
        (tmp_path / name).write_text("")
    alone = ["1.JPG", "3.heic", "4.JPG", "4.png", "5.dng", "6.heic", "6.png", "B.tif"]
    assert lying(tmp_path) == dict.fromkeys(alone) | pairs


def test_of_jpegs_that_differ_in_capitals_the_one_spelt_alike_has_the_raw_file(tmp_path: Path) -> None:
    for name in ("img.JPG", "IMG.JPG", "img.DNG"):
        (tmp_path / name).write_text("")
    assert lying(tmp_path)["img.DNG"] == "img.JPG"


@needs_raw
def test_times_that_contradict_each_other_are_of_two_exposures(tmp_path: Path) -> None:
    """2 s apart they are one, since raw files have whole seconds; 3 s apart they are two; without a time they are."""
    for index, (jpeg_s, raw_s) in enumerate([(0, 2), (10, 13), (20, None), (None, 30)]):
        photo(tmp_path / f"{index}.JPG", jpeg_s)
        photo(tmp_path / f"{index}.DNG", raw_s)
    found = read_folder(tmp_path, "")
    assert [shot.path.name for shot in found.beside] == ["0.DNG", "2.DNG", "3.DNG"]
    assert found.contradictory == [(tmp_path / "1.DNG", tmp_path / "1.JPG")]
    # The developed photo has the name in any case, so that a raw file changes no identifier.
    assert [shot.name for shot in found.photos if shot.path.suffix == ".JPG"] == ["0", "1", "2", "3"]
    assert len({shot.name for shot in [*found.photos, *found.beside]}) == 8
    assert found.beside[1].time == START + timedelta(seconds=20)
    assert found.beside[0].taken.iso == EXPOSURE[1]


# The tables


@needs_raw
def test_a_raw_file_of_the_phone_is_a_frame_and_one_of_the_dslr_no_moment(tmp_path: Path) -> None:
    for index in range(2):
        for camera in ("phone", "dslr"):
            photo(tmp_path / camera / f"IMG_{index}.JPG")
        photo(tmp_path / "phone" / f"img_{index}.DNG")
    photo(tmp_path / "dslr" / "IMG_0.dng")
    photo(tmp_path / "phone" / "lone.jpg")
    photo(tmp_path / "phone" / "lone.dng")
    found = paired(tmp_path)
    assert frames(found) == {
        "IMG_0.JPG": ("IMG_0", "base", 0, 2, "name"),
        "img_0.DNG": ("IMG_0", "frame", 1, 2, "beside"),
        "IMG_1.JPG": ("IMG_1", "base", 0, 2, "name"),
        "img_1.DNG": ("IMG_1", "frame", 1, 2, "beside"),
        "lone.jpg": (None, None, None, None, None),
    }
    assert {row.pair_id for row in found.rows} >= {"phone--IMG_0", "phone--IMG_1", "phone--lone"}
    details = {row.phone_path.name: row.detail for row in found.rows}
    assert details["IMG_0.JPG"] == "The base of 2 frames: the others are its raw files."
    assert details["img_0.DNG"] == "It is the raw file of IMG_0.JPG."
    assert shots(found) == {
        "dslr/IMG_0.JPG": ("reference", None, "IMG_0"),
        "dslr/IMG_0.dng": ("beside", "IMG_0.JPG", "IMG_0"),
        "dslr/IMG_1.JPG": ("reference", None, "IMG_1"),
        "phone/IMG_0.JPG": ("base", None, "IMG_0"),
        "phone/img_0.DNG": ("frame", "IMG_0.JPG", "IMG_0"),
        "phone/IMG_1.JPG": ("base", None, "IMG_1"),
        "phone/img_1.DNG": ("frame", "IMG_1.JPG", "IMG_1"),
        "phone/lone.jpg": ("alone", None, None),
        "phone/lone.dng": ("beside", "lone.jpg", None),
    }
    by_name = {shot.path.name: shot for shot in found.shots}
    assert by_name["img_1.DNG"].ev == 0
    assert len(by_name["IMG_0.dng"].sha256) == 64
    assert (by_name["IMG_0.dng"].frame, by_name["IMG_0.dng"].ev) == (None, None)
    assert found.notes == [
        "4 files lie beside a photo of the same exposure (IMG_0.dng beside IMG_0.JPG, lone.dng beside lone.jpg, "
        "img_0.DNG beside IMG_0.JPG, img_1.DNG beside IMG_1.JPG): 2 are further frames and 2 are in shots.parquet "
        f"alone. {CHOICE}"
    ]
    assert (found.report.shots.dslr, found.report.paired, found.report.frames) == (2, 2, 2)


@needs_raw
def test_in_a_burst_each_raw_file_follows_its_photo_and_is_never_the_base(tmp_path: Path) -> None:
    """Clocks are compared without the raw files, whose times have whole seconds alone."""
    rhythm = (0, 11, 31, 58, 80, 95, 140, 161, 200, 260)
    for index, seconds in enumerate(rhythm):
        photo(tmp_path / "dslr" / f"D{index}.JPG", seconds + 37)
        for number in range(3 if index == 4 else 1):
            photo(tmp_path / "phone" / f"P{index}_{number}.JPG", seconds + 0.4 * number)
            photo(tmp_path / "phone" / f"P{index}_{number}.DNG", int(seconds + 0.4 * number))
    found = paired(tmp_path, by="clock")
    assert {name: place for name, place in frames(found).items() if name.startswith("P4")} == {
        "P4_0.JPG": ("D4", "base", 0, 6, "clock"),
        "P4_0.DNG": ("D4", "frame", 1, 6, "beside"),
        "P4_1.JPG": ("D4", "frame", 2, 6, "frame"),
        "P4_1.DNG": ("D4", "frame", 3, 6, "beside"),
        "P4_2.JPG": ("D4", "frame", 4, 6, "frame"),
        "P4_2.DNG": ("D4", "frame", 5, 6, "beside"),
    }
    assert found.report.clocks[""].offset_start_s == pytest.approx(37, abs=0.02)
    of_raw = next(row for row in found.rows if row.phone_path and row.phone_path.name == "P4_1.DNG")
    assert of_raw.clock_error_s == pytest.approx(-0.4, abs=0.02)


@needs_raw
def test_the_sharpest_developed_frame_is_the_base_even_if_a_raw_file_is_sharper(tmp_path: Path) -> None:
    photo(tmp_path / "dslr" / "x.jpg")
    for name, blur in (("a", 2.0), ("b", 1.0)):
        photo(tmp_path / "phone" / f"{name}.jpg", blur=blur)
        photo(tmp_path / "phone" / f"{name}.dng")
    (tmp_path / "list.csv").write_text("phone,dslr\na,x\nb,x\n")
    found = frames(paired(tmp_path, csv=str(tmp_path / "list.csv")))
    assert {name: (role, how) for name, (_, role, _, _, how) in found.items()} == {
        "a.jpg": ("frame", "csv"),
        "a.dng": ("frame", "beside"),
        "b.jpg": ("base", "csv"),
        "b.dng": ("frame", "beside"),
    }
    (tmp_path / "list.csv").write_text("phone,dslr\na.dng,x\n")
    with pytest.raises(DpedtoolError, match=r"names 'a.dng', which is of the same exposure as a.jpg: name that photo"):
        paired(tmp_path, csv=str(tmp_path / "list.csv"))


@pytest.mark.parametrize("frames_s", [0, 2])
def test_raw_files_are_no_frames_without_the_extra_or_where_frames_are_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames_s: float
) -> None:
    if frames_s:
        monkeypatch.setattr(type(raw.FORMAT.extra), "is_installed", False)
    photo(tmp_path / "phone" / "a.jpg")
    photo(tmp_path / "phone" / "a.dng")
    photo(tmp_path / "dslr" / "a.jpg")
    found = paired(tmp_path, frames_s=frames_s)
    assert list(frames(found)) == ["a.jpg"]
    assert shots(found)["phone/a.dng"] == ("beside", "a.jpg", "a")
    note = f"The raw files beside the photos in {tmp_path / 'phone'} are no frames, because camera raw files need a"
    assert [each.startswith(note) for each in found.notes] == ([True, False] if frames_s else [False])
    assert found.notes[-1].endswith(f"beside a.jpg): 1 is in shots.parquet alone. {CHOICE}")


@needs_raw
def test_a_raw_file_of_another_time_is_a_photo_of_its_own(tmp_path: Path) -> None:
    photo(tmp_path / "dslr" / "a.jpg", 0)
    photo(tmp_path / "phone" / "a.jpg", 0)
    photo(tmp_path / "phone" / "a.dng", 50)
    found = paired(tmp_path)
    reasons = {row.phone_path.name: row.reason for row in found.rows}
    assert reasons == {"a.jpg": "", "a.dng": "no_dslr_photo"}
    assert found.notes == [
        "1 file has the name of another photo and a capture time that differs from its by more than 2 s, so that the "
        f"two are different photos: {tmp_path / 'phone' / 'a.dng'} and a.jpg."
    ]


def test_a_heic_file_beside_a_jpeg_is_in_the_table_of_shots_alone(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    for camera in ("phone", "dslr"):
        photo(tmp_path / camera / "IMG_1.JPG", 0)
        photo(tmp_path / camera / "img_1.heic", 1)
    words = ["pair", str(tmp_path / "phone"), str(tmp_path / "dslr"), "-o", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    note = (
        "2 files lie beside a photo of the same exposure (img_1.heic beside IMG_1.JPG, img_1.heic beside IMG_1.JPG): 2 "
        f"are in shots.parquet alone. {CHOICE}"
    )
    assert json.loads(done.stdout)["notes"] == [note]
    assert note in done.stderr.splitlines()
    (row,) = read_rows(tmp_path / "out/pairs.parquet", Pair)
    assert (row.pair_id, row.scene_id, row.frames, row.detail) == ("phone--IMG_1", "IMG_1", 1, "")
    written = read_rows(tmp_path / "out/shots.parquet", CameraShot)
    assert [(shot.camera, shot.role, shot.beside, shot.frame) for shot in written] == [
        ("dslr", "reference", None, 0),
        ("dslr", "beside", "IMG_1.JPG", None),
        ("phone", "base", None, 0),
        ("phone", "beside", "IMG_1.JPG", None),
    ]
