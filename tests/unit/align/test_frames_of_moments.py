"""Every frame of a burst and of a bracket is aligned to its true place, and what moved in it is masked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dpedtool.dataset.params import AlignParams, DemoParams, PairParams
from dpedtool.dataset.schema import Alignment
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.align.stage import align
from dpedtool.pipeline.geometry.aligned import crop_box, map_points, mask
from dpedtool.pipeline.pair.intake import Folders, PairedFolders, pair_into
from dpedtool.pipeline.rig import Truth, load_truth, simulate_session

pytestmark = pytest.mark.slow

FRAMES = 4
MOVING_BURST, BRACKET, STILL_BURST, MOVING_BRACKET = 1, 3, 5, 7
"""Numbers of the scenes; the walls of the first and the last have something moving in front of them."""
MEDIAN_PX, P95_PX = 0.05, 0.15


@dataclass(frozen=True)
class Aligned:
    """A frame as it was aligned, and the truth about it."""

    row: Alignment
    truth: Truth

    @property
    def points(self) -> np.ndarray:
        """A grid of points (N, 2) of the common crop, in phone px."""
        box = crop_box(self.row)
        xs, ys = np.arange(box.x, box.x + box.width, 4), np.arange(box.y, box.y + box.height, 4)
        return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2).astype(float)

    @property
    def masked(self) -> np.ndarray:
        """Which of the points (N,) lie in masked cells."""
        box, side = crop_box(self.row), self.row.mask_cell_px
        columns, rows = ((self.points - (box.x, box.y)) // side).astype(int).T
        return mask(self.row)[rows, columns]

    def errors(self) -> np.ndarray:
        """How far the points are off, in phone px, without those that are masked or have no truth."""
        away = map_points(self.row, self.points) - self.truth.dslr_from_phone(self.points)
        distances = np.linalg.norm(away, axis=1) / self.row.scale
        return distances[np.isfinite(distances) & ~self.masked]

    def moved_px(self) -> float:
        """How far the object has moved between the DSLR's exposure and this frame's, in phone px."""
        ball, phone, middle = self.truth.panels[-1], self.truth.phone, np.zeros((1, 2))
        as_dslr = replace(ball, moved_m={phone.name: ball.moved_m["dslr"]})
        return float(np.linalg.norm(ball.project(phone, middle) - as_dslr.project(phone, middle)))

    def shake_px(self, base: Aligned) -> float:
        """How far the camera moved since the base frame, at most, by the truth, in phone px."""
        box = crop_box(self.row)
        columns, rows = ((start, start + side - 1) for start, side in ((box.x, box.width), (box.y, box.height)))
        places = [(x, y) for y in rows for x in columns] + [(sum(columns) / 2, sum(rows) / 2)]
        away = self.on_the_wall(np.array(places, float)) - base.on_the_wall(np.array(places, float))
        return float(np.linalg.norm(away, axis=1).max()) / base.row.scale

    def shake_deg(self, base: Aligned) -> float:
        """How far the frame is turned clockwise against the base frame, by the truth, in degrees."""
        box = crop_box(self.row)
        x, y = box.x + (box.width - 1) / 2, box.y + (box.height - 1) / 2
        steps = (np.diff(frame.on_the_wall(np.array([(x, y), (x + 1, y)])), axis=0)[0] for frame in (self, base))
        own, other = (np.degrees(np.arctan2(down, right)) for right, down in steps)
        return float(own - other)

    def on_the_wall(self, points: np.ndarray) -> np.ndarray:
        """Where points (N, 2) of the phone lie in the DSLR's photo, whatever hides the wall there."""
        wall = self.truth.panels[0]
        return wall.project(self.truth.dslr, wall.hit(self.truth.phone, points))

    def share_masked(self) -> float:
        """Share of the object's px, as the phone shows it, that lie in masked cells."""
        ball = self.truth.panels[-1]
        return float(self.masked[ball.contains(ball.hit(self.truth.phone, self.points))].mean())


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("frames") / "captures"
    simulate_session(DemoParams(scenes=MOVING_BRACKET + 1, burst=FRAMES, bracket=True, missing=0), out)
    return out


@pytest.fixture(scope="module")
def paired(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> PairedFolders:
    folders = [Folders(captures / "phone-a", captures / "dslr")]
    return pair_into(tmp_path_factory.mktemp("pairs"), folders, PairParams(by="clock"))


@pytest.fixture(scope="module")
def truths(captures: Path) -> Mapping[tuple[str, str], Truth]:
    return load_truth(captures / "truth.json")


FramesOf = Callable[[int], list[Aligned]]


@pytest.fixture(scope="module")
def frames_of(paired: PairedFolders, truths, tmp_path_factory: pytest.TempPathFactory) -> FramesOf:
    """Align the frames of a scene, once, and return them by number."""

    @cache
    def aligned(scene: int) -> list[Aligned]:
        own = [pair for pair in paired.rows if truths["phone-a", pair.phone_path.name].scene == scene]
        rows = align(own, tmp_path_factory.mktemp("aligned"), AlignParams(), images=False)
        found = [Aligned(row, truths["phone-a", row.phone_path.name]) for row in rows]
        assert [row.status for row in rows] == ["aligned"] * len(own)
        assert [(each.row.frame, each.truth.dslr_file) for each in found] == [
            (each.truth.frame, each.row.dslr_path.name) for each in found
        ]
        return sorted(found, key=lambda each: each.truth.frame)

    return aligned


def assert_fine(frame: Aligned) -> None:
    errors = frame.errors()
    assert len(errors) > 20_000
    assert np.median(errors) <= MEDIAN_PX
    assert np.percentile(errors, 95) <= P95_PX


def test_every_frame_of_a_burst_is_in_its_true_place(frames_of: FramesOf) -> None:
    frames = frames_of(STILL_BURST)
    assert [frame.row.frame for frame in frames] == list(range(FRAMES))
    assert [frame.row.role for frame in frames].count("base") == 1
    for frame in frames:
        assert_fine(frame)
        assert frame.row.masked == 0


def test_every_exposure_of_a_bracket_is_in_its_true_place(frames_of: FramesOf) -> None:
    """At +2 EV, a quarter of the photo has a channel that is burnt out."""
    frames = frames_of(BRACKET)
    assert [(frame.row.role, frame.truth.ev) for frame in frames] == [("frame", -2), ("base", 0), ("frame", 2)]
    for frame in frames:
        assert_fine(frame)


@pytest.mark.parametrize("scene", [MOVING_BURST, MOVING_BRACKET])
def test_what_moves_between_frames_is_masked_and_all_else_in_its_true_place(scene: int, frames_of: FramesOf) -> None:
    """Nodes would take what moved for depth, and be less exact than the lens model around it."""
    frames = frames_of(scene)
    assert len(frames) == (FRAMES if scene == MOVING_BURST else 3)
    for frame in frames:
        assert frame.row.model != "local"
        assert_fine(frame)
        assert frame.moved_px() > 20
        assert frame.share_masked() > 0.9
        assert frame.row.masked < 0.1


@pytest.mark.parametrize("scene", [STILL_BURST, BRACKET, MOVING_BURST])
def test_the_table_says_how_far_the_camera_moved(scene: int, frames_of: FramesOf) -> None:
    frames = frames_of(scene)
    (base,) = (frame for frame in frames if frame.row.role == "base")
    assert base.row.shake_px is base.row.shake_deg is None
    for frame in frames:
        if frame is not base:
            assert frame.row.shake_px == pytest.approx(frame.shake_px(base), abs=0.1)
            assert frame.row.shake_deg == pytest.approx(frame.shake_deg(base), abs=0.01)
            # A hand moves the content by 3 to 15 px, a tripod by less than 1 px.
            assert (frame.row.shake_px < 1) == (scene == BRACKET)


def test_the_motion_is_that_against_the_base_frame_as_it_is_aligned_now(
    paired: PairedFolders, truths, tmp_path: Path
) -> None:
    """Rows that an earlier run finished do not keep figures of another base frame, or of one that is gone."""
    own = [pair for pair in paired.rows if truths["phone-a", pair.phone_path.name].scene == STILL_BURST]
    further = [pair for pair in own if pair.role == "frame"]
    whole = {row.pair_id: row.shake_px for row in align(own, tmp_path, AlignParams(), images=False)}
    alone = align(further, tmp_path, AlignParams(), images=False)
    assert [row.shake_px for row in alone] == [None] * len(further)
    again = align(own, tmp_path, AlignParams(), images=False, workers=2)
    assert {row.pair_id: row.shake_px for row in again} == whole
    first, *others = further
    exchanged = [replace(first, role="base"), *others]
    (moved, *_) = align(exchanged, tmp_path, AlignParams(), images=False)
    assert moved.shake_px is None
    (_, other, *_) = read_rows(Alignment.table_in(tmp_path), Alignment)
    assert other.shake_px is not None
    assert other.shake_px != whole[other.pair_id]
