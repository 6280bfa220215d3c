"""The flow shows where parts of a window have another depth; hand-made depths, whose truth is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dpedtool.pipeline.measure import flow
from dpedtool.pipeline.measure.flow import compare

CORNERS = np.array([[0, 50], [150, 50], [300, 50]])
"""Left of the edge, across it, right of it; the edge is at x = 200."""


@pytest.fixture
def phone(texture) -> np.ndarray:
    return np.asarray(cv2.cvtColor(texture(200, 400), cv2.COLOR_BGR2GRAY), np.uint8)


def with_a_near_part(phone: np.ndarray, shift: int) -> np.ndarray:
    """What the other camera sees: the part right of x = 200 is nearer, so it lies `shift` px farther to the left."""
    dslr = phone.copy()
    dslr[:, 200 - shift : 400 - shift] = phone[:, 200:]
    return dslr


def test_equal_images_have_nothing_against_them(phone: np.ndarray) -> None:
    shares = compare(phone, phone).shares(CORNERS, 100)
    assert {name: values.max() for name, values in shares.items()} == {"hidden": 0, "unfollowed": 0, "jump": 0}


def test_a_window_across_two_depths_is_found_and_one_at_the_first_depth_is_not(phone: np.ndarray) -> None:
    shares = compare(phone, with_a_near_part(phone, 6)).shares(CORNERS, 100)
    unfollowed = shares["unfollowed"]
    assert unfollowed[0] < 0.02
    assert 0.3 < unfollowed[1] < 0.7
    assert unfollowed[2] > 0.9
    # What lies left of the edge is hidden in the other image, and the depth jumps there.
    assert shares["hidden"][1] > 3 * shares["hidden"][0]
    assert shares["jump"].argmax() == 1


def test_shifts_below_a_px_are_left_to_the_other_measures(phone: np.ndarray) -> None:
    moved = cv2.warpAffine(phone, np.array([[1, 0, 0.6], [0, 1, 0]]), phone.shape[::-1], borderMode=cv2.BORDER_REFLECT)
    assert compare(phone, np.asarray(moved, np.uint8)).shares(CORNERS[1:], 100)["unfollowed"].max() < 0.05


def test_large_images_are_reduced_and_distances_stay_those_of_the_phone(
    phone: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = phone, with_a_near_part(phone, 4)
    large = [
        np.asarray(cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC), np.uint8) for image in small
    ]
    monkeypatch.setattr(flow, "MOST_PX", phone.size)
    evidence = compare(large[0], large[1])
    assert evidence.detail.step == 3
    unfollowed = evidence.shares(3 * CORNERS, 300)["unfollowed"]
    np.testing.assert_allclose(unfollowed, compare(*small).shares(CORNERS, 100)["unfollowed"], atol=0.1)
    assert unfollowed[2] > 0.9


def test_the_number_of_threads_changes_nothing_and_stays(phone: np.ndarray) -> None:
    before, other = cv2.getNumThreads(), with_a_near_part(phone, 5)
    try:
        found = []
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            found.append(compare(phone, other).shares(CORNERS, 100))
            assert cv2.getNumThreads() == threads
    finally:
        cv2.setNumThreads(before)
    for name in found[0]:
        np.testing.assert_array_equal(found[0][name], found[1][name])
