"""Taught images: a teacher's outputs are the targets, for images of the pairs and for crops of photos without mates."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.data import PatchPairs, as_rgb
from dpedtool.training.inference import enhance_patches
from dpedtool.training.networks.generators import Architecture, Generator
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.train.loader import Loader
from dpedtool.training.train.taught import TaughtPairs, jittered, photos_digest, photos_of

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, make_samples) -> PatchPairs:
    return PatchPairs(make_samples(tmp_path_factory.mktemp("samples"), {"train": 5}), "train")


@pytest.fixture(scope="module")
def teacher() -> Generator:
    network = Architecture(channels=4, blocks=1).build()
    initialise(network, torch.Generator().manual_seed(3), "pass-through")
    with torch.no_grad():
        network.tail.bias += 0.1
    return network.eval()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, texture) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), texture(70, 90, seed=100 + number))
    return folder


def params(**changes: Any) -> TrainParams:
    return TrainParams(**{"batch": 8, "crop_px": 32, "taught": 12, "teacher": "model", **changes})


def content(taught: TaughtPairs) -> list[tuple[bytes, bytes]]:
    return [(phone.tobytes(), target.tobytes()) for phone, target in map(taught.images, range(len(taught)))]


def test_the_targets_are_what_the_teacher_makes_of_the_images(pairs: PatchPairs, teacher: Generator, photos: Path):
    taught = TaughtPairs(teacher, pairs, photos_of([str(photos)]), params())
    assert len(taught) == 12
    for index in range(12):
        image, target = taught.images(index)
        assert image.shape == target.shape == (32, 32, 3)
        made = enhance_patches(teacher, as_rgb(image)[None].float() / 255, clip=True)[0]
        assert (made * 255 - as_rgb(target)).abs().max() <= 0.5
    assert len(set(content(taught))) == 12


def test_all_pairs_and_photos_give_equally_many_images_half_of_them_crops_of_photos(
    pairs: PatchPairs, teacher: Generator, photos: Path
) -> None:
    count = Counter(TaughtPairs(teacher, pairs, photos_of([str(photos)]), params(taught=26)).names())
    assert sorted(count[name] for name in pairs.names()) == [2, 2, 3, 3, 3]
    assert sorted(count[f"{number}.png"] for number in range(3)) == [4, 4, 5]


def test_without_jitter_the_images_are_the_phones_own(pairs: PatchPairs, teacher: Generator) -> None:
    taught = TaughtPairs(teacher, pairs, [], params(taught_jitter=0.0, crop_px=100))
    own = [pairs.images(index)[0] for index in range(len(pairs))]
    names = pairs.names()
    for index, name in enumerate(taught.names()):
        np.testing.assert_array_equal(taught.images(index)[0], own[names.index(name)])


def test_neither_the_names_nor_the_order_of_photos_matter_but_their_content_and_the_seed_do(
    pairs: PatchPairs, teacher: Generator, photos: Path, tmp_path: Path, texture
) -> None:
    for number in range(3):
        (tmp_path / f"{chr(99 - number)}.png").write_bytes((photos / f"{number}.png").read_bytes())
    renamed, own = photos_of([str(tmp_path)]), photos_of([str(photos)])
    first = content(TaughtPairs(teacher, pairs, own, params()))
    assert content(TaughtPairs(teacher, pairs, renamed, params())) == first
    assert content(TaughtPairs(teacher, pairs, own[::-1], params())) == first
    assert photos_digest(renamed) == photos_digest(own)
    assert content(TaughtPairs(teacher, pairs, own, params(seed=1))) != first
    cv2.imwrite(str(tmp_path / "a.png"), texture(70, 90, seed=5))
    assert photos_digest(photos_of([str(tmp_path)])) != photos_digest(own)


def test_the_jitter_is_a_gain_and_a_gamma_of_each_channel() -> None:
    image = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (2, 1, 3))
    draws = np.random.default_rng(7)
    gain = draws.uniform(-0.2, 0.2) + draws.uniform(-0.1, 0.1, 3)
    gamma = draws.uniform(-0.2, 0.2) + draws.uniform(-0.1, 0.1, 3)
    changed = jittered(image, 0.2, np.random.default_rng(7))
    for channel in range(3):
        exact = 255 * np.exp(gain[channel]) * (128 / 255) ** np.exp(gamma[channel])
        assert abs(float(changed[1, 128, channel]) - min(exact, 255)) <= 0.5
    assert len(np.unique(changed[0, 128])) > 1


def test_a_photo_smaller_than_the_crop_or_damaged_is_named(
    pairs: PatchPairs, teacher: Generator, tmp_path: Path, texture
) -> None:
    cv2.imwrite(str(tmp_path / "small.png"), texture(20, 90))
    with pytest.raises(
        DpedtoolError, match=r"small\.png is smaller than the crop of 32 px: set train\.crop_px to less"
    ):
        TaughtPairs(teacher, pairs, photos_of([str(tmp_path)]), params())
    (tmp_path / "small.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DpedtoolError, match=r"small\.png.* leave its folder out of train\.unpaired"):
        TaughtPairs(teacher, pairs, photos_of([str(tmp_path)]), params())


def test_the_teachers_share_of_each_batch_is_taught(pairs: PatchPairs, teacher: Generator) -> None:
    given = params(teacher_share=0.25, augment=False)
    taught = TaughtPairs(teacher, pairs, [], given)
    known = {target for _, target in content(taught)}
    loader = Loader(pairs, given, second_batch=True, taught=taught)
    seen = set()
    for step in loader.steps(0, 20):
        are_taught = [as_bgr(image).tobytes() in known for image in step.batch.dslr]
        assert are_taught == [True] * 2 + [False] * 6
        assert not any(as_bgr(image).tobytes() in known for image in step.second.dslr)
        seen |= {as_bgr(image).tobytes() for image in step.batch.dslr[:2]}
    assert len(seen) > 8


def test_two_processes_share_a_taught_batch(pairs: PatchPairs, teacher: Generator) -> None:
    given = params(teacher_share=0.75)
    taught = TaughtPairs(teacher, pairs, [], given)
    whole = next(Loader(pairs, given, second_batch=False, taught=taught).steps(4, 5))
    parts = [
        next(Loader(pairs, given, second_batch=False, taught=taught, rank=rank, processes=2).steps(4, 5))
        for rank in (0, 1)
    ]
    assert torch.equal(whole.batch.dslr, torch.cat([part.batch.dslr for part in parts]))
    assert whole.names == [name for part in parts for name in part.names]


def as_bgr(image: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(image.numpy().transpose(1, 2, 0)[..., ::-1])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"unpaired": ["photos"]}, "unpaired photos need a teacher"),
        ({"start_share": 0.2}, "start_share is a share of the weights of start, which is null"),
        ({"teacher": "model", "losses": [{"loss": "texture"}]}, "texture compares with images of the DSLR"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ParamsError, match=words):
        TrainParams(**given)
