"""What speaks against a window: each fault by its name, in both modes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dpedtool.dataset.params import PatchesParams
from dpedtool.dataset.schema import Patch
from dpedtool.pipeline.patches.filters import Measured, proof, rejection

GOOD = Measured(
    ncc=0.97,
    best_ncc=0.97,
    dx=0.0,
    dy=0.0,
    angle_deg=0.0,
    second_ncc=None,
    residual_x=0.03,
    residual_y=0.04,
    residual_px=0.05,
    residual_error_px=0.03,
    phone_contrast=30.0,
    dslr_contrast=28.0,
    phone_brightness=100.0,
    dslr_brightness=110.0,
    flatness=0.2,
    clipped=0.0,
    phone_sharpness=0.8,
    dslr_sharpness=0.9,
    motion=0.05,
)
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
        ({"hidden": 0.31}, "hidden", "31%"),
        ({"jump": 0.16}, "depth_jump", "16%"),
        ({"unfollowed": 0.11}, "unfollowed", "11%"),
        ({"squeezed": 0.006}, "hidden", "1% of the window is squeezed"),
        ({"stretched": 0.03}, "depth_jump", "3% of the window is stretched"),
    ],
)
def test_strict_rejects_each_fault_by_its_name(changed: dict, reason: str, figures: str) -> None:
    found, detail = rejection(replace(GOOD, **changed), masked=False, params=STRICT)
    assert (found, figures in detail) == (reason, True), detail
    assert reason in Patch.REASONS


def test_dped_looks_at_the_best_correlation_alone() -> None:
    faults = {
        "hidden": 1.0,
        "jump": 1.0,
        "unfollowed": 1.0,
        "residual_px": 3.0,
        "residual_error_px": None,
        "clipped": 0.9,
        "motion": 1.0,
        "second_ncc": 0.96,
    }
    assert rejection(replace(GOOD, **faults, ncc=0.2), masked=True, params=DPED) == ("", "")
    assert rejection(replace(GOOD, best_ncc=0.89), masked=False, params=DPED)[0] == "low_ncc"


def test_a_limit_that_is_given_holds_in_both_modes() -> None:
    for mode in ("strict", "dped"):
        params = PatchesParams(mode=mode, max_clipped=0.5, max_residual_px=2, reject_masked=True)
        assert rejection(replace(GOOD, clipped=0.4), masked=False, params=params)[0] == ""
        assert rejection(replace(GOOD, clipped=0.6), masked=False, params=params)[0] == "clipped"
        assert rejection(replace(GOOD, residual_px=1.0), masked=False, params=params)[0] == ""
        assert rejection(replace(GOOD, residual_px=2.5), masked=False, params=params)[0] == "shifted"
        assert rejection(GOOD, masked=True, params=params)[0] == "masked"
    allowed = PatchesParams(reject_masked=False)
    assert rejection(GOOD, masked=True, params=allowed)[0] == ""


def test_false_colours_are_the_last_objection() -> None:
    """Whatever else differs changes colours, too."""
    reason, detail = rejection(replace(GOOD, colour=72.4), masked=False, params=STRICT)
    assert reason == "colour"
    assert detail.startswith("The colours differ by 72 grey levels")
    assert rejection(replace(GOOD, colour=34.0), masked=False, params=STRICT) == ("", "")
    assert rejection(replace(GOOD, colour=72.4), masked=False, params=DPED) == ("", "")
    assert rejection(replace(GOOD, colour=72.4, ncc=0.3, best_ncc=0.3), masked=False, params=STRICT)[0] == "low_ncc"


def test_filters_that_are_off_by_default_can_be_set() -> None:
    assert rejection(GOOD, False, PatchesParams(max_flatness=0.1))[0] == "flat"
    assert rejection(GOOD, False, PatchesParams(min_sharpness=1.0))[0] == "unsharp"


# Windows that the pair proves

SKY = replace(
    GOOD,
    ncc=0.4,
    best_ncc=0.5,
    residual_x=0.3,
    residual_y=0.3,
    residual_px=0.42,
    residual_error_px=0.9,
    phone_contrast=1.6,
    dslr_contrast=0.9,
    motion=None,
    noise=1.5,
    difference=1.4,
    difference_peak=3.2,
    harm=0.6,
    pair_noise=1.2,
    pair_shift_px=0.03,
    pair_error_px=0.05,
    pair_distance=0.5,
)
"""A window of clear sky: noise in both photos, and neighbours that know where it lies."""


def test_a_window_that_knows_its_place_proves_itself() -> None:
    assert proof(GOOD, STRICT) == "window"
    assert proof(replace(GOOD, residual_px=0.6), STRICT) == ""
    assert proof(replace(GOOD, residual_error_px=0.13), STRICT) == ""
    assert proof(GOOD, DPED) == ""


def test_a_harmless_window_is_proved_by_the_pair_though_its_own_figures_say_nothing() -> None:
    assert proof(SKY, STRICT) == "pair"
    assert rejection(SKY, masked=False, params=STRICT) == ("", "")
    # Even one whose shift could not be measured at all.
    lost = replace(SKY, residual_x=None, residual_y=None, residual_px=None, residual_error_px=None, pair_distance=None)
    assert rejection(lost, masked=False, params=STRICT) == ("", "")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"pair_shift_px": None, "pair_error_px": None}, "flat"),  # nobody around knows, or the scene has depth
        ({"pair_error_px": 0.21}, "flat"),
        ({"pair_shift_px": 0.47}, "flat"),  # with its error above max_residual_px
        ({"pair_distance": 3.1}, "flat"),  # the window contradicts those around
        ({"harm": 1.6}, "flat"),  # a shift would show
        ({"noise": None}, "flat"),
        ({"difference": 3.7}, "low_ncc"),  # 3.1 times what noise explains: another content
        ({"difference_peak": 6.1}, "low_ncc"),  # one photo shows a thing at one place
        ({"motion": 0.5}, "motion"),
        ({"clipped": 0.4}, "clipped"),
        ({"ncc": None, "best_ncc": None}, "flat"),
        ({"hidden": 0.4}, "hidden"),
        ({"colour": 41.0}, "colour"),
    ],
)
def test_a_window_that_the_pair_does_not_prove_is_judged_as_before(changed: dict, reason: str) -> None:
    assert rejection(replace(SKY, **changed), masked=False, params=STRICT)[0] == reason
    assert rejection(SKY, masked=True, params=STRICT)[0] == "masked"


def test_where_noise_hides_all_and_nobody_knows_the_place_that_is_the_reason() -> None:
    lost = replace(SKY, pair_error_px=0.31, phone_contrast=9.0, dslr_contrast=9.0, residual_px=None)
    reason, detail = rejection(lost, masked=False, params=STRICT)
    assert reason == "uncertain"
    assert "only to 0.31 px; 0.2 px are needed" in detail
    assert rejection(replace(lost, difference=9.0), masked=False, params=STRICT)[0] == "low_ncc"


def test_high_correlation_needs_no_noise_to_explain_it() -> None:
    assert rejection(replace(SKY, difference=9.0, ncc=0.95), masked=False, params=STRICT) == ("", "")


def test_noise_alone_may_lower_the_correlation() -> None:
    """A window with texture at night, which proves itself, and one that the pair proves."""
    dark = replace(GOOD, ncc=0.7, best_ncc=0.7, noise=14.0, pair_noise=13.5, ncc_without_noise=0.95)
    assert rejection(dark, masked=False, params=STRICT) == ("", "")
    assert rejection(replace(dark, ncc_without_noise=0.89), masked=False, params=STRICT)[0] == "low_ncc"
    # DPED's rule knows no noise.
    assert rejection(dark, masked=False, params=DPED)[0] == "low_ncc"
    assert rejection(replace(SKY, difference=9.0, ncc_without_noise=0.91), masked=False, params=STRICT) == ("", "")
    # A window that is shifted is found by the same measure.
    away = replace(dark, residual_px=0.8)
    assert rejection(away, masked=False, params=STRICT)[0] == "shifted"


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"max_difference_peak": 3.0}, "low_ncc"),
        ({"min_sharpness": 99.0}, "unsharp"),
        ({"max_harm": 0.3}, "flat"),
        ({"max_pair_error_px": 0.04}, "flat"),
        ({"min_contrast": 2.0}, "flat"),
    ],
)
def test_limits_of_the_user_hold_for_them(limit: dict, reason: str) -> None:
    assert rejection(SKY, masked=False, params=replace(STRICT, **limit))[0] == reason
