"""Published figures, for comparison with a run's own.

Ignatov, Kobyshev, Timofte, Vanhoey, Van Gool, "DSLR-Quality Photos on Mobile Devices with Deep Convolutional
Networks", ICCV 2017, arXiv 1704.02470.
"""

from __future__ import annotations

from dataclasses import dataclass

from dpedtool.pipeline.foreign.dped_layout import PATCHES_A_PAIR

SOURCE = "Ignatov et al., DSLR-Quality Photos on Mobile Devices with Deep Convolutional Networks, ICCV 2017"
ARXIV = "1704.02470"
PROTOCOL = "batch"
"""The protocol of the paper's scores: one PSNR over each batch of 50 outputs that are not clipped."""
PATCH_PX = 100


@dataclass(frozen=True)
class PublishedYield:
    """How many patches DPED got from the photos of one phone."""

    phone: str
    width_px: int
    height_px: int
    patch_px: int
    megapixels: float
    patches_a_pair: float
    """Training patches divided by photos of the phone."""
    patches_a_megapixel: float


@dataclass(frozen=True)
class PublishedScore:
    """Scores of a method in the paper, on the photos of one of the paper's phones."""

    method: str
    phone: str
    protocol: str
    psnr_db: float
    ms_ssim: float
    """What the paper calls SSIM is MS-SSIM in its code."""
    second_hand: bool
    """Whether the figure comes from a work that quotes the paper, not from the paper itself."""


_SIZES_PX = {"BlackBerry": (2080, 1560), "iPhone": (2048, 1536), "Sony": (2592, 1944)}
"""Sizes of the photos as released."""

SCORES = (
    PublishedScore("Apple Photo Enhancer", "iPhone", PROTOCOL, 17.28, 0.8631, second_hand=True),
    PublishedScore("SRCNN (Dong et al.)", "iPhone", PROTOCOL, 19.27, 0.8992, second_hand=True),
    PublishedScore("Johnson et al.", "iPhone", PROTOCOL, 20.32, 0.9161, second_hand=True),
    PublishedScore("DPED", "iPhone", PROTOCOL, 20.08, 0.9201, second_hand=False),
    PublishedScore("DPED", "BlackBerry", PROTOCOL, 20.07, 0.9328, second_hand=True),
    PublishedScore("DPED", "Sony", PROTOCOL, 21.81, 0.9437, second_hand=True),
)


def _yield(phone: str, patches: float) -> PublishedYield:
    width, height = _SIZES_PX[phone]
    megapixels = width * height / 1e6
    return PublishedYield(phone, width, height, PATCH_PX, megapixels, patches, patches / megapixels)


YIELDS = tuple(_yield(phone, patches) for phone, patches in PATCHES_A_PAIR.items())
