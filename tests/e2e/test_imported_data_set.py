"""A data set in the layout of DPED, imported: it is trained on, scored and checked by the commands as any other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tensorflow_writer import write_checkpoint

from dpedtool.dataset.params import Params
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.pipeline.cli import main
from dpedtool.pipeline.release.importing.layout import import_layout

CPU = ("evaluate.device=cpu",)
SMALL = (
    *("train.channels=3", "train.blocks=0", "train.iterations=2", "train.batch=2", "train.crop_px=32"),
    "train.device=cpu",
)

pytestmark = pytest.mark.usefixtures("one_thread")


def write_pairs(above: Path, count: int, texture, first: int = 0) -> Path:
    for camera, gain in (("iphone", 0.6), ("canon", 1.0)):
        (above / camera).mkdir(parents=True)
        for number in range(count):
            picture = (gain * texture(40, 40, seed=first + number)).astype(np.uint8)
            (above / camera / f"{number}.jpg").write_bytes(encode_image(picture, ".jpg"))
    return above


def run(*words: object, code: int = 0, settings: tuple[str, ...] = ()) -> Result:
    done = CliRunner().invoke(main, [*map(str, words), *(word for setting in settings for word in ("-S", setting))])
    assert done.exit_code == code, done.output
    return done


def test_an_imported_data_set_is_trained_on_and_scored(tmp_path: Path, texture) -> None:
    write_pairs(tmp_path / "iphone" / "training_data", 12, texture)
    write_pairs(tmp_path / "iphone" / "test_data" / "patches", 3, texture, first=100)
    import_layout(tmp_path / "iphone", tmp_path / "out", Params())
    table = tmp_path / "out" / "splits" / "iphone.parquet"
    run("train", table, "-o", tmp_path / "model", settings=SMALL)
    scored = run("evaluate", table, "--model", tmp_path / "model", "-o", tmp_path / "scores", settings=CPU)
    assert "3 test patches: PSNR" in scored.stdout
    assert "One colour transform fitted to the training patches gives" in scored.stdout
    verified = run("split", "--verify", table.parent, code=3)
    assert "This split cannot be proven" in verified.stdout
    assert verified.stderr.strip() == f"Error: {table.parent} cannot be verified; no leak was found."


def test_scores_of_an_imported_test_are_those_of_its_folders(tmp_path: Path, texture) -> None:
    """More than a batch of 50, so that the order of the names matters to the protocol batch."""
    folder = write_pairs(tmp_path / "patches", 60, texture)
    rng = np.random.default_rng(0)
    shapes = {"w1": (9, 9, 3, 64), "w2": (5, 5, 64, 32), "w3": (5, 5, 32, 3), "b1": (64,), "b2": (32,), "b3": (3,)}
    weights = {f"generator/{name}": rng.normal(0, 0.02, shape).astype(np.float32) for name, shape in shapes.items()}
    write_checkpoint(tmp_path / "net", weights)
    file = tmp_path / "net.safetensors"
    run("import-weights", tmp_path / "net.index", "-o", file)
    import_layout(folder, tmp_path / "out", Params(), part="test")
    table = tmp_path / "out" / "splits" / "iphone.parquet"
    run("evaluate", table, "--model", file, "-o", tmp_path / "scores", settings=CPU)
    of_table = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    folders = ["--phone", folder / "iphone", "--dslr", folder / "canon"]
    of_folders = json.loads(run("evaluate", "--weights", file, *folders, "--json", settings=CPU).stdout)
    for protocol in ("image", "batch"):
        known = {figure: value for figure, value in of_folders[protocol].items() if value is not None}
        assert known["pairs"] == 60
        assert {figure: of_table[protocol][figure] for figure in known} == pytest.approx(known, rel=0, abs=1e-6)
