"""What speaks against a window, each limit by itself; and the summary of what was removed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dpedtool.dataset.io import digest
from dpedtool.dataset.params import PatchesParams
from dpedtool.dataset.schema import Patch
from dpedtool.dataset.sidecars.selection import AlignedPairs
from dpedtool.pipeline.patches.selection import rejection, summary

GOOD = {
    "ncc": 0.97,
    "best_ncc": 0.97,
    "second_ncc": None,
    "residual_px": 0.05,
    "residual_error_px": 0.03,
    "phone_contrast": 30.0,
    "dslr_contrast": 28.0,
    "flatness": 0.2,
    "clipped": 0.0,
    "phone_sharpness": 0.8,
    "dslr_sharpness": 0.9,
    "motion": 0.05,
}
STRICT, DPED = PatchesParams(), PatchesParams(mode="dped")


@pytest.mark.parametrize("params", [STRICT, DPED])
def test_nothing_speaks_against_a_good_window(params: PatchesParams) -> None:
    assert rejection(GOOD, masked=False, params=params) == ("", "")


@pytest.mark.parametrize(
    ("changed", "reason", "figures"),
    [
        ({"ncc": 0.85, "best_ncc": 0.85}, "low_ncc", "0.850"),
        ({"residual_px": 0.6}, "shifted", "0.60 px"),
        ({"ncc": 0.7, "residual_px": 1.2}, "shifted", "1.20 px"),
        ({"ncc": 0.7, "best_ncc": 0.8, "residual_px": 1.2}, "low_ncc", "0.700"),
        ({"residual_error_px": 0.13}, "uncertain", "0.13 px"),
        ({"residual_px": None, "residual_error_px": None}, "uncertain", "No sub-pixel"),
        ({"phone_contrast": 1.5}, "flat", "1.5 grey levels"),
        ({"dslr_contrast": 1.5}, "flat", "1.5 grey levels"),
        ({"ncc": None, "best_ncc": None}, "flat", "single grey value"),
        ({"clipped": 0.4}, "clipped", "40%"),
        ({"motion": 0.5}, "motion", "0.50"),
        ({"second_ncc": 0.95}, "repetitive", "0.950"),
        ({"dslr_sharpness": 0.3}, "unsharp", "0.30"),
    ],
)
def test_strict_rejects_each_fault_by_its_name(changed: dict, reason: str, figures: str) -> None:
    found, detail = rejection(GOOD | changed, masked=False, params=STRICT)
    assert (found, figures in detail) == (reason, True), detail
    assert reason in Patch.REASONS


def test_dped_looks_at_the_best_correlation_alone() -> None:
    faults = {"residual_px": 3.0, "residual_error_px": None, "clipped": 0.9, "motion": 1.0, "second_ncc": 0.96}
    assert rejection(GOOD | faults | {"ncc": 0.2}, masked=True, params=DPED) == ("", "")
    assert rejection(GOOD | {"best_ncc": 0.89}, masked=False, params=DPED)[0] == "low_ncc"


def test_a_limit_that_is_given_holds_in_both_modes() -> None:
    for mode in ("strict", "dped"):
        params = PatchesParams(mode=mode, max_clipped=0.5, max_residual_px=2, reject_masked=True)
        assert rejection(GOOD | {"clipped": 0.4}, masked=False, params=params)[0] == ""
        assert rejection(GOOD | {"clipped": 0.6}, masked=False, params=params)[0] == "clipped"
        assert rejection(GOOD | {"residual_px": 1.0}, masked=False, params=params)[0] == ""
        assert rejection(GOOD | {"residual_px": 2.5}, masked=False, params=params)[0] == "shifted"
        assert rejection(GOOD, masked=True, params=params)[0] == "masked"
    allowed = PatchesParams(reject_masked=False)
    assert rejection(GOOD, masked=True, params=allowed)[0] == ""


def test_filters_that_are_off_by_default_can_be_set() -> None:
    assert rejection(GOOD, False, PatchesParams(max_flatness=0.1))[0] == "flat"
    assert rejection(GOOD, False, PatchesParams(min_sharpness=1.0))[0] == "unsharp"


def test_the_summary_counts_kept_and_all_by_bins() -> None:
    """Two windows of 100 px in a frame of 400 x 200: one in the middle of the upper left corner, one in the middle."""
    patches = pd.DataFrame(
        {
            "pair_id": ["a", "a", "b"],
            "status": ["rejected", "accepted", "rejected"],
            "reason": ["low_ncc", "", "small_crop"],
            "x": [0, 150, np.nan],
            "y": [0, 50, np.nan],
            "size": [100, 100, np.nan],
            "dslr_brightness": [49.9, 50.0, np.nan],
            "dslr_contrast": [4.0, 127.0, np.nan],
        }
    )
    frames = pd.DataFrame({"pair_id": ["a", "b"], "phone_width": [400, 50], "phone_height": [200, 50]})
    told = summary(patches, frames, [], {"size_px": 100})
    assert (told.windows, told.accepted, told.rejected) == (2, 1, {"low_ncc": 1})
    assert (told.params, told.params_sha256) == ({"size_px": 100}, digest({"size_px": 100}))

    def counts(name: str) -> list[tuple[int, int]]:
        return [(one.windows, one.accepted) for one in told.by[name]]

    assert counts("brightness") == [(1, 0), (1, 1), (0, 0), (0, 0), (0, 0)]
    assert counts("texture")[0] == (1, 0)
    assert sum(windows for windows, _ in counts("texture")) == 2
    # Middles at (50, 50) and (200, 100): three quarters of the way to the left rim, and none.
    assert counts("place") == [(1, 1), (0, 0), (0, 0), (1, 0)]
    assert [one.share for one in told.by["place"]] == [1.0, None, None, 0.0]


def test_the_summary_of_nothing_says_so() -> None:
    none = pd.DataFrame(columns=["pair_id", "status", "reason", "x", "y", "size", "dslr_brightness", "dslr_contrast"])
    told = summary(none, pd.DataFrame(columns=["pair_id", "phone_width", "phone_height"]), [], {})
    assert (told.windows, told.accepted, told.pairs) == (0, 0, AlignedPairs(0, 0, 0, 0, {}, []))
    assert {one.share for bins in told.by.values() for one in bins} == {None}
