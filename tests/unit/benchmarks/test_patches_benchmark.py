"""The benchmark of the patches: its reference, its tables, and its falsified pairs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import cutting, patches_table, search
from benchmarks.cutting import exchanged, images, rejections, released, shifted, yields
from benchmarks.patches_table import CostFigures, Figures, RejectionFigures, SearchFigures, YieldFigures
from benchmarks.search import METHODS, TURNS, Greys
from benchmarks.sets import PhotoSet
from dpedtool.dataset.params import AlignParams
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.schema import Alignment, Pair
from dpedtool.pipeline.align.stage import align
from dpedtool.pipeline.geometry.aligned import crop_box, map_points, mask, mask_columns
from dpedtool.pipeline.geometry.homographies import Box

pytestmark = pytest.mark.slow

SET = PhotoSet("walls", Path("phone"), Path("dslr"))


@pytest.fixture(scope="module")
def alignments(tmp_path_factory: pytest.TempPathFactory, pairs: list[Pair]) -> list[Alignment]:
    rows = align(pairs, tmp_path_factory.mktemp("aligned"), AlignParams(), images=False)
    return [row for row in rows if row.status == "aligned"]


@pytest.fixture
def greys(texture) -> Greys:
    dslr = cv2.cvtColor(texture(330, 330), cv2.COLOR_BGR2GRAY)
    return Greys(np.clip(0.8 * dslr + 20, 0, 255).astype(np.uint8), dslr)


# Search


def test_the_reference_is_the_correlation_coefficient() -> None:
    rng = np.random.default_rng(0)
    area = rng.integers(0, 255, (9, 9)).astype(np.uint8)
    window = area[2:6, 1:5] * 0.5 + 3
    area[5:, 5:] = 7
    ncc = search.reference(window, area)
    assert ncc.shape == (6, 6)
    assert ncc[2, 1] == pytest.approx(1)
    assert ncc[0, 3] == pytest.approx(np.corrcoef(window.ravel(), area[0:4, 3:7].ravel())[0, 1])
    assert math.isnan(ncc[5, 5])
    assert np.isnan(search.reference(np.full((4, 4), 5.0), area)).all()


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_each_method_finds_all_windows_at_all_turns(method: search.Method, greys: Greys) -> None:
    corners = greys.corners()
    assert len(corners) == 9
    found = method.search(greys.phone, greys.dslr, corners, TURNS)
    assert found == pytest.approx(np.ones(9), abs=0.01)
    assert search.speed(method, greys, (0.0,)) > 1


def test_the_search_is_compared_with_the_reference(greys: Greys) -> None:
    ours, eight_bit, _ = search.compare([greys], repeats=2)
    assert ours.sampled == eight_bit.sampled == 9
    assert ours.largest_error < 1e-5
    assert eight_bit.largest_error < 0.02
    assert [len(ours.per_s[turns]) for turns in (1, 5)] == [2, 2]


def test_a_window_on_the_wrong_side_of_the_threshold_is_counted() -> None:
    exact = np.full((1, 11, 11), 0.2)
    exact[0, 5, 5] = 0.91
    figures = SearchFigures("a method")
    search._note(figures, exact - 0.02, exact)
    search._note(figures, exact, exact)
    search._note(figures, exact, np.full_like(exact, np.nan))
    assert (figures.sampled, figures.changed_side) == (2, 1)
    assert figures.largest_error == pytest.approx(0.02)


# Falsified pairs


def test_a_shifted_alignment_is_off_by_so_many_px_of_the_phone(alignments: list[Alignment]) -> None:
    row, point = alignments[0], np.array([[100.0, 90.0]])
    moved = shifted(row, -3, 1.5)
    assert map_points(moved, point) == pytest.approx(map_points(row, point + np.array([-3, 1.5])), abs=0.05)
    crop = crop_box(row)
    assert crop_box(moved) == Box(crop.x + 3, crop.y, crop.width - 3, crop.height - 2)
    assert (moved.key, moved.pair_id) != (row.key, row.pair_id)


def test_the_mask_stays_where_it_is(alignments: list[Alignment]) -> None:
    row = alignments[0]
    cells = np.zeros_like(mask(row))
    cells[1, 2] = True
    side = row.mask_cell_px
    moved = shifted(replace(row, **mask_columns(cells, side)), -2, 0)
    # Cells are counted from the crop's corner, which has moved, so that two cells contain parts of the masked one.
    assert np.argwhere(mask(moved)).tolist() == [[1, 1], [1, 2]]
    assert np.argwhere(mask(shifted(replace(row, **mask_columns(cells, side)), 2, 2))).tolist() == [[1, 2]]


def test_wrong_pairs_have_photos_of_one_size_and_other_content(alignments: list[Alignment]) -> None:
    rows = [replace(alignments[0], pair_id=f"p{n}", dslr_sha256=str(n % 2), dslr_width=5) for n in range(4)]
    rows[3] = replace(rows[3], dslr_width=6)
    found = list(exchanged(rows))
    assert len({row.pair_id for row in found}) == len(found)
    by_source = [(row.pair_id[:2], row.dslr_sha256) for row in found]
    assert ("p0", "1") in by_source
    assert all(int(source[1]) % 2 != int(sha) for source, sha in by_source)
    assert not [source for source, _ in by_source if source == "p3"]


# Yield


def test_patches_are_read_back_and_wrong_pairs_are_rejected(alignments: list[Alignment], tmp_path: Path) -> None:
    rows = alignments[:2]
    kept = yields(SET, rows, tmp_path, workers=1)
    assert [one.mode for one in kept] == ["strict", "dped"]
    for one in kept:
        assert (one.pairs, one.windows) == (2, kept[0].windows)
        assert one.windows == len(one.shifts) + sum(one.reasons.values())
    wrong = list(rejections(SET, rows, tmp_path, workers=1))
    assert [one.change for one in wrong] == [*(f"a shift of {px} px" for px in (1, 2, 3)), "another scene"]
    assert all(one.strict == one.windows > 0 for one in wrong[1:])


def test_an_accepted_patch_is_read_as_it_was_cut(alignments: list[Alignment], tmp_path: Path) -> None:
    accepted = [row for row in cutting._cut(alignments[:1], tmp_path, "dped", 1) if row.status == "accepted"]
    phone, dslr = images(accepted[0])
    assert phone.shape == dslr.shape == (100, 100, 3)
    assert np.corrcoef(phone.ravel(), dslr.ravel())[0, 1] > 0.8


def test_released_patches_are_measured_by_their_names(texture, tmp_path: Path) -> None:
    for camera, x in (("iphone", 20), ("canon", 23)):
        (tmp_path / camera).mkdir()
        patch = texture(140, 140)[20:120, x : x + 100]
        (tmp_path / camera / "7.jpg").write_bytes(encode_image(np.ascontiguousarray(patch), ".jpg"))
    assert released(tmp_path).shifts == pytest.approx([3], abs=0.05)


# Tables


def test_the_tables_show_what_was_measured() -> None:
    searches = [
        SearchFigures("ours", {1: [5000.0, 6000.0], 5: [1000.0, 1200.0]}, 20, 1e-6, 0),
        SearchFigures("loop", {1: [2500.0, 3000.0], 5: [500.0, 500.0]}, 20, 3e-3, 2),
    ]
    cost = CostFigures("rig", (2048, 1536), (4000, 3000), "strict", "png", 300, 250, [0.6, 0.5], 300_000_000)
    kept = YieldFigures("walls", "dped", 2, 80, [0.1, 0.2, math.nan, 0.3])
    nothing = YieldFigures("walls", "strict", 2, 80, [])
    wrong = RejectionFigures("walls", "a shift of 1 px", 400, 398, 100)
    text = patches_table.as_markdown(Figures(searches, [cost], [kept, nothing], [wrong]), ["A note."])
    assert "A note." in text
    assert "| loop | 2750 | 0.50 | 500 | 0.46 | 3.0e-03 | 2 of 20 |" in text
    assert "| rig | 2048x1536, 4000x3000 | strict | png | 0.55 | 300 | 250 | 545 | 0.30 GB |" in text
    assert "| walls | dped | 40.0 | 2.0 | 5.0% | 3 of 4 | 0.200 | 0.280 | 0.290 |" in text
    assert "| walls | strict | 40.0 | 0.0 | 0.0% | 0 of 0 | - | - | - |" in text
    assert "| DPED as published, iPhone |  | - | 28 | - | - | - | - | - |" in text
    assert "| walls | a shift of 1 px | 400 | 99.50% | 25.00% |" in text


def test_parts_that_were_not_measured_have_no_table() -> None:
    text = patches_table.as_markdown(Figures(rejections=[RejectionFigures("walls", "another scene", 0, 0, 0)]), [])
    assert "Search" not in text
    assert "| walls | another scene | 0 | - | - |" in text
