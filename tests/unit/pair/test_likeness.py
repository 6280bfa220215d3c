"""Sessions with doubtful clocks, which the pictures resolve: bursts, even rhythms, a handful of shots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import fsspec
import numpy as np
import pytest

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import PairParams
from dpedtool.dataset.places import as_place
from dpedtool.dataset.schema import Pair
from dpedtool.pipeline.pair import likeness
from dpedtool.pipeline.pair.likeness import UNLIKE, Pictures
from dpedtool.pipeline.pair.stage import pair_folders
from dpedtool.pipeline.rig import Camera, Files
from dpedtool.pipeline.rig.camera_files import save_photo

START = datetime(2024, 5, 4, 10, 0, 0)
PHONE = Camera(name="phone", width=240, height=180, focal_px=200)
DSLR = Camera(name="dslr", width=360, height=240, focal_px=300, files=Files(clock_offset_s=37.0))


def picture(scene: int) -> np.ndarray:
    """Blots of all colours; all scenes differ."""
    blots = np.random.default_rng(scene).integers(0, 256, (26, 40, 3)).astype(np.uint8)
    return cv2.resize(blots, (400, 260), interpolation=cv2.INTER_CUBIC)


def take(path: Path, camera: Camera, view: np.ndarray, seconds: float, seed: int) -> None:
    """A photo of the view as the camera sees it: its own size, a little turned and shifted, darker for the phone."""
    rng = np.random.default_rng(seed)
    height, width = view.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.uniform(-2, 2)), camera.width / (0.9 * width))
    turn[:, 2] += np.array([camera.width - width, camera.height - height]) / 2
    seen = cv2.warpAffine(view, turn, (camera.width, camera.height), flags=cv2.INTER_AREA)
    gain, noise = (0.7, 6.0) if camera is PHONE else (1.0, 2.0)
    seen = np.clip(gain * seen + rng.normal(0, noise, seen.shape), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_photo(seen, camera, path, START + timedelta(seconds=seconds))


def shoot(
    folder: Path,
    moments: Sequence[float],
    scenes: Sequence[int],
    missing: Sequence[Sequence[int]] = ((), ()),
    names: Sequence[int] | None = None,
) -> None:
    """Both cameras' photos of shots at these moments, named by shot; each camera lacks its missing shots."""
    for shot, (moment, scene) in enumerate(zip(moments, scenes, strict=True)):
        view = picture(scene)
        for index, camera in enumerate((PHONE, DSLR)):
            if shot not in missing[index]:
                name = f"{'pd'[index]}{names[shot] if names else shot:03d}.jpg"
                take(folder / camera.name / name, camera, view, moment + 0.2 * index, 2 * shot + index)


def pairs(folder: Path, **params: Any) -> list[Pair]:
    return pair_folders(folder / "phone", folder / "dslr", PairParams(**params)).rows


def check_all(rows: Sequence[Pair], shots: int, missing: Sequence[Sequence[int]]) -> None:
    """Each shot that both cameras have is a pair, and there are no other pairs."""
    found = {(row.phone_path.stem[1:], row.dslr_path.stem[1:]) for row in rows if row.phone_path and row.dslr_path}
    both = set(range(shots)) - set(missing[0]) - set(missing[1])
    assert found == {(f"{shot:03d}", f"{shot:03d}") for shot in both}


def bursts(seed: int, count: int, shots: int = 4) -> list[float]:
    """Bursts of shots 0.4 s apart at irregular moments."""
    starts = np.cumsum(np.random.default_rng(seed).uniform(8, 60, count))
    return [float(start + 0.4 * shot) for start in starts for shot in range(shots)]


@pytest.mark.parametrize("seed", range(3))
def test_bursts_with_shots_missing_on_either_side_are_told_apart(tmp_path: Path, seed: int) -> None:
    moments = bursts(seed, 8)
    rng = np.random.default_rng(seed)
    missing = [sorted(rng.choice(len(moments), 5, replace=False).tolist()) for _ in range(2)]
    shoot(tmp_path, moments, range(len(moments)), missing)
    rows = pairs(tmp_path)
    check_all(rows, len(moments), missing)
    assert {row.matched_by for row in rows if row.status == "paired"} == {"picture"}


def test_bursts_behind_urls_are_told_apart_as_those_in_folders(tmp_path: Path) -> None:
    moments = bursts(8, 4)
    shoot(tmp_path, moments, range(len(moments)), ([2], [5]))
    files = fsspec.filesystem("memory")
    for path in tmp_path.rglob("*.jpg"):
        files.pipe(f"/bursts/{path.relative_to(tmp_path).as_posix()}", path.read_bytes())
    try:
        remote = pair_folders(as_place("memory://bursts/phone"), as_place("memory://bursts/dslr"), PairParams()).rows
    finally:
        files.rm("/bursts", recursive=True)
    assert {str(row.phone_path.parent) for row in remote if row.phone_path} == {"memory://bursts/phone"}
    assert {row.matched_by for row in remote if row.status == "paired"} == {"picture"}
    check_all(remote, len(moments), ([2], [5]))
    as_urls = pair_folders(*(as_place(f"file://{tmp_path}/{camera}") for camera in ("phone", "dslr")), PairParams())
    assert as_urls.rows == pairs(tmp_path)
    assert [row.pair_id for row in as_urls.rows] == [row.pair_id for row in remote]


def test_names_in_no_order_make_no_difference(tmp_path: Path) -> None:
    moments = bursts(5, 8)
    missing = ([1, 9, 30], [2, 12, 13])
    names = np.random.default_rng(5).permutation(len(moments)).tolist()
    shoot(tmp_path, moments, range(len(moments)), missing, names)
    check_all(pairs(tmp_path), len(moments), [[names[shot] for shot in shots] for shots in missing])


def test_bursts_of_one_view_go_together_in_their_order(tmp_path: Path) -> None:
    moments = bursts(6, 6)
    shoot(tmp_path, moments, [shot // 4 for shot in range(len(moments))])
    rows = pairs(tmp_path)
    check_all(rows, len(moments), ((), ()))
    assert {row.matched_by for row in rows} == {"order"}


@pytest.mark.parametrize("by", ["clock", "pictures"])
def test_few_of_many_shots_of_one_time_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """A camera without a clock gives all photos one time; comparing each two of a thousand would take hours."""
    compared, real = [], likeness._likeness
    monkeypatch.setattr(likeness, "_likeness", lambda *two: compared.append(two) or real(*two))
    shots, missing = 40, ([3, 17], [8, 30])
    names = np.random.default_rng(2).permutation(shots).tolist()
    shoot(tmp_path, [0.0] * shots, range(shots), missing, names)
    rows = pairs(tmp_path, by=by, offset_s=37.0 if by == "clock" else None)
    check_all(rows, shots, [[names[shot] for shot in lost] for lost in missing])
    how = {"clock": "picture", "pictures": "likeness"}[by]
    assert {row.matched_by for row in rows if row.status == "paired"} == {how}
    assert len(compared) < 8 * shots


def test_photos_that_cannot_be_read_go_by_their_order(tmp_path: Path) -> None:
    moments = bursts(7, 4)
    shoot(tmp_path, moments, range(len(moments)))
    for path in (tmp_path / "phone/p005.jpg", tmp_path / "dslr/d009.jpg"):
        path.write_bytes(path.read_bytes()[:-3000])
    rows = pairs(tmp_path)
    check_all(rows, len(moments), ((), ()))
    by = {row.phone_path.stem: row.matched_by for row in rows if row.phone_path}
    assert by["p005"] == by["p009"] == "order"
    assert by["p000"] == "picture"


def test_an_even_rhythm_is_settled_by_the_pictures(tmp_path: Path) -> None:
    missing = ([0], [11])
    shoot(tmp_path, [10.0 * shot for shot in range(12)], range(12), missing)
    rows = pairs(tmp_path)
    check_all(rows, 12, missing)
    assert {row.matched_by for row in rows if row.status == "paired"} == {"clock"}
    assert {round(row.clock_offset_s or 0) for row in rows if row.status == "paired"} == {37}


def test_an_even_rhythm_before_one_view_is_refused(tmp_path: Path) -> None:
    shoot(tmp_path, [10.0 * shot for shot in range(12)], [0] * 12)
    with pytest.raises(
        DpedtoolError, match=r"\+37\.0 s or .*and the pictures do not show which one is right.*pair\.offset_s"
    ):
        pairs(tmp_path)


def test_one_photo_of_two_is_found_by_the_picture(tmp_path: Path) -> None:
    shoot(tmp_path, [0.0, 27.0], [1, 2], ([0], []))
    check_all(pairs(tmp_path), 2, ([0], []))


@pytest.mark.parametrize("shots", [1, 2, 4])
def test_a_few_shots_that_meet_by_chance_are_refused(tmp_path: Path, shots: int) -> None:
    moments = [0.0, 13.0, 40.0, 92.0][:shots]
    for shot, moment in enumerate(moments):
        take(tmp_path / "phone" / f"p{shot}.jpg", PHONE, picture(shot), moment, shot)
        take(tmp_path / "dslr" / f"d{shot}.jpg", DSLR, picture(50 + shot), moment, 50 + shot)
    with pytest.raises(DpedtoolError, match=rf"show the same in none of {shots} pairs.*pair\.offset_s"):
        pairs(tmp_path)
    assert sum(row.status == "paired" for row in pairs(tmp_path, offset_s=37)) == shots


# The likeness itself


def test_likeness_is_that_of_the_scene(tmp_path: Path) -> None:
    shoot(tmp_path, [0.0, 20.0], [1, 2])
    likeness = Pictures().likeness
    assert likeness(tmp_path / "phone/p000.jpg", tmp_path / "dslr/d001.jpg") == UNLIKE
    same = likeness(tmp_path / "phone/p000.jpg", tmp_path / "dslr/d000.jpg")
    assert same is not None
    assert math.log2(30 / 16) < same < math.log2(500 / 16)
    assert same == Pictures().likeness(tmp_path / "phone/p000.jpg", tmp_path / "dslr/d000.jpg")


def test_what_shows_nothing_or_cannot_be_read_tells_nothing(tmp_path: Path) -> None:
    shoot(tmp_path, [0.0], [1])
    sky = tmp_path / "phone/plain.png"
    cv2.imwrite(str(sky), np.full((180, 240, 3), 180, np.uint8))
    likeness = Pictures().likeness
    assert likeness(sky, tmp_path / "dslr/d000.jpg") is None
    assert likeness(tmp_path / "phone/none.jpg", tmp_path / "dslr/d000.jpg") is None
