"""The command train: its input is a table or two folders, it ends with one sentence, and its help lists presets."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result
from split_rig import frame, write_patches

from dpedtool.dataset.params import SplitParams
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.schema import Photo, Sample
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.dataset.train_params import preset_names
from dpedtool.pipeline.cli import main
from dpedtool.pipeline.split.stage import split
from dpedtool.training.train.loop import TrainingRun
from dpedtool.training.weights.checkpoint import load_card

EXTENTS = ("phone_offset", "phone_bytes", "dslr_offset", "dslr_bytes")
SMALL = {"channels": 4, "blocks": 1, "iterations": 2, "validate_every": 1, "batch": 2, "crop_px": 32, "device": "cpu"}


def train(*words: object) -> Result:
    settings = [word for name, value in SMALL.items() for word in ("-S", f"train.{name}={value}")]
    return CliRunner().invoke(main, ["train", *map(str, words), *settings])


@pytest.fixture
def folders(tmp_path: Path, texture) -> tuple[Path, Path]:
    for camera in ("phone", "dslr"):
        (tmp_path / camera).mkdir()
        for number in range(4):
            (tmp_path / camera / f"{number}.png").write_bytes(encode_image(texture(40, 40, number), ".png"))
    return tmp_path / "phone", tmp_path / "dslr"


def test_the_help_names_every_preset_with_its_source() -> None:
    text = CliRunner().invoke(main, ["train", "--help"], terminal_width=100).output
    for name in preset_names():
        assert re.search(rf"^  +{name} +\S", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 100


def test_two_folders_are_trained_on(folders: tuple[Path, Path], tmp_path: Path) -> None:
    done = train("--phone", folders[0], "--dslr", folders[1], "-o", tmp_path / "out", "-S", "train.held_out=0.25")
    assert (done.exit_code, done.stdout.count("Kept the weights after")) == (0, 1), done.output
    training = load_card(tmp_path / "out").training
    assert (training.patches, training.validation_patches) == (3, 1)


def test_a_table_is_trained_on_and_names_choose_among_folders(
    folders: tuple[Path, Path], tmp_path: Path, make_samples
) -> None:
    table = make_samples(tmp_path / "samples", {"train": 2, "validation": 1})
    assert train(table, "-o", tmp_path / "table").exit_code == 0
    with (tmp_path / "table" / "history.csv").open() as file:
        assert [row["iteration"] for row in csv.DictReader(file)] == ["1", "2"]
    (tmp_path / "names.txt").write_text("1.png\n3.png\n")
    sides = "--phone", folders[0], "--dslr", folders[1]
    assert train(*sides, "--names", tmp_path / "names.txt", "-o", tmp_path / "names").exit_code == 0
    training = load_card(tmp_path / "names").training
    assert (training.patches, training.validation_patches) == (1, 1)


@pytest.mark.parametrize("words", [[], ["x", "--phone", "y", "--dslr", "z"], ["--phone", "y"], ["x", "--names", "n"]])
def test_a_table_and_folders_exclude_each_other(words: list[str], tmp_path: Path) -> None:
    done = train(*words, "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert "Name either SAMPLES, or --phone and --dslr" in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (MemoryError(), "memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB."), "GPU memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), "GPU memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), "memory"),
    ],
)
def test_where_memory_does_not_suffice_the_parameters_that_need_less_are_named(
    tmp_path: Path, make_samples, monkeypatch: pytest.MonkeyPatch, error: Exception, what: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(TrainingRun, "step", fail)
    done = train(make_samples(tmp_path / "samples", {"train": 2}), "-o", tmp_path / "out")
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (
        1,
        f"Error: There was not enough {what} for the training: set train.batch (now 2) or train.crop_px (now 32) to "
        "less, or close other programs.",
    )


def test_a_table_that_went_through_pandas_is_read_or_refused_in_a_sentence(tmp_path: Path, make_samples) -> None:
    table = make_samples(tmp_path / "samples", {"train": 2, "validation": 1})
    frame = pd.read_parquet(table)
    # As pandas has columns of numbers with gaps, and texts by their categories.
    frame.astype({"phone_offset": float, "dslr_bytes": "int32", "split": "category"}).to_parquet(table)
    assert train(table, "-o", tmp_path / "out").exit_code == 0
    for damage, words in (
        ({"phone_offset": 0.5}, "column phone_offset"),
        ({"dslr_bytes": None}, "column dslr_bytes"),
        ({"pair_id": None}, "column pair_id"),
    ):
        frame.assign(**damage).to_parquet(table)
        done = train(table, "-o", tmp_path / "out")
        assert done.exit_code == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert isinstance(done.exception, SystemExit)


def test_what_split_verify_refuses_is_not_trained_on(tmp_path: Path, make_samples) -> None:
    table = make_samples(tmp_path / "samples", {"train": 2, "validation": 1})
    rows = read_rows(table, Sample)
    shard = rows[0].shard
    twice, swapped = [*rows, rows[0]], [replace(rows[0], phone_offset=rows[1].phone_offset), *rows[1:]]
    both = [*rows[:2], replace(rows[2], **{name: getattr(rows[0], name) for name in EXTENTS})]
    for damaged in (twice, swapped, both, [replace(rows[0], split="other"), *rows[1:]]):
        write_rows(table, Sample, damaged)
        refused(table, tmp_path, r"`dpedtool split --verify .*` names all faults")
    write_rows(table, Sample, rows)
    shard.write_bytes(shard.read_bytes()[: rows[-1].dslr_offset])
    refused(table, tmp_path, r"patches-00000\.tar is missing or ends before the patches that it should hold")


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    """A split that holds, of patches whose bytes are all equal."""
    frames = [frame(name) for name in ("s0", "s1", "s2")]
    split({"a": write_patches(tmp_path, "a", frames)}, tmp_path / "splits", SplitParams(test=0.3, validation=0.3))
    return tmp_path / "splits"


def test_near_duplicates_on_two_sides_are_not_trained_on(tmp_path: Path, splits: Path) -> None:
    rows = read_rows(Photo.table_in(splits), Photo)
    write_rows(Photo.table_in(splits), Photo, [replace(row, thumbnail=rows[0].thumbnail) for row in rows])
    refused(splits / "a.parquet", tmp_path, r"show the same view: \d+ keypoints agree")


def test_an_image_on_two_sides_is_not_trained_on(tmp_path: Path, splits: Path) -> None:
    for path in splits.iterdir():
        if path.stem != "a":
            path.unlink()
    refused(splits / "a.parquet", tmp_path, r"a-s\d-0 in \w+ and a-s\d-0 in \w+ hold the same image file")


def refused(table: Path, tmp_path: Path, words: str) -> None:
    verified = CliRunner().invoke(main, ["split", "--verify", str(table.parent)])
    assert verified.exit_code == 1
    done = train(table, "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert re.search(words, done.stderr)
    assert isinstance(done.exception, SystemExit)
    assert not (tmp_path / "out").exists()
