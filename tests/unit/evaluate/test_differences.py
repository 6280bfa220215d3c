"""The bootstrap over scenes: an interval that fits what is known, the same at every call."""

from __future__ import annotations

import numpy as np
import pytest

from dpedtool.training.evaluate.differences import difference


def test_the_interval_of_a_mean_is_that_of_the_theory() -> None:
    """100 scenes of one pair each: half the width is 1.96 standard errors."""
    random = np.random.default_rng(0)
    theirs = random.normal(20, 5, 100)
    gains = random.normal(0.5, 1, 100)
    found = difference(theirs + gains, theirs, [str(number) for number in range(100)])
    assert found.difference == pytest.approx(gains.mean())
    error = 1.96 * gains.std() / 10
    assert found.high - found.difference == pytest.approx(error, rel=0.15)
    assert found.difference - found.low == pytest.approx(error, rel=0.15)


def test_patches_of_one_scene_are_no_independent_witnesses() -> None:
    """Ten copies of every pair say nothing new if they are of one scene."""
    random = np.random.default_rng(0)
    ours, theirs = random.normal(21, 1, 20), random.normal(20, 1, 20)
    scenes = [str(number) for number in range(20)]
    once = difference(ours, theirs, scenes)
    copies = difference(ours.repeat(10), theirs.repeat(10), np.repeat(scenes, 10).tolist())
    assert (copies.difference, copies.low, copies.high) == pytest.approx((once.difference, once.low, once.high))
    apart = difference(ours.repeat(10), theirs.repeat(10), [str(number) for number in range(200)])
    assert apart.high - apart.low < 0.5 * (copies.high - copies.low)


def test_medians_are_those_of_numpy_and_the_draws_are_always_the_same() -> None:
    random = np.random.default_rng(0)
    for count in (10, 11):
        ours, theirs = random.normal(size=count), random.normal(size=count)
        scenes = [str(number) for number in range(count)]
        np.random.seed(count)  # noqa: NPY002 - the draws must not depend on it
        found = difference(ours, theirs, scenes, is_median=True)
        np.random.seed(7)  # noqa: NPY002
        assert found == difference(ours, theirs, scenes, is_median=True)
        assert found.difference == pytest.approx(np.median(ours) - np.median(theirs))
        assert found.low < found.difference < found.high


def test_one_scene_has_no_interval_and_a_missing_value_no_difference() -> None:
    ours, theirs = np.array([1.0, 2.0]), np.array([0.0, 0.5])
    found = difference(ours, theirs, ["a", "a"])
    assert (found.difference, found.low, found.high) == (1.25, None, None)
    assert difference(np.array([1.0, np.nan]), theirs, ["a", "b"]) is None
    assert difference(ours[:0], theirs[:0], []) is None
