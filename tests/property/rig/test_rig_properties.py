"""What holds for every camera of the simulated rig: its maps can be undone."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from dpedtool.pipeline.rig import Camera, Panel, Truth

coefficients = st.floats(-0.08, 0.08)
small_angles = st.floats(-0.035, 0.035)
angles = st.tuples(small_angles, small_angles, small_angles)
places = st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1), st.floats(-0.1, 0.1))


@st.composite
def cameras(draw: st.DrawFn, name: str) -> Camera:
    return Camera(
        name=name,
        width=draw(st.integers(50, 4000)),
        height=draw(st.integers(50, 3000)),
        focal_px=draw(st.floats(500, 4000)),
        position_m=draw(places),
        rotation=draw(angles),
        k1=draw(st.floats(-0.01, 0.01)),
        k2=draw(st.floats(-0.001, 0.001)),
    )


@given(coefficients, st.floats(-0.02, 0.02), st.floats(0, 0.8), st.floats(0, 6.3))
def test_the_lens_can_be_undone(k1: float, k2: float, radius: float, angle: float) -> None:
    camera = Camera(name="c", width=100, height=100, focal_px=100, k1=k1, k2=k2)
    point = radius * np.array([[np.cos(angle), np.sin(angle)]])
    np.testing.assert_allclose(camera.undistort(camera.distort(point)), point, atol=1e-10)


@given(cameras("c"), st.floats(0, 1), st.floats(0, 1), st.floats(0.5, 50))
def test_a_point_on_a_pixels_ray_projects_to_that_pixel(camera: Camera, x: float, y: float, depth: float) -> None:
    pixel = np.array([[x * camera.width, y * camera.height]])
    ray = camera.rays(pixel)
    assume(bool(np.isfinite(ray).all()))
    point = np.array(camera.position_m) + depth * ray
    np.testing.assert_allclose(camera.project(point), pixel, atol=1e-6)


@given(cameras("phone"), cameras("dslr"), angles, st.floats(2, 20), st.floats(0, 1), st.floats(0, 1))
def test_there_and_back_is_the_same_point(
    phone: Camera, dslr: Camera, tilt: tuple[float, float, float], distance: float, x: float, y: float
) -> None:
    wall = Panel(centre_m=(0.0, 0.0, distance), width_m=300.0, height_m=300.0, tilt=tilt)
    truth = Truth(phone=phone, dslr=dslr, panels=(wall,))
    pixel = np.array([[x * (dslr.width - 1), y * (dslr.height - 1)]])
    seen = truth.phone_from_dslr(pixel)
    assume(bool(np.isfinite(seen).all()))
    np.testing.assert_allclose(truth.dslr_from_phone(seen), pixel, atol=1e-6)
