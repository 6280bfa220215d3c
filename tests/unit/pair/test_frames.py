"""Moments with several frames: bursts, brackets and second shots, and the frame that stands for the moment."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PillowImage

from dpedtool.dataset.params import PairParams
from dpedtool.dataset.photos.exif import Taken
from dpedtool.dataset.schema import CameraShot, Pair
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.cli import main
from dpedtool.pipeline.pair.frames import Moments, choose_base, find_frames
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
    path: Path, seconds: float | None, *, exposure: tuple[float, int] | None = None, picture: int = 0, blur: float = 0
) -> None:
    """A photo of a drawn scene, with a time to the hundredth of a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(picture)
    layers = [cv2.GaussianBlur(rng.normal(size=(240, 320)), (0, 0), sigma) for sigma in (2, 6)]
    grey = np.clip(128 + 40 * sum(layer / layer.std() for layer in layers), 0, 255).astype(np.uint8)
    if blur:
        grey = cv2.GaussianBlur(grey, (0, 0), blur)
    exif = PillowImage.Exif()
    exif[270] = ascii(path)
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
    assert dict(find_frames(phones, {0: 5}, 2.0, lambda *_: None).dslr_of) == {0: 5, 1: 5}


def test_a_time_lapse_is_searched_in_no_time() -> None:
    """Every second photo of 6000 has a mate: each of the others lies between two moments."""
    moments = found(tuple(float(second) for second in range(6000)), {index: index for index in range(0, 6000, 2)})
    assert moments.between == set(range(1, 5999, 2))
    assert set(moments.dslr_of) == {*range(0, 6000, 2), 5999}


# Which frame is the base


def test_the_base_is_named_so_or_nearest_in_time() -> None:
    phones = shots(0, 0.5, 1)
    assert choose_base([2], phones, None, {}) == (2, "")
    assert choose_base([0, 1, 2], phones, 2, {}) == (2, "it has the name of the DSLR's photo")
    away = {0: 0.9, 1: 0.3, 2: 0.41}
    assert choose_base([0, 1, 2], phones, None, away) == (1, "it is nearest in time to the DSLR's photo")


def test_of_equally_near_frames_the_sharpest_is_the_base(tmp_path: Path) -> None:
    for name, blur in (("a", 2.0), ("b", 0.0), ("c", 1.0)):
        photo(tmp_path / f"{name}.jpg", 0, blur=blur)
    phones = [Shot(tmp_path / f"{name}.jpg", name, Taken(START)) for name in "abcd"]
    away = {0: 1.0, 1: 1.0, 2: 1.05, 3: 1.0}
    assert choose_base([0, 1, 2, 3], phones, None, away) == (1, "it is the sharpest of those nearest in time")
    why = "it is the sharpest, and no clock says which one is nearest in time"
    assert choose_base([0, 2], phones, None, {}) == (2, why)
    # What cannot be read is not sharp.
    assert choose_base([3, 0], phones, None, {})[0] == 0


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


def test_the_command_counts_frames_and_names_brackets_without_exposures(tmp_path: Path) -> None:
    photo(tmp_path / "dslr" / "0.jpg", 0)
    for name in ("0", "1", "2"):
        photo(tmp_path / "phone" / f"{name}.jpg", 0.5)
    folders = [str(tmp_path / name) for name in ("phone", "dslr")]
    done = CliRunner().invoke(main, ["pair", *folders, "-o", str(tmp_path / "out"), "--set", "pair.by=name"])
    assert done.exit_code == 0, done.output
    assert "1 pair, paired by equal file names." in done.output
    assert "2 further frames of 1 moment; shots.parquet names the base frames." in done.output
    assert "The EXIF block of 1.jpg or of its base frame has no exposure time and ISO" in done.output


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
