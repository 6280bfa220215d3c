"""What speaks against a window, each limit by itself; and the summary of what was removed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from dpedtool.dataset.io import digest
from dpedtool.dataset.schema import Alignment
from dpedtool.dataset.sidecars.selection import AlignedPairs, FrameCounts, PhotoSize, Selection
from dpedtool.pipeline.patches.selection_figures import summary


def aligned(pair_id: str, phone_noise: float, dslr_noise: float) -> Alignment:
    """A pair whose photos have this noise."""
    return Alignment(
        pair_id=pair_id,
        phone="phone",
        scene_id=pair_id,
        status="aligned",
        phone_path=Path("a.jpg"),
        dslr_path=Path("b.jpg"),
        phone_sha256="",
        dslr_sha256="",
        dslr_width=400,
        dslr_height=300,
        phone_noise=phone_noise,
        dslr_noise=dslr_noise,
        key="",
    )


def test_the_summary_counts_kept_and_all_by_bins() -> None:
    """Two windows of 100 px in a frame of 400 x 200: one in the middle of the upper left corner, one in the middle."""
    patches = pd.DataFrame(
        {
            "pair_id": ["a", "a", "b"],
            "status": ["rejected", "accepted", "rejected"],
            "reason": ["low_ncc", "", "small_crop"],
            "proved_by": [None, "pair", None],
            "x": [0, 150, np.nan],
            "y": [0, 50, np.nan],
            "size": [100, 100, np.nan],
            "dslr_brightness": [49.9, 50.0, np.nan],
            "dslr_contrast": [4.0, 127.0, np.nan],
        }
    )
    frames = pd.DataFrame({"pair_id": ["a", "b"], "phone_width": [400, 50], "phone_height": [200, 50]})
    told = summary(patches, frames, [aligned("a", 6.0, 8.0)], {"size_px": 100})
    assert (told.windows, told.accepted, told.rejected) == (2, 1, {"low_ncc": 1})
    assert told.proved_by == {"pair": 1}
    assert (told.params, told.params_sha256) == ({"size_px": 100}, digest({"size_px": 100}))

    def counts(name: str) -> list[tuple[int, int]]:
        return [(one.windows, one.accepted) for one in told.by[name]]

    assert counts("brightness") == [(1, 0), (1, 1), (0, 0), (0, 0), (0, 0)]
    assert counts("texture")[0] == (1, 0)
    assert sum(windows for windows, _ in counts("texture")) == 2
    # The root of 6^2 + 8^2 is 10.
    assert counts("noise") == [(0, 0), (0, 0), (2, 1), (0, 0), (0, 0)]
    # Middles at (50, 50) and (200, 100): three quarters of the way to the left rim, and none.
    assert counts("place") == [(1, 1), (0, 0), (0, 0), (1, 0)]
    assert [one.share for one in told.by["place"]] == [1.0, None, None, 0.0]


def of_alignments(*rows: Alignment) -> Selection:
    """The summary of pairs that gave no windows."""
    none = pd.DataFrame(
        columns=["pair_id", "status", "reason", "proved_by", "x", "y", "size", "dslr_brightness", "dslr_contrast"]
    )
    return summary(none, pd.DataFrame(columns=["pair_id", "phone_width", "phone_height"]), rows, {})


def test_moments_are_counted_and_further_frames_apart_from_them() -> None:
    def frame(scene: str, number: int, role: str, reason: str = "") -> Alignment:
        place = {"scene_id": scene, "frame": number, "role": role, "reason": reason}
        return replace(aligned(f"{scene}{number}", 1, 1), **place, status="rejected" if reason else "aligned")

    burst = frame("a", 0, "frame"), frame("a", 1, "base"), frame("a", 2, "frame", "motion_blur")
    replaced = frame("b", 0, "base", "few_matches"), replace(frame("b", 1, "frame"), dslr_width=200)
    told = of_alignments(*burst, *replaced, frame("c", 0, "base", "parallax"))
    sizes = [PhotoSize(400, 300, 1), PhotoSize(200, 300, 1)]
    frames = FrameCounts(3, 2, 1, 0, {"motion_blur": 1}, stand_ins=1)
    assert told.pairs == AlignedPairs(3, 2, 1, 0, {"parallax": 1}, sizes, frames)


def test_the_summary_of_nothing_says_so() -> None:
    told = of_alignments()
    assert (told.windows, told.accepted) == (0, 0)
    assert told.pairs == AlignedPairs(0, 0, 0, 0, {}, [], FrameCounts(0, 0, 0, 0, {}, 0))
    assert {one.share for bins in told.by.values() for one in bins} == {None}
