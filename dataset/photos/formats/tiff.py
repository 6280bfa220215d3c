"""TIFF: 8 bit and less are read by Pillow, 16 bit by OpenCV."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from PIL.TiffImagePlugin import TiffImageFile

from dpedtool.dataset.photos.formats.by_opencv import ByOpencv
from dpedtool.dataset.photos.formats.by_pillow import ByPillow, profile_of
from dpedtool.dataset.photos.formats.conversion_losses import OPAQUE, ROUNDED, conversion
from dpedtool.dataset.photos.formats.input_format import EncodedAgain, InputFormat
from dpedtool.dataset.photos.stored import DAMAGED, NO_PHOTO, Image, Stored, unreadable
from dpedtool.dataset.photos.tiff_fields import TiffReader
from dpedtool.dataset.places import Place

_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"II\0*", b"MM*\0")
"""TIFF 6.0, BigTIFF, and TIFF 6.0 with its number in the wrong order of bytes, which Pillow reads too."""
_READER = ByPillow(TiffImageFile)
_BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR, _EXTRA, _SAMPLE_FORMAT = 258, 262, 277, 284, 338, 339
_UNSIGNED, _CONTIGUOUS, _BLACK_IS_ZERO, _RGB, _PREMULTIPLIED = 1, 1, 1, 2, 1


def _is_tiff(content: bytes) -> bool:
    return content.startswith(_MAGICS)


def _open(content: bytes, path: Place) -> Stored:
    with _READER.header(content, path) as photo:
        # Pillow and cv2 turn a TIFF upright by themselves, and Pillow gives the size of the turned one.
        kind = _check(cast(TiffImageFile, photo), path)
        return kind(content=content, path=path, size=photo.size, profile=profile_of(photo))


@dataclass(frozen=True, kw_only=True)
class _Tiff(Stored):
    """TIFF of 8 bit and less, by Pillow, since cv2 darkens half transparent pixels."""

    def colour(self) -> Image:
        try:
            with _READER.opened(io.BytesIO(self.content)) as photo:
                pixels = np.asarray(photo.convert("RGB"))
        except DAMAGED:
            raise unreadable(self.path, NO_PHOTO) from None
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)


def _check(photo: TiffImageFile, path: Place) -> type[Stored]:
    """Return the class that decodes this kind of TIFF; decoders get the refused ones wrong without a word."""
    tags = photo.tag_v2
    bits = set(tags.get(_BITS, (1,)))
    if max(bits) <= 8:
        return _Tiff
    unsigned = set(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))) == {_UNSIGNED}
    plain = tags.get(_PHOTOMETRIC) in (_BLACK_IS_ZERO, _RGB) and tags.get(_PLANAR, _CONTIGUOUS) == _CONTIGUOUS
    colours = tags.get(_SAMPLES, 1) in (1, 3, 4) and _PREMULTIPLIED not in tags.get(_EXTRA, ())
    if bits == {16} and unsigned and plain and colours:
        return ByOpencv
    raise unreadable(
        path, "this kind of TIFF cannot be read: save it as RGB or grey of 8 or 16 bit, with interleaved channels"
    )


def _exif(content: bytes) -> bytes:
    """Return the file as it is: an EXIF block is a TIFF file without a picture."""
    return content


def _losses(photo: Stored) -> list[str]:
    return conversion(photo) + _losses_of_depth(photo.content)


def _losses_of_depth(content: bytes) -> list[str]:
    try:
        reader = TiffReader(content)
    except ValueError:
        return ["it was decoded to 8 bit"]
    tags = reader.first({_BITS, _EXTRA})
    bits = np.frombuffer(tags[_BITS].data, f"{reader.order}u2") if _BITS in tags else np.ones(1)
    return [ROUNDED] * bool(bits.max() > 8) + [OPAQUE] * (_EXTRA in tags)


FORMAT = InputFormat(
    name="TIFF",
    suffixes=frozenset({".tif", ".tiff"}),
    is_known=_is_tiff,
    open=_open,
    exif=_exif,
    taken=_READER.taken,
    released=EncodedAgain("it is a TIFF file", _losses),
)
