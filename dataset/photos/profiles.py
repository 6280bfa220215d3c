"""Colour profiles: the conversion of a photo's own colours to sRGB, by its ICC profile or by what its file states."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageCms

from dpedtool.dataset.photos.colours import NOTHING_STATED, SAME, RgbSpace, Stated
from dpedtool.dataset.photos.matrix_profiles import space_of
from dpedtool.dataset.photos.pixels import Image, Pixels, eight_bit


@dataclass(frozen=True)
class ToSrgb:
    """The conversion that a profile needs."""

    transform: ImageCms.ImageCmsTransform | None = None
    """None: the colours are sRGB, or are treated as sRGB."""
    note: str = ""
    """What was ignored or assumed, as a clause; empty if nothing was."""
    space: RgbSpace | None = None
    """The space that converts 16 bit before they are rounded, and 8 bit where there is no `transform`."""

    @property
    def changes_colours(self) -> bool:
        """Whether there is anything to do."""
        return self.transform is not None or self.space is not None

    @property
    def changes_greys(self) -> bool:
        """Whether greys become clearly lighter or darker, as with linear values."""
        return self.space is not None and self.space.has_other_curve

    def apply(self, pixels: Pixels) -> Image:
        """Return BGR pixels (H, W, 3), uint8 or uint16, in sRGB of 8 bit; the same ones if there is nothing to do."""
        if self.space and (pixels.dtype == np.uint16 or self.transform is None):
            return self.space.apply(pixels)
        image = eight_bit(pixels)
        if self.transform is None:
            return image
        photo = PillowImage.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        ImageCms.applyTransform(photo, self.transform, inPlace=True)
        return np.asarray(cv2.cvtColor(np.asarray(photo), cv2.COLOR_RGB2BGR), np.uint8)


def to_srgb(profile: bytes, stated: Stated = NOTHING_STATED) -> ToSrgb:
    """Return the conversion to sRGB by a photo's ICC profile or, if it has none, by what else its file states."""
    return by_profile(profile) if profile else ToSrgb(note=stated.note, space=stated.space)


@functools.lru_cache(maxsize=16)
def by_profile(profile: bytes) -> ToSrgb:
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
    found = ToSrgb(transform, space=space_of(profile))
    return ToSrgb() if _changes_nothing(found) else found


def _changes_nothing(conversion: ToSrgb) -> bool:
    levels = np.linspace(0, 255, 9).round()
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3).astype(np.uint8)
    return bool(np.abs(conversion.apply(colours).astype(int) - colours).max() <= SAME)
