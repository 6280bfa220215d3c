"""Scores of two folders: they equal the metrics under both protocols, and the command prints them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result

import dpedtool.training.evaluate.comparison
from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import EvaluateParams
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.pipeline.cli import main
from dpedtool.training.data import FolderPairs
from dpedtool.training.enhance import memory
from dpedtool.training.evaluate.colour_transform import fit
from dpedtool.training.evaluate.comparison import Comparison, compare
from dpedtool.training.evaluate.lpips import Lpips
from dpedtool.training.evaluate.scoring import Sheet
from dpedtool.training.metrics import PROTOCOLS, Scores, psnr_each, score
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.weights.checkpoint import load_model, save_model

SIDE = 24


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a generator near the identity whose output leaves 0..1 in places."""
    model = Architecture(channels=4, blocks=1).build()
    initialise(model, torch.Generator().manual_seed(0))
    model.tail.weight.data *= 3
    path = tmp_path_factory.mktemp("model") / "net.safetensors"
    save_model(path, model, {})
    return path


def write(folder: Path, texture: Any, sizes: Sequence[tuple[int, int]]) -> Path:
    """Write phone/N.png and dslr/N.png for N = 1, 2, ...; the phone's images are darker and flatter."""
    for camera in ("phone", "dslr"):
        (folder / camera).mkdir(parents=True, exist_ok=True)
    for number, (height, width) in enumerate(sizes, start=1):
        dslr = texture(height, width, seed=number)
        phone = (0.7 * dslr + 20).astype(np.uint8)
        for camera, image in (("phone", phone), ("dslr", dslr)):
            (folder / camera / f"{number}.png").write_bytes(encode_image(image, ".png"))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, texture: Any) -> Path:
    """53 pairs of equal size: a full batch and a short one."""
    return write(tmp_path_factory.mktemp("pairs"), texture, [(SIDE, SIDE)] * 53)


def compared(folder: Path, weights: Path | None, names: list[str] | None = None) -> Comparison:
    return compare(folder / "phone", folder / "dslr", weights, EvaluateParams(device="cpu"), names)


def run(*arguments: object, code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["evaluate", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done


def folders(folder: Path) -> list[object]:
    return ["--phone", folder / "phone", "--dslr", folder / "dslr"]


def agree(found: Scores | None, expected: Scores) -> bool:
    assert found
    assert (found.protocol, found.pairs) == (expected.protocol, expected.pairs)
    assert found.infinite_psnr == expected.infinite_psnr
    pairs = [(found.psnr_db, expected.psnr_db), (found.ms_ssim, expected.ms_ssim), (found.ssim, expected.ssim)]
    return all(one == pytest.approx(other, rel=1e-5) for one, other in pairs)


@pytest.mark.parametrize("protocol", ["image", "batch"])
def test_the_figures_are_those_of_the_metrics(folder: Path, weights: Path, protocol: Any) -> None:
    pairs = FolderPairs(folder / "phone", folder / "dslr")
    batch = pairs.read(range(53))
    with torch.inference_mode():
        outputs = load_model(weights)(batch.phone)
    assert outputs.max() > 1 or outputs.min() < 0
    scores = compared(folder, weights).scores(protocol)
    assert agree(scores["before"], score(batch.phone, batch.dslr, protocol))
    assert agree(scores["after"], score(outputs, batch.dslr, protocol))


def test_how_many_run_together_changes_nothing(folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dpedtool.training.evaluate.comparison, "PX_AT_ONCE", 5 * SIDE**2)
    names = [str(number) for number in range(1, 9)]
    few = compared(folder, weights, names)
    monkeypatch.setattr(dpedtool.training.evaluate.comparison, "PX_AT_ONCE", 1)
    single = compared(folder, weights, names)
    for protocol in PROTOCOLS:
        after = single.scores(protocol)["after"]
        assert after
        assert agree(few.scores(protocol)["after"], after)


def test_never_more_than_a_few_px_are_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dpedtool.training.evaluate.comparison, "PX_AT_ONCE", 10 * SIDE**2)
    real, counts = Sheet.put, []

    def counting(sheet: Sheet, start: int, images: Any, targets: torch.Tensor, usable: None) -> None:
        counts.append(len(targets))
        real(sheet, start, images, targets, usable)

    monkeypatch.setattr(Sheet, "put", counting)
    compared(folder, None)
    assert counts == [10, 10, 10, 10, 10, 3]


def test_whole_photos_are_run_in_stripes_and_score_the_same(
    folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = compared(folder, weights, ["1", "2"]).measures["after"]["image"].psnr_db()
    monkeypatch.setattr(dpedtool.training.evaluate.comparison, "PX_AT_ONCE", SIDE * SIDE - 1)
    monkeypatch.setattr(dpedtool.training.evaluate.comparison, "enhance_patches", None)
    in_stripes = compared(folder, weights, ["1", "2"]).measures["after"]["image"].psnr_db()
    torch.testing.assert_close(in_stripes, usual, rtol=0, atol=1e-4)


def test_photos_that_do_not_fit_into_the_memory_end_it_in_a_sentence(
    folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dpedtool.training.evaluate.comparison, "PX_AT_ONCE", 1)
    monkeypatch.setattr(memory, "free_memory", lambda: 0)
    with pytest.raises(DpedtoolError, match=f"^{SIDE}x{SIDE} px need at least .* is free: close other programs"):
        compared(folder, weights)


def test_without_weights_the_phone_alone_is_scored(folder: Path) -> None:
    found = compared(folder, None).metrics().as_json()
    assert found["weights"] is None
    for protocol in ("image", "batch"):
        assert found[protocol]["psnr_before_db"] is not None
        after = [found[protocol][f"{figure}_after"] for figure in ("ms_ssim", "ssim", "infinite_psnr")]
        assert [found[protocol]["psnr_after_db"], *after] == [None] * 4


def test_the_weights_are_named_with_their_digest(folder: Path, weights: Path) -> None:
    found = compared(folder, weights).metrics().as_json()
    assert found["weights"] == {
        "file": str(weights),
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "network": "dped_resnet_6_4",
    }
    assert (found["pairs"], found["phone"]) == (53, str(folder / "phone"))


def test_a_list_of_names_sets_which_count_and_their_order(folder: Path) -> None:
    assert compared(folder, None, ["10", "2.png"]).names == ["10.png", "2.png"]


def test_where_sizes_differ_within_a_batch_that_protocol_has_a_reason(
    tmp_path: Path, texture: Any, weights: Path
) -> None:
    write(tmp_path, texture, [(24, 20), (20, 24), (24, 20)])
    comparison = compared(tmp_path, weights)
    found = comparison.metrics().as_json()
    assert found["image"]["pairs"] == 3
    assert found["image"]["psnr_after_db"] is not None
    assert "reason" not in found["image"]
    assert found["batch"]["reason"].endswith("but 3.png is 20x24 px and 2.png is 24x20 px.")
    figures = {
        name: value for name, value in found["batch"].items() if name not in ("pairs", "constant_targets", "reason")
    }
    assert len(figures) == 12
    assert set(figures.values()) == {None}
    assert found["batch"]["reason"] in comparison.as_text()


def test_sizes_may_differ_between_batches(tmp_path: Path, texture: Any) -> None:
    write(tmp_path, texture, [(16, 16)] * 50 + [(16, 20)])
    scores = compared(tmp_path, None).scores("batch")["before"]
    parts = [FolderPairs(tmp_path / "phone", tmp_path / "dslr").read(part) for part in (range(50), [50])]
    values = [score(part.phone, part.dslr, "batch").psnr_db for part in parts]
    assert scores
    assert scores.psnr_db == pytest.approx((50 * values[0] + values[1]) / 51)


def test_equal_images_are_counted_and_no_infinity_is_written(tmp_path: Path, texture: Any) -> None:
    write(tmp_path, texture, [(16, 16)] * 2)
    (tmp_path / "phone" / "2.png").write_bytes((tmp_path / "dslr" / "2.png").read_bytes())
    found = compared(tmp_path, None).metrics().as_json()["image"]
    assert found["infinite_psnr_before"] == 1
    assert found["psnr_before_db"] < 60
    (tmp_path / "phone" / "1.png").write_bytes((tmp_path / "dslr" / "1.png").read_bytes())
    found = compared(tmp_path, None).metrics().as_json()["image"]
    assert (found["infinite_psnr_before"], found["psnr_before_db"], found["ssim_before"]) == (2, None, 1)


# The colour transform


def test_a_colour_transform_of_the_pairs_that_are_not_listed_is_scored(
    tmp_path: Path, folder: Path, weights: Path
) -> None:
    sides = folder / "phone", folder / "dslr"
    transform = fit(FolderPairs(*sides, [str(number) for number in range(1, 54) if number not in (3, 50)]))
    batch = FolderPairs(*sides, ["50", "3"]).read([0, 1])
    comparison = compared(folder, weights, ["50", "3"])
    found = comparison.metrics().as_json()
    for protocol in PROTOCOLS:
        expected = score(transform.apply(batch.phone), batch.dslr, protocol)
        assert agree(comparison.scores(protocol)["colour"], expected)
        assert found[protocol]["psnr_colour_db"] == pytest.approx(expected.psnr_db)
        assert found[protocol]["ms_ssim_colour"] == pytest.approx(expected.ms_ssim)
    assert found["colour_transform"] == {"pairs": 51}
    comparison.write(tmp_path)
    table = pd.read_csv(tmp_path / "scores.csv")
    assert table["name"].tolist() == ["50.png", "3.png"]
    assert table["psnr_colour_db"].tolist() == pytest.approx(
        psnr_each(transform.apply(batch.phone), batch.dslr).tolist()
    )
    lines = comparison.as_text().splitlines()
    assert lines[2] == "colour: one quadratic colour transform, fitted to 51 pairs that --names does not list"
    assert [line.split()[1] for line in lines[4:7]] == ["phone", "colour", "network"]


def test_the_scored_pairs_are_not_fitted_to(tmp_path: Path, texture: Any) -> None:
    """The scored DSLR images do not matter: the transform fitted to the other pairs is the exact map of the colours."""
    write(tmp_path, texture, [(24, 24)] * 4)
    before = compared(tmp_path, None, ["1", "2"]).yardstick.transform
    (tmp_path / "dslr" / "2.png").write_bytes(encode_image(texture(24, 24, seed=9), ".png"))
    after = compared(tmp_path, None, ["1", "2"])
    assert before
    assert after.yardstick.transform
    assert torch.equal(before.coefficients, after.yardstick.transform.coefficients)
    psnr = after.measures["colour"]["image"].psnr_db()
    assert psnr[0] > 45 > psnr[1]


def test_without_pairs_to_fit_to_the_reason_is_said(tmp_path: Path, texture: Any) -> None:
    write(tmp_path, texture, [(24, 24)] * 2)
    reason = "every pair is scored, so no pair is left to fit it to: list the pairs to score with --names"
    for names in (None, ["2", "1"]):
        comparison = compared(tmp_path, None, names)
        assert comparison.scores("image")["colour"] is None
        assert comparison.metrics().as_json()["colour_transform"] == {"pairs": 0, "reason": reason}
        assert f"\ncolour: not scored, since {reason}\n" in comparison.as_text()


def test_a_damaged_pair_that_is_not_listed_costs_the_transform_alone(tmp_path: Path, texture: Any) -> None:
    write(tmp_path, texture, [(24, 24)] * 2)
    (tmp_path / "phone" / "2.png").write_text("no image")
    found = compared(tmp_path, None, ["1"]).metrics().as_json()
    assert "could not be fitted to the pairs that --names does not list: " in found["colour_transform"]["reason"]
    assert "2.png" in found["colour_transform"]["reason"]
    assert found["image"]["psnr_colour_db"] is None
    assert found["image"]["psnr_before_db"] is not None


def test_a_network_that_adds_nothing_to_colour_is_called_worse(folder: Path, weights: Path) -> None:
    line = (
        "In PSNR and MS-SSIM the network is worse than the colour transform fitted to the other pairs: train it longer."
    )
    assert compared(folder, weights, ["1", "2"]).as_text().splitlines()[-1] == line
    assert "worse" not in compared(folder, None, ["1", "2"]).as_text()


def test_lpips_is_added_where_its_weights_are_named(
    tmp_path: Path, texture: Any, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mean_difference(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        assert 0 <= outputs.min() <= outputs.max() <= 1
        return (outputs - targets).abs().mean(dim=(1, 2, 3))

    monkeypatch.setattr(dpedtool.training.evaluate.comparison, "load_lpips", lambda _: mean_difference)
    write(tmp_path, texture, [(40, 40), (40, 44)])
    options = ["--weights", weights, *folders(tmp_path), "--lpips", tmp_path, "-o", tmp_path / "out"]
    found = json.loads(run(*options, "--json").stdout)
    parts = [FolderPairs(tmp_path / "phone", tmp_path / "dslr").read([index]) for index in (0, 1)]
    expected = np.mean([float((part.phone - part.dslr).abs().mean()) for part in parts])
    assert found["image"]["lpips_before"] == pytest.approx(expected)
    assert "lpips_before" not in found["batch"]
    table = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert table["lpips_after"].mean() == pytest.approx(found["image"]["lpips_after"])
    assert f"LPIPS, network: {found['image']['lpips_after']:.4f}" in run(*options).stdout


def test_images_too_small_for_lpips_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dpedtool.training.evaluate.comparison, "load_lpips", lambda _: Lpips())
    assert "LPIPS needs images of 31 px or more, not 24x24" in run(*folders(folder), "--lpips", folder, code=1).output


def test_missing_weights_of_lpips_are_named(folder: Path) -> None:
    assert "alexnet-owt-7be5be79.pth, which is not there" in run(*folders(folder), "--lpips", folder, code=1).output


# The command


def test_the_command_prints_one_json_object_and_nothing_else(folder: Path, weights: Path) -> None:
    done = run("--weights", weights, *folders(folder), "--json", "-S", "evaluate.device=cpu")
    assert json.loads(done.stdout) == compared(folder, weights).metrics().as_json()


def test_the_command_prints_a_table(folder: Path, weights: Path) -> None:
    lines = run("--weights", weights, *folders(folder)).stdout.splitlines()
    found = compared(folder, weights).metrics().as_json()
    assert lines[0] == f"53 pairs of {folder / 'phone'} and {folder / 'dslr'}"
    assert found["weights"]["sha256"] in lines[1]
    assert lines[2].startswith("colour: not scored, since every pair is scored")
    assert [line.split()[:2] for line in lines[4:8]] == [
        [protocol, scored] for protocol in ("image", "batch") for scored in ("phone", "network")
    ]
    assert float(lines[5].split()[2]) == pytest.approx(found["image"]["psnr_after_db"], abs=1e-4)
    assert lines[9] == "Over the same 53 pairs for all; every target has details:"
    assert lines[10].split("  ")[-1] == "network - phone (interval of 95 %)"
    assert lines[11].startswith("PSNR, dB ↑ ")
    assert lines[-1].startswith("network: 2559 parameters, 2520 multiply-adds a px, ")
    assert [line.split()[1] for line in run(*folders(folder)).stdout.splitlines()[3:5]] == ["phone", "phone"]


def test_files_are_written_where_they_are_asked_for(tmp_path: Path, folder: Path, weights: Path) -> None:
    (tmp_path / "names").write_text("3.png\n\n  7\n", encoding="utf-8")
    done = run("--weights", weights, *folders(folder), "--names", tmp_path / "names", "-o", tmp_path / "out", "--json")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == json.loads(done.stdout)
    table = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert table["name"].tolist() == ["3.png", "7.png"]
    image = json.loads(done.stdout)["image"]
    for figure in ("psnr_before_db", "psnr_after_db", "ms_ssim_before", "ms_ssim_after", "ssim_before", "ssim_after"):
        assert table[figure].mean() == pytest.approx(image[figure])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Name a table of samples, or two folders by --phone and --dslr."),
        (["--phone", "a"], "Name a table of samples, or two folders"),
        (["--weights", "a"], "Name a table of samples, or two folders"),
        (["table", "--phone", "a", "--dslr", "b"], "are for two folders: leave out SAMPLES"),
        (["table", "--weights", "a"], "SAMPLES needs --model and --out"),
        (["table", "-o", "o"], "SAMPLES needs --model and --out"),
        (["table", "--model", "m"], "SAMPLES needs --model and --out"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], sentence: str) -> None:
    assert sentence in run(*arguments, code=2).output


@pytest.mark.parametrize(
    ("names", "sentence"),
    [("", "lists no names"), ("1\n60\n", "60 is listed, but"), ("1\n2\n1.png\n", "1.png is listed twice")],
)
def test_a_list_that_does_not_fit_is_refused(tmp_path: Path, folder: Path, names: str, sentence: str) -> None:
    (tmp_path / "names").write_text(names, encoding="utf-8")
    done = run(*folders(folder), "--names", tmp_path / "names", code=1)
    assert sentence in done.output
    assert done.output.count("\n") == 1


def test_two_images_of_a_pair_must_have_one_size(tmp_path: Path, texture: Any) -> None:
    write(tmp_path, texture, [(16, 16)])
    (tmp_path / "dslr" / "1.png").write_bytes(encode_image(texture(16, 18, seed=0), ".png"))
    assert "the images of a pair must have the same size" in run(*folders(tmp_path), code=1).output


def test_a_table_of_samples_is_scored_with_a_file_of_weights(tmp_path: Path, make_samples: Any, weights: Path) -> None:
    table = make_samples(tmp_path, {"train": 1, "test": 2})
    done = run(table, "--model", weights, "-o", tmp_path / "out")
    assert done.stdout.startswith("2 test patches: PSNR ")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["image"]["pairs"] == 2
