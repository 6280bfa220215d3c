"""Files whose header claims a size that their pixels do not have."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from dpedtool.dataset.photos.encoding import encode_image


def png_header(width: int, height: int) -> bytes:
    bodies = (
        b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        b"IDAT" + zlib.compress(bytes(99)),
        b"IEND",
    )
    chunks = [struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) for body in bodies]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def jpeg_header(width: int, height: int) -> bytes:
    content = bytearray(encode_image(np.zeros((16, 16, 3), np.uint8), ".jpg"))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)
