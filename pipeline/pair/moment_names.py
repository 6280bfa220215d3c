"""What the names of photos say about their moment: phones write a moment under several names, or twice.

| files | meaning |
|---|---|
| `PXL_x.RAW-01.COVER.jpg`, `PXL_x.RAW-02.ORIGINAL.dng` | Pixel: a developed photo and its raw file |
| `PXL_x.PORTRAIT-01.COVER.jpg`, `PXL_x.PORTRAIT-02.ORIGINAL.jpg` | Pixel: with a blurred background, and as taken |
| `PXL_x.MP.jpg`, `MVIMG_x.jpg` | Google: photos that carry a video |
| `IMG_E1234.JPG`, `IMG_1234.HEIC` | Apple: an edit, and the photo as taken |
| `PXL_x~2.jpg`, `IMG_1234-edited.jpg` | Google and others: an edit |
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dpedtool.dataset.names import folded

_PIXEL = re.compile(r"(pxl_\d{8}_\d{6,9})((?:\.[a-z0-9_]+(?:-\d\d)?)+)")
_MOTION = re.compile(r"mvimg_(\d{8}_\d{6,9})")
_EDITED = re.compile(r"(.+?)(?:~\d+|[-_ ]edited|[-_ ]\(edited\)|-edit)")
_APPLE_EDIT = re.compile(r"img_e(\d{4,})")


@dataclass(frozen=True)
class MomentName:
    """What a photo's name without suffix says."""

    key: str
    """Equal for the files of one moment, of one folder; for matching it with the other camera's, too."""
    original: str = ""
    """The key of the photo that it is an edit of, if that is in the folder; empty: it is no edit."""
    is_secondary: bool = False
    """Whether another file with this key, if there is one, is nearer to the picture as it was taken."""


def moment_name(stem: str) -> MomentName:
    """Return what a name says, whatever the case of its letters and the form of its accents."""
    key = folded(stem)
    if found := _APPLE_EDIT.fullmatch(key):
        return MomentName(key, original=f"img_{found[1]}")
    if found := _EDITED.fullmatch(key):
        return MomentName(key, original=moment_name(found[1]).key)
    if found := _MOTION.fullmatch(key):
        return MomentName(f"img_{found[1]}", is_secondary=True)
    if found := _PIXEL.fullmatch(key):
        # The cover of a portrait has an artificial blur, and a photo with a video may lie beside one without. The cover
        # of a raw photo is the developed one.
        tags = set(re.split(r"[.-]", found[2]))
        return MomentName(found[1], is_secondary="raw" not in tags and bool(tags & {"cover", "mp"}))
    return MomentName(key)
