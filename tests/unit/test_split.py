"""The split of scenes: from tables of patches to tables of samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset.errors import DpedtoolError
from dataset.params import SplitParams
from dataset.schema import Patch, Sample
from dataset.split import SPLITS, split, split_scenes
from dataset.tables import read_rows, write_rows


def patch(phone: str, scene: str, index: int, shard: Path | None) -> Patch:
    facts = {"phone_offset": 512, "phone_bytes": 10, "dslr_offset": 1536, "dslr_bytes": 11, "ncc": 0.95}
    return Patch(
        patch_id=f"{phone}-{scene}-{index}",
        pair_id=f"{phone}-{scene}",
        phone=phone,
        scene_id=scene,
        status="accepted" if shard else "rejected",
        reason="" if shard else "low_ncc",
        shard=shard,
        key="k",
        **(facts if shard else {}),
    )


def tables(folder: Path, scenes: dict[str, list[str]]) -> dict[str, Path]:
    """Two accepted patches and a rejected one for every phone and scene."""
    found = {}
    for phone, names in scenes.items():
        found[phone] = folder / phone / "patches.parquet"
        shard = folder / phone / "patches-00000.tar"
        rows = [patch(phone, name, index, shard if index < 2 else None) for name in names for index in range(3)]
        write_rows(found[phone], Patch, rows)
    return found


def test_many_scenes_are_shared_out_as_asked() -> None:
    of = split_scenes([f"s{index}" for index in range(4000)], SplitParams(test=0.15, validation=0.1))
    shares = [list(of.values()).count(name) / 4000 for name in ("test", "validation", "train")]
    assert shares == pytest.approx([0.15, 0.1, 0.75], abs=0.02)


@pytest.mark.parametrize(
    ("scenes", "counts"),
    [(1, (0, 0, 1)), (2, (1, 0, 1)), (3, (1, 1, 1)), (4, (1, 1, 2))],
)
def test_few_scenes_are_left_to_train_on_first_then_to_test_on(scenes: int, counts: tuple[int, int, int]) -> None:
    of = split_scenes([str(index) for index in range(scenes)], SplitParams(test=0.01, validation=0.01))
    assert tuple(list(of.values()).count(name) for name in ("test", "validation", "train")) == counts


def test_a_share_of_zero_gets_nothing() -> None:
    of = split_scenes([str(index) for index in range(50)], SplitParams(test=0, validation=0))
    assert set(of.values()) == {"train"}


def test_another_seed_draws_other_scenes() -> None:
    scenes = [f"s{index}" for index in range(40)]
    first, second = (split_scenes(scenes, SplitParams(test=0.3, seed=seed)) for seed in (0, 1))
    assert first != second


def test_both_phones_patches_of_a_scene_are_in_one_split(tmp_path: Path) -> None:
    scenes = [f"s{index}" for index in range(12)]
    found = tables(tmp_path, {"a": scenes, "b": scenes[3:]})
    counts = split(found, tmp_path / "splits", SplitParams(test=0.25, validation=0.25))
    rows = [row for phone in "ab" for row in read_rows(tmp_path / "splits" / f"{phone}.parquet", Sample)]
    assert len({(row.scene_id, row.split) for row in rows}) == 12
    assert counts.to_numpy().sum() == len(rows) == 2 * (12 + 9)
    of = split_scenes(scenes, SplitParams(test=0.25, validation=0.25))
    assert counts.loc["a"].to_dict() == {name: 2 * list(of.values()).count(name) for name in SPLITS}
    assert list(counts.columns) == list(SPLITS)


def test_samples_name_the_bytes_of_their_patches_and_rejected_ones_are_left_out(tmp_path: Path) -> None:
    split(tables(tmp_path, {"a": ["x", "y"]}), tmp_path / "splits", SplitParams())
    rows = read_rows(tmp_path / "splits" / "a.parquet", Sample)
    assert [row.patch_id for row in rows] == ["a-x-0", "a-x-1", "a-y-0", "a-y-1"]
    for row in rows:
        assert row.shard.resolve() == (tmp_path / "a" / "patches-00000.tar").resolve()
        assert (row.phone_offset, row.phone_bytes, row.dslr_offset, row.dslr_bytes) == (512, 10, 1536, 11)


def test_a_phone_without_accepted_patches_gets_an_empty_table(tmp_path: Path) -> None:
    found = tables(tmp_path, {"a": ["x", "y"], "b": []})
    split(found, tmp_path / "splits", SplitParams())
    assert read_rows(tmp_path / "splits" / "b.parquet", Sample) == []


def test_no_accepted_patch_at_all_gives_empty_tables(tmp_path: Path) -> None:
    write_rows(tmp_path / "p.parquet", Patch, [patch("a", "x", 0, None)])
    counts = split({"a": tmp_path / "p.parquet"}, tmp_path / "splits", SplitParams())
    assert counts.loc["a"].to_dict() == {"train": 0, "validation": 0, "test": 0}
    assert read_rows(tmp_path / "splits" / "a.parquet", Sample) == []


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match="There is no table"):
        split({"a": tmp_path / "none.parquet"}, tmp_path / "splits", SplitParams())
