"""From the bytes of a photo to pixels: JPEG, PNG, TIFF, WebP and BMP here, HEIC and raw in `camera_formats`."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL.TiffImagePlugin import TiffImageFile

from dpedtool.dataset.photos.formats import is_heif, is_raw, open_heif, open_raw
from dpedtool.dataset.photos.stored import DAMAGED, MAX_PIXELS, Factor, Grey, Image, Stored, turn_of, unreadable
from dpedtool.dataset.places import Place

# Pillow refuses more than twice this by itself, which by its own measure is less than phones have: 200 megapixels.
PillowImage.MAX_IMAGE_PIXELS = MAX_PIXELS // 2

_ORIENTATION, _INTEROPERABILITY, _INDEX = 0x0112, 0xA005, 1
_ADOBE_RGB = "R03"
"""DCF optional file, of Adobe RGB (EXIF 2.32, annex on interoperability)."""
_NO_PHOTO = "it is no complete JPEG, PNG, TIFF or HEIC file"
_REDUCED_GREY = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
_EIGHT_BIT = np.rint(np.arange(65536) / 257).astype(np.uint8)
"""From 16 bit to 8, nearest: both white levels meet, which a shift by 8 bit does not give for all values."""


def open_stored(content: bytes, path: Place) -> Stored:
    """Read a photo's header, and refuse what would fill the memory when decoded or is not all there.

    Raises
    ------
    Rejection
        `unreadable_photo`: empty, truncated, too large, of colours that are not read, or no photo at all.

    """
    _check_whole(content, path)
    photo = _open(content, path)
    photo.check_size()
    return photo


def decode_plain(content: bytes, path: Place) -> Image:
    """Decode a PNG or JPEG of 8 bit as stored, (H, W, 3) BGR uint8, without a look at its header.

    Raises
    ------
    Rejection
        `unreadable_photo`: empty, truncated, or no image.

    """
    _check_whole(content, path)
    return _imdecode(content, path, cv2.IMREAD_COLOR)


def _check_whole(content: bytes, path: Place) -> None:
    if not content:
        raise unreadable(path, "the file is empty")
    if _is_truncated_jpeg(content):
        raise unreadable(path, "the JPEG data ends too early: copy it from the camera again")


def _open(content: bytes, path: Place) -> Stored:
    if is_raw(path):
        return open_raw(content, path)
    if is_heif(content):
        return open_heif(content, path)
    try:
        with warnings.catch_warnings():
            # Pillow warns of damaged EXIF blocks and of large headers; the latter are checked by the caller.
            warnings.simplefilter("ignore")
            with PillowImage.open(io.BytesIO(content)) as photo:
                return _by_pillow(photo, content, path)
    except PillowImage.DecompressionBombError:
        raise unreadable(path, f"its header claims more than {MAX_PIXELS // 10**6} megapixels") from None
    except DAMAGED:
        raise unreadable(path, _NO_PHOTO) from None


def _by_pillow(photo: PillowImage.Image, content: bytes, path: Place) -> Stored:
    if photo.mode in ("CMYK", "LAB"):
        raise unreadable(path, f"its colours are {photo.mode}, not RGB: export it as RGB")
    profile = photo.info.get("icc_profile") or b""
    if isinstance(photo, TiffImageFile):
        # Pillow and cv2 turn a TIFF upright by themselves, and Pillow gives the size of the turned one.
        kind = _check_tiff(photo, path)
        return kind(content=content, path=path, size=photo.size, profile=profile)
    format_ = _Jpeg if photo.format in ("JPEG", "MPO") else _Plain
    orientation, interoperability = _exif_says(photo)
    return format_(
        content=content,
        path=path,
        size=photo.size,
        turn=turn_of(orientation),
        profile=profile,
        is_adobe_rgb=interoperability == _ADOBE_RGB,
    )


def _exif_says(photo: PillowImage.Image) -> tuple[object, object]:
    """Orientation and interoperability index; a damaged block says nothing."""
    try:
        exif = photo.getexif()
        return exif.get(_ORIENTATION), exif.get_ifd(_INTEROPERABILITY).get(_INDEX)
    except DAMAGED:
        return None, None


def _imdecode(content: bytes, path: Place, flags: int) -> npt.NDArray[np.uint8]:
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise unreadable(path, f"decoding failed: {error.err or error.code}") from None
    if image is None:
        raise unreadable(path, _NO_PHOTO)
    return image  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class _Plain(Stored):
    """PNG, WebP and BMP, by cv2; transparency is dropped, 16 bit are reduced to 8."""

    def colour(self) -> Image:
        image = _imdecode(self.content, self.path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        return image if image.dtype == np.uint8 else _EIGHT_BIT[image]


@dataclass(frozen=True, kw_only=True)
class _Jpeg(_Plain):
    """JPEG; libjpeg reduces while it decodes, in a fraction of the time, exactly by the factor and rounding up."""

    def grey(self, factor: Factor) -> Grey:
        return _imdecode(self.content, self.path, _REDUCED_GREY[factor])


@dataclass(frozen=True, kw_only=True)
class _Tiff(Stored):
    """TIFF of 8 bit and less, by Pillow: cv2 darkens what is half transparent."""

    def colour(self) -> Image:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with PillowImage.open(io.BytesIO(self.content)) as photo:
                    pixels = np.asarray(photo.convert("RGB"))
        except DAMAGED:
            raise unreadable(self.path, _NO_PHOTO) from None
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)


_BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR, _EXTRA, _SAMPLE_FORMAT = 258, 262, 277, 284, 338, 339
_UNSIGNED, _CONTIGUOUS, _BLACK_IS_ZERO, _RGB, _PREMULTIPLIED = 1, 1, 1, 2, 1


def _check_tiff(photo: TiffImageFile, path: Place) -> type[Stored]:
    """Return what decodes this kind of TIFF right; the others are refused, since decoders get them silently wrong."""
    tags = photo.tag_v2
    bits = set(tags.get(_BITS, (1,)))
    if max(bits) <= 8:
        return _Tiff
    unsigned = set(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))) == {_UNSIGNED}
    plain = tags.get(_PHOTOMETRIC) in (_BLACK_IS_ZERO, _RGB) and tags.get(_PLANAR, _CONTIGUOUS) == _CONTIGUOUS
    colours = tags.get(_SAMPLES, 1) in (1, 3, 4) and _PREMULTIPLIED not in tags.get(_EXTRA, ())
    if bits == {16} and unsigned and plain and colours:
        return _Plain
    raise unreadable(path, "this kind of TIFF is not read: save it as RGB or grey of 8 or 16 bit, channels interleaved")


def _is_truncated_jpeg(content: bytes) -> bool:
    """Whether a JPEG lacks its end marker; decoders fill what is missing with grey and hardly complain.

    Inside the coded data 0xFF is always followed by 0x00 or a restart marker (ITU T.81, B.1.1.5), so the first
    FF D9 behind the start of the scan is the end. Headers before it, thumbnails too, are skipped by their lengths.
    """
    if not content.startswith(b"\xff\xd8"):
        return False
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == 0xDA:
            break
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    # Behind the headers, or where stray bytes hide how they go on.
    return content.find(b"\xff\xd9", position) < 0
