"""VIFp, GMSD, HaarPSI and FSIMc: the values are those of the library piq 0.8.0 on the same images."""

from __future__ import annotations

import pytest
import torch

from dpedtool.training.evaluate.detail_metrics import fsim, gmsd, haarpsi, vif

FUNCTIONS = (vif, gmsd, haarpsi, fsim)


def waves(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return an output and a target, (1, 3, H, W), that anybody can compute again."""
    y, x = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) for side in (height, width)), indexing="ij")
    target = [0.5 + 0.4 * torch.sin(x / 3 + of) * torch.cos(y / (5 + of)) for of in range(3)]
    output = [
        0.45 + 0.3 * torch.sin(x / 3 + of + 0.2) * torch.cos(y / (5 + of)) + 0.04 * torch.cos(x * y) for of in range(3)
    ]
    return torch.stack(output)[None].float(), torch.stack(target)[None].float()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((64, 64), (0.37233, 0.06647, 0.77926, 0.91665)),
        ((75, 99), (0.37869, 0.06617, 0.7895, 0.91513)),
        ((300, 400), (0.37566, 0.06867, 0.76853, 0.91185)),
    ],
)
def test_the_values_are_those_of_piq(size: tuple[int, int], expected: tuple[float, ...]) -> None:
    pair = waves(*size)
    assert [float(function(*pair)) for function in FUNCTIONS] == pytest.approx(expected, abs=2e-5)


def test_each_pair_has_its_own_value_and_equal_images_the_best() -> None:
    (output, target), random = waves(48, 56), torch.Generator().manual_seed(0)
    noisy = (output + 0.1 * torch.rand(output.shape, generator=random)).clamp(0, 1)
    outputs, targets = torch.cat([output, target, noisy]), target.expand(3, -1, -1, -1)
    for function, best in zip(FUNCTIONS, (1, 0, 1, 1), strict=True):
        together = function(outputs, targets)
        alone = [float(function(each[None], target)) for each in outputs]
        assert together.tolist() == pytest.approx(alone, abs=1e-5)
        assert float(together[1]) == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize(("function", "smallest_px"), list(zip(FUNCTIONS, (41, 6, 16, 16), strict=True)))
def test_images_that_are_too_small_are_refused(function: object, smallest_px: int) -> None:
    assert torch.isfinite(function(*waves(smallest_px, smallest_px + 1))).all()  # type: ignore[operator]
    with pytest.raises(ValueError, match=f"must have {smallest_px} px or more"):
        function(*waves(smallest_px - 1, 60))  # type: ignore[operator]
