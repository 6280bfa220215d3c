"""The command train: its input is a table or two folders, it ends with one sentence, and its help lists presets."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dpedtool.dataset.params import preset_names
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.pipeline.cli import main
from dpedtool.training.weights.checkpoint import load_card

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
