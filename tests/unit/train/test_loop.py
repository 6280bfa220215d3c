"""A training in progress: a restored run continues with the same bits, and each network learns from its own loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from loss_terms import with_usual

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.data import Batch, PatchPairs
from dpedtool.training.precision import Computation
from dpedtool.training.train.loader import Loader, Step
from dpedtool.training.train.loop import TrainingRun
from dpedtool.training.weights.checkpoint import UNFINISHED

PARAMS = TrainParams(
    channels=4,
    blocks=1,
    iterations=6,
    batch=2,
    crop_px=32,
    losses=with_usual(texture=0.1),
    ema=0.9,
    precision="float32",
    device="cpu",
)
ON_CPU = Computation(torch.device("cpu"), torch.float32)


class ChannelsLast(Computation):
    """A computation with the settings of a GPU."""

    @property
    def _memory_format(self) -> torch.memory_format:
        return torch.channels_last


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, make_samples) -> PatchPairs:
    table = make_samples(tmp_path_factory.mktemp("samples"), {"train": 5})
    return PatchPairs(table, "train")


def steps(pairs: PatchPairs, params: TrainParams, run: TrainingRun, count: int) -> list[Step]:
    loader = Loader(pairs, params, second_batch=run.needs_second_batch)
    return list(loader.steps(run.iteration, run.iteration + count))


def weights(run: TrainingRun) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in run.generator.network.state_dict().items()}


@pytest.mark.parametrize("kind", [Computation, ChannelsLast])
@pytest.mark.parametrize("loss_form", ["mean", "released-code"])
def test_a_restored_run_goes_on_with_the_same_bits_and_order_in_memory(
    tmp_path: Path, pairs: PatchPairs, kind: type[Computation], loss_form: Any
) -> None:
    params = replace(PARAMS, loss_form=loss_form)
    one, other = (TrainingRun(params, kind(torch.device("cpu"), torch.float32), 40) for _ in range(2))
    for step in steps(pairs, params, one, 2):
        one.step(step)
    one.validate(pairs)
    one.save(tmp_path / UNFINISHED, "key")
    assert not other.restore(tmp_path / UNFINISHED, "another key")
    assert other.iteration == 0
    assert other.restore(tmp_path / UNFINISHED, "key")
    assert (other.iteration, other.history, other.best) == (2, one.history, one.best)
    for weight, moments in other.generator.optimizer.state.items():
        assert moments["exp_avg"].stride() == weight.stride()
    for run in (one, other):
        for step in steps(pairs, params, run, 2):
            run.step(step)
        run.validate(pairs)
    assert one.history == other.history
    assert all(torch.equal(value, weights(other)[name]) for name, value in weights(one).items())


def test_each_network_learns_from_its_own_loss(pairs: PatchPairs) -> None:
    run = TrainingRun(PARAMS, ON_CPU, 40)
    assert run.discriminator
    judge = run.discriminator.network
    before = [weight.detach().clone() for weight in judge.parameters()]
    (step,) = steps(pairs, PARAMS, run, 1)
    run._step_generator(run.computation.batch(step.batch))
    assert all(torch.equal(old, new) and new.grad is None for old, new in zip(before, judge.parameters(), strict=True))
    assert all(weight.requires_grad for weight in judge.parameters())
    after = weights(run)
    images = torch.zeros(2, 3, 32, 32)
    run._step_discriminator(run.discriminator, images, torch.tensor([True, False]))
    assert all(torch.equal(value, weights(run)[name]) for name, value in after.items())


def test_the_discriminator_sees_both_images_of_a_patch(pairs: PatchPairs) -> None:
    run = TrainingRun(PARAMS, ON_CPU, 40)
    (step,) = steps(pairs, PARAMS, run, 1)
    batch = run.computation.batch(step.batch)
    images, from_dslr = run._shown(step, batch, batch.phone)
    assert torch.equal(images, torch.cat([batch.dslr, batch.phone]))
    assert from_dslr.tolist() == [True, True, False, False]


def test_the_discriminator_of_the_released_code_sees_one_image_of_each_patch_of_a_second_batch(
    pairs: PatchPairs,
) -> None:
    params = replace(PARAMS, loss_form="released-code", batch=8)
    run = TrainingRun(params, ON_CPU, 40)
    (step,) = steps(pairs, params, run, 1)
    assert step.second
    assert step.swaps is not None
    assert set(step.swaps.tolist()) == {True, False}
    images, from_dslr = run._shown(step, run.computation.batch(step.batch), torch.zeros(8, 3, 32, 32))
    assert torch.equal(from_dslr, step.swaps)
    second = step.second.as_float()
    with torch.no_grad():
        enhanced = run.generator.network(second.phone)
    for image, swap, dslr, output in zip(images, step.swaps, second.dslr, enhanced, strict=True):
        torch.testing.assert_close(image, dslr if swap else output)
    assert not images.requires_grad


def test_patches_too_small_for_the_discriminator_are_refused() -> None:
    with pytest.raises(ParamsError, match=r"train\.losses has the texture loss, but: .* needs patches of 17 px"):
        TrainingRun(PARAMS, ON_CPU, 16)


def with_side(step: Step, side: int, *, second: bool) -> Step:
    images = torch.zeros(2, 3, side, side, dtype=torch.uint8)
    return replace(step, second=Batch(images, images)) if second else replace(step, batch=Batch(images, images))


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize(
    ("side", "advice"),
    [(24, "of 24, 32 px: cut all patches to one size"), (48, r"of .*48.* px: set train\.crop_px to 32 or less")],
)
def test_patches_that_the_discriminator_is_not_made_for_are_refused(
    pairs: PatchPairs, second: bool, side: int, advice: str
) -> None:
    params = replace(PARAMS, loss_form="released-code")
    run = TrainingRun(params, ON_CPU, 40)
    (step,) = steps(pairs, params, run, 1)
    with pytest.raises(DpedtoolError, match=f"patches {advice}"):
        run.step(with_side(step, side, second=second))
    assert run.iteration == 0


def test_a_run_without_texture_loss_has_no_discriminator_and_no_second_batch() -> None:
    run = TrainingRun(replace(PARAMS, losses=with_usual(), loss_form="released-code"), ON_CPU, 40)
    assert run.discriminator is None
    assert not run.needs_second_batch
