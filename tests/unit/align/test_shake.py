"""How far the camera moved between frames, of transforms whose difference is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dpedtool.dataset.schema import Alignment
from dpedtool.pipeline.align.shake import with_shake

SCALE = 2.0


def row(name: str, moved: np.ndarray, role: str = "frame", **columns: object) -> Alignment:
    """A frame whose px lie in the DSLR's photo where `moved` brings them, at twice the size."""
    matrix = np.diag([SCALE, SCALE, 1.0]) @ moved
    return replace(
        Alignment(
            pair_id=name,
            phone="phone",
            scene_id="moment",
            role=role,
            status="aligned",
            phone_path=Path("p.jpg"),
            dslr_path=Path("d.jpg"),
            phone_sha256="",
            dslr_sha256="",
            phone_width=401,
            phone_height=301,
            dslr_from_phone=tuple(matrix.ravel().tolist()),
            crop_x=50,
            crop_y=0,
            crop_width=301,
            crop_height=301,
            scale=SCALE,
            key="",
        ),
        **columns,
    )


def shift(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def turn(degrees: float, x: float, y: float) -> np.ndarray:
    """A turn clockwise about a place."""
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return shift(x, y) @ np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ shift(-x, -y)


BASE = row("base", np.eye(3), "base")


def test_a_shift_is_told_in_phone_px() -> None:
    base, frame = with_shake([BASE, row("frame", shift(3, -4))])
    assert base == BASE
    assert frame.shake_px == pytest.approx(5)
    assert frame.shake_deg == pytest.approx(0, abs=1e-9)


def test_a_turn_about_the_middle_moves_the_corners_most() -> None:
    """The crop's middle is (200, 150), its corners are 150 sqrt(2) px away."""
    _, frame = with_shake([BASE, row("frame", turn(1, 200, 150))])
    assert frame.shake_px == pytest.approx(2 * 150 * np.sqrt(2) * np.sin(np.deg2rad(0.5)))
    assert frame.shake_deg == pytest.approx(1)


def test_a_bend_of_the_middle_counts_too() -> None:
    """At the corners, the displacement of 1 px is taken back by terms of u^2 and v^2, whose sum is 200^-2 (2 150^2)."""
    bend = 150**2 / 200**2
    field = np.zeros((6, 2))
    field[0, 0], field[3, 0], field[5, 0] = 1.0, -0.5 / bend, -0.5 / bend
    _, frame = with_shake([BASE, row("frame", np.eye(3), field=tuple(field.ravel().tolist()))])
    assert frame.shake_px == pytest.approx(1)


def test_nodes_are_left_out_as_they_follow_things() -> None:
    """Their file is not even read."""
    _, frame = with_shake([BASE, row("frame", shift(1, 0), nodes_path=Path("gone.npy"), nodes_sha256="0")])
    assert frame.shake_px == pytest.approx(1)


def test_turns_that_pass_half_a_circle_are_told_as_small_ones() -> None:
    _, frame = with_shake([row("base", turn(179.5, 200, 150), "base"), row("frame", turn(-179.5, 200, 150))])
    assert frame.shake_deg == pytest.approx(1)


@pytest.mark.parametrize("other", [{"status": "rejected"}, {"phone": "b"}, {"session": "b"}, {"scene_id": "b"}])
def test_without_an_aligned_base_frame_of_the_moment_nothing_is_told(other: dict[str, str]) -> None:
    stale = row("frame", shift(3, 4), shake_px=9.0, shake_deg=9.0)
    for rows in ([replace(BASE, **other), stale], [BASE, replace(stale, **other)], [stale]):
        frame = with_shake(rows)[-1]
        assert frame.shake_px is frame.shake_deg is None


def test_what_rows_said_before_does_not_count() -> None:
    base, frame = with_shake([replace(BASE, shake_px=9.0, shake_deg=9.0), row("frame", shift(3, 4), shake_px=9.0)])
    assert base == BASE
    assert frame.shake_px == pytest.approx(5)
