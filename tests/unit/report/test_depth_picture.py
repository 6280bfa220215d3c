"""The picture of the depth, from nodes made by hand: colours at known displacements, hatching where they jump."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dpedtool.pipeline.geometry.homographies import Box
from dpedtool.pipeline.geometry.node_files import rounded
from dpedtool.pipeline.report.pairs.contract import Depth, Picture
from dpedtool.pipeline.report.pairs.depth_picture import COLOURS, DepthPicture, colours, direction_of

BOX = Box(0, 0, 320, 240)
MIDDLE = COLOURS // 2


def grid() -> np.ndarray:
    return np.zeros((30, 40, 2))


def picture_of(displacements: np.ndarray, box: Box = BOX, size: tuple[int, int] | None = None) -> np.ndarray:
    return DepthPicture(rounded(displacements), box).draw(size or (box.width, box.height))


def details_of(displacements: np.ndarray, box: Box = BOX) -> Depth:
    return DepthPicture(rounded(displacements), box).details(Picture("depth.jpg", box.width, box.height))


def hatched(picture: np.ndarray) -> np.ndarray:
    """Which px have none of the colours."""
    known = {tuple(colour) for colour in colours().tolist()}
    return np.array([[tuple(value) not in known for value in row] for row in picture.tolist()])


def halves(left: float, right: float, axis: int = 0) -> np.ndarray:
    """Nodes that displace the left and the right half of the crop by so many px in x (0) or in y (1)."""
    nodes = grid()
    nodes[:, :20, axis], nodes[:, 20:, axis] = left, right
    return nodes


def test_equal_steps_of_colour_look_equal_and_both_signs_are_equally_strong() -> None:
    bgr = colours().astype(np.float32)[None] / 255
    lab = cv2.cvtColor(bgr, cv2.COLOR_BGR2Lab)[0].astype(float)
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps.std() < 0.1 * steps.mean()
    assert lab[MIDDLE, 0] == lab[:, 0].max() > 90
    np.testing.assert_allclose(lab[:MIDDLE, 0], lab[:MIDDLE:-1, 0], atol=1)
    np.testing.assert_allclose(np.hypot(*lab[[0, -1], 1:].T), 45.7, atol=1)
    assert lab[0, 2] < 0 < lab[-1, 2]  # blue, and not blue


def test_colours_stand_for_known_displacements() -> None:
    nodes = halves(-2.0, 1.0)
    picture, found = picture_of(nodes), details_of(nodes)
    assert (found.direction, found.range_px, found.largest_px, found.across_px) == ((1, 0), 2.0, 2.0, 0)
    np.testing.assert_array_equal(picture[:, :150], np.broadcast_to(colours()[0], (240, 150, 3)))
    np.testing.assert_array_equal(picture[:, 170:], np.broadcast_to(colours()[3 * MIDDLE // 2], (240, 150, 3)))
    bgr = colours()[0].tolist()
    assert found.colours[0] == "#" + "".join(f"{value:02x}" for value in bgr[::-1])
    assert len(found.colours) == 17
    assert found.colours[8] == "#" + "".join(f"{value:02x}" for value in colours()[MIDDLE].tolist())


def test_no_displacement_has_the_middle_colour_and_no_hatching() -> None:
    picture, found = picture_of(grid()), details_of(grid())
    np.testing.assert_array_equal(picture, np.broadcast_to(colours()[MIDDLE], (240, 320, 3)))
    assert (found.range_px, found.largest_px, found.squeezed, found.stretched) == (1.0, 0, 0, 0)


@pytest.mark.parametrize("degrees", [0, 30, -60, 90])
def test_the_direction_is_that_of_the_displacements_forth_and_back(degrees: float) -> None:
    along = np.random.default_rng(1).uniform(-4, 4, (30, 40))
    angle = np.deg2rad(degrees)
    nodes = np.stack([along * np.cos(angle), along * np.sin(angle)], axis=-1).astype(np.float32)
    x, y = direction_of(nodes)
    assert np.rad2deg(np.arctan2(y, x)) % 180 == pytest.approx(degrees % 180, abs=0.1)
    assert x >= -1e-9


def test_a_few_wild_nodes_decide_neither_the_direction_nor_the_range() -> None:
    nodes = halves(-2.0, 2.0)
    nodes[0, :3, 1] = 60.0
    found = details_of(nodes)
    assert found.direction == pytest.approx((1, 0), abs=0.06)
    assert found.range_px == pytest.approx(2.0, abs=0.5)


def test_displacement_across_the_direction_is_told() -> None:
    nodes = halves(-4.0, 4.0)
    nodes[..., 1] = np.where(np.arange(40) % 2, 0.5, -0.5)
    found = details_of(nodes)
    assert found.direction == (1, 0)
    assert found.across_px == 0.5


@pytest.mark.parametrize(("step", "name"), [(-6.0, "squeezed"), (6.0, "stretched")])
def test_a_jump_is_hatched(step: float, name: str) -> None:
    """The nodes before and after the jump are at 155.5 and 163.5."""
    nodes = halves(0.0, step)
    flags, found = hatched(picture_of(nodes)), details_of(nodes)
    assert flags[:, 156:164].all()
    assert not flags[:, :150].any()
    assert not flags[:, 170:].any()
    other = {"squeezed": "stretched", "stretched": "squeezed"}[name]
    # 8 of 320 columns, and the samples beside them that the gradient reaches.
    assert getattr(found, name) == pytest.approx(8 / 320, abs=0.015)
    assert getattr(found, other) == 0


def test_squeezed_and_stretched_places_look_different() -> None:
    dark, light = (picture_of(halves(0.0, step))[:, 157:163].astype(float) for step in (-6.0, 6.0))
    assert dark.mean() < 128 < light.mean()
    # Going down, one kind of stripes goes to the left, the other to the right.
    np.testing.assert_array_equal(dark[1:, :-1], dark[:-1, 1:])
    np.testing.assert_array_equal(light[1:, 1:], light[:-1, :-1])


def test_a_narrow_jump_stays_visible_in_a_small_picture() -> None:
    flags = hatched(picture_of(halves(0.0, -6.0), size=(40, 30)))
    assert flags[:, 19:21].any(axis=1).all()
    assert not flags[:, :18].any()


def test_the_crop_is_what_is_shown_in_any_size() -> None:
    nodes = halves(-2.0, 2.0)
    inner = Box(80, 40, 204, 157)
    picture = picture_of(nodes, inner, (102, 78))
    assert picture.shape == (78, 102, 3)
    np.testing.assert_array_equal(picture[5, 30], colours()[0])  # 140 px into the photo
    np.testing.assert_array_equal(picture[5, 50], colours()[-1])  # 180 px into it
    assert details_of(nodes, inner).squeezed == 0


def test_places_tell_displacements_all_over_the_crop() -> None:
    nodes = halves(0.0, 1.5)
    places = details_of(nodes, Box(80, 40, 204, 157)).places
    assert [abs(place.px) for place in places] == sorted((abs(place.px) for place in places), reverse=True)
    for place in places:
        away = place.x + 80 - 159.5
        if abs(away) > 4:
            assert place.px == (1.5 if away > 0 else 0)
        assert 0 <= place.x < 204
        assert 0 <= place.y < 157
    assert len({place.x for place in places}) > 20
