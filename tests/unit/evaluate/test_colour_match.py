"""The colour match: it undoes any affine change of the colours, and nothing else."""

from __future__ import annotations

import pytest
import torch

from dpedtool.training.evaluate.colour_match import match_colours
from dpedtool.training.evaluate.scoring import Sheet
from dpedtool.training.metrics import PROTOCOLS

MIX = torch.tensor([[0.9, -0.3, 0.2], [0.1, 1.4, -0.4], [-0.2, 0.1, 0.6]])


def pairs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Three targets of 32 px, and outputs that are noisy and have other colours."""
    random = torch.Generator().manual_seed(seed)
    targets = torch.nn.functional.avg_pool2d(torch.rand(3, 3, 36, 36, generator=random), 5, 1)
    targets = (targets - 0.5) * 2 + 0.5
    return 0.7 * targets + 0.1 + 0.05 * torch.randn(targets.shape, generator=random), targets


def changed(images: torch.Tensor) -> torch.Tensor:
    """Return the images after an affine change of their colours that can be undone; they leave 0..1."""
    return torch.einsum("ij,njhw->nihw", MIX, images) * 3 - 0.7


def test_an_affine_change_is_undone() -> None:
    _, targets = pairs()
    torch.testing.assert_close(match_colours(changed(targets), targets), targets.double(), atol=1e-5, rtol=0)


def test_it_is_the_fit_of_least_squares() -> None:
    outputs, targets = pairs()
    matched = match_colours(outputs, targets)
    for output, target, found in zip(outputs.double(), targets.double(), matched, strict=True):
        terms = torch.cat([torch.ones(1, output[0].numel(), dtype=torch.float64), output.flatten(1)]).T
        fitted = terms @ torch.linalg.lstsq(terms, target.flatten(1).T).solution
        torch.testing.assert_close(found.flatten(1).T, fitted)


def test_the_scores_are_the_same_under_any_affine_change_of_the_colours() -> None:
    outputs, targets = pairs()
    sheet = Sheet(3, ["before", "after"])
    sheet.put(0, {"before": outputs, "after": changed(outputs)}, targets)
    for protocol in PROTOCOLS:
        before, after = (sheet.scores(version, protocol) for version in ("before", "after"))
        assert abs(before.psnr_db - after.psnr_db) > 3
        assert after.psnr_matched_db == pytest.approx(before.psnr_matched_db, abs=0.01)
        assert after.ms_ssim_matched == pytest.approx(before.ms_ssim_matched, abs=1e-5)
        assert before.psnr_matched_db > before.psnr_varied_db


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_an_output_of_one_colour_becomes_the_mean_colour(value: float) -> None:
    _, targets = pairs()
    matched = match_colours(torch.full_like(targets, value), targets)
    mean = targets.double().mean(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(matched, mean.expand_as(matched))


def test_a_grey_output_is_fitted_along_its_greys_alone() -> None:
    """Its three channels are equal up to the rounding of float32, to which nothing may be fitted."""
    outputs, targets = pairs()
    grey = outputs.mean(dim=1, keepdim=True).expand_as(outputs)
    torch.testing.assert_close(match_colours(grey * (1 + 1e-7), targets), match_colours(grey, targets))
