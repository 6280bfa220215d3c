"""ICC profiles that consist of a matrix and curves, read so that 16 bit can be converted before they are rounded."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from dpedtool.dataset.photos.colours import SAMPLES, RgbSpace

_HEADER, _ENTRY, _MOST_TAGS = 128, 12, 200
_COLUMNS, _CURVES = (b"rXYZ", b"gXYZ", b"bXYZ"), (b"rTRC", b"gTRC", b"bTRC")
_SRGB_D50 = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
"""sRGB's primaries in XYZ, adapted to the white D50 of profiles (columns: red, green, blue)."""
_OF_LUT = frozenset({b"A2B0", b"A2B1"})
"""A profile with tables is defined by these, whatever its matrix says."""


def space_of(profile: bytes) -> RgbSpace | None:
    """Return the space of a profile of matrix and curves (ICC.1:2022, 8.3 and F.3).

    None for profiles with tables, with a curve of its own for each channel, or with damage.
    """
    try:
        tags = _tags(profile)
        if _OF_LUT & tags.keys() or profile[16:20] != b"RGB ":
            return None
        xyz = np.column_stack([_xyz(tags[name]) for name in _COLUMNS])
        curves = [_curve(tags[name]) for name in _CURVES]
    except (struct.error, LookupError, ValueError):
        return None
    if not all(np.allclose(curve, curves[0], atol=1e-4) for curve in curves) or not np.isfinite(curves[0]).all():
        return None
    return RgbSpace(np.clip(curves[0], 0, 1), np.linalg.inv(_SRGB_D50) @ xyz)


def _tags(profile: bytes) -> Mapping[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, _HEADER)
    if count > _MOST_TAGS:
        raise ValueError("no table of tags")
    found = {}
    for index in range(count):
        name, offset, length = struct.unpack_from(">4sII", profile, _HEADER + 4 + _ENTRY * index)
        found[name] = profile[offset : offset + length]
    return found


def _xyz(tag: bytes) -> npt.NDArray[np.float64]:
    return np.array(struct.unpack_from(">3i", tag, 8), np.float64) / 65536


def _curve(tag: bytes) -> npt.NDArray[np.float64]:
    """Return the light of evenly spaced values (ICC.1:2022, 10.6 and 10.18)."""
    values = np.linspace(0, 1, SAMPLES + 1)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return values
        table = np.array(struct.unpack_from(f">{min(count, 65536)}H", tag, 12), np.float64)
        if count == 1:
            return np.asarray(values ** (table[0] / 256))
        return np.asarray(np.interp(values, np.linspace(0, 1, len(table)), table / 65535))
    if tag[:4] != b"para":
        raise ValueError("no curve")
    (kind,) = struct.unpack_from(">H", tag, 8)
    counts = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}
    gamma, *others = (value / 65536 for value in struct.unpack_from(f">{counts[kind]}i", tag, 12))
    a, b, c, d, e, f = (*others, *[0.0] * (6 - len(others))) if others else (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    # Kinds 1 and 2 have their bend where the power begins, and add c everywhere or nowhere.
    bend = -b / a if kind in (1, 2) and a else d
    above = np.maximum(a * values + b, 0) ** gamma + (c if kind == 2 else e if kind == 4 else 0)
    below = {0: above, 1: np.zeros_like(values), 2: np.full_like(values, c), 3: c * values, 4: c * values + f}[kind]
    return np.asarray(np.where(values >= bend, above, below))
