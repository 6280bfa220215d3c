"""Every frame of a burst and of a bracket is aligned to its true place, and what moved in it is masked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from dpedtool.dataset.params import AlignParams, DemoParams, PairParams
from dpedtool.dataset.schema import Alignment, Pair
from dpedtool.pipeline.align.stage import align
from dpedtool.pipeline.geometry.aligned import crop_box, map_points, mask
from dpedtool.pipeline.pair.intake import Folders, PairedFolders, pair_into
from dpedtool.pipeline.rig import Truth, load_truth, simulate_session

pytestmark = pytest.mark.slow

FRAMES = 4
MOVING_BURST, BRACKET, STILL_BURST = 1, 3, 5
"""Numbers of the scenes; the wall of the first has something moving in front of it."""
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

    def share_masked(self) -> float:
        """Share of the object's px, as the phone shows it, that lie in masked cells."""
        ball = self.truth.panels[-1]
        return float(self.masked[ball.contains(ball.hit(self.truth.phone, self.points))].mean())


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("frames") / "captures"
    simulate_session(DemoParams(scenes=STILL_BURST + 1, burst=FRAMES, bracket=True, missing=0), out)
    return out


@pytest.fixture(scope="module")
def paired(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> PairedFolders:
    folders = [Folders(captures / "phone-a", captures / "dslr")]
    return pair_into(tmp_path_factory.mktemp("pairs"), folders, PairParams(by="clock"))


@pytest.fixture(scope="module")
def truths(captures: Path) -> Mapping[tuple[str, str], Truth]:
    return load_truth(captures / "truth.json")


def frames_of(
    scene: int, pairs: list[Pair], truths: Mapping[tuple[str, str], Truth], out: Path, params: AlignParams
) -> list[Aligned]:
    """Align the frames of a scene, and return them by number."""
    own = [pair for pair in pairs if truths["phone-a", pair.phone_path.name].scene == scene]
    rows = align(own, out, params, images=False)
    found = [Aligned(row, truths["phone-a", row.phone_path.name]) for row in rows]
    assert [row.status for row in rows] == ["aligned"] * len(own)
    assert [(each.row.frame, each.truth.dslr_file) for each in found] == [
        (each.truth.frame, each.row.dslr_path.name) for each in found
    ]
    return sorted(found, key=lambda each: each.truth.frame)


def assert_fine(frame: Aligned) -> None:
    errors = frame.errors()
    assert len(errors) > 20_000
    assert np.median(errors) <= MEDIAN_PX
    assert np.percentile(errors, 95) <= P95_PX


def test_every_frame_of_a_burst_is_in_its_true_place(paired: PairedFolders, truths, tmp_path: Path) -> None:
    frames = frames_of(STILL_BURST, paired.rows, truths, tmp_path, AlignParams())
    assert [frame.row.frame for frame in frames] == list(range(FRAMES))
    assert [frame.row.role for frame in frames].count("base") == 1
    for frame in frames:
        assert_fine(frame)
        assert frame.row.masked == 0


def test_every_exposure_of_a_bracket_is_in_its_true_place(paired: PairedFolders, truths, tmp_path: Path) -> None:
    """At +2 EV, a quarter of the photo has a channel that is burnt out."""
    frames = frames_of(BRACKET, paired.rows, truths, tmp_path, AlignParams())
    assert [(frame.row.role, frame.truth.ev) for frame in frames] == [("frame", -2), ("base", 0), ("frame", 2)]
    for frame in frames:
        assert_fine(frame)


def test_what_moves_in_a_burst_is_masked_and_all_else_in_its_true_place(
    paired: PairedFolders, truths, tmp_path: Path
) -> None:
    frames = frames_of(MOVING_BURST, paired.rows, truths, tmp_path, AlignParams(local=False))
    assert len(frames) == FRAMES
    for frame in frames:
        assert_fine(frame)
        assert frame.moved_px() > 20
        # Cells are masked whole, so that cells on the object's rim may not be.
        assert frame.share_masked() > 0.7


def test_nodes_that_follow_what_moves_keep_the_median_alone(paired: PairedFolders, truths, tmp_path: Path) -> None:
    """Nodes take what moved by a part of its own size for depth.

    They follow it, so that it is not masked, and they are less exact than a lens model all over the photo: the 95th
    percentile is 0.4 to 0.55 px, where it is 0.06 px without nodes. An object that moved by more than a third of its
    125 px is masked nevertheless.
    """
    frames = frames_of(MOVING_BURST, paired.rows, truths, tmp_path, AlignParams())
    assert "local" in {frame.row.model for frame in frames}
    for frame in frames:
        errors = frame.errors()
        assert np.median(errors) <= MEDIAN_PX
        assert np.percentile(errors, 95) <= (0.65 if frame.row.model == "local" else P95_PX)
        if frame.moved_px() > 45:
            assert frame.share_masked() > 0.7
    assert sum(frame.moved_px() > 45 for frame in frames) == 2
