"""Moments with several frames: bursts, brackets and second shots, and the frame that stands for the moment."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image as PillowImage

from dpedtool.dataset.params import PairParams
from dpedtool.dataset.photos.exif import Taken
from dpedtool.dataset.schema import CameraShot, Pair
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.cli import main
from dpedtool.pipeline.pair.frames import Moments, base_candidates, find_frames
from dpedtool.pipeline.pair.intake import Folders, PairedFolders, pair_into
from dpedtool.pipeline.pair.shots import Shot

START = datetime(2024, 5, 4, 10, 0, 0)
RHYTHM = (0, 11, 31, 58, 80, 95, 140, 161, 200, 260, 333, 361)


def shots(*seconds: float | None) -> list[Shot]:
    times = [None if each is None else START + timedelta(seconds=each) for each in seconds]
    return [Shot(Path(f"IMG_{index}.jpg"), f"IMG_{index}", Taken(time)) for index, time in enumerate(times)]


def found(times: tuple[float | None, ...], partners: Mapping[int, int], most_s: float = 2.0) -> Moments:
    return find_frames(shots(*times), partners, most_s, lambda *_: 1.0)


def photo(
    path: Path,
    seconds: float | None,
    *,
    exposure: tuple[float, int] | None = None,
    picture: int = 0,
    blur: float = 0,
    size: tuple[int, int] = (320, 240),
    orientation: int = 1,
    contrast: float = 40,
) -> None:
    """A photo of a drawn scene, with a time to the hundredth of a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(picture)
    layers = [cv2.GaussianBlur(rng.normal(size=(240, 320)), (0, 0), sigma) for sigma in (2, 6)]
    grey = np.clip(128 + contrast * sum(layer / layer.std() for layer in layers), 0, 255).astype(np.uint8)
    upright = cv2.rotate(grey, cv2.ROTATE_90_CLOCKWISE) if size[0] < size[1] else grey
    grey = cv2.resize(upright, size, interpolation=cv2.INTER_AREA)
    if blur:
        grey = cv2.GaussianBlur(grey, (0, 0), blur)
    exif = PillowImage.Exif()
    exif[270], exif[274] = ascii(path), orientation
    details = exif.get_ifd(0x8769)
    if seconds is not None:
        time = START + timedelta(seconds=seconds)
        details[36867] = time.strftime("%Y:%m:%d %H:%M:%S")
        details[37521] = f"{time.microsecond // 10_000:02d}"
    if exposure:
        details[33434], details[34855] = exposure
    content = io.BytesIO()
    PillowImage.fromarray(grey).convert("RGB").save(content, "JPEG", exif=exif)
    path.write_bytes(content.getvalue())


def paired(folder: Path, **params: object) -> PairedFolders:
    return pair_into(folder / "out", [Folders(folder / "phone", folder / "dslr")], PairParams(**params))


def by_name(rows: list[Pair]) -> dict[str, Pair]:
    return {row.phone_path.name: row for row in rows if row.phone_path}


# Which photos are frames


def test_photos_right_before_and_after_a_pair_are_frames_of_its_moment() -> None:
    moments = found((0, 1.5, 3, 4.5, 20), {2: 7})
    assert dict(moments.dslr_of) == {0: 7, 1: 7, 2: 7, 3: 7}
    assert (moments.further, moments.between) == ({0, 1, 3}, frozenset())
    assert {dslr: sorted(frames) for dslr, frames in moments.frames().items()} == {7: [0, 1, 2, 3]}


def test_a_pause_ends_a_run_and_photos_without_a_time_are_in_none() -> None:
    moments = found((0, 2.0, 4.01, None), {0: 0})
    assert dict(moments.dslr_of) == {0: 0, 1: 0}
    assert found((0, 1), {}).dslr_of == {}
    assert found((0, 1), {0: 0}, most_s=0).dslr_of == {0: 0}


def test_between_two_moments_the_clearly_nearer_one_has_the_frame() -> None:
    """0.6 s after the first and 1.4 s before the second; then 1 s from both; then 0.7 and 1.3 s, not twice as far."""
    moments = found((0, 0.6, 2, 3, 4, 4.7, 6), {0: 0, 2: 1, 4: 2, 6: 3})
    assert dict(moments.dslr_of) == {0: 0, 1: 0, 2: 1, 4: 2, 6: 3}
    assert moments.between == {3, 5}


def test_what_shows_something_else_is_no_frame() -> None:
    phones, asked = shots(0, 1), []

    def unlike(phone: int, dslr: int) -> float:
        asked.append((phone, dslr))
        return -1.0

    assert dict(find_frames(phones, {0: 5}, 2.0, unlike).dslr_of) == {0: 5}
    assert asked == [(1, 5)]
    moments = find_frames(phones, {0: 5}, 2.0, lambda *_: None)
    assert (dict(moments.dslr_of), moments.unjudged) == ({0: 5, 1: 5}, {1})
    assert find_frames(phones, {0: 5}, 2.0, lambda *_: 0.0).unjudged == frozenset()


def test_a_time_lapse_is_searched_in_no_time() -> None:
    """Every second photo of 6000 has a mate: each of the others lies between two moments."""
    moments = found(tuple(float(second) for second in range(6000)), {index: index for index in range(0, 6000, 2)})
    assert moments.between == set(range(1, 5999, 2))
    assert set(moments.dslr_of) == {*range(0, 6000, 2), 5999}


# Which frame is the base


def test_the_base_is_named_so_or_nearest_in_time() -> None:
    phones = shots(0, 0.5, 1)
    assert base_candidates([2], phones, None, {}) == ([2], "")
    assert base_candidates([0, 1, 2], phones, 2, {}) == ([2], "it has the name of the DSLR's photo")
    away = {0: 0.9, 1: 0.3, 2: 0.41}
    assert base_candidates([2, 0, 1], phones, None, away) == ([1], "it is nearest in time to the DSLR's photo")


def test_equally_near_frames_are_candidates_by_their_sharpness() -> None:
    phones = shots(0, 0, 0, 0)
    away = {0: 1.0, 1: 1.0, 2: 1.05, 3: 1.1}
    assert base_candidates([0, 1, 2, 3], phones, None, away) == (
        [0, 1, 2],
        "it is the sharpest of those nearest in time",
    )
    why = "it is the sharpest, and no clock says which one is nearest in time"
    assert base_candidates([2, 0], phones, None, {0: 1.0}) == ([0, 2], why)


# The tables


def test_bursts_are_rows_with_numbers_and_one_base_and_do_not_move_the_clocks(tmp_path: Path) -> None:
    for index, seconds in enumerate(RHYTHM):
        photo(tmp_path / "dslr" / f"D{index}.jpg", seconds + 37)
        for number in range(3):
            photo(tmp_path / "phone" / f"P{index}_{number}.jpg", seconds + 0.4 * (number - 1))
    result = paired(tmp_path, by="clock")
    rows = by_name(result.rows)
    assert len(rows) == 36
    for index in range(len(RHYTHM)):
        frames = [rows[f"P{index}_{number}.jpg"] for number in range(3)]
        assert [row.scene_id for row in frames] == [f"D{index}"] * 3
        assert [(row.frame, row.frames) for row in frames] == [(0, 3), (1, 3), (2, 3)]
        assert [row.role for row in frames] == ["frame", "base", "frame"]
        assert [row.matched_by for row in frames] == ["frame", "clock", "frame"]
        assert frames[1].detail == "The base of 3 frames: it is nearest in time to the DSLR's photo."
    assert len({row.pair_id for row in result.rows}) == 36
    report = result.report
    assert (report.paired, report.frames, report.shots.phone, report.shots.dslr) == (12, 24, 36, 12)
    assert report.unpaired == {}
    assert (report.clocks[""].pieces, report.clocks[""].stray_pairs) == (1, 0)
    assert report.clocks[""].offset_start_s == pytest.approx(37, abs=0.02)


def test_the_table_of_shots_says_how_each_photo_was_exposed(tmp_path: Path) -> None:
    for index in range(2):
        photo(tmp_path / "dslr" / f"{index}.jpg", 100 * index, exposure=(1 / 60, 200))
    for number, exposure in enumerate([(1 / 120, 100), (1 / 120, 400), (1 / 30, 100)]):
        photo(tmp_path / "phone" / f"0{'abc'[number] if number else ''}.jpg", number, exposure=exposure)
    photo(tmp_path / "phone" / "lone.jpg", 500)
    result = paired(tmp_path, by="name")
    written = [
        replace(shot, path=shot.path.resolve()) for shot in read_rows(tmp_path / "out/shots.parquet", CameraShot)
    ]
    assert written == result.shots
    facts = [(shot.path.name, shot.camera, shot.role, shot.frame, shot.scene_id, shot.ev) for shot in result.shots]
    assert facts == [
        ("0.jpg", "dslr", "reference", 0, "0", None),
        ("1.jpg", "dslr", "alone", None, None, None),
        ("lone.jpg", "phone", "alone", None, None, None),
        ("0.jpg", "phone", "base", 0, "0", 0.0),
        ("0b.jpg", "phone", "frame", 1, "0", 2.0),
        ("0c.jpg", "phone", "frame", 2, "0", 2.0),
    ]
    dslr = result.shots[0]
    assert (dslr.exposure_s, dslr.iso, dslr.f_number) == (pytest.approx(1 / 60), 200, None)
    assert dslr.sha256 == by_name(result.rows)["0.jpg"].dslr_sha256


def test_two_shots_for_one_of_the_dslr_are_no_error_in_a_list(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        photo(tmp_path / "phone" / f"{name}.jpg", None, blur=0 if name == "b" else 2)
    photo(tmp_path / "dslr" / "x.jpg", None)
    photo(tmp_path / "dslr" / "y.jpg", None)
    (tmp_path / "list.csv").write_text("phone,dslr\na,x\nb,x\nc,y\n")
    rows = by_name(paired(tmp_path, csv=str(tmp_path / "list.csv")).rows)
    assert {name: (row.scene_id, row.role, row.frame, row.frames) for name, row in rows.items()} == {
        "a.jpg": ("x", "frame", 0, 2), "b.jpg": ("x", "base", 1, 2), "c.jpg": ("y", "base", 0, 1)
    }  # fmt: skip


def test_a_photo_between_two_moments_says_so(tmp_path: Path) -> None:
    for index, seconds in enumerate((0, 2)):
        photo(tmp_path / "dslr" / f"{index}.jpg", seconds)
        photo(tmp_path / "phone" / f"{index}.jpg", seconds)
    photo(tmp_path / "phone" / "between.jpg", 1)
    row = by_name(paired(tmp_path, by="name").rows)["between.jpg"]
    assert (row.status, row.reason, row.scene_id, row.role) == ("unpaired", "between_moments", None, None)
    assert row.detail.startswith(f"{tmp_path / 'phone' / 'between.jpg'} was taken between two moments")


def test_without_frames_every_photo_is_a_moment_of_its_own(tmp_path: Path) -> None:
    photo(tmp_path / "dslr" / "0.jpg", 0)
    for name in ("0", "1"):
        photo(tmp_path / "phone" / f"{name}.jpg", 0.5)
    rows = by_name(paired(tmp_path, by="name", frames_s=0).rows)
    assert rows["1.jpg"].reason == "no_dslr_photo"
    assert (rows["0.jpg"].role, rows["0.jpg"].frame, rows["0.jpg"].frames, rows["0.jpg"].detail) == ("base", 0, 1, "")


def pair_command(folder: Path, *more: str) -> Result:
    words = ["pair", str(folder / "phone"), str(folder / "dslr"), "-o", str(folder / "out"), *more]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    return done


def test_the_command_counts_frames_and_names_brackets_without_exposures(tmp_path: Path) -> None:
    photo(tmp_path / "dslr" / "0.jpg", 0)
    for name in ("0", "1", "2"):
        photo(tmp_path / "phone" / f"{name}.jpg", 0.5)
    done = pair_command(tmp_path, "--set", "pair.by=name")
    assert "1 pair, paired by equal file names." in done.stdout
    assert "2 further frames of 1 moment; shots.parquet names the base frames." in done.stdout
    note = (
        "2 further frames have no ev in shots.parquet, because the EXIF block of the frame or of its base frame lacks "
        "the exposure time or the ISO sensitivity: 1.jpg, 2.jpg."
    )
    assert done.stderr.splitlines() == [note]
    assert json.loads(pair_command(tmp_path, "--set", "pair.by=name", "--json").stdout)["notes"] == [note]


def test_frames_of_another_size_or_orientation_are_named(tmp_path: Path) -> None:
    exposure = 1 / 60, 100
    photo(tmp_path / "dslr" / "0.jpg", 0)
    for index, size in enumerate([(320, 240), (240, 320), (160, 120), (320, 240)]):
        photo(tmp_path / "phone" / f"{index}.jpg", 0.5 * index, exposure=exposure, size=size)
    photo(tmp_path / "phone" / "4.jpg", 1.9, exposure=exposure, orientation=6)
    done = pair_command(tmp_path, "--set", "pair.by=name")
    note = (
        "3 frames have another size or orientation than the base frame of the moment: 1.jpg (240x320 px; 0.jpg has "
        "320x240 px), 2.jpg (160x120 px; 0.jpg has 320x240 px), 4.jpg (240x320 px; 0.jpg has 320x240 px); remove them "
        "from the folder if that was not intended."
    )
    assert done.stderr.splitlines() == [note]
    rows = by_name(read_rows(tmp_path / "out/pairs.parquet", Pair))
    assert rows["2.jpg"].detail == "It has 160x120 px, and the base frame 0.jpg has 320x240 px."
    assert (rows["3.jpg"].role, rows["3.jpg"].detail) == ("frame", "")


def test_a_burst_across_two_scenes_is_divided_and_what_lies_between_is_named(tmp_path: Path) -> None:
    for index, seconds in enumerate((0, 2)):
        photo(tmp_path / "dslr" / f"{index}.jpg", seconds)
    for index, seconds in enumerate((0, 0.5, 0.9, 1.1, 1.5, 2)):
        name = {0: "0", 5: "1"}.get(index, f"burst{index}")
        photo(tmp_path / "phone" / f"{name}.jpg", seconds, exposure=(1 / 60, 100))
    done = pair_command(tmp_path, "--set", "pair.by=name")
    assert "2 photos without a mate (2 between_moments):" in done.stdout
    for index in (2, 3):
        path = tmp_path / "phone" / f"burst{index}.jpg"
        assert f"  phone--burst{index}: {path} was taken between two moments" in done.stdout
    rows = by_name(read_rows(tmp_path / "out/pairs.parquet", Pair))
    assert (rows["burst1.jpg"].scene_id, rows["burst4.jpg"].scene_id) == ("0", "1")


def test_a_frame_that_no_picture_proves_says_so(tmp_path: Path) -> None:
    photo(tmp_path / "dslr" / "0.jpg", 0)
    photo(tmp_path / "phone" / "0.jpg", 0)
    for name, contrast in (("dark", 0.0), ("light", 40.0)):
        photo(tmp_path / "phone" / f"{name}.jpg", 1, contrast=contrast)
    rows = by_name(paired(tmp_path, by="name").rows)
    assert rows["dark.jpg"].role == rows["light.jpg"].role == "frame"
    assert rows["dark.jpg"].detail == ("Its time alone makes it a frame: the pictures show too little to be compared.")
    assert rows["light.jpg"].detail == ""


@pytest.mark.parametrize(
    ("taken", "stops"),
    [
        (Taken(None, 1 / 64, None, 128), 1.0),
        (Taken(None, 1 / 64, 2.0, 128), -1.0),
        (Taken(None, 1 / 64, None, None), None),
        (Taken(None, None, 2.0, 100), None),
    ],
)
def test_exposures_count_in_stops(taken: Taken, stops: float | None) -> None:
    assert taken.exposure_stops == stops
    assert replace(taken, time=START).exposure_stops == stops
