"""Damage inside the coded data of a JPEG file: where it begins, as far as the decoder noticed it or could have.

libjpeg decodes what it can and only prints a message. What it decodes after a damaged place looks like a picture, in
false colours and shifted. Some damage gives no message at all: a disk returns zeros for a bad sector, and zeros are
valid code. But no picture has the code that these zeros stand for many times over, unless it is flat.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.photos.decoder_messages import collected
from dpedtool.dataset.photos.stored import WHOLE, Damage

ZEROS = 64
"""Zeros in a row that no picture has, if they stand for anything but a flat area."""
REDUCTION = 8
"""Places are found on photos reduced by this factor, which libjpeg decodes in a fraction of the time."""
MARGIN = 8
"""Rows above a damaged block that may be wrong too: libjpeg interpolates colours from the rows below."""
BLOCK_ROWS = 16
"""Rows of the largest block that is coded at once."""
_EOI = b"\xff\xd9"
_PREMATURE = re.compile(r"premature end|Premature end")
_SURPLUS = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
_IN_HEADERS = re.compile(r"Corrupt JPEG data: \d+ extraneous bytes before marker 0x(?!d[0-79])")
"""Stray bytes between headers; those before restart markers and the end are in the coded data."""
_ELSEWHERE = re.compile("|".join(kind.pattern for kind in (_PREMATURE, _SURPLUS, _IN_HEADERS)))
"""Messages that do not tell of a damaged place."""
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_DHT, _SOS = 0xC4, 0xDA
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers that begin a frame (ITU T.81, table B.1)."""
BASELINE = frozenset({0xC0, 0xC1})
"""Those of frames with a single scan for all coefficients."""

DAMAGED = "its JPEG data is damaged or ends too early: copy it from the camera again"
TOO_EARLY = "the JPEG data ends too early: copy it from the camera again"


def damage_of(content: bytes, messages: Sequence[str]) -> Damage:
    """Return the damage of a JPEG file.

    Parameters
    ----------
    content
        The file.
    messages
        What decoding it has printed, as `collected` gives it.

    """
    is_premature = any(_PREMATURE.search(line) for line in messages)
    surplus = [int(found[1]) for line in messages if (found := _SURPLUS.fullmatch(line))]
    others = [line for line in messages if not _ELSEWHERE.search(line)]
    scan = _Scan.of(content)
    zeros = scan.unlikely_zeros(content) if scan else None
    if zeros is None and is_premature:
        return Damage(TOO_EARLY if content.rfind(_EOI) < 0 else DAMAGED, is_fatal=True)
    if zeros is None and not others:
        return _of_surplus(content, max(surplus, default=0))
    if scan is None or not scan.is_baseline:
        # Each scan of a progressive photo covers all rows, so that no row is known to be right.
        return Damage(DAMAGED, is_fatal=True)
    row = _first_row(content, _first_message(content, scan.start) if zeros is None else zeros)
    return WHOLE if row is None else Damage(f"its JPEG data is damaged from row {row} on, which is not used", row)


def _of_surplus(content: bytes, count: int) -> Damage:
    """Return what bytes between the coded data and the end marker mean.

    Padding, and data of phones that write no end marker, mean nothing. Anything else may be the rest of a picture whose
    code was lost somewhere before; the pixels do not tell.
    """
    end = content.rfind(_EOI)
    if not count or end < 0 or not content[max(0, end - count) : end].strip(b"\0\xff"):
        return WHOLE
    return Damage(f"{count} bytes behind its JPEG data belong to no row, so that a part of it may be damaged")


@dataclass(frozen=True)
class _Scan:
    """The first scan of a file."""

    start: int
    """Where its coded data begin."""
    is_baseline: bool
    """Whether it is the only one, with all coefficients."""
    zeros_are_flat: bool
    """Whether zeros stand for blocks that repeat the one before."""

    @staticmethod
    def of(content: bytes) -> _Scan | None:
        frame, firsts = 0, dict[int, int]()
        for marker, start, data in segments(content):
            if marker in FRAMES:
                frame = marker
            elif marker == _DHT:
                firsts |= _first_symbols(data)
            elif marker == _SOS:
                # The shortest code consists of zeros: the first symbol of each table. Flat: no difference, no detail.
                flat = all(symbol == 0 for symbol in firsts.values())
                return _Scan(start + len(data), frame in BASELINE, flat)
        return None

    def unlikely_zeros(self, content: bytes) -> int | None:
        """Return the place of the first zeros that no picture has; None if there are none."""
        if not self.is_baseline or self.zeros_are_flat:
            return None
        found, end = content.find(bytes(ZEROS), self.start), content.rfind(_EOI)
        return found if 0 <= found < end else None


def segments(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield marker, place of the data, and data of each segment up to the first scan (ITU T.81, B.1.1.4)."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        length = int.from_bytes(content[position + 2 : position + 4], "big")
        yield marker, position + 4, content[position + 4 : position + 2 + length]
        if marker == _SOS:
            return
        position += 2 + length


def _first_symbols(data: bytes) -> Mapping[int, int]:
    """Return the first symbol of each Huffman table of a segment, by class and number of the table (B.2.4.2)."""
    found: dict[int, int] = {}
    while len(data) > 17:
        count = sum(data[1:17])
        found[data[0]] = data[17]
        data = data[17 + count :]
    return found


def _first_message(content: bytes, start: int) -> int:
    """Return the beginning of the interval in which the decoder notices the damage.

    With less of the file it prints nothing. Damage is noticed at the restart marker behind it, so that the interval
    begins at the marker before that one (ITU T.81, B.1.1.3).
    """
    low, high = start, len(content)
    while high - low > 1:
        middle = (low + high) // 2
        _, messages = _reduced(content[:middle])
        if any(not _ELSEWHERE.search(line) for line in messages):
            high = middle
        else:
            low = middle
    markers = [found.start() for found in _RESTART.finditer(content, start, high + 2)]
    return markers[-2] if len(markers) > 1 else start


def _first_row(content: bytes, place: int) -> int | None:
    """Return the first row that depends on the data behind a place; None if none does."""
    before, whole = _reduced(content[:place])[0], _reduced(content)[0]
    if before is None or whole is None or before.shape != whole.shape:
        return 0
    differing = np.flatnonzero((before != whole).any(axis=1))
    if not len(differing):
        return None
    return max(0, int(differing[0]) * REDUCTION // BLOCK_ROWS * BLOCK_ROWS - MARGIN)


def _reduced(content: bytes) -> tuple[npt.NDArray[np.uint8] | None, list[str]]:
    """Return a reduced grey photo of the beginning of a file, None if nothing can be decoded; and what was printed."""
    data = np.frombuffer(content + _EOI, np.uint8)
    with collected() as messages:
        image = cv2.imdecode(data, cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION)
    return (None if image is None else np.asarray(image, np.uint8)), messages
