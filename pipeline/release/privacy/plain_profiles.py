"""ICC profiles without private texts: only the colours of a few well-known colour spaces are kept.

A profile may name a monitor and its serial number, a person or a time, in text tags, in tags of the maker and in its
header. The figures of a measured device are a fingerprint too. So if a profile is of a well-known space, only its
colours are kept, in a newly written profile. Any other profile must be applied to the pixels instead.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

_COLOURS = (b"rXYZ", b"gXYZ", b"bXYZ")
_CURVES = (b"rTRC", b"gTRC", b"bTRC")
_KEPT = (*_COLOURS, *_CURVES, b"wtpt", b"bkpt", b"chad")
_TABLES = (*(f"{way}{index}".encode() for way in ("A2B", "B2A", "D2B", "B2D") for index in range(4)), b"cicp")
"""Tags other than the matrix and the curves that change colours (ICC.1:2022, 8.3 and 9.2)."""
_HEADER, _ENTRY, _MOST_TAGS = 128, 12, 100

# Columns: red, green and blue of a space in XYZ, adapted to D50 by Bradford's matrix: sRGB (IEC 61966-2-1), Display P3
# (SMPTE EG 432-1 with D65), Adobe RGB (1998), ProPhoto RGB (ISO 22028-2), ITU-R BT.2020.
_SPACES: Mapping[str, npt.NDArray[np.float64]] = {
    name: np.array(figures)
    for name, figures in {
        "sRGB": [[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]],
        "Display P3": [[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0010, 0.0419, 0.7841]],
        "Adobe RGB (1998)": [[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]],
        "ProPhoto RGB": [[0.7977, 0.1352, 0.0313], [0.2880, 0.7119, 0.0001], [0.0, 0.0, 0.8249]],
        "BT.2020": [[0.6734, 0.1656, 0.1251], [0.2790, 0.6753, 0.0456], [-0.0019, 0.0300, 0.7973]],
    }.items()
}
_NEAR = 0.0015
"""Tolerance in XYZ: writers of profiles round and adapt a little differently. Two measured monitors differ more."""


@functools.lru_cache(maxsize=16)
def plain_profile(profile: bytes) -> bytes:
    """Return a profile with only the colours, named after its colour space.

    The result is empty if the space is not a well-known one, if the colours need more than a matrix and curves, or if
    the profile is damaged. A result passed in again is returned unchanged.
    """
    try:
        tags = _tags(profile)
        if profile[16:24] != b"RGB XYZ " or any(name in tags for name in _TABLES):
            return b""
        kept = {name: _value(tags[name]) for name in _KEPT if name in tags}
        space = _space_of(kept)
    except (ValueError, KeyError, struct.error):
        return b""
    if not space:
        return b""
    name, version = space.encode("ascii"), profile[8]
    texts = {b"desc": _text(name, version), b"cprt": _text(b"No copyright", version)}
    return _written(profile, texts | kept)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">L", profile, _HEADER)
    if count > _MOST_TAGS or profile[36:40] != b"acsp":
        raise ValueError("not a profile")
    found = {}
    for place in range(_HEADER + 4, _HEADER + 4 + count * _ENTRY, _ENTRY):
        name, offset, length = struct.unpack_from(">4sLL", profile, place)
        found[name] = profile[offset : offset + length]
    return found


def _value(data: bytes) -> bytes:
    """Return the figures of a tag without the bytes that its type does not use (ICC.1:2022, 10)."""
    kind = data[:4]
    if kind == b"XYZ ":
        length = 20
    elif kind == b"curv":
        length = 12 + 2 * int(struct.unpack_from(">L", data, 8)[0])
    elif kind == b"para":
        length = 12 + 4 * (1, 3, 4, 5, 7)[min(int(struct.unpack_from(">H", data, 8)[0]), 4)]
    elif kind == b"sf32":
        length = 8 + 4 * 9
    else:
        raise ValueError("figures of another type")
    if len(data) < length:
        raise ValueError("too short")
    return kind + bytes(4) + data[8:length]


def _space_of(tags: Mapping[bytes, bytes]) -> str:
    if not all(name in tags for name in _CURVES):
        return ""
    columns = [np.array(struct.unpack_from(">3l", tags[name], 8)) / 65536 for name in _COLOURS]
    colours = np.stack(columns, axis=1)
    return next((name for name, known in _SPACES.items() if np.abs(colours - known).max() <= _NEAR), "")


def _text(text: bytes, version: int) -> bytes:
    """Return a text tag in the type that the version requires (ICC.1:2001-04, 6.5.17; ICC.1:2022, 10.15)."""
    if version >= 4:
        wide = text.decode("ascii").encode("utf-16-be")
        return b"mluc" + bytes(4) + struct.pack(">2L4s2L", 1, 12, b"enUS", len(wide), 28) + wide
    if text.startswith(b"No "):
        return b"text" + bytes(4) + text + b"\0"
    return b"desc" + bytes(4) + struct.pack(">L", len(text) + 1) + text + b"\0" + bytes(4 + 4 + 2 + 1 + 67)


def _written(profile: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    offset, table, values = _HEADER + 4 + _ENTRY * len(tags), b"", b""
    for name, data in tags.items():
        table += struct.pack(">4sLL", name, offset + len(values), len(data))
        values += data + bytes(-len(data) % 4)
    # Version, class, spaces, intent and white are kept; software, time, platform, device and identity are left out.
    day = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    head = bytes(4) + profile[8:10] + bytes(2) + profile[12:24] + day + b"acsp" + bytes(24) + profile[64:80]
    length = struct.pack(">L", offset + len(values))
    return length + head + bytes(_HEADER - 4 - len(head)) + struct.pack(">L", len(tags)) + table + values
