"""What moved is told from depth: by the lines of the others, by the plane around it, and by what is found at all."""

from __future__ import annotations

import numpy as np
import pytest

from dpedtool.pipeline.align.moved import Told, tell

SHAPE = 60, 80
NOISE_PX = 0.08


class Scene:
    """Squares of a flow before a flat wall, with detail all over; things are put in front of it."""

    def __init__(self) -> None:
        self.flow = np.random.default_rng(0).normal(0, NOISE_PX, (*SHAPE, 2)).astype(np.float32)
        self.found, self.detail = np.ones(SHAPE), np.ones(SHAPE)

    def put(self, row: int, column: int, side: int, flow: tuple[float, float]) -> tuple[slice, slice]:
        place = slice(row, row + side), slice(column, column + side)
        self.flow[place] += np.array(flow, np.float32)
        return place

    def told(self) -> Told:
        return tell(self.flow, self.found, self.detail)


def test_in_a_flat_scene_there_is_neither() -> None:
    told = Scene().told()
    assert not told.depth
    assert not told.moved.any()


@pytest.mark.parametrize("flow", [(6, 0), (0, -3), (-1.5, 1.5)])
def test_one_compact_thing_before_a_flat_wall_has_moved(flow: tuple[float, float]) -> None:
    scene = Scene()
    place = scene.put(20, 30, 10, flow)
    told = scene.told()
    assert not told.depth
    assert told.moved[place].all()
    assert told.moved.sum() == 100


def test_two_things_displaced_along_one_line_lie_at_other_depths() -> None:
    scene = Scene()
    scene.put(5, 5, 10, (6, 1))
    scene.put(40, 60, 8, (-3, -0.5))
    told = scene.told()
    assert told.depth
    assert not told.moved.any()


def test_two_things_displaced_along_other_lines_have_moved() -> None:
    scene = Scene()
    places = [scene.put(5, 5, 10, (6, 1)), scene.put(40, 60, 8, (-1, 5))]
    told = scene.told()
    assert not told.depth
    assert all(told.moved[place].all() for place in places)


def test_one_wide_thing_lies_at_another_depth_and_what_crosses_its_lines_has_moved() -> None:
    scene = Scene()
    scene.put(0, 0, 30, (5, 0))
    across = scene.put(45, 60, 8, (0, 4))
    along = scene.put(45, 10, 8, (3, 0))
    told = scene.told()
    assert told.depth
    assert told.moved[across].all()
    assert not told.moved[along].any()
    assert told.moved.sum() == 64


def test_the_rim_of_a_wide_plain_thing_is_enough() -> None:
    """A board without detail but on its rim, 30 x 30 of 60 x 80 squares."""
    scene = Scene()
    scene.put(10, 20, 30, (5, 0))
    scene.detail[12:38, 22:48] = 0
    assert scene.told().depth


def test_where_the_rest_is_not_flat_one_compact_thing_lies_at_another_depth() -> None:
    """A slope of 1.6 px over the frame, as of a floor."""
    scene = Scene()
    scene.flow[..., 0] += np.linspace(-0.8, 0.8, SHAPE[1], dtype=np.float32)
    scene.put(20, 30, 10, (4, 0))
    told = scene.told()
    assert told.depth
    assert not told.moved.any()


def test_what_is_not_found_again_gives_nodes_nothing_to_follow() -> None:
    """Things that moved far, as DIS sees them: lost, with scraps of flow here and there."""
    scene = Scene()
    place = scene.put(20, 30, 14, (0, 0))
    scene.found[place] = 0
    scene.found[22, 33:36] = scene.found[30, 40] = 1
    scene.flow[22, 33:36] = scene.flow[30, 40] = 5
    told = scene.told()
    assert not told.depth
    assert not told.moved.any()


def test_squares_without_detail_are_no_evidence() -> None:
    scene = Scene()
    scene.detail[scene.put(20, 30, 10, (6, 0))] = 0.2
    assert not scene.told().moved.any()


def test_where_nearly_all_is_lost_nothing_is_called_flat() -> None:
    scene = Scene()
    scene.found[:, 15:] = 0
    assert scene.told().depth


def test_what_moved_has_no_holes() -> None:
    scene = Scene()
    place = scene.put(20, 30, 10, (6, 0))
    scene.detail[24:26, 34:36] = 0
    told = scene.told()
    assert told.moved.sum() == 96
    assert told.whole[place].all()
    assert told.whole.sum() == 100
