"""Rows of alignments are kept under other names of the same photos, and their files are renamed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import dpedtool.pipeline.align.stage
from dpedtool.dataset.params import AlignParams
from dpedtool.dataset.schema import Alignment, Pair, Timing
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.align.results import image_files, is_at_hand, named_today, nodes_file
from dpedtool.pipeline.align.stage import align, align_pair
from dpedtool.pipeline.cli import main
from dpedtool.pipeline.geometry.node_files import columns_of, rounded, write_nodes
from dpedtool.pipeline.geometry.transform import NODE_PX

PARAMS = AlignParams()


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pairs that were worked on, in this process."""
    names: list[str] = []

    def note(pair: Pair, params: AlignParams, out: Path, images: bool, parts: Path) -> list[Alignment]:
        names.append(pair.pair_id)
        return align_pair(pair, params, out, images, parts)

    monkeypatch.setattr(dpedtool.pipeline.align.stage, "align_pair", note)
    return names


def renamed(pairs: Sequence[Pair], root: Path) -> list[Pair]:
    """The pairs after the phone's folder was renamed; its photos are copied to `root/other`."""
    found = []
    for pair in pairs:
        assert isinstance(pair.phone_path, Path)
        moved = root / "other" / pair.phone_path.name
        moved.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pair.phone_path, moved)
        name = pair.pair_id.replace("phone--", "other--")
        found.append(replace(pair, pair_id=name, phone="other", phone_path=moved))
    return found


def test_pairs_of_a_renamed_phone_are_kept_with_their_images_and_times(
    tmp_path: Path, pairs: list[Pair], worked: list[str]
) -> None:
    out = tmp_path / "out"
    before = align(pairs[:2], out, PARAMS)
    images = [file.read_bytes() for row in before for file in image_files(out, row.pair_id)]
    times = read_rows(out / "timings.parquet", Timing)
    after = align(today := renamed(pairs[:2], tmp_path), out, PARAMS)
    assert worked == ["phone--a", "phone--b"]
    assert after == [named_today(row, pair, out) for row, pair in zip(before, today, strict=True)]
    assert [row.phone for row in after] == ["other", "other"]
    assert [file.read_bytes() for row in after for file in image_files(out, row.pair_id)] == images
    assert sorted(file.name for file in (out / "phone").iterdir()) == ["other--a.png", "other--b.png"]
    assert read_rows(out / "timings.parquet", Timing) == [
        replace(time, pair_id=pair.pair_id) for time, pair in zip(times, today, strict=True)
    ]


def test_the_table_after_a_renaming_is_that_of_a_run_under_the_new_names(tmp_path: Path, pairs: list[Pair]) -> None:
    today = renamed(pairs[:1], tmp_path)
    align(pairs[:1], tmp_path / "old", PARAMS, images=False)
    align(today, tmp_path / "old", PARAMS, images=False)
    align(today, tmp_path / "new", PARAMS, images=False)
    assert (tmp_path / "old" / "alignments.parquet").read_bytes() == (
        tmp_path / "new" / "alignments.parquet"
    ).read_bytes()


def test_results_of_other_runs_are_taken_over_if_they_are_named(
    tmp_path: Path, pairs: list[Pair], worked: list[str]
) -> None:
    """This is a renamed phone in a session, where every phone has a folder of results of its own."""
    align(pairs[:1], tmp_path / "aligned" / "phone", PARAMS, images=False)
    today = renamed(pairs[:2], tmp_path)
    align(today[:1], tmp_path / "aligned" / "alone", PARAMS, images=False)
    assert worked == ["phone--a", "other--a"]
    rows = align(today, tmp_path / "aligned" / "other", PARAMS, images=False, reuse=tmp_path / "aligned")
    assert worked == ["phone--a", "other--a", "other--b"]
    assert [row.pair_id for row in rows] == ["other--a", "other--b"]
    assert len(read_rows(tmp_path / "aligned" / "other" / "timings.parquet", Timing)) == 2


def test_two_pairs_of_the_same_photos_share_their_work_and_have_a_row_and_images_each(
    tmp_path: Path, pairs: list[Pair], worked: list[str]
) -> None:
    twice = [pairs[0], *renamed(pairs[:1], tmp_path)]
    rows = align(twice, tmp_path / "out", PARAMS)
    assert len(worked) == 1
    assert [(row.pair_id, row.phone, row.status) for row in rows] == [
        ("other--a", "other", "aligned"),
        ("phone--a", "phone", "aligned"),
    ]
    first, second = (image_files(tmp_path / "out", row.pair_id) for row in rows)
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    align(twice, tmp_path / "out", PARAMS)
    assert len(worked) == 1


def test_a_row_whose_sentences_name_a_photo_is_made_again_under_its_new_name(tmp_path: Path, pairs: list[Pair]) -> None:
    (row,) = align(pairs[:1], tmp_path / "out", PARAMS, images=False)
    told = replace(row, note=f"{row.phone_path} has a damaged colour profile.")
    (pair,) = renamed(pairs[:1], tmp_path)

    def kept(row: Alignment, pair: Pair) -> bool:
        return is_at_hand(row, pair, tmp_path / "out", images=False, today={pair.pair_id})

    assert kept(row, pair)
    assert not kept(told, pair)
    assert kept(told, pairs[0])


@pytest.mark.parametrize("is_gone", [True, False])
def test_the_file_of_nodes_goes_with_its_pair(is_gone: bool, tmp_path: Path, pairs: list[Pair]) -> None:
    out = tmp_path / "out"
    (row,) = align(pairs[:1], out, PARAMS, images=False)
    nodes = rounded(np.array([[[0.25, 0.5], [1, 2]], [[3, 4], [5, 6]]]))
    file = nodes_file(out, row.pair_id)
    write_nodes(file, nodes)
    row = replace(row, model="local", **columns_of(nodes, file))
    assert row.nodes_spacing_px == NODE_PX
    (pair,) = renamed(pairs[:1], tmp_path)
    today = {pair.pair_id} if is_gone else {pair.pair_id, row.pair_id}
    assert is_at_hand(row, pair, out, images=False, today=today)
    assert nodes_file(out, pair.pair_id).is_file()
    assert file.is_file() == (not is_gone)


def test_a_row_of_nodes_that_others_changed_is_not_kept(tmp_path: Path, pairs: list[Pair]) -> None:
    (row,) = align(pairs[:1], tmp_path / "out", PARAMS, images=False)
    file = tmp_path / "elsewhere.npy"
    write_nodes(file, rounded(np.zeros((1, 1, 2))))
    row = replace(row, **columns_of(rounded(np.ones((1, 1, 2))), file))
    assert not is_at_hand(row, pairs[0], tmp_path / "out", images=False, today={pairs[0].pair_id})


def test_a_session_takes_over_the_pairs_of_a_phone_that_was_renamed(tmp_path: Path, pairs: list[Pair]) -> None:
    pair_ids = [row.pair_id for row in align(pairs[:1], tmp_path / "aligned" / "phone", PARAMS, images=False)]
    write_rows(tmp_path / "pairs" / "pairs.parquet", Pair, renamed(pairs[:1], tmp_path))
    command = ["align", str(tmp_path / "pairs"), "-o", str(tmp_path / "aligned" / "other"), "--workers", "1"]
    refused = CliRunner().invoke(main, [*command, "--reuse", str(tmp_path / "aligned")])
    assert refused.exit_code == 2
    assert "add --no-images" in refused.stderr
    done = CliRunner().invoke(main, [*command, "--no-images", "--reuse", str(tmp_path / "aligned")])
    assert done.exit_code == 0, done.output
    assert "1 of 1 were done by an earlier run" in done.stderr
    assert pair_ids == ["phone--a"]


def test_two_pairs_of_the_same_photos_keep_images_and_rows_when_both_are_renamed(
    tmp_path: Path, pairs: list[Pair], worked: list[str]
) -> None:
    twice = [pairs[0], replace(pairs[0], pair_id="phone--again")]
    align(twice, tmp_path / "out", PARAMS)
    rows = align(renamed(twice, tmp_path), tmp_path / "out", PARAMS)
    assert worked == ["phone--a"]
    assert [row.pair_id for row in rows] == ["other--a", "other--again"]
    assert all(file.is_file() for row in rows for file in image_files(tmp_path / "out", row.pair_id))
