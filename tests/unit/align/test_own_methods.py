"""A matcher and a flow of the user's own: what they are given, what they may return, and that the checks stay."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dpedtool.dataset.errors import ParamsError
from dpedtool.dataset.params import AlignParams
from dpedtool.dataset.photos.encoding import save_image
from dpedtool.dataset.schema import Alignment, Pair
from dpedtool.pipeline.align.stage import align
from dpedtool.pipeline.geometry.aligned import map_points, transform
from dpedtool.pipeline.measure.flow import dis_flow
from dpedtool.pipeline.pair.stage import pair_files

PARAMS = AlignParams()


@pytest.fixture
def own() -> Iterator[types.ModuleType]:
    """An importable module, to put functions into."""
    module = types.ModuleType("own_methods_of_a_user")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def params(own: types.ModuleType, parameter: str, function: object) -> AlignParams:
    own.function = function
    # A digest needs a file.
    own.__file__ = __file__
    return replace(PARAMS, **{parameter: f"{own.__name__}:function"})


def pair_of(phone: np.ndarray, dslr: np.ndarray, folder: Path) -> list[Pair]:
    save_image(folder / "p.png", phone)
    save_image(folder / "d.png", dslr)
    return pair_files(folder / "p.png", folder / "d.png").rows


def aligned(pairs: list[Pair], out: Path, chosen: AlignParams) -> Alignment:
    (row,) = align(pairs, out, chosen, images=False)
    return row


def moved(shots) -> np.ndarray:
    photo = shots.phone.copy()
    photo[60:180, 120:240] = np.roll(shots.phone, 5, axis=1)[60:180, 120:240]
    return photo


# Matchers


def grid_matcher(truth):
    """Return a matcher that knows the truth, of photos that are not reduced."""

    def match(phone: np.ndarray, dslr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert phone.dtype == dslr.dtype == np.uint8
        assert (phone.shape, dslr.shape) == ((240, 320), (400, 560))
        points = np.stack(np.meshgrid(np.arange(5.0, 315, 20), np.arange(5.0, 235, 20)), axis=-1).reshape(-1, 2)
        # Points that it is not sure of may be NaN.
        return points, truth.dslr_from_phone(points)

    return match


def test_a_matcher_takes_the_place_of_sift(own, shots, tmp_path: Path) -> None:
    row = aligned(
        pair_of(shots.phone, shots.dslr, tmp_path),
        tmp_path / "out",
        params(own, "matcher", grid_matcher(shots.truth)),
    )
    assert row.status == "aligned"
    assert row.matches == row.inliers == row.phone_keypoints
    points = np.array([[50.0, 60.0], [250.0, 200.0]])
    np.testing.assert_allclose(map_points(row, points), shots.truth.dslr_from_phone(points), atol=0.15)


def test_the_points_of_reduced_photos_come_back_to_full_size(own, shots, tmp_path: Path) -> None:
    sizes = []

    def match(phone: np.ndarray, dslr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sizes.append((phone.shape, dslr.shape))
        points = np.stack(np.meshgrid(np.arange(5.0, 155, 10), np.arange(5.0, 115, 10)), axis=-1).reshape(-1, 2)
        full = shots.truth.dslr_from_phone((points + 0.5) * 2 - 0.5)
        return points, (full + 0.5) * 160 / 560 - 0.5

    chosen = replace(params(own, "matcher", match), retry_side_px=160)
    row = aligned(pair_of(shots.phone, shots.dslr, tmp_path), tmp_path / "out", chosen)
    assert sizes == [((120, 160), (114, 160))]
    assert row.status == "aligned"


def test_a_matcher_s_claims_are_checked_like_ours(own, shots, tmp_path: Path) -> None:
    """It says with all confidence that the photos lie 9 px apart from where they do."""
    right = grid_matcher(shots.truth)

    def wrong(phone: np.ndarray, dslr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        one, other = right(phone, dslr)
        return one, other + 40

    row = aligned(pair_of(shots.phone, shots.dslr, tmp_path), tmp_path / "out", params(own, "matcher", wrong))
    assert row.status == "rejected"


def test_too_few_points_are_a_row(own, shots, tmp_path: Path) -> None:
    chosen = params(own, "matcher", lambda *_: (np.zeros((3, 2)), np.zeros((3, 2))))
    row = aligned(pair_of(shots.phone, shots.dslr, tmp_path), tmp_path / "out", chosen)
    assert (row.status, row.reason) == ("rejected", "few_matches")
    assert "(3;" in row.detail


# Flows


def test_a_flow_takes_the_place_of_dis(own, shots, tmp_path: Path) -> None:
    calls = []

    def flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        assert first.dtype == second.dtype == np.uint8
        assert first.shape == second.shape == (240, 320)
        calls.append(first)
        return dis_flow(*(cv2.GaussianBlur(image, (0, 0), 1).astype(np.float32) for image in (first, second)))

    row = aligned(pair_of(moved(shots), shots.dslr, tmp_path), tmp_path / "out", params(own, "flow", flow))
    assert (row.status, row.model) == ("aligned", "local")
    assert len(calls) == 4
    assert np.median(transform(row).nodes.displacements[10:20, 18:27, 0]) == pytest.approx(-5, abs=0.2)


def test_a_flow_s_claims_are_checked_like_ours(own, shots, tmp_path: Path) -> None:
    """It says that everything lies 4 px farther right, and back again, so that it agrees with itself."""
    sign = iter((4.0, -4.0) * 2)

    def wrong(first: np.ndarray, _: np.ndarray) -> np.ndarray:
        return np.full((*first.shape, 2), next(sign))

    pairs = pair_of(moved(shots), shots.dslr, tmp_path)
    row = aligned(pairs, tmp_path / "out", params(own, "flow", wrong))
    assert row.model != "local"
    assert row.nodes_sha256 is None


def test_px_that_a_flow_leaves_open_are_hidden(own, shots, tmp_path: Path) -> None:
    def half(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        found = dis_flow(first.astype(np.float32), second.astype(np.float32))
        found[:, 250:] = np.nan
        return found

    pairs = pair_of(moved(shots), shots.dslr, tmp_path)
    row = aligned(pairs, tmp_path / "out", params(own, "flow", half))
    assert row.hidden > 0.15


# Mistakes


@pytest.mark.parametrize(
    ("parameter", "function", "said"),
    [
        ("matcher", lambda *_: 1 / 0, r"raised ZeroDivisionError: division by zero \(test_own_methods.py, line \d+\)"),
        ("matcher", lambda *_: sys.exit("not\ninstalled"), "raised SystemExit: not installed"),
        ("matcher", lambda *_: None, "align.matcher did not return two arrays"),
        ("matcher", lambda *_: ("a", "b"), "align.matcher returned str, which is not an array"),
        ("matcher", lambda *_: (np.zeros((9, 2)), np.zeros((8, 2))), r"arrays \(9, 2\) and \(8, 2\)"),
        ("flow", lambda *_: 1 / 0, "align.flow .*raised ZeroDivisionError"),
        ("flow", lambda *_: np.zeros((2, 240, 320)), r"returned an array \(2, 240, 320\), but \(240, 320, 2\)"),
        ("flow", lambda *_: "flow", "align.flow returned str, which is not an array"),
    ],
)
def test_a_function_that_fails_is_a_row_that_is_tried_again(
    parameter: str, function: object, said: str, own, shots, tmp_path: Path
) -> None:
    pairs = pair_of(moved(shots), shots.dslr, tmp_path)
    row = aligned(pairs, tmp_path / "out", params(own, parameter, function))
    assert (row.status, row.reason) == ("failed", "own_method_failed")
    assert re.search(said, row.detail), row.detail
    assert row.reason in Alignment.RETRIED


def test_a_function_that_is_not_there_ends_the_run_before_it_begins(own, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="has no function nothing"):
        align([], tmp_path / "out", replace(PARAMS, flow=f"{own.__name__}:nothing"))
    assert not (tmp_path / "out").exists()
