"""Pairs whose exposure is far from their session's median: columns, verdicts, and what growth changes."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DSLR, PHONE, draw_texture

import dpedtool.pipeline.patches.stage
from benchmarks.exposures import exposed
from dpedtool.dataset.params import AlignParams, PairParams, PatchesParams
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.schema import Alignment, Frame, Patch, StackFrame
from dpedtool.dataset.shards import Extent, read_extent
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.align.stage import align
from dpedtool.pipeline.pair.stage import pair_folders
from dpedtool.pipeline.patches.session_colours import outliers, with_distances
from dpedtool.pipeline.patches.stage import cut_moment, cut_patches
from dpedtool.pipeline.rig import simulate_pair

PARAMS = PatchesParams(size_px=60, stride_px=60, shard_patches=7)
LIMITED = replace(PARAMS, max_exposure_difference=0.4)
STOPS = {"a": 0.0, "b": 0.05, "c": -0.8, "d": -0.7, "e": -0.75}
"""Light of the DSLR's photos. Of a to c, c is unusual; of all, a and b are."""


def frame(name: str, exposure: float | None = 0.0, **changes: Any) -> Frame:
    facts: dict[str, Any] = {
        "pair_id": name,
        "phone": "phone",
        "scene_id": name,
        "phone_path": Path("p.jpg"),
        "dslr_path": Path("d.jpg"),
        "phone_sha256": "p",
        "dslr_sha256": "d",
        "phone_width": 100,
        "phone_height": 100,
        "thumbnail": b"",
        "windows": 1,
        "accepted": 1,
        "key": f"key of {name}",
    }
    if exposure is not None:
        facts |= {"exposure_difference": exposure, "red_gain": 2 * exposure, "blue_gain": 1.0}
    return Frame(**facts | changes)


def test_distances_are_from_the_median_of_the_session_whatever_the_order() -> None:
    rows = [frame("one", 0.1), frame("two", 0.2), frame("three", 1.5), frame("four", None)]
    expected = {"one": -0.1, "two": 0.0, "three": 1.3, "four": None}
    for order in itertools.permutations(rows):
        found = with_distances(order)
        assert [row.pair_id for row in found] == [row.pair_id for row in order]
        assert {row.pair_id: row.exposure_from_median for row in found} == pytest.approx(expected)
    by_name = {row.pair_id: row for row in with_distances(rows)}
    assert by_name["three"].red_from_median == pytest.approx(2.6)
    assert by_name["three"].blue_from_median == 0
    assert with_distances([replace(row, exposure_from_median=9.0) for row in by_name.values()]) == with_distances(rows)


def test_each_phone_and_session_has_a_median_of_its_own() -> None:
    of = [("x", ""), ("y", ""), ("y", "dusk")]
    rows = [
        frame(f"{phone}{session}{index}", base + index, phone=phone, session=session)
        for base, (phone, session) in enumerate(of)
        for index in range(3)
    ]
    assert [row.exposure_from_median for row in with_distances(rows)] == [-1, 0, 1] * 3


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_pairs_have_no_usual_exposure(count: int) -> None:
    rows = with_distances([frame("one", 0.0), frame("two", 3.0), frame("three", None)][-count - 1 :])
    assert {row.exposure_from_median for row in rows} == {None}
    assert outliers(rows, 0.1) == {}


def test_outliers_are_beyond_the_limit_on_either_side() -> None:
    away = {"one": 0.0, "two": 0.25, "three": -0.75, "four": 0.5, "five": -0.25}
    rows = with_distances([frame(name, 0.125 + exposure) for name, exposure in away.items()])
    assert outliers(rows, None) == {}
    assert outliers(rows, 0.5).keys() == {"key of three"}
    assert outliers(rows, 0.75) == {}
    assert outliers(rows, 0.5)["key of three"].detail == (
        "The DSLR's photo is exposed by -0.62 stops against the phone's, 0.75 stops from the session's median of "
        "+0.12; at most 0.5 are allowed."
    )


@pytest.fixture(scope="module")
def alignments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Alignment]:
    """Pairs of one scene, with the light of `STOPS`."""
    root = tmp_path_factory.mktemp("session")
    for seed, (name, stops) in enumerate(STOPS.items()):
        picture = (50 + 0.5 * draw_texture(540, 740, seed)).astype("uint8")
        phone, dslr, _ = simulate_pair(picture, PHONE, DSLR, np.random.default_rng(seed))
        for camera, photo in (("phone", phone), ("dslr", exposed(dslr, stops))):
            (root / camera).mkdir(exist_ok=True)
            (root / camera / f"{name}.png").write_bytes(encode_image(photo, ".png"))
    rows = pair_folders(root / "phone", root / "dslr", PairParams()).rows
    aligned = align(rows, tmp_path_factory.mktemp("aligned"), AlignParams(), images=False)
    return {row.scene_id: row for row in aligned}


def cut(alignments: dict[str, Alignment], names: str, out: Path, params: PatchesParams) -> dict[str, list[Patch]]:
    """Cut some of the pairs; return their rows by scene."""
    found = read_rows(cut_patches([alignments[name] for name in names], out, params), Patch)
    return {name: [row for row in found if row.scene_id == name] for name in names}


def accepted(rows: dict[str, list[Patch]]) -> dict[str, int]:
    return {name: sum(row.status == "accepted" for row in of) for name, of in rows.items()}


@pytest.fixture
def cuts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The scenes that were cut, in their order."""
    done = []

    def note(moment: Any, *arguments: Any, **named: Any) -> list[Patch]:
        done.append(moment.standing.scene_id)
        return cut_moment(moment, *arguments, **named)

    monkeypatch.setattr(dpedtool.pipeline.patches.stage, "cut_moment", note)
    return done


def test_the_table_of_frames_knows_the_light_of_each_pair(alignments: dict[str, Alignment], tmp_path: Path) -> None:
    cut(alignments, "abc", tmp_path / "out", PARAMS)
    frames = {row.scene_id: row for row in read_rows(Frame.table_in(tmp_path / "out"), Frame)}
    usual = frames["a"].exposure_difference or 0
    for name in "abc":
        assert (frames[name].exposure_difference or 0) - usual == pytest.approx(STOPS[name], abs=0.03)
        assert frames[name].exposure_from_median == pytest.approx(STOPS[name], abs=0.05)
        assert frames[name].red_gain == pytest.approx(0, abs=0.03)
        assert len(frames[name].colour_transform or ()) == 12


def test_a_pair_beyond_the_limit_gives_no_patches_and_says_why(
    alignments: dict[str, Alignment], tmp_path: Path
) -> None:
    free = cut(alignments, "abc", tmp_path / "free", PARAMS)
    limited = cut(alignments, "abc", tmp_path / "limited", LIMITED)
    assert min(accepted(free).values()) > 3
    assert accepted(limited) == accepted(free) | {"c": 0}
    lost = [row for row in limited["c"] if row.reason == "exposure_outlier"]
    assert len(lost) == accepted(free)["c"]
    assert "0.4 are allowed" in lost[0].detail
    assert {(row.shard, row.phone_offset, row.proved_by, row.bends) for row in lost} == {(None, None, None, None)}
    # Windows that are rejected for what they show keep their reason.
    assert [row.reason for row in limited["c"] if row not in lost] == [row.reason for row in free["c"] if row.reason]
    frames = {row.scene_id: row.accepted for row in read_rows(Frame.table_in(tmp_path / "limited"), Frame)}
    assert frames == accepted(limited)
    stored = [row for of in limited.values() for row in of if row.shard]
    assert len(stored) == sum(accepted(limited).values())
    assert all(read_extent(row.shard, Extent(row.phone_offset, row.phone_bytes)) for row in stored)  # type: ignore[arg-type]


def test_another_limit_cuts_only_pairs_that_come_back(
    alignments: dict[str, Alignment], tmp_path: Path, cuts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, params in (("free", PARAMS), ("limited", LIMITED)):
        cut(alignments, "abc", tmp_path / name, params)
    del cuts[:]
    capsys.readouterr()
    cut(alignments, "abc", tmp_path / "turns", PARAMS)
    del cuts[:]
    cut(alignments, "abc", tmp_path / "turns", LIMITED)
    assert cuts == []
    assert "these lose their patches" in (said := capsys.readouterr().err)
    assert "phone--c" in said
    rows = [read_rows(Patch.table_in(tmp_path / name), Patch) for name in ("turns", "limited")]
    assert [unplaced(row) for row in rows[0]] == [unplaced(row) for row in rows[1]]
    cut(alignments, "abc", tmp_path / "turns", LIMITED)
    assert (cuts, capsys.readouterr().err.count("these")) == ([], 0)
    back = cut(alignments, "abc", tmp_path / "turns", PARAMS)
    assert cuts == ["c"]
    assert "these are cut again" in (said := capsys.readouterr().err)
    assert "phone--c" in said
    free = read_rows(Patch.table_in(tmp_path / "free"), Patch)
    assert [unplaced(row) for of in back.values() for row in of] == [unplaced(row) for row in free]
    assert frames_in(tmp_path / "turns") == frames_in(tmp_path / "free")


def frames_in(folder: Path) -> list[Frame]:
    rows = read_rows(Frame.table_in(folder), Frame)
    return [replace(row, phone_path=Path(row.phone_path.name), dslr_path=Path(row.dslr_path.name)) for row in rows]


def unplaced(row: Patch) -> Patch:
    """The row without the place of its bytes, which depends on the shards that an earlier run had filled.

    Paths from two folders of results to the same photo differ.
    """
    places = {"phone_path": Path(row.phone_path.name), "dslr_path": Path(row.dslr_path.name)}
    return replace(row, shard=None, phone_offset=None, dslr_offset=None, **places)


def test_a_session_that_grows_judges_all_pairs_again_and_says_which_changed(
    alignments: dict[str, Alignment], tmp_path: Path, cuts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first = cut(alignments, "abc", tmp_path / "grown", LIMITED)
    assert accepted(first)["c"] == 0
    del cuts[:]
    capsys.readouterr()
    # Now most pairs are as dark as c.
    grown = cut(alignments, "abcde", tmp_path / "grown", LIMITED)
    assert cuts == ["d", "e", "c"]
    assert {name for name, count in accepted(grown).items() if not count} == {"a", "b"}
    said = capsys.readouterr().err
    assert "too far from the median of their session: phone--a, phone--b" in said
    assert "no longer too far from the median of their session: phone--c" in said
    fresh = cut(alignments, "edcba", tmp_path / "fresh", LIMITED)
    assert {name: [unplaced(row) for row in of] for name, of in grown.items()} == {
        name: [unplaced(row) for row in fresh[name]] for name in grown
    }
    assert frames_in(tmp_path / "grown") == frames_in(tmp_path / "fresh")


def test_the_frames_of_an_outliers_stacks_name_no_image(alignments: dict[str, Alignment], tmp_path: Path) -> None:
    stacked = replace(LIMITED, frames="all")
    for params in (replace(stacked, max_exposure_difference=None), stacked, stacked):
        rows = cut(alignments, "abc", tmp_path / "out", params)
        frames = read_rows(StackFrame.table_in(tmp_path / "out"), StackFrame)
        kept = {row.patch_id for of in rows.values() for row in of if row.status == "accepted"}
        assert {row.patch_id for row in frames if row.shard} == kept
        assert {row.patch_id for row in frames} >= kept
