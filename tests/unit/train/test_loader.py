"""The loader: the input of a step depends only on seed and iteration, not on the thread or the time of decoding."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.data import Batch, PatchPairs
from dpedtool.training.train.loader import Loader, Step

COUNT = 9


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, make_samples) -> PatchPairs:
    return PatchPairs(make_samples(tmp_path_factory.mktemp("samples"), {"train": COUNT}), "train")


class Drawn:
    """Pairs with dummy images, which record what is asked for."""

    target_scale = 1

    def __init__(self, count: int, side: int = 1) -> None:
        self.count, self.side, self.asked = count, side, []

    def __len__(self) -> int:
        return self.count

    def names(self) -> list[str]:
        return [str(index) for index in range(self.count)]

    def images(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append(index)
        image = np.full((self.side, self.side, 3), index % 256, np.uint8)
        return image, image


def params(**changes: Any) -> TrainParams:
    return TrainParams(**{"batch": 6, "crop_px": 32, **changes})


def steps(pairs: Any, first: int, last: int, *, given: TrainParams | None = None, **options: Any) -> list[Step]:
    return list(Loader(pairs, given or params(), second_batch=True, **options).steps(first, last))


def flat(step: Step) -> list[Any]:
    tensors = (step.batch.phone, step.batch.dslr, step.second.phone, step.second.dslr, step.swaps)
    return [step.iteration, step.names, *(tensor.tolist() for tensor in tensors)]


def joined(parts: list[Step]) -> list[Any]:
    """Return the parts of all processes joined as one process would get them."""
    batches = [
        Batch(*(torch.cat([getattr(getattr(part, name), side) for part in parts]) for side in ("phone", "dslr")))
        for name in ("batch", "second")
    ]
    names, swaps = [name for part in parts for name in part.names], torch.cat([part.swaps for part in parts])
    return flat(Step(parts[0].iteration, *batches, swaps, names))


def test_steps_are_uint8_rgb_of_the_size_asked_for(pairs: PatchPairs, texture) -> None:
    step = steps(pairs, 3, 4, given=params(augment=False, crop_px=100))[0]
    assert step.iteration == 3
    assert step.batch.phone.dtype == step.second.dslr.dtype == torch.uint8
    assert step.batch.phone.shape == (6, 3, 40, 40)
    assert step.swaps.dtype == torch.bool
    for row, name in enumerate(step.names):
        dslr = texture(40, 40, seed=int(name.removeprefix("train-")))[..., ::-1].transpose(2, 0, 1)
        np.testing.assert_array_equal(step.batch.dslr[row].numpy(), dslr)
        np.testing.assert_array_equal(step.batch.phone[row].numpy(), (0.7 * dslr + 20).astype(np.uint8))


def test_larger_targets_are_cropped_and_turned_like_the_phones_image(tmp_path: Path, make_samples) -> None:
    """Each px of the phone's image is the mean of the px of the target that it covers, before it is made darker."""
    finer = PatchPairs(make_samples(tmp_path, {"train": 5}, target_scale=2), "train")
    for step in steps(finer, 0, 4, given=params(crop_px=32)):
        assert step.batch.phone.shape == (6, 3, 32, 32)
        assert step.batch.dslr.shape == (6, 3, 64, 64)
        means = torch.nn.functional.avg_pool2d(step.batch.dslr.float(), 2)
        assert (0.7 * means + 20 - step.batch.phone).abs().max() <= 2


def test_a_batch_becomes_what_reading_gives(pairs: PatchPairs) -> None:
    step = steps(pairs, 0, 1, given=params(augment=False, crop_px=100))[0]
    read = pairs.read([pairs.names().index(name) for name in step.names])
    as_float = step.batch.as_float("cpu")
    assert torch.equal(as_float.phone, read.phone)
    assert torch.equal(as_float.as_float().dslr, read.dslr)


def test_no_step_depends_on_threads_memory_or_what_came_before(pairs: PatchPairs) -> None:
    expected = [flat(step) for step in steps(pairs, 0, 24, threads=1, memory_bytes=0)]
    one_pair = sum(image.nbytes for image in pairs.images(0))
    for options in ({"threads": 4}, {"threads": 4, "memory_bytes": 0}, {"threads": 2, "memory_bytes": 4 * one_pair}):
        assert [flat(step) for step in steps(pairs, 0, 24, **options)] == expected
    assert [flat(step) for step in steps(pairs, 21, 24, threads=3)] == expected[21:]
    again = Loader(pairs, params(), second_batch=True)
    assert [flat(step) for step in [*again.steps(0, 2), *again.steps(2, 5)]] == expected[:5]


def test_iterations_and_seeds_give_different_batches(pairs: PatchPairs) -> None:
    first, second = steps(pairs, 0, 2)
    other = steps(pairs, 0, 1, given=params(seed=1))[0]
    assert len({str(flat(step)[2:]) for step in (first, second, other)}) == 3
    assert not torch.equal(first.batch.phone, first.second.phone)


def test_the_first_batch_is_the_same_without_a_second(pairs: PatchPairs) -> None:
    alone = next(Loader(pairs, params(), second_batch=False).steps(5, 6))
    assert alone.second is None
    assert alone.swaps is None
    assert torch.equal(alone.batch.dslr, steps(pairs, 5, 6)[0].batch.dslr)


@pytest.mark.parametrize("processes", [2, 3])
def test_the_processes_parts_joined_are_the_batch_of_one(pairs: PatchPairs, processes: int) -> None:
    parts = [steps(pairs, 4, 6, rank=rank, processes=processes) for rank in range(processes)]
    for whole, *of_it in zip(steps(pairs, 4, 6), *parts, strict=True):
        assert joined(of_it) == flat(whole)
        assert all(len(part.names) == 6 // processes for part in of_it)


def test_a_batch_that_processes_cannot_share_is_refused(pairs: PatchPairs) -> None:
    with pytest.raises(ParamsError, match=r"train\.batch is 6, which 4 processes cannot share"):
        Loader(pairs, params(), second_batch=False, processes=4)


def test_no_pairs_are_refused() -> None:
    with pytest.raises(DpedtoolError, match="There are no pairs"):
        Loader(Drawn(0), params(), second_batch=False)


@settings(max_examples=30)
@given(st.integers(1, 300), st.integers(0, 80), st.integers(1, 7), st.integers(0, 5))
def test_batches_come_from_the_pool_of_their_iterations(count: int, pool: int, lasting: int, seed: int) -> None:
    """The iterations of a pool draw at most `pool` names; with no pool, or a large one, all pairs are drawn."""
    given_ = params(pool=pool, pool_iterations=lasting, seed=seed, batch=64)
    drawn = [set(step.names) for step in steps(Drawn(count), 0, 3 * lasting, given=given_, threads=1)]
    for start in range(0, 3 * lasting, lasting):
        seen = set.union(*drawn[start : start + lasting])
        assert len(seen) <= (min(pool, count) if pool else count)
    if pool and pool >= count:
        without = steps(Drawn(count), 0, 3 * lasting, given=params(seed=seed, batch=64), threads=1)
        assert drawn == [set(step.names) for step in without]


def test_a_pool_is_drawn_without_repetition_and_anew() -> None:
    """This many draws see all 12 pairs; if a pair were in the pool twice, fewer would be seen."""
    given_ = params(pool=12, pool_iterations=4, batch=200)
    drawn = [set(step.names) for step in steps(Drawn(1000), 0, 8, given=given_)]
    pools = [set.union(*drawn[:4]), set.union(*drawn[4:])]
    assert [len(pool) for pool in pools] == [12, 12]
    assert pools[0] != pools[1]
    assert drawn[0] <= pools[0]


class HalfPlain(Drawn):
    """Pairs of which every even one is plain on the side of the DSLR, and textured on that of the phone."""

    def images(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append(index)
        noise = np.random.default_rng(index)
        textured = noise.integers(60, 190, (self.side, self.side, 3), np.uint8)
        return textured, noise.integers(110, 140, textured.shape, np.uint8) if index % 2 == 0 else textured


@pytest.mark.parametrize(("share", "expected"), [(1.0, 1 / 2), (0.25, 1 / 5), (0.01, 1 / 101)])
@pytest.mark.parametrize("pool", [0, 20])
def test_plain_pairs_are_drawn_less_often(share: float, expected: float, pool: int) -> None:
    given_ = params(plain_share=share, batch=500, pool=pool, pool_iterations=1)
    drawn = steps(HalfPlain(40, side=32), 0, 8, given=given_)
    plain = [int(name) % 2 == 0 for step in drawn for name in step.names]
    # Three standard deviations of 4000 draws are at most .024; a pool of 20 may have a few more plain pairs than half.
    assert abs(np.mean(plain) - expected) < (0.1 if pool else 0.03)
    second = [np.ptp(image.numpy()) < 40 for step in drawn for image in step.second.dslr]
    assert abs(np.mean(second) - np.mean(plain)) < 0.05


def test_textured_pairs_are_drawn_as_if_nothing_were_plain() -> None:
    """Where a drawn pair has texture, neither the pair nor its crop depends on `plain_share`."""
    every, fewer = (
        steps(HalfPlain(9, side=40), 0, 9, given=params(plain_share=share, batch=60))[8] for share in (1.0, 0.2)
    )
    for row, name in enumerate(every.names):
        if int(name) % 2:
            assert fewer.names[row] == name
            assert torch.equal(fewer.batch.phone[row], every.batch.phone[row])


def test_draws_with_plain_pairs_depend_on_nothing_but_the_iteration() -> None:
    given_, pairs = params(plain_share=0.2), HalfPlain(9, side=32)
    expected = [flat(step) for step in steps(pairs, 0, 6, given=given_, threads=1, memory_bytes=0)]
    assert [flat(step) for step in steps(pairs, 0, 6, given=given_, threads=4)] == expected
    assert [flat(step) for step in steps(pairs, 4, 6, given=given_)] == expected[4:]
    parts = [steps(pairs, 3, 4, given=given_, rank=rank, processes=3) for rank in range(3)]
    assert joined([part for (part,) in parts]) == expected[3]


def test_pairs_that_are_all_plain_are_still_drawn() -> None:
    drawn = steps(Drawn(5, side=32), 0, 20, given=params(plain_share=0.001))
    assert {name for step in drawn for name in step.names} == set("01234")


def test_a_plain_pair_is_decoded_once_to_see_that_it_is_plain() -> None:
    """Without room for decoded images, the others are decoded each time that they are drawn."""
    pairs = HalfPlain(6, side=32)
    drawn = Loader(pairs, params(plain_share=1e-9, batch=50), second_batch=False, threads=1, memory_bytes=0)
    names = [name for step in drawn.steps(0, 4) for name in step.names]
    assert [pairs.asked.count(index) for index in (0, 2, 4)] == [1 + names.count(str(index)) for index in (0, 2, 4)]
    assert [pairs.asked.count(index) for index in (1, 3, 5)] == [names.count(str(index)) for index in (1, 3, 5)]


def test_both_images_get_the_same_crop_flip_and_turn(pairs: PatchPairs) -> None:
    """The phone's patch equals the darkened DSLR patch px by px, so any difference in the crop would show."""
    for step in steps(pairs, 0, 5):
        for batch in (step.batch, step.second):
            assert batch.phone.shape == (6, 3, 32, 32)
            np.testing.assert_array_equal(batch.phone, (0.7 * batch.dslr.double() + 20).floor().numpy())


def test_all_eight_turns_and_flips_are_drawn_and_none_without_augmentation(pairs: PatchPairs) -> None:
    whole = torch.from_numpy(np.stack([pairs.images(index)[1] for index in range(COUNT)])[..., ::-1].copy())
    whole = whole.permute(0, 3, 1, 2)
    for augment, expected in ((True, 8), (False, 1)):
        seen = set()
        for step in steps(pairs, 0, 12, given=params(crop_px=40, augment=augment)):
            for name, image in zip(step.names, step.batch.dslr, strict=True):
                one = whole[int(name.removeprefix("train-"))]
                views = [torch.rot90(mirror, turn, (1, 2)) for mirror in (one, one.flip(2)) for turn in range(4)]
                seen |= {at for at, view in enumerate(views) if torch.equal(view, image)}
        assert len(seen) == expected
    assert seen == {0}


def test_crops_reach_every_corner_evenly(pairs: PatchPairs) -> None:
    seen: dict[tuple[int, int], int] = {}
    for step in steps(pairs, 0, 100, given=params(crop_px=39, augment=False)):
        for name, image in zip(step.names, step.batch.dslr.numpy(), strict=True):
            whole = pairs.images(int(name.removeprefix("train-")))[1][..., ::-1].transpose(2, 0, 1)
            for y in (0, 1):
                for x in (0, 1):
                    if np.array_equal(whole[:, y : y + 39, x : x + 39], image):
                        seen[y, x] = seen.get((y, x), 0) + 1
    assert sum(seen.values()) == 600
    assert min(seen.values()) > 100


def test_images_of_different_sizes_are_cropped_alike_or_refused() -> None:
    class Mixed(Drawn):
        def images(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            image = np.zeros((40 + index, 50, 3), np.uint8)
            return image, image

    assert steps(Mixed(9), 0, 1)[0].batch.phone.shape == (6, 3, 32, 32)
    with pytest.raises(
        DpedtoolError, match=r"0 is smaller than the crop of 41 px that other images allow.*train\.crop_px"
    ):
        steps(Mixed(2), 0, 9, given=params(crop_px=100, batch=16))


def test_every_pair_is_decoded_once_where_there_is_room() -> None:
    for room, once in ((None, True), (0, False)):
        drawn = Drawn(5, side=32)
        steps(drawn, 0, 20, threads=1, memory_bytes=room)
        assert (sorted(drawn.asked) == list(range(5))) == once


def test_what_is_kept_stays_within_the_room() -> None:
    drawn = Drawn(5, side=32)
    loader = Loader(drawn, params(), second_batch=False, threads=1, memory_bytes=3 * 2 * 32 * 32 * 3 + 1)
    list(loader.steps(0, 20))
    asked = [drawn.asked.count(index) for index in range(5)]
    assert sorted(asked)[:3] == [1, 1, 1]
    assert sorted(asked)[3] > 1


def test_no_more_is_read_ahead_than_a_few_steps() -> None:
    drawn = Drawn(10**6)
    # Plain pairs, as these are, would be read to be replaced.
    given_ = params(batch=10, plain_share=1.0)
    running = Loader(drawn, given_, second_batch=False, threads=2, memory_bytes=0).steps(0, 10**6)
    next(running)
    running.close()
    assert len(drawn.asked) <= 10 * (1 + 3)


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("loader")]


def test_no_thread_is_left_however_the_steps_end(pairs: PatchPairs) -> None:
    def part(steps: Iterator[Step]) -> None:
        next(steps)
        assert loader_threads()
        steps.close()

    part(Loader(pairs, params(), second_batch=True, threads=3).steps(0, 100))
    assert not loader_threads()
    steps(pairs, 0, 3, threads=3)
    assert not loader_threads()


def test_an_error_in_a_thread_reaches_the_caller_as_its_sentence(tmp_path: Path, make_samples) -> None:
    broken = PatchPairs(make_samples(tmp_path, {"train": 3}), "train")
    (tmp_path / "patches-00000.tar").unlink()
    with pytest.raises(
        DpedtoolError,
        match=r"^There is no .*patches-00000\.tar, .*split` again\. .*patches` before\.$",
    ):
        steps(broken, 0, 50, threads=3)
    assert not loader_threads()
