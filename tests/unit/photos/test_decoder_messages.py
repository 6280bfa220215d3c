"""What decoders print: damage is distinguished from chunks that programs merely write in the wrong form."""

from __future__ import annotations

import os
import zlib

import cv2
import numpy as np
import pytest

from dpedtool.dataset.photos.decoder_messages import collected
from dpedtool.dataset.photos.encoding import PNG_HEADER, encode_image, png_chunk

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
HEADER = encode_image(PICTURE, ".png")[:PNG_HEADER]
ROWS = b"".join(b"\0" + row.tobytes() for row in PICTURE[..., ::-1])


def png(rows: bytes = ROWS, before: bytes = b"") -> bytes:
    """The picture's file, its rows compressed behind other chunks."""
    return HEADER + before + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")


def said_of(content: bytes) -> list[str]:
    with collected() as messages:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(image, PICTURE)
    return messages


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"sBIT", b"\x09\x09\x09"),
        png_chunk(b"tIME", b"\0"),
        png_chunk(b"gAMA", bytes(4)),
        png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(200))),
    ],
    ids=["bits", "time", "gamma", "profile"],
)
def test_chunks_other_than_the_pixels_are_not_damage(chunk: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    assert said_of(png(before=chunk)) == []
    assert capfd.readouterr().err == ""


def test_more_pixels_than_the_header_says_are_damage() -> None:
    assert said_of(png(ROWS + bytes(500))) == ["libpng warning: IDAT: Too much image data"]


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("libpng error: Not enough image data", True),
        ("libpng warning: tEXt: CRC error", True),
        ("libpng warning: iCCP: known incorrect sRGB profile", False),
        ("Corrupt JPEG data: 7 extraneous bytes before marker 0xd9", True),
        ("Premature end of JPEG file", True),
        ("Invalid SOS parameters for sequential JPEG", False),
        ("a line of another thread: IDAT", False),
    ],
)
def test_lines_that_count_are_kept_once(line: str, counts: bool) -> None:
    with collected() as messages:
        os.write(2, f"{line}\n{line}\n".encode())
    assert messages == ([line] if counts else [])
