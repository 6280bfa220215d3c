"""What messages about others' data sets, weights and networks advise helps: each test follows the advice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tensorflow_writer import data_file, index_file, write_checkpoint

from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.pipeline.cli import main
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.weights.checkpoint import save_model

pytestmark = pytest.mark.usefixtures("one_thread")

Answer = Callable[..., str]


@pytest.fixture
def fails() -> Answer:
    """Run a command that must fail, and return what it says."""

    def run(*words: object) -> str:
        ran = CliRunner().invoke(main, list(map(str, words)))
        assert ran.exit_code in (1, 2), ran.output
        assert not ran.exception or isinstance(ran.exception, SystemExit), ran.exception
        return " ".join(ran.output.split())

    return run


@pytest.fixture
def works() -> Answer:
    """Run a command that must succeed, and return what it says."""

    def run(*words: object) -> str:
        ran = CliRunner().invoke(main, list(map(str, words)))
        assert ran.exit_code == 0, ran.output
        return ran.output

    return run


def image(seed: int, side: int = 48) -> bytes:
    return encode_image(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8), ".png")


def put_pairs(above: Path, cameras: tuple[str, ...] = ("phone", "canon")) -> Path:
    for camera in cameras:
        (above / camera).mkdir(parents=True)
        for number in range(3):
            (above / camera / f"{number}.png").write_bytes(image(number))
    return above


@pytest.fixture
def model(tmp_path: Path) -> Path:
    network = Architecture(channels=3, blocks=0).build()
    initialise(network, torch.Generator().manual_seed(0))
    save_model(tmp_path / "model", network, {"trained": True})
    return tmp_path / "model"


# Data sets of others


def test_import_says_which_options_a_folder_of_pairs_needs(fails: Answer, works: Answer, tmp_path: Path) -> None:
    folder, out = put_pairs(tmp_path / "data", ("phone", "nikon")), tmp_path / "out"
    assert "give its name by --dslr" in fails("release", "import", folder, "-o", out)
    assert "set --as to train, validation or test" in fails("release", "import", folder, "-o", out, "--dslr", "nikon")
    works("release", "import", folder, "-o", out, "--dslr", "nikon", "--as", "test")


def test_other_folders_that_are_moved_away_are_no_cameras(fails: Answer, works: Answer, tmp_path: Path) -> None:
    words = ("release", "import", put_pairs(tmp_path / "data", ("phone", "canon", "old")), "-o", tmp_path / "out")
    assert "and move other folders away" in fails(*words, "--as", "train")
    shutil.move(tmp_path / "data/old", tmp_path / "old")
    works(*words, "--as", "train")


def test_a_layout_that_says_its_splits_needs_no_option(fails: Answer, works: Answer, tmp_path: Path) -> None:
    put_pairs(tmp_path / "phone/training_data")
    words = ("release", "import", tmp_path / "phone", "-o", tmp_path / "out")
    assert "leave out --as" in fails(*words, "--as", "train")
    works(*words)


def test_a_copy_in_place_of_a_link_is_read(fails: Answer, works: Answer, tmp_path: Path) -> None:
    folder = put_pairs(tmp_path / "data")
    outside = shutil.move(folder / "phone/0.png", tmp_path / "0.png")
    (folder / "phone/0.png").symlink_to(outside)
    words = ("release", "import", folder, "-o", tmp_path / "out", "--as", "test")
    assert "replace it by a copy, or remove it" in fails(*words)
    (folder / "phone/0.png").unlink()
    shutil.copy(outside, folder / "phone/0.png")
    works(*words)


def test_another_output_folder_is_accepted_for_a_phone_called_like_a_table(
    fails: Answer, works: Answer, tmp_path: Path
) -> None:
    words = ("release", "import", put_pairs(tmp_path / "data", ("photos", "canon")), "-o", tmp_path / "out")
    assert "give its folder another name" in fails(*words, "--as", "test")
    (tmp_path / "data/photos").rename(tmp_path / "data/phone")
    works(*words, "--as", "test")


# Weights of others


def test_a_checkpoint_is_found_by_the_beginning_of_its_names(fails: Answer, works: Answer, tmp_path: Path) -> None:
    rng, out = np.random.default_rng(0), tmp_path / "net.safetensors"
    shapes = {"w1": (9, 9, 3, 64), "w2": (5, 5, 64, 32), "w3": (5, 5, 32, 3), "b1": (64,), "b2": (32,), "b3": (3,)}
    weights = {f"generator/{name}": rng.normal(0, 0.02, shape).astype(np.float32) for name, shape in shapes.items()}
    write_checkpoint(tmp_path / "net", weights)
    moved = shutil.move(data_file(tmp_path / "net", 0, 1), tmp_path / "away")
    assert "download or copy it as well" in fails("import-weights", tmp_path / "net", "-o", out)
    shutil.copy(moved, data_file(tmp_path / "net", 0, 1))
    assert "by the common part of its file names" in fails("import-weights", tmp_path / "nett", "-o", out)
    assert "give it the suffix .safetensors" in fails("import-weights", tmp_path / "net", "-o", tmp_path / "net.pt")
    works("import-weights", tmp_path / "net", "-o", out)
    index = index_file(tmp_path / "net")
    whole = index.read_bytes()
    index.write_bytes(whole[:-9])
    assert "download or copy it again" in fails("import-weights", tmp_path / "net", "-o", out)
    index.write_bytes(whole)
    works("import-weights", tmp_path / "net", "-o", out)


# Networks


def test_what_export_asks_for_can_be_done(fails: Answer, works: Answer, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert "give it the suffix .onnx" in fails("export", model, "-o", tmp_path / "net.tflite")
    (tmp_path / "net.md").write_text("my notes")
    said = fails("export", model, "-o", tmp_path / "net.onnx")
    assert "give the exported file another name, or choose another folder" in said
    works("export", model, "-o", tmp_path / "other.onnx")
    works("export", model, "-o", tmp_path / "folder" / "net.onnx")
    assert (tmp_path / "net.md").read_text() == "my notes"
    card = json.loads((model / "model.json").read_text())
    card["network"]["channels"] = 5
    (model / "model.json").write_text(json.dumps(card))
    assert "remove the card, or put the right one there" in fails("export", model, "-o", tmp_path / "third.onnx")
    (model / "model.json").unlink()
    works("export", model, "-o", tmp_path / "third.onnx")


def test_what_enhance_asks_for_can_be_done(fails: Answer, works: Answer, model: Path, tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        content = image(0) if name.endswith("png") else encode_image(np.zeros((48, 48, 3), np.uint8), ".bmp")
        (tmp_path / "photos" / name).write_bytes(content)
    photos = [tmp_path / "photos" / name for name in ("a.png", "a.bmp")]
    words = ("enhance", *photos, "--weights", model, "-o", tmp_path / "out", "--format", "png")
    assert "rename one, or enhance them into separate folders" in fails(*words)
    photos[1].rename(photos[1].with_name("b.bmp"))
    words = ("enhance", photos[0], photos[1].with_name("b.bmp"), *words[3:])
    works(*words)
    said = fails(*words)
    assert "choose another folder, --existing skip" in said
    for advice in (("--existing", "skip"), ("--existing", "replace")):
        works(*words, *advice)
    assert "--quality is for --format jpg" in fails(*words, "--existing", "replace", "--quality", 80)
    works(*words[:-1], "jpg", "--existing", "replace", "--quality", 80)
