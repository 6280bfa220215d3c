"""Colour profiles: the conversion of a photo's own colours to sRGB."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageCms

from dpedtool.dataset.photos.stored import Image

SAME = 2
"""A profile that changes no colour by more than this many of 255 levels counts as sRGB: the changes are rounding."""


@dataclass(frozen=True)
class ToSrgb:
    """The conversion that a profile needs."""

    transform: ImageCms.ImageCmsTransform | None = None
    """None: the colours are sRGB, or are treated as sRGB."""
    note: str = ""
    """What was ignored, as a clause; empty if nothing was."""

    def apply(self, image: Image) -> Image:
        """Return a BGR image (H, W, 3) uint8 in sRGB; the same image if there is nothing to do."""
        if self.transform is None:
            return image
        photo = PillowImage.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        ImageCms.applyTransform(photo, self.transform, inPlace=True)
        return np.asarray(cv2.cvtColor(np.asarray(photo), cv2.COLOR_RGB2BGR), np.uint8)


@functools.lru_cache(maxsize=16)
def to_srgb(profile: bytes) -> ToSrgb:
    """Return the conversion of an ICC profile to sRGB: relative colorimetric, with black point compensation.

    A profile is recognised as sRGB by what it does to some colours, whatever its name is. Colours outside sRGB are
    clipped. A profile that cannot be used is ignored, with a note.
    """
    if not profile:
        return ToSrgb()
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != "RGB":
            return ToSrgb(note="its colour profile is not one for RGB and was ignored; its colours are taken as sRGB")
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            "RGB",
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (OSError, ValueError, ImageCms.PyCMSError):
        return ToSrgb(note="its colour profile is damaged and was ignored; its colours are taken as sRGB")
    found = ToSrgb(transform)
    return ToSrgb() if _changes_nothing(found) else found


def _changes_nothing(conversion: ToSrgb) -> bool:
    levels = np.linspace(0, 255, 9).round()
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3).astype(np.uint8)
    return bool(np.abs(conversion.apply(colours).astype(int) - colours).max() <= SAME)
