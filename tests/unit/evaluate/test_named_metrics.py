"""The scores that `evaluate.metrics` names, dpedtool's own and the user's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.params import EvaluateParams
from dpedtool.dataset.params_files import load_params
from dpedtool.dataset.sections import METRIC_NAMES
from dpedtool.training.evaluate.named_metrics import METRICS, metrics_of, sharpness, shifted_psnr, summary
from dpedtool.training.metrics import MOST_PSNR_DB, psnr_each

OWN = '''
import torch


def worst(outputs, targets):
    """Return the largest difference."""
    return (outputs - targets).abs().amax(dim=(1, 2, 3))


worst.better = "lower"


def one_number(outputs, targets):
    return (outputs - targets).mean()


def broken(outputs, targets):
    return outputs / 0 + missing


def odd(outputs, targets):
    return torch.zeros(len(outputs))


odd.better = "bigger"
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml and a module of the user's own."""
    (tmp_path / "own_metrics_of_a_user.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_metrics_of_a_user", raising=False)
    return tmp_path


def named(folder: Path, *names: str) -> tuple[str, ...]:
    (folder / "params.yaml").write_text(f"evaluate: {{metrics: [{', '.join(names)}]}}\n")
    return load_params(folder / "params.yaml").evaluate.metrics


def noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_every_name_has_a_metric() -> None:
    assert tuple(METRICS) == METRIC_NAMES == EvaluateParams().metrics
    assert [metric.name for metric in metrics_of(METRIC_NAMES)] == list(METRIC_NAMES)


def test_sharpness_is_below_1_for_blur_and_above_for_noise() -> None:
    wider = torch.nn.functional.avg_pool2d(noise((1, 3, 46, 46), 0), 3, 1)
    target, blurred = wider[..., 1:-1, 1:-1], torch.nn.functional.avg_pool2d(wider, 3, 1)
    images = torch.cat([target, blurred, target + 0.1 * noise(target.shape, 1), 0.5 * target])
    found = sharpness(images, target.expand(4, -1, -1, -1)).tolist()
    assert found[0] == pytest.approx(1)
    assert found[1] < 0.5
    assert found[2] > 1.1
    assert found[3] == pytest.approx(0.5)


def test_a_shift_of_a_pixel_costs_nothing() -> None:
    whole = noise((2, 3, 26, 27), 0)
    target, moved = whole[..., 1:-1, 1:-1], whole[..., 2:, :-2]
    assert psnr_each(moved, target).max() < 12
    assert shifted_psnr(moved, target).tolist() == [MOST_PSNR_DB] * 2
    far = whole[..., :-3, :]
    assert shifted_psnr(far, whole[..., 3:, :]).max() < 12


def test_images_too_small_for_a_metric_have_no_value() -> None:
    small = noise((2, 3, 40, 60), 0)
    assert METRICS["vif"].of(small, small).isnan().all()
    assert METRICS["fsim"].of(small, small).tolist() == pytest.approx([1, 1])


def test_a_set_has_no_value_if_one_of_its_pairs_has_none() -> None:
    values = torch.tensor([3.0, 1.0, 10.0])
    assert summary(values, is_median=False) == pytest.approx(14 / 3)
    assert summary(values, is_median=True) == 3
    assert summary(values[:0], is_median=False) != summary(values[:0], is_median=False)
    assert torch.tensor(summary(torch.tensor([1.0, torch.nan]), is_median=True)).isnan()


def test_a_function_of_the_users_own_is_found_beside_the_params_file(folder: Path) -> None:
    (metric, vif) = metrics_of(named(folder, "own_metrics_of_a_user:worst", "vif"))
    assert (metric.name, metric.better, vif.name) == ("own_metrics_of_a_user:worst", "lower", "vif")
    outputs, targets = noise((2, 3, 8, 8), 0), noise((2, 3, 8, 8), 1)
    assert metric.of(outputs, targets).tolist() == pytest.approx((outputs - targets).abs().amax(dim=(1, 2, 3)).tolist())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("one_number", r"returned \(\) values for 2 pairs: return one number for each pair\."),
        ("broken", r"raised NameError: .*missing.* \(own_metrics_of_a_user.py, line \d+\): correct it\."),
    ],
)
def test_what_goes_wrong_in_it_is_said(folder: Path, name: str, sentence: str) -> None:
    (metric,) = metrics_of(named(folder, f"own_metrics_of_a_user:{name}"))
    with pytest.raises(DpedtoolError, match=rf"own_metrics_of_a_user:{name} {sentence}"):
        metric.of(noise((2, 3, 8, 8), 0), noise((2, 3, 8, 8), 1))


def test_an_unknown_direction_or_name_is_refused(folder: Path) -> None:
    with pytest.raises(ParamsError, match=r"better = 'bigger': set it to one of higher, lower, one\."):
        metrics_of(named(folder, "own_metrics_of_a_user:odd"))
    with pytest.raises(ParamsError, match="has no function none"):
        metrics_of(named(folder, "own_metrics_of_a_user:none"))
    with pytest.raises(ParamsError, match=r"must be one of sharpness, .*, package\.module:function, not 'sharp'"):
        named(folder, "sharp")
