"""What holds for any two cameras within the range that refinement is made for."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dpedtool.pipeline.align.refinement import refine
from dpedtool.pipeline.rig import Camera

signed = st.floats(-1, 1)


@settings(max_examples=12, derandomize=True)
@given(
    turn=signed, tilt=st.tuples(signed, signed), shift=st.tuples(signed, signed), lenses=st.tuples(signed, signed),
    scale=st.floats(1.1, 2.2), off_px=st.floats(0, 2), seed=st.integers(0, 2**16),
)  # fmt: skip
def test_any_warp_is_recovered(
    take,
    texture,
    turn: float,
    tilt: tuple[float, float],
    shift: tuple[float, float],
    lenses: tuple[float, float],
    scale: float,
    off_px: float,
    seed: int,
) -> None:
    """Turned by up to 3 degrees, 1.1 to 2.2 times as fine, the lenses' k1 within 0.005 of none."""
    rotation = (0.01 * tilt[0], 0.01 * tilt[1], np.radians(3) * turn)
    phone = Camera(name="phone", width=480, height=360, focal_px=420, rotation=rotation, k1=0.005 * lenses[0])
    side = round(520 * scale), round(400 * scale)
    position = (0.1 * shift[0], 0.1 * shift[1], 0.0)
    focal = 420 * scale
    dslr = Camera(name="dslr", width=side[0], height=side[1], focal_px=focal, position_m=position, k1=0.005 * lenses[1])
    shots = take(texture(800, 1060, 11), phone, dslr, seed)
    found = refine(*shots.greys(), shots.coarse(off_px, seed))
    assert shots.errors(found.transform).mean() <= 0.05
