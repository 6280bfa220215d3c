"""The base frame of each moment, chosen by sharpness where nothing else decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np

from dpedtool.dataset.photos.exif import Taken
from dpedtool.pipeline.pair.likeness import Pictures
from dpedtool.pipeline.pair.moments import with_frames
from dpedtool.pipeline.pair.shots import Matching, Shot

START = datetime(2024, 5, 4, 10, 0, 0)


def shots(folder: Path, names: str) -> list[Shot]:
    return [Shot(folder / f"{name}.png", name, Taken(START)) for name in names]


def test_of_equally_near_frames_the_sharpest_is_the_base(tmp_path: Path) -> None:
    """Two moments of three frames each, which the user's list names; what cannot be read is not sharp."""
    noise = np.random.default_rng(0).integers(0, 256, (240, 320)).astype(np.uint8)
    for name, sigma in {"a": 2.0, "b": 0.5, "c": 1.0, "e": 3.0, "f": 2.5}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), cv2.GaussianBlur(noise, (0, 0), sigma))
    phones, dslrs = shots(tmp_path, "abcdef"), shots(tmp_path, "xy")
    listed = Matching(dict(enumerate([0, 0, 0, 1, 1, 1])), "listed", "csv")
    every, found = with_frames(listed, phones, [], dslrs, 2.0, Pictures())
    assert every == phones
    assert [found.places[index].role for index in range(6)] == ["frame", "base", "frame", "frame", "frame", "base"]
    assert [found.places[index].number for index in range(6)] == [0, 1, 2, 0, 1, 2]
    why = "The base of 3 frames: it is the sharpest, and no clock says which one is nearest in time."
    assert [found.places[index].detail for index in (0, 1, 5)] == ["", why, why]


def test_a_base_that_its_time_alone_makes_a_frame_says_both(tmp_path: Path) -> None:
    """The clock's own partner is 1 s away from the DSLR's shot, and the plain photo is there at its very time."""
    noise = np.random.default_rng(0).integers(0, 256, (240, 320)).astype(np.uint8)
    for name, picture in {"a": noise, "b": np.zeros_like(noise), "x": noise}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    phones, dslrs = shots(tmp_path, "ab"), shots(tmp_path, "x")
    phones[0] = replace(phones[0], taken=Taken(START + timedelta(seconds=1)))
    clocked = Matching({0: 0}, "by clock", "clock", offsets={shot.path: 0.0 for shot in phones})
    _, found = with_frames(clocked, phones, [], dslrs, 2.0, Pictures())
    assert [(found.places[index].role, found.places[index].number) for index in (0, 1)] == [("frame", 1), ("base", 0)]
    assert found.places[1].detail == (
        "The base of 2 frames: it is nearest in time to the DSLR's photo. Its time alone makes it a frame: the "
        "pictures show too little to be compared."
    )
    assert found.how == {0: "frame", 1: "clock"}
