"""Colour spaces that files state without an ICC profile, and the conversion of 8 and 16 bit to sRGB.

A space is three primaries, a white and a curve: numbers of H.273 in HEIC, AVIF and PNG, gamma and chromaticities in
PNG, and Adobe RGB in EXIF blocks. LittleCMS converts 8 bit only through Pillow, which is too coarse for linear 16 bit:
all of their dark levels would be one. So these are converted here, before they are rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.photos.pixels import Image, Pixels

Primaries = tuple[float, float, float, float, float, float, float, float]
"""CIE 1931 x, y of red, green, blue and white."""
Curve = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""From values 0..1 in the file to light 0..1."""

SAME = 2
"""A space that changes no colour by more than this many of 255 levels counts as sRGB: the changes are rounding."""
SAMPLES = 4096
"""Steps of a curve: between them, it is taken as straight."""
ROWS_AT_ONCE = 256
"""Rows that are converted at once, which bounds the memory."""

D65 = (0.3127, 0.3290)
SRGB_PRIMARIES: Primaries = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *D65)
ADOBE_RGB_PRIMARIES: Primaries = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, *D65)
ADOBE_RGB_GAMMA = 563 / 256
"""Adobe RGB (1998) Color Image Encoding, 4.3.1.2."""
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""From XYZ to responses of the eye, for the adaptation to another white (ICC.1:2022, annex E)."""


def srgb_curve(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the light of sRGB's values (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def gamma_curve(gamma: float) -> Curve:
    """Return the curve of a power."""
    return lambda values: values**gamma


@dataclass(frozen=True, eq=False)
class RgbSpace:
    """A colour space, as what takes its values to sRGB."""

    curve: npt.NDArray[np.float64]
    """(SAMPLES + 1,): the light of evenly spaced values 0..1."""
    matrix: npt.NDArray[np.float64]
    """(3, 3): from its light to the light of sRGB, both R, G, B."""

    @staticmethod
    def of(primaries: Primaries, curve: Curve) -> RgbSpace:
        """Return the space of these primaries and this curve.

        Raises
        ------
        ValueError
            The primaries span no space.

        """
        return RgbSpace(_sampled(curve), np.linalg.inv(_xyz_of(SRGB_PRIMARIES)) @ _xyz_of(primaries))

    @property
    def is_srgb(self) -> bool:
        """Whether the conversion changes nothing."""
        levels = np.linspace(0, 255, 9).round()
        colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3).astype(np.uint8)
        return bool(np.abs(self.apply(colours).astype(int) - colours).max() <= SAME)

    @property
    def has_other_curve(self) -> bool:
        """Whether greys become clearly lighter or darker."""
        greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
        return bool(np.abs(self.apply(greys).astype(int) - greys).max() > 2 * SAME)

    def apply(self, pixels: Pixels) -> Image:
        """Return pixels (H, W, 3) BGR of this space in sRGB, 8 bit; colours outside sRGB are clipped."""
        top = np.iinfo(pixels.dtype).max
        light = np.interp(np.arange(top + 1) / top, np.linspace(0, 1, SAMPLES + 1), self.curve).astype(np.float32)
        # The channels are B, G, R on both sides.
        matrix = self.matrix[::-1, ::-1].astype(np.float32)
        out = np.empty(pixels.shape, np.uint8)
        for start in range(0, len(pixels), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            converted = np.asarray(cv2.transform(light[pixels[rows]], matrix))
            steps = np.rint(np.clip(converted, 0, 1) * (len(_ENCODED) - 1)).astype(np.int32)
            out[rows] = _ENCODED[steps]
        return out


def _encoded(light: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    values = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255 * values), np.uint8)


_ENCODED = _encoded(np.linspace(0, 1, 2**16))
"""sRGB's levels by light, in steps that are a twentieth of a level in the darkest part, where they are widest."""


def _sampled(curve: Curve) -> npt.NDArray[np.float64]:
    return np.clip(np.asarray(curve(np.linspace(0, 1, SAMPLES + 1)), np.float64), 0, 1)


def _xyz_of(primaries: Primaries) -> npt.NDArray[np.float64]:
    """Return the matrix from light R, G, B to XYZ, adapted to the white D65."""
    points = np.array(primaries, np.float64).reshape(4, 2)
    if not np.isfinite(points).all() or (points[:, 1] <= 0).any():
        raise ValueError("a chromaticity is not possible")
    xyz = np.column_stack([points[:, 0] / points[:, 1], np.ones(4), (1 - points.sum(axis=1)) / points[:, 1]]).T
    colours, white = xyz[:, :3], xyz[:, 3]
    if abs(np.linalg.det(colours)) < 1e-6:
        raise ValueError("the primaries lie on one line")
    matrix = colours * np.linalg.solve(colours, white)
    target = np.array([D65[0] / D65[1], 1, (1 - sum(D65)) / D65[1]])
    ratio = (_BRADFORD @ target) / (_BRADFORD @ white)
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(ratio) @ _BRADFORD @ matrix)


@dataclass(frozen=True)
class Stated:
    """What a file says about its colours without an ICC profile."""

    space: RgbSpace | None = None
    """None: sRGB, or taken as sRGB."""
    note: str = ""
    """What was ignored or assumed, as a clause; empty if nothing was."""
    is_hdr: bool = False
    """Whether the values have a high dynamic range, for which sRGB has no place."""


NOTHING_STATED = Stated()
HDR = "it has high dynamic range (HDR): set the camera or phone to standard photos"
"""Why such a photo is refused, as a clause."""
_PQ, _HLG, _UNSPECIFIED, _RESERVED = 16, 18, 2, 0
_H273_PRIMARIES: dict[int, Primaries] = {
    1: SRGB_PRIMARIES,
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.310, 0.316),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *D65),
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, 0.310, 0.316),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *D65),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *D65),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *D65),
}
"""ITU-T H.273, table 2."""
_H273_CURVES: dict[int, Curve] = {4: gamma_curve(2.2), 5: gamma_curve(2.8), 8: gamma_curve(1.0), 13: srgb_curve}
"""ITU-T H.273, table 3: curves that say how a picture is shown."""
_OF_CAMERAS = frozenset({1, 6, 7, 14, 15})
"""Curves of video cameras, which leave open how the picture is shown."""


def by_h273(primaries: int, transfer: int) -> Stated:
    """Return what two numbers of ITU-T H.273 say: colour primaries and transfer characteristics."""
    if transfer in (_PQ, _HLG):
        return Stated(is_hdr=True)
    if primaries in (_UNSPECIFIED, _RESERVED) and transfer in (_UNSPECIFIED, _RESERVED):
        return NOTHING_STATED
    notes = []
    found = _H273_PRIMARIES.get(primaries)
    if found is None:
        found = SRGB_PRIMARIES
        if primaries not in (_UNSPECIFIED, _RESERVED):
            notes.append(f"its colour primaries (number {primaries} of H.273) are not known, and are taken as sRGB's")
    curve = _H273_CURVES.get(transfer)
    if curve is None:
        curve = srgb_curve
        if transfer in _OF_CAMERAS:
            notes.append("its curve is that of video cameras, and is taken as sRGB's")
        elif transfer not in (_UNSPECIFIED, _RESERVED):
            notes.append(f"its curve (number {transfer} of H.273) is not known, and is taken as sRGB's")
    return Stated(_unless_srgb(RgbSpace.of(found, curve)), "; ".join(notes))


def by_gamma(gamma: float | None, chromaticities: Primaries | None) -> Stated:
    """Return what the chunks gAMA and cHRM of a PNG file say; `gamma` is the power from values to light.

    A power from 2 to 2.4 is written for sRGB, too, and is taken as sRGB's curve, as browsers do.
    """
    if gamma is None and chromaticities is None:
        return NOTHING_STATED
    if gamma is not None and not 0.2 <= gamma <= 10:
        return Stated(note="its gamma is not possible and was ignored; its colours are taken as sRGB")
    curve = srgb_curve if gamma is None or 2.0 <= gamma <= 2.4 else gamma_curve(gamma)
    try:
        space = RgbSpace.of(chromaticities or SRGB_PRIMARIES, curve)
    except ValueError:
        return Stated(note="its chromaticities are not possible and were ignored; its colours are taken as sRGB")
    return Stated(_unless_srgb(space))


def adobe_rgb(note: str = "") -> Stated:
    """Return what is known of a photo in Adobe RGB."""
    return Stated(RgbSpace.of(ADOBE_RGB_PRIMARIES, gamma_curve(ADOBE_RGB_GAMMA)), note)


_SRGB, _ADOBE_RGB, _UNCALIBRATED = 1, 2, 65535
_R03 = "R03"
"""DCF optional file, which is in Adobe RGB (EXIF 2.32, annex on interoperability; DCF 2.0, 4.4)."""


def by_exif(colour_space: object, interoperability: object) -> Stated:
    """Return what the fields ColorSpace and InteroperabilityIndex of an EXIF block say.

    EXIF has no number for Adobe RGB: cameras write "uncalibrated" and name the optional file of DCF, or write 2.
    """
    if interoperability == _R03 and colour_space in (None, _UNCALIBRATED, _ADOBE_RGB):
        return adobe_rgb()
    if colour_space == _ADOBE_RGB:
        return adobe_rgb("its EXIF block has the colour space 2, which cameras write for Adobe RGB")
    if colour_space == _UNCALIBRATED:
        return Stated(note="its EXIF block calls its colours uncalibrated, and they are taken as sRGB")
    if colour_space not in (None, _SRGB):
        return Stated(note="its EXIF block names an unknown colour space, and its colours are taken as sRGB")
    return NOTHING_STATED


def _unless_srgb(space: RgbSpace) -> RgbSpace | None:
    return None if space.is_srgb else space
