"""Releases with stacks: every layout has the frames of the patches, and verification knows each of them."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from datasets import load_dataset
from split_rig import REFERENCES, SIZE_PX, frame, picture, selection, sha, write_patches, write_stacks

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import read_json, write_json
from dpedtool.dataset.params import ReleaseParams, SplitParams
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.schema import StackFrame
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.release.build import build_release
from dpedtool.pipeline.release.changes import compare
from dpedtool.pipeline.release.chunks import numbers_of
from dpedtool.pipeline.release.columns import PATCHES, STACKS, STACKS_SCHEMA
from dpedtool.pipeline.release.verification.verify import verify
from dpedtool.pipeline.split.stage import split

PARAMS = ReleaseParams(
    name="bursts",
    licence="CC-BY-4.0",
    layouts=("dped", "webdataset", "parquet", "burst"),
    patches_a_file=3,
    full_size_photos=0,
)
SCENES = [f"s{number:02d}" for number in range(8)]


def image(name: str) -> bytes:
    """A PNG that no other name has."""
    return encode_image(np.dstack([picture(int(sha(name)[:8], 16), SIZE_PX, SIZE_PX)] * 3), ".png")


def images(name: str) -> tuple[bytes, bytes]:
    return image(f"{name}/1"), image(f"{name}/dslr")


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phone a has stacks of three frames, and phone b was cut from one frame."""
    folder = tmp_path_factory.mktemp("data")
    tables = {
        phone: write_patches(folder / "patches", phone, [frame(scene, phone) for scene in SCENES], images)
        for phone in ("a", "b")
    }
    write_stacks(tables["a"], image)
    for table in tables.values():
        selection().write(table.parent / "selection.json")
    split(tables, folder / "splits", SplitParams(test=0.3, validation=0.2))
    return folder / "splits"


@pytest.fixture(scope="module")
def released(splits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "release"
    build_release(splits, out, PARAMS)
    return out


def frames_of(patch_id: str) -> list[int]:
    if not patch_id.startswith("a-"):
        return [0]
    return [1, 2] if patch_id.endswith("0") else [0, 1, 2]


def targets_of(patch_id: str) -> list[int]:
    """The numbers of the further references with a target of a patch."""
    if not patch_id.startswith("a-"):
        return []
    return [2] if patch_id.endswith("0") else [1, 2]


def target_image(patch_id: str, number: int) -> bytes:
    return image(f"{patch_id}/{REFERENCES[number - 1]}{number}")


def test_the_release_is_right(released: Path) -> None:
    verdict = verify(released)
    assert verdict.faults == []
    assert f"{STACKS} describes the frames of all patches in the order of {PATCHES}." in verdict.said
    assert [line for line in verdict.said if line.startswith("Layout burst: 32 of 32 patches")]
    assert read_json(released / "release.json")["stacks"] == 16 * 2 + 8 + 16 + 16 + 8


def test_the_table_of_stacks_has_every_accepted_frame(released: Path) -> None:
    patches, rows = (pq.read_table(released / name).to_pylist() for name in (PATCHES, STACKS))
    assert [(row["patch_id"], row["reference"], row["frame"]) for row in rows] == [
        (patch["patch_id"], *place)
        for patch in patches
        for place in (
            *(("", number) for number in frames_of(patch["patch_id"])),
            *((("sony_wide", "nikon")[number - 1], number) for number in targets_of(patch["patch_id"])),
        )
    ]
    assert [patch["frames"] for patch in patches] == [len(frames_of(patch["patch_id"])) for patch in patches]
    assert [patch["targets"] for patch in patches] == [
        ",".join(map(str, targets_of(patch["patch_id"]))) for patch in patches
    ]
    for row in rows:
        number = 1 if row["patch_id"].startswith("b-") else row["frame"]
        wanted = target_image(row["patch_id"], number) if row["reference"] else image(f"{row['patch_id']}/{number}")
        assert row["image_sha256"] == hashlib.sha256(wanted).hexdigest()
    further = next(row for row in rows if row["role"] == "frame" and row["frame"] == 2)
    assert (further["ev"], further["frame_from_patch"][2], further["photo"][-6:]) == (1.0, 0.25, "_2.jpg")
    assert pq.read_schema(released / STACKS).names == STACKS_SCHEMA.names


class BurstSRStyle:
    """Reads a release as the data set class of BurstSR reads its own: by sorted folders and counted names.

    That class takes `<root>/<split>`, lists its bursts, and draws the base frame 00 and some of the others; an image is
    read by OpenCV in its stored form and turned to (C, H, W). Here the facts come from a JSON file.
    """

    def __init__(self, root: Path, split: str, phone: str, burst_size: int) -> None:
        self.root, self.phone, self.burst_size = root / split, phone, burst_size
        self.burst_list = sorted(path.name for path in self.root.iterdir())

    def __len__(self) -> int:
        return len(self.burst_list)

    def image(self, burst: str, camera: str) -> np.ndarray:
        stored = cv2.imread(str(self.root / burst / camera / "im_rgb.png"), cv2.IMREAD_UNCHANGED)
        return np.transpose(stored, (2, 0, 1)).astype(np.int16)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, Mapping[str, Any]]:
        burst = self.burst_list[index]
        facts = json.loads((self.root / burst / "meta_info.json").read_text())
        draw = random.Random(index)  # noqa: S311 - nothing secret is drawn
        others = draw.sample(range(1, len(facts["frames"])), self.burst_size - 1)
        frames = [self.image(burst, f"{self.phone}_{number:02d}") for number in (0, *others)]
        return np.stack(frames), self.image(burst, "canon"), facts


def test_a_loader_in_the_style_of_burstsr_reads_the_layout_burst(released: Path) -> None:
    train = BurstSRStyle(released / "burst" / "a", "train", "a", burst_size=2)
    assert len(train) == read_json(released / "release.json")["counts"]["a"]["train"]
    patches = {row["patch_id"]: row for row in pq.read_table(released / PATCHES).to_pylist()}
    for index in range(len(train)):
        frames, target, facts = train[index]
        name = facts["patch_id"]
        assert patches[name]["number"] == int(train.burst_list[index])
        assert frames.shape == (2, 3, SIZE_PX, SIZE_PX)
        for stored, wanted in ((frames[0], f"{name}/1"), (target, f"{name}/dslr")):
            decoded = cv2.imdecode(np.frombuffer(image(wanted), np.uint8), cv2.IMREAD_UNCHANGED)
            assert np.array_equal(stored, decoded.transpose(2, 0, 1))
        assert [each["folder"] for each in facts["frames"]] == [f"a_{n:02d}" for n in range(len(frames_of(name)))]
        assert [each["frame"] for each in facts["frames"]] == [1, *(n for n in frames_of(name) if n != 1)]
        assert (facts["target"], facts["frames"][0]["ev"], facts["frames"][0]["exposure_s"]) == ("canon", 0.0, 0.01)
        assert [(each["folder"], each["frame"], each["reference"]) for each in facts["further_targets"]] == [
            (f"canon_{number:02d}", number, ("sony_wide", "nikon")[number - 1]) for number in targets_of(name)
        ]
        for number in targets_of(name):
            file = train.root / train.burst_list[index] / f"canon_{number:02d}" / "im_rgb.png"
            assert file.read_bytes() == target_image(name, number)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_webdataset_has_the_frames_and_their_facts(released: Path) -> None:
    shard = str(released / "webdataset" / "a" / "train-00000.tar")
    samples = list(webdataset.WebDataset(shard, shardshuffle=False))
    assert len(samples) == 3
    for sample in samples:
        name = sample["__key__"]
        further = [number for number in frames_of(name) if number != 1]
        assert sorted(key for key in sample if key.startswith("frame")) == [f"frame{n:02d}.png" for n in further]
        assert sample["phone.png"] == image(f"{name}/1")
        assert all(sample[f"frame{number:02d}.png"] == image(f"{name}/{number}") for number in further)
        targets = {f"dslr{number:02d}.png": target_image(name, number) for number in targets_of(name)}
        assert {key: sample[key] for key in sample if key.startswith("dslr0")} == targets
        facts = json.loads(sample["json"])
        assert [each["frame"] for each in facts["frames"]] == frames_of(name) + targets_of(name)


def test_datasets_reads_the_frames_of_layout_parquet(released: Path, tmp_path: Path) -> None:
    file = str(released / "parquet" / "a" / "train-00000.parquet")
    rows = load_dataset("parquet", data_files=file, split="train", cache_dir=str(tmp_path))
    for row in rows:
        further = [number for number in frames_of(row["patch_id"]) if number != 1]
        assert [each.size for each in row["frame_images"]] == [(SIZE_PX, SIZE_PX)] * len(further)
        name = row["patch_id"]
        assert [each["frame"] for each in json.loads(row["frames"])] == frames_of(name) + targets_of(name)
        assert len(row["target_images"]) == len(targets_of(name))
        stored = cv2.imdecode(np.frombuffer(target_image(name, targets_of(name)[0]), np.uint8), cv2.IMREAD_COLOR)
        assert np.array_equal(np.asarray(row["target_images"][0])[..., ::-1], stored)
        wanted = cv2.imdecode(np.frombuffer(image(f"{row['patch_id']}/{further[0]}"), np.uint8), cv2.IMREAD_COLOR)
        assert np.array_equal(np.asarray(row["frame_images"][0])[..., ::-1], wanted)


def test_layout_dped_has_the_base_alone(released: Path) -> None:
    assert len(list((released / "dped" / "a").rglob("*.jpg"))) == 2 * 16


def test_a_release_of_single_frames_has_bursts_of_one(tmp_path: Path) -> None:
    table = write_patches(tmp_path / "patches", "b", [frame(scene, "b") for scene in SCENES], images)
    selection().write(table.parent / "selection.json")
    split({"b": table}, tmp_path / "splits", SplitParams(test=0, validation=0))
    build_release(tmp_path / "splits", tmp_path / "release", PARAMS)
    assert verify(tmp_path / "release").faults == []
    assert not (tmp_path / "release" / STACKS).exists()
    facts = read_json(tmp_path / "release/burst/b/train/000000/meta_info.json")
    assert facts["frames"] == [{"folder": "b_00", "role": "base"}]
    assert sorted(path.name for path in (tmp_path / "release/burst/b/train/000000").iterdir()) == [
        "b_00",
        "canon",
        "meta_info.json",
    ]


def test_layout_burst_needs_png(tmp_path: Path) -> None:
    def jpegs(name: str) -> tuple[bytes, bytes]:
        grey = picture(int(sha(name)[:8], 16), SIZE_PX, SIZE_PX)
        content = encode_image(np.dstack([grey] * 3), ".jpg")
        return content, content

    table = write_patches(tmp_path / "patches", "b", [frame("s00", "b")], jpegs)
    selection().write(table.parent / "selection.json")
    split({"b": table}, tmp_path / "splits", SplitParams(test=0, validation=0))
    with pytest.raises(DpedtoolError, match=r"set patches\.format to png"):
        build_release(tmp_path / "splits", tmp_path / "release", PARAMS)


def rewritten(folder: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change the rows of the table of stacks, and keep its row groups."""
    with pq.ParquetFile(folder / STACKS) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        rows = file.read().to_pylist()
    change(rows)
    with pq.ParquetWriter(folder / STACKS, STACKS_SCHEMA, use_dictionary=False) as out:
        for size in sizes:
            part, rows = rows[:size], rows[size:]
            out.write_table(pa.Table.from_pylist(part, STACKS_SCHEMA), row_group_size=size)


def swap_first_two(rows: list[dict[str, Any]]) -> None:
    rows[0], rows[1] = rows[1], rows[0]


def other_sum(rows: list[dict[str, Any]]) -> None:
    next(row for row in rows if row["role"] == "frame")["image_sha256"] = sha("another")


def other_role(rows: list[dict[str, Any]]) -> None:
    next(row for row in rows if row["role"] == "base")["role"] = "frame"


def other_ev(rows: list[dict[str, Any]]) -> None:
    next(row for row in rows if row["role"] == "frame")["ev"] = 7.0


def other_reference(rows: list[dict[str, Any]]) -> None:
    next(row for row in rows if row["role"] == "target")["frame"] = 9


def no_reference(rows: list[dict[str, Any]]) -> None:
    next(row for row in rows if row["role"] == "target")["reference"] = ""


def missing_target(folder: Path) -> None:
    sorted((folder / "burst").rglob("canon_02/im_rgb.png"))[0].unlink()


def damaged_frame(folder: Path) -> None:
    path = sorted((folder / "burst").rglob("a_01/im_rgb.png"))[0]
    path.write_bytes(path.read_bytes()[:-9])


def missing_frame(folder: Path) -> None:
    sorted((folder / "burst").rglob("a_01/im_rgb.png"))[0].unlink()


def other_description(folder: Path) -> None:
    path = sorted((folder / "burst").rglob("meta_info.json"))[0]
    write_json(path, read_json(path) | {"target": "nikon"})


def extra_frame(folder: Path) -> None:
    path = sorted((folder / "burst").rglob("a_01"))[0].with_name("a_09") / "im_rgb.png"
    path.parent.mkdir()
    path.write_bytes(image("extra"))


def no_table(folder: Path) -> None:
    (folder / STACKS).unlink()


def table_unsaid(folder: Path) -> None:
    write_json(folder / "release.json", read_json(folder / "release.json") | {"stacks": 0})


@pytest.mark.parametrize("text", ["x", "2,1", "1,1", "1,", "0", "-1", "100", " 1", "1 "])
def test_texts_that_name_no_targets_in_order_are_faults(text: str) -> None:
    with pytest.raises(ValueError, match="does not name further targets in order"):
        numbers_of(text)


def test_the_numbers_of_targets() -> None:
    assert [numbers_of(text) for text in ("", "3", "1,2,12")] == [(), (3,), (1, 2, 12)]


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (damaged_frame, "frame 1 cannot be decoded"),
        (missing_frame, "frame 1 is missing"),
        (missing_target, "further target 2 is missing"),
        (other_description, f"differs from {PATCHES} or {STACKS}"),
        (extra_frame, "not part of the release"),
        (no_table, f"{STACKS}: it is missing"),
        (table_unsaid, f"{STACKS}: it is not part of the release"),
        (lambda folder: rewritten(folder, swap_first_two), "not in the order of their numbers"),
        (lambda folder: rewritten(folder, other_sum), f"does not have the SHA-256 that is in {STACKS}"),
        (lambda folder: rewritten(folder, other_role), "does not have one base frame"),
        (lambda folder: rewritten(folder, other_reference), "the numbers of the further targets of the patch"),
        (lambda folder: rewritten(folder, no_reference), "its rows are not the further targets of the patch"),
        (lambda folder: rewritten(folder, other_ev), "json differs from"),
        (lambda folder: rewritten(folder, other_ev), f"its column frames differs from {PATCHES}"),
    ],
    ids=[
        *("damaged frame", "missing frame", "missing target", "other description", "extra frame"),
        *("no table", "table unsaid", "order", "sum", "role", "reference", "no reference"),
        *("facts in tar", "facts in parquet"),
    ],
)
def test_damage_to_frames_is_named(damage: Callable[[Path], None], fault: str, tmp_path: Path, released: Path) -> None:
    folder = tmp_path / "release"
    shutil.copytree(released, folder)
    damage(folder)
    faults = verify(folder).faults
    assert [line for line in faults if fault in line], faults


def test_two_references_of_one_number_are_refused(tmp_path: Path) -> None:
    table = write_patches(tmp_path / "patches", "a", [frame(scene, "a") for scene in SCENES], images)
    write_stacks(table, image)
    selection().write(table.parent / "selection.json")
    split({"a": table}, tmp_path / "splits", SplitParams(test=0, validation=0))
    stacks = StackFrame.table_in(table.parent)
    rows = read_rows(stacks, StackFrame)
    changed = max(place for place, row in enumerate(rows) if row.reference == "nikon")
    rows[changed] = replace(rows[changed], reference="canon")
    write_rows(stacks, StackFrame, rows)
    with pytest.raises(DpedtoolError, match="references canon and nikon have the same number in different patches"):
        build_release(tmp_path / "splits", tmp_path / "release", PARAMS)


@pytest.mark.parametrize("layout", ["dped", "burst"])
def test_a_phone_called_like_the_dslrs_folder_is_refused(splits: Path, tmp_path: Path, layout: str) -> None:
    params = replace(PARAMS, layouts=(layout,), dslr_folder="a")
    with pytest.raises(DpedtoolError, match=rf"like the DSLR's folder in layout {layout}: set release\.dslr_folder"):
        build_release(splits, tmp_path / "release", params)


def test_a_patch_with_other_frames_has_changed(splits: Path, released: Path, tmp_path: Path) -> None:
    build_release(splits, tmp_path / "release", PARAMS)
    assert compare(released, tmp_path / "release").is_empty
    rewritten(tmp_path / "release", other_sum)
    assert len(compare(released, tmp_path / "release").patches_cut_again) == 1


def test_worker_processes_change_no_byte(splits: Path, released: Path, tmp_path: Path) -> None:
    build_release(splits, tmp_path / "release", PARAMS, workers=2)
    assert (tmp_path / "release" / "SHA256SUMS").read_text() == (released / "SHA256SUMS").read_text()
