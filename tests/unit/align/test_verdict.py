"""The verdict on an aligned pair: votes, gates and causes by hand, blur along a line measured."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.params import AlignParams
from dpedtool.pipeline.align.following import Motion
from dpedtool.pipeline.align.verdict import (
    blur_evenness,
    check_blur,
    is_better,
    judge,
    may_have_depth,
    nodes_needed,
    shifted_cells,
    widened,
    windows_show_depth,
)
from dpedtool.pipeline.geometry.homographies import Box
from dpedtool.pipeline.measure.certainty import misplaced
from dpedtool.pipeline.measure.keypoint_homography import FEWEST_OFF_PLANE, Registration
from dpedtool.pipeline.measure.residuals import Search

PARAMS = AlignParams()
SHAPE = (336, 400)
"""Room for windows at 8, 40, ... in both directions."""
GOOD = Registration(
    dslr_from_phone=np.eye(3),
    phone_keypoints=1000,
    dslr_keypoints=1000,
    matches=500,
    inliers=450,
    turn_deg=0.0,
    reprojection_px=0.4,
    off_plane=0,
)


def windows(step: int = 32) -> Search:
    """Windows all over the crop, every one of them right to 0.05 px."""
    ys, xs = (np.arange(8, side - 64 - 8 + 1, step) for side in SHAPE)
    places = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    count = len(places)
    return Search(
        places=places,
        step=step,
        shifts=np.tile([0.03, 0.04], (count, 1)),
        ncc=np.full(count, 0.98),
        ncc_here=np.full(count, 0.975),
        at_edge=np.zeros(count, bool),
    )


def with_moved(chosen: np.ndarray) -> Search:
    """The chosen windows found four px farther right."""
    found = windows()
    shifts, here = found.shifts.copy(), found.ncc_here.copy()
    shifts[chosen], here[chosen] = (4.0, 0.0), 0.4
    return replace(found, shifts=shifts, ncc_here=here)


def reason(found: Search, registration: Registration = GOOD, params: AlignParams = PARAMS) -> str:
    with pytest.raises(Rejection) as rejected:
        judge(found, registration, SHAPE, params)
    assert rejected.value.detail.endswith(".")
    return rejected.value.reason


# What passes


def test_windows_at_their_place_pass_without_a_mask() -> None:
    passed = judge(windows(), GOOD, SHAPE, PARAMS)
    assert not passed.mask.any()
    assert passed.mask.shape == (11, 13)  # 336 / 32 and 400 / 32, rounded up
    assert passed.cell == 32
    assert passed.residual.median_px == pytest.approx(0.05)
    assert passed.residual.p95_px == pytest.approx(0.05)
    assert passed.residual.windows == passed.residual.textured == len(windows().places)


def test_a_thing_that_moved_is_masked_and_left_out_of_the_figures() -> None:
    places = windows().places
    thing = (places[:, 0] <= 72) & (places[:, 1] <= 72)
    passed = judge(with_moved(thing), GOOD, SHAPE, PARAMS)
    # Windows at 8, 40 and 72 lie mostly on the cells 0 to 3, and share the outer ones with windows that are right.
    votes = np.zeros((2, 11, 13), int)
    for (x, y), amiss in zip(places, thing, strict=True):
        votes[int(amiss), (y + 16) // 32 : (y + 80) // 32, (x + 16) // 32 : (x + 80) // 32] += 1
    np.testing.assert_array_equal(passed.mask, (votes[1] > 0) & (votes[1] >= votes[0]))
    np.testing.assert_array_equal(passed.mask[:3, :3], True)
    assert not passed.mask[4:].any()
    assert not passed.mask[:, 4:].any()
    assert passed.residual.p95_px == pytest.approx(0.05)
    assert passed.residual.textured < len(places)


def test_one_stray_window_among_right_ones_is_outvoted() -> None:
    places = windows().places
    stray = (places == (136, 136)).all(axis=1)
    assert stray.sum() == 1
    assert not judge(with_moved(stray), GOOD, SHAPE, PARAMS).mask.any()


def test_a_window_that_shows_another_thing_counts_as_wrong() -> None:
    found = windows()
    ncc = found.ncc.copy()
    thing = (found.places <= 40).all(axis=1)
    ncc[thing] = 0.3
    here = np.where(thing, 0.2, found.ncc_here)
    assert judge(replace(found, ncc=ncc, ncc_here=here), GOOD, SHAPE, PARAMS).mask[:2, :2].all()


# What does not


def test_too_few_textured_windows_prove_nothing() -> None:
    found = windows()
    few = PARAMS.min_windows - 1
    some = Search(
        found.places[:few], found.step, found.shifts[:few], found.ncc[:few], found.ncc_here[:few], found.at_edge[:few]
    )
    assert reason(some) == "low_texture"


def test_windows_too_unlike_to_measure_prove_nothing() -> None:
    found = windows()
    dim = np.full(len(found.places), 0.85)
    assert reason(replace(found, ncc=dim, ncc_here=dim)) == "low_texture"


@pytest.mark.parametrize(("changed", "limit"), [("median", "Half"), ("p95", "5 %")])
def test_shifts_beyond_the_limits_are_misaligned(changed: str, limit: str) -> None:
    found = windows()
    shifts = found.shifts.copy()
    chosen = np.arange(len(shifts)) % (1 if changed == "median" else 10) == 0
    shifts[chosen] = (0.95, 0.0)
    params = replace(PARAMS, max_residual_px=0.5, max_p95_px=0.9)
    with pytest.raises(Rejection, match=limit) as rejected:
        judge(replace(found, shifts=shifts), GOOD, SHAPE, params)
    assert rejected.value.reason == "misaligned"


def test_shifts_that_no_window_can_know_do_not_count() -> None:
    """A tenth of the windows is sky along one gradient: they are found 5 px away, and fit as well here."""
    found = windows()
    sky = np.arange(len(found.places)) % 10 == 0
    shifts = np.where(sky[:, None], [5.0, 0.0], found.shifts)
    # They correlate nearly as well without a shift, so that nothing has moved.
    loose = replace(found, shifts=shifts)
    assert reason(loose) == "misaligned"
    passed = judge(loose, GOOD, SHAPE, PARAMS, ~sky)
    assert not passed.mask.any()
    # Those that are known do count, and if too few are known, all do.
    with pytest.raises(Rejection, match="5 % of"):
        judge(loose, GOOD, SHAPE, PARAMS, every(loose))
    with pytest.raises(Rejection, match="5 % of"):
        judge(loose, GOOD, SHAPE, PARAMS, ~sky & (np.arange(len(sky)) < 20))


def test_the_cause_is_named() -> None:
    """Too few windows are right; the matches and the flow show the cause."""
    found = with_moved(np.arange(len(windows().places)) % 10 < 9)
    assert reason(found) == "misaligned"
    assert reason(found, replace(GOOD, off_plane=200)) == "parallax"
    assert reason(found, replace(GOOD, inliers=249)) == "wrong_pair"
    # A few matches on epipolar lines come by chance.
    assert reason(found, replace(GOOD, matches=60, inliers=50, off_plane=FEWEST_OFF_PLANE - 1)) == "misaligned"
    assert reason(found, replace(GOOD, off_plane=124)) == "misaligned"


@pytest.mark.parametrize(
    ("motion", "cause", "figure"),
    [
        (Motion(along=0.4, against=0.1, lost=0.3), "parallax", "40%"),
        (Motion(along=0.1, against=0.35, lost=0.3), "moving_object", "35%"),
        (Motion(along=0.1, against=0.1, lost=0.8), "not_followed", "80%"),
        (Motion(along=0.1, against=0.1, lost=0.15), "misaligned", "at most"),
    ],
)
def test_a_flow_names_the_cause_that_most_of_the_frame_shows(motion: Motion, cause: str, figure: str) -> None:
    found = replace(windows(), shifts=np.tile([5.0, 0.0], (len(windows().places), 1)))
    with pytest.raises(Rejection) as rejected:
        judge(found, GOOD, SHAPE, replace(PARAMS, max_p95_px=1.0), motion=motion)
    assert rejected.value.reason == cause
    if cause != "misaligned":
        assert figure in rejected.value.detail


# When a scene may have depth


def every(found: Search) -> np.ndarray:
    return np.ones(len(found.places), bool)


def some_shifted(count: int) -> Search:
    found = windows()
    shifts = found.shifts.copy()
    shifts[:count] = (0.6, 0.0)
    return replace(found, shifts=shifts)


def test_depth_is_looked_for_where_windows_or_matches_are_misplaced() -> None:
    found = windows()
    count = len(found.places)
    assert not may_have_depth(found, every(found), GOOD)
    assert may_have_depth(found, every(found), replace(GOOD, off_plane=FEWEST_OFF_PLANE))
    assert not windows_show_depth(found, every(found))
    few, many = some_shifted(count // 8), some_shifted(count // 8 + 1)
    assert misplaced(few, every(few)) == pytest.approx(count // 8 / count)
    assert not may_have_depth(few, every(few), GOOD)
    assert may_have_depth(many, every(many), GOOD)
    assert windows_show_depth(many, every(many))
    # A shift that is not known does not count.
    assert not may_have_depth(many, many.lengths < 0.5, GOOD)
    gone = with_moved(np.arange(count) < count // 10)
    assert may_have_depth(gone, gone.lengths < 0.5, GOOD)
    assert windows_show_depth(gone, gone.lengths < 0.5)


def test_nodes_are_needed_where_windows_are_wrong_or_shifted_beyond_their_error() -> None:
    found = windows()
    # Windows at 8, 40, 72, ... of a crop at (16, 0): the second of the first row covers x 56..119, y 8..71.
    second = (found.places == (40, 8)).all(axis=1)
    errors = np.full(len(found.places), 0.02)
    size = (SHAPE[1] + 16, SHAPE[0])
    assert not nodes_needed(found, errors, Box(16, 0, SHAPE[1], SHAPE[0]), size).any()
    shifts = found.shifts.copy()
    shifts[second] = (0.2, 0.0)
    needed = nodes_needed(replace(found, shifts=shifts), errors, Box(16, 0, SHAPE[1], SHAPE[0]), size)
    assert needed.shape == (42, 52)
    expected = np.zeros_like(needed)
    expected[1:9, 7:15] = True
    np.testing.assert_array_equal(needed, expected)
    for error in (0.07, np.nan):
        vague = np.where(second, error, errors)
        assert not nodes_needed(replace(found, shifts=shifts), vague, Box(16, 0, SHAPE[1], SHAPE[0]), size).any()
    lost = replace(found, ncc_here=np.where(second, 0.3, found.ncc_here))
    np.testing.assert_array_equal(nodes_needed(lost, errors, Box(16, 0, SHAPE[1], SHAPE[0]), size), expected)


def test_nodes_are_better_if_fewer_windows_are_lost_or_misplaced() -> None:
    before, after = some_shifted(40), some_shifted(10)
    assert is_better((after, every(after)), (before, every(before)))
    assert not is_better((before, every(before)), (after, every(after)))
    assert not is_better((after, every(after)), (after, every(after)))
    # Windows that are not found at their place have no certain shift.
    lost = with_moved(np.arange(len(after.places)) < 25)
    assert is_better((lost, lost.lengths < 0.5), (before, every(before)))
    assert not is_better((lost, lost.lengths < 0.5), (after, every(after)))


def test_windows_that_are_neither_right_nor_wrong_are_misaligned() -> None:
    found = windows()
    vague = np.full(len(found.places), 0.6)
    assert reason(replace(found, ncc=vague, ncc_here=vague)) == "misaligned"


# Blur


def texture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(300, 400)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return 128 + 40 * smooth / smooth.std()


def moved_along(image: np.ndarray, length: int, angle_deg: float) -> np.ndarray:
    """The mean of the image along a line of so many px."""
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    end = length / 2 * np.array([np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))])
    for share in np.linspace(-1, 1, 16 * length):
        x, y = np.rint(length + share * end).astype(int)
        kernel[y, x] += 1
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def test_equal_images_are_blurred_evenly_whatever_their_brightness() -> None:
    assert blur_evenness(texture(), texture()) == pytest.approx(1, abs=1e-5)
    assert blur_evenness(texture(), 0.5 * texture() + 20) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0])
def test_round_blur_is_even(sigma: float) -> None:
    assert blur_evenness(cv2.GaussianBlur(texture(), (0, 0), sigma), texture()) > 0.85


@pytest.mark.parametrize("angle", [0, 30, 90, 135])
def test_blur_along_a_line_is_seen_in_either_image(angle: float) -> None:
    sharp = texture()
    evenness = [blur_evenness(moved_along(sharp, length, angle), sharp) for length in (3, 6, 12)]
    assert evenness[0] > evenness[1] > evenness[2]
    assert evenness[2] < PARAMS.min_blur_evenness
    assert evenness[2] < 0.3
    assert blur_evenness(sharp, moved_along(sharp, 12, angle)) == pytest.approx(evenness[2], rel=1e-6)


def test_lines_all_in_one_direction_are_no_blur() -> None:
    """A fence, in both photos: what one keeps of the other counts, not what there is."""
    fence = moved_along(texture(), 12, 90)
    assert blur_evenness(fence, fence) == pytest.approx(1, abs=1e-4)


def test_flat_images_tell_nothing_of_blur() -> None:
    assert blur_evenness(np.full((64, 64), 7, np.float32), np.full((64, 64), 9, np.float32)) == 1.0


def test_the_gate_on_blur() -> None:
    check_blur(PARAMS.min_blur_evenness, PARAMS)
    with pytest.raises(Rejection, match="blurred in one direction") as rejected:
        check_blur(PARAMS.min_blur_evenness - 0.01, PARAMS)
    assert rejected.value.reason == "motion_blur"


# Shifts that windows know, and that they agree on


def test_if_few_windows_know_their_shift_those_around_them_decide() -> None:
    """As at night: each window's own shift is noise, 0.8 px long."""
    found = windows()
    loose = replace(found, shifts=np.tile([0.8, 0.0], (len(found.places), 1)))
    few = np.arange(len(found.places)) < 19

    def agreed(error_px: float, shift_px: float):
        def at(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            assert points[0].tolist() == [39.5, 39.5]
            return np.tile([shift_px, 0.0], (len(points), 1)), np.full(len(points), error_px)

        return at

    judge(loose, GOOD, SHAPE, PARAMS, few, agreed=agreed(0.1, 0.1))
    for windows_agree in (agreed(0.1, 0.6), agreed(0.3, 0.1), None):
        # They agree on a long shift; on one that they do not know; nobody was asked.
        with pytest.raises(Rejection, match="still shifted by more than 0"):
            judge(loose, GOOD, SHAPE, PARAMS, few, agreed=windows_agree)
    # Twenty windows that know their shift need nobody.
    enough = np.arange(len(found.places)) < 20
    with pytest.raises(Rejection, match="of 20 windows are still shifted"):
        judge(loose, GOOD, SHAPE, PARAMS, enough, agreed=agreed(0.1, 0.1))


def test_a_few_certain_shifts_are_no_sign_of_depth() -> None:
    found = with_moved(np.arange(len(windows().places)) < 5)
    for count, share in ((19, 0.0), (20, 0.25)):
        assert misplaced(found, np.arange(len(found.places)) < count) == pytest.approx(share)


# What a transform of the whole photo masks beyond the verdict


def shifted(*chosen: tuple[int, int]) -> tuple[Search, np.ndarray]:
    """Windows at (column, row) found 1.5 px lower, though they fit almost as well at their place, and which."""
    found = windows()
    which = np.array([((x - 8) // 32, (y - 8) // 32) in chosen for x, y in found.places.tolist()])
    shifts = found.shifts.copy()
    shifts[which] = (0.0, 1.5)
    return replace(found, shifts=shifts), which


def test_windows_side_by_side_that_are_certainly_shifted_are_masked() -> None:
    """The cells of 32 px that half of the windows on them say have moved: each window covers four."""
    found, _ = shifted((3, 3), (4, 3), (4, 4))
    assert not judge(found, GOOD, SHAPE, PARAMS).mask.any()
    cells = shifted_cells(found, every(found), SHAPE)
    assert np.argwhere(cells).tolist() == [[3, 4], [4, 4], [4, 5]]


def test_fewer_windows_may_be_shifted_by_chance_or_without_certainty() -> None:
    two, _ = shifted((3, 3), (4, 3), (8, 6))
    assert not shifted_cells(two, every(two), SHAPE).any()
    three, which = shifted((3, 3), (4, 3), (4, 4))
    assert not shifted_cells(three, ~which, SHAPE).any()


def test_windows_that_are_wrong_are_masked_by_themselves() -> None:
    found = with_moved(windows().places[:, 0] < 100)
    np.testing.assert_array_equal(shifted_cells(found, every(found), SHAPE), judge(found, GOOD, SHAPE, PARAMS).mask)


def test_a_wider_mask_leaves_out_the_residuals_of_what_it_hides() -> None:
    found, _ = shifted((3, 3), (4, 3), (3, 4), (4, 4))
    passed = judge(found, GOOD, SHAPE, PARAMS)
    more = np.zeros_like(passed.mask)
    more[3:6, 3:6] = True
    wider = widened(passed, found, more)
    np.testing.assert_array_equal(wider.mask, more)
    assert wider.residual.textured < passed.residual.textured
    assert wider.residual.p95_px == pytest.approx(0.05)
    assert widened(passed, found, np.ones_like(more)) is passed
