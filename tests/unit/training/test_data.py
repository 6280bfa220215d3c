"""Patches from shards: the network sees the stored images."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import EvaluateParams
from dpedtool.dataset.schema import Sample
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.data import PatchPairs
from dpedtool.training.evaluate.stage import evaluate
from dpedtool.training.train.sources import from_table
from dpedtool.training.train.stage import train

COUNTS = {"train": 5, "validation": 2, "test": 3}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, make_samples) -> Path:
    return make_samples(tmp_path_factory.mktemp("samples"), COUNTS)


def test_a_split_holds_its_own_patches(table: Path) -> None:
    for split, count in COUNTS.items():
        found = PatchPairs(table, split)
        assert len(found) == count
        assert found.names() == [f"{split}-{index}" for index in range(count)]


def test_a_patch_says_which_photos_it_is_of_and_the_digest_what_there_is(tmp_path: Path, table: Path) -> None:
    rows = [replace(row, pair_id=f"photo-{index // 2}") for index, row in enumerate(read_rows(table, Sample))]
    write_rows(tmp_path / "samples.parquet", Sample, rows)
    found = PatchPairs(tmp_path / "samples.parquet", "train")
    assert found.photos() == ["photo-0", "photo-0", "photo-1", "photo-1", "photo-2"]
    others = PatchPairs(table, "train"), PatchPairs(table, "test")
    assert len({found.digest(), *(other.digest() for other in others)}) == 3
    assert PatchPairs(table, "train").digest() == others[0].digest()


def test_a_split_without_patches_is_empty_and_so_is_a_table_without_rows(tmp_path: Path, table: Path) -> None:
    write_rows(tmp_path / "samples.parquet", Sample, [])
    for empty in (PatchPairs(table, "none"), PatchPairs(tmp_path / "samples.parquet", "train")):
        assert len(empty) == 0
        assert empty.names() == []
        assert empty.spread(3) == []


def test_patches_are_read_from_their_own_shard(tmp_path: Path, make_samples) -> None:
    """Shards hold different patches at the same places, so a mixed-up shard would give another picture."""
    tables = [make_samples(tmp_path / name, counts) for name, counts in (("a", {"train": 1}), ("b", {"test": 1}))]
    rows = [row for table in tables for row in read_rows(table, Sample)]
    swapped = [replace(row, split="train", patch_id=row.shard.parent.name) for row in rows[::-1]]
    (tmp_path / "b" / "patches-00000.tar").unlink()
    write_rows(tmp_path / "both.parquet", Sample, swapped)
    both = PatchPairs(tmp_path / "both.parquet", "train")
    assert both.names() == ["b", "a"]
    assert torch.equal(both.read([1]).dslr, PatchPairs(tables[0], "train").read([0]).dslr)
    with pytest.raises(DpedtoolError, match=r"There is no .*b.patches-00000\.tar"):
        both.read([0])


def test_a_spread_reaches_from_the_first_to_the_last(table: Path) -> None:
    patches = PatchPairs(table, "train")
    assert patches.spread(1) == [0]
    assert patches.spread(2) == [0, 4]
    assert patches.spread(3) == [0, 2, 4]
    assert patches.spread(9) == [0, 1, 2, 3, 4]


def test_thirty_thousand_patches_take_few_megabytes(tmp_path: Path) -> None:
    row = Sample(
        patch_id="p", pair_id="p", phone="p", scene_id="p", split="train", shard=tmp_path / "patches-00000.tar",
        phone_offset=0, phone_bytes=1, dslr_offset=1, dslr_bytes=1,
    )  # fmt: skip
    write_rows(tmp_path / "s.parquet", Sample, (replace(row, patch_id=f"phone-scene-{n:06d}") for n in range(30_000)))
    tracemalloc.start()
    patches = PatchPairs(tmp_path / "s.parquet", "train")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(patches) == 30_000
    assert held < 30_000 * 80


def test_patches_are_rgb_between_0_and_1_in_the_order_asked_for(table: Path, texture) -> None:
    batch = PatchPairs(table, "train").read([3, 0])
    assert batch.phone.shape == batch.dslr.shape == (2, 3, 40, 40)
    assert batch.phone.dtype == torch.float32
    for row, seed in enumerate((3, 0)):
        rgb = texture(40, 40, seed=seed)[..., ::-1].transpose(2, 0, 1)
        np.testing.assert_allclose(batch.dslr[row].numpy(), rgb / 255, atol=1e-6)
        np.testing.assert_allclose(batch.phone[row].numpy(), np.floor(0.7 * rgb + 20) / 255, atol=1e-6)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match="There is no table"):
        PatchPairs(tmp_path / "none.parquet", "train")


def test_a_shard_that_is_gone_is_refused_with_cause_and_remedy(tmp_path: Path, make_samples) -> None:
    patches = PatchPairs(make_samples(tmp_path, COUNTS), "test")
    (tmp_path / "patches-00000.tar").unlink()
    with pytest.raises(DpedtoolError, match=r"There is no .*patches-00000\.tar, .*or run `dpedtool split` again"):
        patches.read([1])


@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_a_damaged_shard_is_refused_with_the_patch_and_a_remedy(tmp_path: Path, make_samples, damage: str) -> None:
    table = make_samples(tmp_path, COUNTS)
    patches = PatchPairs(table, "test")
    shard = tmp_path / "patches-00000.tar"
    content = shard.read_bytes()
    shard.unlink()
    if damage == "cut":
        shard.write_bytes(content[:1000])
    if damage == "overwritten":
        shard.write_bytes(bytes(len(content)))
    with pytest.raises(DpedtoolError, match=r"test-1.*remove this file, and run `dpedtool patches`") as refused:
        patches.read([1])
    assert "patches-00000.tar" in str(refused.value)


def test_patches_used_together_have_targets_of_one_scale(tmp_path: Path, table: Path) -> None:
    rows = [replace(row, target_scale=2 if row.split == "test" else 1) for row in read_rows(table, Sample)]
    write_rows(tmp_path / "samples.parquet", Sample, rows)
    scales = [PatchPairs(tmp_path / "samples.parquet", split).target_scale for split in COUNTS]
    assert scales == [1, 1, 2]
    write_rows(tmp_path / "mixed.parquet", Sample, [replace(rows[0], target_scale=4), *rows[1:]])
    with pytest.raises(DpedtoolError, match="1 or 4 times as large as the phone's, but patches used together"):
        PatchPairs(tmp_path / "mixed.parquet", "train")


def test_networks_that_keep_the_size_take_no_larger_targets(tmp_path: Path, table: Path) -> None:
    larger = [replace(row, target_scale=2) for row in read_rows(table, Sample)]
    write_rows(tmp_path / "samples.parquet", Sample, larger)
    said = r"2 times as large as .*_resnet.* makes is as large as .* cut the patches with patches\.target_scale 1"
    with pytest.raises(DpedtoolError, match=said):
        train(from_table(tmp_path / "samples.parquet"), tmp_path / "model", TrainParams())
    train(from_table(table), tmp_path / "same", TrainParams(iterations=1, batch=1, channels=2, blocks=0, device="cpu"))
    with pytest.raises(DpedtoolError, match=said):
        evaluate(tmp_path / "samples.parquet", tmp_path / "same", tmp_path / "scores", EvaluateParams())
