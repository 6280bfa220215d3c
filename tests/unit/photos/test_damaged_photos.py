"""Files with wrong bytes: they give one sentence, or a photo of the size that the header says."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import features

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.decoding import PhotoFile
from dpedtool.dataset.photos.kept_metadata import kept_metadata

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def what_becomes_of(content: bytes, name: str) -> str:
    """Return the rejection's sentence, or nothing; any other exception is an error of the test."""
    photo = PhotoFile(Path(name), content)
    assert photo.time is None
    kept_metadata(photo, (30, 20)).block()
    try:
        size = photo.size
        assert photo.colour().shape[1::-1] == size
    except Rejection as rejection:
        return rejection.detail
    return ""


def check(said: set[str], name: str) -> None:
    """Some files were read and others not, each of these with a sentence that names it."""
    assert "" in said
    sentences = said - {""}
    assert any("it is not a complete" in text for text in sentences)
    assert all(text.startswith(f"{name}: ") and "\n" not in text for text in sentences)


def heic() -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    pillow_heif.from_pillow(PillowImage.fromarray(PICTURE)).save(out)
    return out.getvalue()


def avif() -> bytes:
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    out = io.BytesIO()
    PillowImage.fromarray(PICTURE).save(out, "AVIF")
    return out.getvalue()


@pytest.mark.parametrize("encode", [heic, avif])
def test_any_byte_of_the_boxes_of_a_heic_or_avif_may_be_wrong(encode) -> None:
    """Items that no box knows, boxes that end elsewhere, images of no kind."""
    whole = encode()
    boxes = slice(whole.index(b"meta"), whole.index(b"mdat"))
    said = set()
    for place in range(boxes.start, boxes.stop, 2):
        for value in (0, whole[place] ^ 0x10):
            content = whole[:place] + bytes([value]) + whole[place + 1 :]
            said.add(what_becomes_of(content, f"a.{encode.__name__}"))
    check(said, f"a.{encode.__name__}")


def tiffs_of_wrong_types() -> Iterator[bytes]:
    """TIFF files one of whose fields is of another type: a number of bits that is a fraction, a text as an offset."""
    out = io.BytesIO()
    PillowImage.fromarray(PICTURE).save(out, "TIFF")
    whole = out.getvalue()
    (directory,) = struct.unpack_from("<L", whole, 4)
    (count,) = struct.unpack_from("<H", whole, directory)
    for place in range(directory + 2, directory + 2 + 12 * count, 12):
        for kind in range(1, 14):
            yield whole[: place + 2] + struct.pack("<H", kind) + whole[place + 4 :]


def test_any_field_of_a_tiff_may_be_of_a_wrong_type() -> None:
    check({what_becomes_of(content, "a.tif") for content in tiffs_of_wrong_types()}, "a.tif")
