"""Photos, sessions and patches that several tests share; small, and with known truth."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from browser import chromium
from hypothesis import settings
from own_code import forgotten_modules

from dpedtool.dataset.params import PairParams
from dpedtool.dataset.photos.decoding import PhotoFile
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.photos.stored import ReducedGrey
from dpedtool.dataset.schema import Pair, Sample
from dpedtool.dataset.shards import ShardWriter
from dpedtool.dataset.tables import write_rows
from dpedtool.pipeline.geometry.homographies import corners
from dpedtool.pipeline.pair.stage import pair_folders
from dpedtool.pipeline.rig import Camera, Truth, simulate_pair

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# On a busy machine anything may take long.
settings.register_profile("without a clock", deadline=None)
settings.load_profile("without a clock")

PHONE = Camera(name="phone", width=320, height=240, focal_px=280, rotation=(0.01, -0.015, 0.02))
DSLR = Camera(name="dslr", width=560, height=400, focal_px=450, position_m=(0.07, 0.02, 0))

Textures = Callable[..., np.ndarray]
MakeSamples = Callable[..., Path]


@pytest.fixture
def clean_modules() -> Iterator[None]:
    """Forget the modules of a user's folder after a test, as another test has others under the same names."""
    with forgotten_modules():
        yield


@pytest.fixture
def heard_interrupts() -> Iterator[None]:
    """Let processes hear SIGINT, which a shell has its background jobs, and all that they start, ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@dataclass(frozen=True)
class Shots:
    """Two photos of one scene, and where points of one lie in the other."""

    phone: np.ndarray
    dslr: np.ndarray
    truth: Truth

    def greys(self, factor: int = 1) -> tuple[ReducedGrey, ReducedGrey]:
        """Both in grey as the stage align reads them, the DSLR's reduced by a factor."""
        phone, dslr = self._files
        return phone.grey(), dslr.grey(factor)

    @cached_property
    def _files(self) -> list[PhotoFile]:
        return [PhotoFile(Path("some"), encode_image(photo, ".png")) for photo in (self.phone, self.dslr)]

    def coarse(self, most_px: float, seed: int = 0) -> np.ndarray:
        """The homography nearest to the truth, its corners then moved by up to so many px of the phone."""
        points, mapped = self.seen(20)
        matrix = cv2.findHomography(points, mapped)[0]
        rng = np.random.default_rng(seed)
        angles, lengths = rng.uniform(0, 2 * np.pi, 4), rng.uniform(most_px / 2, most_px, 4)
        there = corners(self.truth.phone.width, self.truth.phone.height)
        moved = there + np.column_stack([np.cos(angles), np.sin(angles)]) * lengths[:, None]
        matrix = matrix @ cv2.getPerspectiveTransform(there.astype(np.float32), moved.astype(np.float32))
        return matrix / matrix[2, 2]

    def seen(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """A grid of side x side points of the phone photo, those that the DSLR sees, and where it does."""
        axes = (np.linspace(0, length - 1, side) for length in (self.truth.phone.width, self.truth.phone.height))
        points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
        mapped = self.truth.dslr_from_phone(points)
        both = np.isfinite(mapped[:, 0])
        return points[both], mapped[both]

    def errors(self, transform: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """How far a transform is off over all that both photos show, in px of the phone."""
        points, mapped = self.seen(50)
        scale = self.truth.dslr.focal_px / self.truth.phone.focal_px
        return np.asarray(np.linalg.norm(transform(points) - mapped, axis=1) / scale)


def draw_texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Detail of three sizes everywhere, BGR uint8; no two seeds alike."""
    return _drawn(height, width, seed).copy()


# Large ones take a second, and many tests look at the same.
@lru_cache(maxsize=64)
def _drawn(height: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), sigma) for sigma in (1.5, 4, 10)]
    total = sum(layer / layer.std() for layer in layers)
    return np.clip(128 + 32 * total, 0, 255).astype(np.uint8)


def take_shots(seed: int) -> Shots:
    texture = draw_texture(540, 740, seed)
    return Shots(*simulate_pair(texture, PHONE, DSLR, np.random.default_rng(seed)))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: small networks are faster so, and the bits of sums the same."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window, one for all tests: each opens a context of its own, and closes it."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def texture() -> Textures:
    """Return `draw_texture`: (height, width, seed) to a picture."""
    return draw_texture


@pytest.fixture(scope="session")
def take() -> Callable[..., Shots]:
    """Return a function that photographs a picture with two cameras: (picture, phone, dslr, seed) to `Shots`."""

    def photograph(picture: np.ndarray, phone: Camera, dslr: Camera, seed: int = 0) -> Shots:
        return Shots(*simulate_pair(picture, phone, dslr, np.random.default_rng(seed)))

    return photograph


@pytest.fixture(scope="session")
def shots() -> Shots:
    """Two clean photos without distortion: a homography maps one to the other exactly."""
    return take_shots(0)


@pytest.fixture(scope="session")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photos: phone/ and dslr/ with a.jpg, b.jpg, c.jpg; d.jpg of the phone is text."""
    root = tmp_path_factory.mktemp("captures")
    for seed, name in enumerate("abc"):
        taken = take_shots(seed)
        for camera, photo in (("phone", taken.phone), ("dslr", taken.dslr)):
            (root / camera).mkdir(exist_ok=True)
            (root / camera / f"{name}.jpg").write_bytes(encode_image(photo, ".jpg"))
    (root / "phone" / "d.jpg").write_text("no photo")
    (root / "dslr" / "d.jpg").write_bytes((root / "dslr" / "c.jpg").read_bytes())
    return root


@pytest.fixture(scope="session")
def pairs(captures: Path) -> list[Pair]:
    """The four pairs of the captures, the last of which cannot be read."""
    return pair_folders(captures / "phone", captures / "dslr", PairParams()).rows


@pytest.fixture(scope="session")
def make_samples() -> MakeSamples:
    """Return a function that cuts patches into a shard and writes their table of samples.

    The DSLR's patch is a picture, the phone's the same, darker and flatter.
    """

    def make(folder: Path, counts: Mapping[str, int], size_px: int = 40, target_scale: int = 1) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        shard_path = folder / "patches-00000.tar"
        rows = []
        with ShardWriter(shard_path) as shard:
            for split, count in counts.items():
                for index in range(count):
                    name = f"{split}-{index}"
                    dslr = draw_texture(target_scale * size_px, target_scale * size_px, seed=len(rows))
                    reduced = cv2.resize(dslr, (size_px, size_px), interpolation=cv2.INTER_AREA)
                    phone = (0.7 * reduced + 20).astype(np.uint8)
                    places = [
                        shard.add(f"{name}.{side}.png", encode_image(image, ".png"))
                        for side, image in (("phone", phone), ("dslr", dslr))
                    ]
                    rows.append(
                        Sample(
                            patch_id=name,
                            pair_id=name,
                            phone="phone",
                            scene_id=name,
                            split=split,
                            target_scale=target_scale,
                            shard=shard_path,
                            phone_offset=places[0].offset,
                            phone_bytes=places[0].length,
                            dslr_offset=places[1].offset,
                            dslr_bytes=places[1].length,
                        )
                    )
        write_rows(folder / "samples.parquet", Sample, rows)
        return folder / "samples.parquet"

    return make
