"""Size and depth of PNG and JPEG files by their headers, at a cost that does not count beside decoding."""

from __future__ import annotations

_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""Number of channels by the colour type of a PNG (PNG specification, 11.2.1)."""
_NO_FRAMES = frozenset({0xC4, 0xC8, 0xCC})
"""Markers of a JPEG within the range of frame markers that do not begin a frame (ITU T.81, table B.1)."""


def stored_shape(content: bytes) -> tuple[int, int, int, int] | None:
    """Return height and width in px, channels, and bits of each, from the header of a PNG or JPEG; else None."""
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) > 26 and content[25] in _CHANNELS:
        width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
        return height, width, _CHANNELS[content[25]], content[24]
    return _jpeg_shape(content) if content.startswith(b"\xff\xd8") else None


def _jpeg_shape(content: bytes) -> tuple[int, int, int, int] | None:
    """Return what the header of the frame says (ITU T.81, B.2.2)."""
    at = 2
    while at + 10 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES:
            height, width = (int.from_bytes(content[at + i : at + i + 2], "big") for i in (5, 7))
            return height, width, content[at + 9], content[at + 4]
        at += 1 if marker == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None
