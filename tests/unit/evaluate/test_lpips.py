"""LPIPS compared with its authors' package, with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import dpedtool.training.evaluate.lpips
from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params_files import load_params
from dpedtool.dataset.sidecars.metrics import Metrics
from dpedtool.training.data import PatchPairs
from dpedtool.training.evaluate.lpips import ALEXNET, HEADS, SMALLEST_PX, Lpips, load_lpips
from dpedtool.training.evaluate.stage import evaluate
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.weights.checkpoint import save_model

EXPECTED = [0.16128185, 0.069272816]
UNCHECKED = {ALEXNET: "", HEADS: ""}


def wave(*shape: int, step: float) -> torch.Tensor:
    """Return numbers within -1..1 that are the same on every machine."""
    count = torch.Size(shape).numel()
    return torch.sin(torch.arange(count, dtype=torch.float64) * step).reshape(shape).float()


def write_weights(folder: Path) -> Path:
    """Write both files, with weights that do not depend on a random generator."""
    network = Lpips()
    convolutions = {
        f"features.{name}": wave(*values.shape, step=0.7) * (0.05 if values.ndim == 4 else 0.1)
        for name, values in network.convolutions.named_parameters()
    }
    torch.save({**convolutions, "classifier.1.bias": torch.zeros(3)}, folder / ALEXNET)
    heads = {f"lin{n}.model.1.weight": wave(*head.shape, step=0.3).abs() for n, head in enumerate(network.heads)}
    torch.save(heads, folder / HEADS)
    return folder


def images() -> tuple[torch.Tensor, torch.Tensor]:
    targets = 0.5 + 0.5 * wave(2, 3, 64, 70, step=0.11)
    return targets, (0.6 * targets + 0.4 * (0.5 + 0.5 * wave(2, 3, 64, 70, step=0.017))).clamp(0, 1)


def test_distances_are_those_of_the_authors_package(tmp_path: Path) -> None:
    """The expected values are from lpips 0.1.4 with net="alex" and these weights and images."""
    targets, outputs = images()
    distances = load_lpips(write_weights(tmp_path), UNCHECKED)(outputs, targets)
    assert distances.tolist() == pytest.approx(EXPECTED, rel=1e-4)


def test_the_parameters_add_it_to_the_scores_of_patches(
    tmp_path: Path, make_samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lpips = load_lpips(write_weights(tmp_path), UNCHECKED)
    monkeypatch.setattr(dpedtool.training.evaluate.lpips, "load_lpips", lambda _: lpips)
    table = make_samples(tmp_path / "samples", {"test": 2})
    save_model(tmp_path / "model", Architecture(channels=2, blocks=0).build(), {})
    (tmp_path / "params.yaml").write_text("evaluate: {lpips: ., metrics: [gmsd], photos: 0, device: cpu}\n")
    params = load_params(tmp_path / "params.yaml").evaluate
    assert params.lpips == str(tmp_path)
    evaluate(table, tmp_path / "model", tmp_path / "out", params)
    batch = PatchPairs(table, "test").read(range(2))
    found = Metrics.read(tmp_path / "out" / "metrics.json").metrics
    assert list(found) == ["gmsd", "lpips"]
    assert found["lpips"].before == pytest.approx(float(lpips(batch.phone, batch.dslr).mean()))


def test_equal_images_are_at_no_distance_and_order_does_not_matter(tmp_path: Path) -> None:
    targets, outputs = images()
    lpips = load_lpips(write_weights(tmp_path), UNCHECKED)
    assert lpips(targets, targets).tolist() == [0.0, 0.0]
    torch.testing.assert_close(lpips(outputs, targets), lpips(targets, outputs))


def test_images_that_are_too_small_are_refused() -> None:
    small = torch.zeros(1, 3, SMALLEST_PX - 1, 50)
    with pytest.raises(ValueError, match="31 px or more"):
        Lpips()(small, small)
    enough = torch.zeros(1, 3, SMALLEST_PX, SMALLEST_PX)
    assert Lpips()(enough, enough).tolist() == [0.0]


@pytest.mark.parametrize("name", [ALEXNET, HEADS])
def test_a_missing_file_is_refused_with_where_it_comes_from(tmp_path: Path, name: str) -> None:
    (write_weights(tmp_path) / name).unlink()
    with pytest.raises(DpedtoolError, match=f"{name}, which is not there: get it from"):
        load_lpips(tmp_path, UNCHECKED)


def test_another_file_than_the_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match="which is not the known 7be5be79"):
        load_lpips(write_weights(tmp_path))


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    write_weights(tmp_path)
    torch.save({f"lin{number}.model.1.weight": torch.zeros(1, 7, 1, 1) for number in range(5)}, tmp_path / HEADS)
    with pytest.raises(DpedtoolError, match=r"lin0.model.1.weight as \(1, 7, 1, 1\)"):
        load_lpips(tmp_path, UNCHECKED)
