"""examples.json: test patches and whole photos before and after the network, as files of the folder `examples`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from dpedtool.dataset.sidecars.json_objects import JsonObject, Sidecar

FOLDER = "examples"
"""The folder of the files, next to the list."""
Why = Literal["spread", "worst"]
"""Why a patch is shown: it is one of those spread evenly over the test, or of those with the worst results of the
network compared with the untouched phone patch, by PSNR. A patch that is both is `worst`."""


@dataclass(frozen=True)
class PatchExample(JsonObject):
    """A test patch as its three files, in the folder `examples`."""

    patch_id: str
    pair_id: str
    why: Why
    width: int
    """Of each image, in px."""
    height: int
    psnr_before_db: float | None
    """Of the untouched phone's against the DSLR's; None: infinite, because they are equal."""
    psnr_after_db: float | None
    """Of the network's, clipped to 0..1."""
    ms_ssim_before: float | None
    ms_ssim_after: float | None
    phone: str
    network: str
    dslr: str


@dataclass(frozen=True)
class PhotoPart(JsonObject):
    """A photo, or a part of one, as two files of the folder `examples`: before and after."""

    x: int
    """First column that is shown, in px of the upright phone photo."""
    y: int
    width: int
    """Of each file, in px."""
    height: int
    phone: str
    network: str


@dataclass(frozen=True)
class PhotoExample(JsonObject):
    """A whole phone photo of the test, before and after."""

    pair_id: str
    note: str = ""
    """Why it is not shown, as a sentence, or what is wrong with it; else empty."""
    width: int | None = None
    """Of the upright phone photo, in px; None where it is not shown."""
    height: int | None = None
    whole: PhotoPart | None = None
    """All of it, its longer side shrunk to `dpedtool.training.evaluate.examples.SHOWN_PX` where it is more."""
    detail: PhotoPart | None = None
    """The part that shows most, chosen by the phone's photo alone, in full resolution."""


@dataclass(frozen=True)
class Examples(Sidecar):
    """What the files in the folder `examples` show."""

    FILE: ClassVar[str] = "examples.json"

    patches: list[PatchExample]
    """Sorted by `patch_id`."""
    photos: list[PhotoExample]
    """Sorted by `pair_id`."""
