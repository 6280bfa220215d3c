"""Figures of a release, against small tables by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from release_rig import PARAMS, figures_of
from split_rig import frame, write_patches

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import write_json
from dpedtool.dataset.schema import Frame, Patch, Photo
from dpedtool.dataset.sides import EXCLUDED
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.release.description import Description
from dpedtool.pipeline.release.documents.card import card
from dpedtool.pipeline.release.documents.statistics import figures

TWICE_AS_FINE = (0.0, -2.0, 300.0, 2.0, 0.0, 200.0, 0.0, 0.0, 1.0)
SELECTION = {
    "windows": 10,
    "accepted": 6,
    "rejected": {"low_ncc": 4},
    "params_sha256": "s",
    "pairs": {
        "all": 5,
        "aligned": 4,
        "rejected": 1,
        "failed": 0,
        "reasons": {"parallax": 1},
        "dslr_sizes": [{"width": 900, "height": 600, "photos": 4}],
    },
    "params": {"mode": "strict"},
    "by": {"brightness": [{"from": 0, "to": 50, "windows": 4, "accepted": 1, "share": 0.25}]},
}


def photo(one: Frame, split: str, **changes: object) -> Photo:
    same = ("pair_id", "phone", "scene_id", "phone_path", "dslr_path", "phone_sha256", "dslr_sha256", "thumbnail")
    facts = {name: getattr(one, name) for name in (*same, "accepted")}
    facts |= {"group": one.scene_id, "split": split, "drawn_by": "seed 0", "near_minutes": 30.0, "near_keypoints": 12}
    return Photo(**{**facts, **changes})


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Phone a: three pairs with 2, 1 and 3 patches, the last excluded; one without; one not aligned."""
    frames = [frame("s1"), frame("s2", accepted=1, phone_width=800), frame("s3", accepted=3), frame("s4", accepted=0)]
    table = write_patches(tmp_path / "patches", "a", frames)
    residuals = iter([0.05, 0.07, 1.5, 0.0, 0.0, 0.0])
    rows = [
        replace(row, residual_px=next(residuals), ncc=0.9, dslr_from_patch=TWICE_AS_FINE)
        if row.status == "accepted"
        else row
        for row in read_rows(table, Patch)
    ]
    write_rows(table, Patch, rows)
    write_json(table.parent / "selection.json", SELECTION)
    sides = [photo(frames[0], "train"), photo(frames[1], "train", group="s1"), photo(frames[3], "test")]
    gone = photo(frame("s9"), "test", status="absent")
    out = photo(frames[2], EXCLUDED, group="", reason="two_sides")
    write_rows(Photo.table_in(tmp_path / "splits"), Photo, [*sides, gone, out])
    return tmp_path


def test_the_figures_are_those_counted_by_hand(tables: Path) -> None:
    found = figures(tables / "splits", {"a": tables / "patches" / "a"})
    phone = found["phones"]["a"]
    assert phone["alignment"] == {"pairs": 5, "aligned": 4, "rejected": 1, "failed": 0, "reasons": {"parallax": 1}}
    assert phone["photos"] == {
        "phone": [{"width": 640, "height": 480, "photos": 1}, {"width": 800, "height": 480, "photos": 1}],
        "dslr": [{"width": 900, "height": 600, "photos": 4}],
    }
    assert (phone["pairs"], phone["windows"], phone["accepted"], phone["released"]) == (4, 10, 6, 3)
    assert phone["patches_a_pair"] == 1.2
    assert phone["rejected"] == {"low_ncc": 4}
    assert phone["residual_px"]["measured"] == 3
    assert phone["residual_px"]["histogram"][0] == {"from": 0.0, "to": 0.1, "patches": 2}
    assert phone["residual_px"]["histogram"][-1] == {"from": 1.0, "to": 2.0, "patches": 1}
    assert phone["residual_px"]["quantiles"]["median"] == 0.07
    assert phone["residual_px"]["quantiles"]["largest"] == 1.5
    assert phone["ncc"]["5 %"] == 0.9
    assert phone["dslr_px_per_phone_px"]["median"] == phone["dslr_px_per_phone_px"]["largest"] == 2
    assert phone["splits"]["train"] == {"scenes": 2, "groups": 1, "pairs": 2, "patches": 3}
    assert phone["splits"]["test"] == {"scenes": 0, "groups": 0, "pairs": 0, "patches": 0}
    assert (phone["selection"], phone["limits"]) == (SELECTION["by"], SELECTION["params"])
    assert found["splits"]["train"]["scenes"] == 2
    assert found["excluded"] == {"scenes": 1, "groups": 0, "pairs": 1, "patches": 3, "reasons": {"two_sides": 1}}
    assert found["groups"] == {"groups": 1, "of_several_scenes": 1, "most_scenes": 2}
    assert (found["drawn_by"], found["near_minutes"], found["near_keypoints"]) == ("seed 0", 30, 12)


def test_further_frames_are_counted_apart_from_the_moments(tables: Path) -> None:
    frames = {"all": 4, "aligned": 1, "rejected": 3, "failed": 0, "stand_ins": 1}
    frames["reasons"] = {"few_matches": 1, "motion_blur": 2}
    for all_frames, told in ((4, True), (0, False)):
        pairs = {**SELECTION["pairs"], "frames": {**frames, "all": all_frames}}
        write_json(tables / "patches/a/selection.json", {**SELECTION, "pairs": pairs})
        found = figures(tables / "splits", {"a": tables / "patches" / "a"})["phones"]["a"]
        assert (found["alignment"]["pairs"], found["patches_a_pair"]) == (5, 1.2)
        assert found["alignment"].get("frames") == (frames if told else None)


def test_further_targets_are_counted_by_reference(tables: Path) -> None:
    targets = {"sony wide": {"accepted": 9, "hidden": 2, "masked": 1}, "nikon": {"masked": 4}}
    stacks = {"all": 0, "accepted": 0, "reasons": {}, "targets": targets}
    write_json(tables / "patches/a/selection.json", {**SELECTION, "stacks": stacks})
    found = figures(tables / "splits", {"a": tables / "patches" / "a"})["phones"]["a"]
    assert found["targets"] == {"sony_wide": {"all": 12, "accepted": 9}, "nikon": {"all": 4, "accepted": 0}}


def test_alignments_may_be_unknown_and_the_figures_are_json(tables: Path) -> None:
    write_json(tables / "patches/a/selection.json", {key: SELECTION[key] for key in SELECTION if key != "pairs"})
    found = figures(tables / "splits", {"a": tables / "patches" / "a"})
    assert found["phones"]["a"]["alignment"] is None
    assert found["phones"]["a"]["patches_a_pair"] == 1.5
    assert "dslr" not in found["phones"]["a"]["photos"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_phone_without_patches_has_figures(tmp_path: Path) -> None:
    write_patches(tmp_path, "a", [])
    write_json(tmp_path / "a" / "selection.json", SELECTION | {"pairs": None})
    write_rows(Photo.table_in(tmp_path / "splits"), Photo, [])
    found = figures(tmp_path / "splits", {"a": tmp_path / "a"})
    assert found["phones"]["a"]["residual_px"] == {
        "measured": 0,
        "not_measured": 0,
        "quantiles": {},
        "histogram": [],
    }
    assert found["phones"]["a"]["patches_a_pair"] is None
    assert found["groups"]["most_scenes"] == 0


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"photos\.parquet"):
        figures(tmp_path, {"a": tmp_path / "a"})


def test_the_card_shows_these_figures_and_the_tests_others_of_the_same_form(tables: Path) -> None:
    found = figures(tables / "splits", {"a": tables / "patches" / "a"})
    usual = figures_of([{"phone": "a", "split": "train", "pair_id": "a-s1"}])
    assert set(found) == set(usual) - {"cameras", "simulated"}
    for name in ("alignment", "photos", "residual_px"):
        assert set(found["phones"]["a"][name]) == set(usual["phones"]["a"][name])
    assert set(found["phones"]["a"]) == set(usual["phones"]["a"])
    counts = {"a": {"train": 3, "validation": 0, "test": 0}}
    text = card(Description(params=PARAMS, counts=counts, figures=found, files=[], encoded=0, photos=[]))
    assert "| a | 5 | 4 | 10 | 6 | 60.0 % | 1.2 |" in text.splitlines()
    assert "| a | 0.052 | 0.06 | 0.07 | 0.785 | 1.214 | 1.357 | 1.471 | 1.5 | 0 |" in text.splitlines()
    assert "| a | 2.0 | 2.0 | 2.0 | 2.0 | 2.0 | 2.0 | 2.0 | 2.0 |" in text.splitlines()
