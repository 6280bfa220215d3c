"""Two networks are compared over the same pairs, whatever they make of pairs with constant targets or equal ones."""

from __future__ import annotations

import pytest
import torch

from dpedtool.training.evaluate.named_metrics import metrics_of
from dpedtool.training.evaluate.scoring import Sheet
from dpedtool.training.metrics import MOST_PSNR_DB, PROTOCOLS, are_constant

METRICS = metrics_of(["sharpness", "ciede2000"])


def images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def scored(outputs: torch.Tensor, targets: torch.Tensor) -> Sheet[str]:
    """Return the scores of the targets moved by a tenth, and of a network's outputs."""
    sheet: Sheet[str] = Sheet(len(targets), ["before", "after"], METRICS)
    for start in range(0, len(targets), 20):
        some = slice(start, start + 20)
        sheet.put(start, {"before": targets[some] * 0.9, "after": outputs[some]}, targets[some])
    return sheet


def test_pairs_with_constant_targets_change_no_mean_that_compares() -> None:
    """They move the plain means, and every batch of 50."""
    targets = images(60)
    outputs = (0.8 * targets + 0.1 * images(60, seed=1)).clamp(0, 1)
    white = torch.ones(7, 3, 16, 16) - 0.4 / 255 * images(7, seed=2)
    order = torch.randperm(67, generator=torch.Generator().manual_seed(3))
    few = scored(outputs, targets)
    # The order of the others stays as it is, since the batches depend on it.
    places = torch.sort(order[:60]).values
    more_targets, more_outputs = (torch.ones(67, 3, 16, 16) for _ in range(2))
    others = torch.tensor(sorted(set(range(67)) - set(places.tolist())))
    more_targets[places], more_outputs[places] = targets, outputs
    more_targets[others], more_outputs[others] = white, white * 0.999
    more = scored(more_outputs, more_targets)
    assert more.constant.sum() == 7
    for version in ("before", "after"):
        for protocol in PROTOCOLS:
            one, other = few.scores(version, protocol), more.scores(version, protocol)
            assert abs(other.psnr_db - one.psnr_db) > 0.01
            for score in ("psnr_varied_db", "ms_ssim_varied", "ssim_varied", "psnr_matched_db", "ms_ssim_matched"):
                assert getattr(other, score) == pytest.approx(getattr(one, score), rel=1e-12), score
        for name, values in few.named_scores().items():
            assert getattr(more.named_scores()[name], version) == pytest.approx(getattr(values, version), rel=1e-6)
    scenes = [str(number) for number in range(60)]
    at = [str(places.tolist().index(number)) if number in places else f"white{number}" for number in range(67)]
    one, other = few.differences("after", scenes)["before"], more.differences("after", at)["before"]
    assert one.keys() == other.keys() > {"psnr_db", "psnr_matched_db", "sharpness"}
    assert all(other[name].difference == pytest.approx(of.difference, rel=1e-6) for name, of in one.items())


def test_a_network_that_gets_a_pair_exactly_right_loses_nothing() -> None:
    """The plain mean leaves the pair out, and falls; the means that compare count it in all versions."""
    targets = images(4)
    near = (targets + 0.001).clamp(0, 1)
    near[1:] = targets[1:] * 0.7
    exact = near.clone()
    exact[0] = targets[0]
    worse, better = (scored(outputs, targets) for outputs in (near, exact))
    plain = [sheet.scores("after", "image") for sheet in (worse, better)]
    assert (plain[1].infinite_psnr, plain[0].infinite_psnr) == (1, 0)
    assert plain[1].psnr_db < plain[0].psnr_db
    assert plain[1].psnr_varied_db == pytest.approx(plain[0].psnr_varied_db, abs=1e-3)
    gain = better.differences("after", list("abcd"))["before"]["psnr_db"].difference
    assert gain == pytest.approx(plain[1].psnr_varied_db - better.scores("before", "image").psnr_varied_db)
    assert better.scores("after", "batch").psnr_varied_db > worse.scores("after", "batch").psnr_varied_db
    all_right = scored(targets, targets).scores("after", "image")
    assert all_right.psnr_db is None
    assert all_right.psnr_varied_db == pytest.approx(MOST_PSNR_DB)


def test_a_constant_image_has_no_more_than_rounding() -> None:
    noise = torch.randint(0, 2, (1, 3, 16, 16), generator=torch.Generator().manual_seed(0)) / 255
    one_channel = torch.full((1, 3, 16, 16), 0.5)
    one_channel[0, 2, 4:8] += 0.02
    tested = torch.cat([torch.ones(1, 3, 16, 16), 0.5 + 0.5 * noise, 0.5 + 3 * noise, one_channel])
    assert are_constant(tested).tolist() == [True, True, False, False]


def test_without_a_pair_that_has_details_nothing_is_compared() -> None:
    sheet = scored(torch.full((2, 3, 16, 16), 0.5), torch.ones(2, 3, 16, 16))
    found = sheet.scores("after", "image")
    assert found.psnr_db == pytest.approx(6.02, abs=0.01)
    assert (found.psnr_varied_db, found.psnr_matched_db) == (None, None)
    assert sheet.named_scores()["sharpness"].after is None
    assert sheet.differences("after", ["a", "b"]) == {}
