"""How sure a difference of two networks is: a bootstrap over scenes, on the same pairs.

Patches of one scene resemble each other, so they are no independent witnesses. Scenes are therefore drawn with
replacement, and every scene brings all of its pairs: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dpedtool.dataset.sidecars.metrics import Difference

DRAWS = 2000
_SEED = 24
"""The draws must not depend on anything but the number of scenes."""
_PERCENTILES = (2.5, 97.5)

Values = npt.NDArray[np.float64]


def difference(ours: Values, theirs: Values, scenes: Sequence[str], *, is_median: bool = False) -> Difference | None:
    """Return by how much the mean, or the median, of one network's values exceeds that of another.

    Parameters
    ----------
    ours, theirs
        (N,): the values of the same pairs in the same order.
    scenes
        The scene of every pair.
    is_median
        Whether the medians of the two are compared, and not their means.

    Returns
    -------
    Difference | None
        With the interval that holds 95 % of the draws; None without pairs, or if a value is not finite.

    """
    if not len(ours) or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return None
    names, place = np.unique(np.asarray(scenes), return_inverse=True)
    summed = _medians if is_median else _means
    ones = np.ones((1, len(names)))
    (whole,) = summed(ours, place, ones) - summed(theirs, place, ones)
    if len(names) == 1:
        return Difference(difference=float(whole), low=None, high=None)
    draws = np.random.default_rng(_SEED).multinomial(len(names), [1 / len(names)] * len(names), DRAWS).astype(float)
    # One draw decides for both networks: what a scene does to both of them cancels.
    found = summed(ours, place, draws) - summed(theirs, place, draws)
    low, high = np.percentile(found, _PERCENTILES)
    return Difference(difference=float(whole), low=float(low), high=float(high))


def _means(values: Values, place: npt.NDArray[np.intp], draws: Values) -> Values:
    """Return the mean of the drawn pairs for each row of draws, which says how often each scene was drawn."""
    scenes = draws.shape[1]
    sums = draws @ np.bincount(place, values, scenes)
    means: Values = sums / (draws @ np.bincount(place, minlength=scenes))
    return means


def _medians(values: Values, place: npt.NDArray[np.intp], draws: Values) -> Values:
    order = np.argsort(values, kind="stable")
    ordered, scene = values[order], place[order]
    found = []
    for row in draws:
        reached = np.cumsum(row[scene])
        # Half of the pairs lie below, half above; with an even number, the two in the middle count.
        middle = np.searchsorted(reached, [(reached[-1] - 1) // 2 + 1, reached[-1] // 2 + 1])
        found.append(ordered[middle].mean())
    return np.array(found)
