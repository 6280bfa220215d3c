"""The search for windows against its definition, on any sizes, values and places."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dpedtool.pipeline.measure.correlation import find, ncc_surfaces

SIDES, REACHES, SEEDS = st.integers(2, 40), st.integers(1, 6), st.integers(0, 2**32 - 1)


def grey(shape: tuple[int, int], seed: int, spread: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(128 - spread, 128 + spread, shape, endpoint=True).astype(np.float32)


def definition(window: np.ndarray, place: np.ndarray) -> float:
    a, b = (image.astype(np.float64) - image.mean(dtype=np.float64) for image in (window, place))
    energy = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / energy) if energy else np.nan


@given(side=SIDES, reach=REACHES, seed=SEEDS, spread=st.integers(1, 127), areas=st.integers(1, 4))
@example(side=3, reach=1, seed=245245, spread=1, areas=2)
@settings(max_examples=60)
def test_every_place_has_the_correlation_of_the_definition(
    side: int, reach: int, seed: int, spread: int, areas: int
) -> None:
    length = side + 2 * reach
    # The sums are of single precision, and the less contrast is left of them, the more of it is rounding.
    close = 1e-5 if spread > 8 else 1e-4
    window = grey((side, side), seed, spread)
    cut = [grey((length, length), seed + 1 + number, spread) for number in range(areas)]
    for surface, area in zip(ncc_surfaces(window, cut), cut, strict=True):
        for row in range(2 * reach + 1):
            for column in range(2 * reach + 1):
                expected = definition(window, area[row : row + side, column : column + side])
                np.testing.assert_allclose(surface[row, column], expected, atol=close)


@given(side=st.integers(12, 40), reach=REACHES, seed=SEEDS, data=st.data())
@settings(max_examples=60)
def test_a_window_of_the_photo_is_found_where_it_is_wherever_that_is(
    side: int, reach: int, seed: int, data: st.DataObject
) -> None:
    photo = grey((70, 60), seed, 60)
    x, y = data.draw(st.integers(0, 60 - side)), data.draw(st.integers(0, 70 - side))
    dx, dy = (data.draw(st.integers(-reach, reach)) for _ in range(2))
    corner = np.array([[x - dx, y - dy]])
    found = find([photo[y : y + side, x : x + side]], photo, corner, reach)
    assert found.shifts[0].tolist() == [dx, dy]
    assert abs(found.ncc[0] - 1) < 1e-5


@given(seed=SEEDS, gain=st.floats(0.1, 3), offset=st.floats(-100, 100))
@settings(max_examples=30)
def test_exposure_changes_nothing(seed: int, gain: float, offset: float) -> None:
    photo, window = grey((40, 40), seed, 100), grey((30, 30), seed + 1, 100)
    plain, brighter = (ncc_surfaces(image, [photo]) for image in (window, window * np.float32(gain) + offset))
    np.testing.assert_allclose(plain, brighter, atol=1e-5)
