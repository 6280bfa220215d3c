"""Reduces photos to their pixels, and what is needed to show these right.

JPEG and PNG files are rewritten part by part without loss. If that is not possible, they are decoded and encoded again.

Colour profiles that decoding would not apply, such as sRGB, are left out. Of the others, profiles of well-known spaces
are rewritten without texts (`plain_profiles`); for any other profile the pixels are converted to sRGB.

Data that somebody hid in pixels or in coefficients are not removed.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.decoder_messages import collected
from dpedtool.dataset.photos.decoding import PhotoFile, open_stored
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.photos.formats.conversion_losses import CONVERTED, OPAQUE, ROUNDED, applied_profile
from dpedtool.dataset.photos.formats.input_format import EncodedAgain
from dpedtool.dataset.photos.kept_metadata import exif_block
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.photos.stored import Stored
from dpedtool.pipeline.release.privacy.exif_names import names_in
from dpedtool.pipeline.release.privacy.image_parts import (
    APP,
    CODING,
    EOI,
    JPEG,
    PALETTE,
    SOS,
    Chunk,
    Segment,
    packed,
    pixel_data,
    png_bytes,
    png_header,
    read_jpeg,
    read_png,
    segment_bytes,
)
from dpedtool.pipeline.release.privacy.plain_profiles import plain_profile

ICC, ADOBE = b"ICC_PROFILE\0", b"Adobe"
JFIF = b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
"""Version 1.01, square pixels without a size, no thumbnail."""
ADOBE_LENGTH = 12
_ADOBE_HEAD = ADOBE + b"\0\x64" + bytes(4)
"""Version 100, no flags."""
APP0, APP2, APP14 = APP[0], APP[2], APP[14]
_ICC_A_SEGMENT = 0xFFFF - 2 - len(ICC) - 2

PROFILE_NAME = b"icc\0\0"
"""Beginning of the chunk iCCP: a name, and the number of the compression method."""
PNG_COLOUR = {b"IHDR": 13, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"sBIT": 4, b"cICP": 4}
"""Chunks that say how to show pixels, with the most bytes that each may have (PNG, third edition, 11.2, 11.3)."""
_OF_COLOUR_TYPE = {0: {b"tRNS": 2}, 2: {b"tRNS": 6}, PALETTE: {b"tRNS": 256, b"PLTE": 768}}
"""Further chunks by colour type. For other colour types a palette is only a suggestion, which decoders ignore."""


@dataclass(frozen=True)
class Stripped:
    """A photo's file without metadata."""

    content: bytes
    suffix: str
    """`.jpg` or `.png`."""
    lossless: bool
    """Whether it decodes to exactly the pixels of the photo."""
    note: str
    """Why it was encoded again and what was lost, as a clause; empty if it was not encoded again."""


def strip_photo(photo: PhotoFile, jpeg_quality: int) -> Stripped:
    """Return a photo without metadata: JPEG and PNG files keep their format, all others become PNG.

    If pixels cannot be copied from the file, they are those of `PhotoFile.colour`: upright, sRGB, 8 bit.

    Parameters
    ----------
    photo
        Any photo that can be decoded.
    jpeg_quality
        1..100, for JPEG files that have to be encoded again.

    Raises
    ------
    Rejection
        As `PhotoFile.colour`.

    """
    pixels = photo.colour()
    stored = open_stored(photo.content, photo.path)
    released = photo.format.released
    if isinstance(released, EncodedAgain):
        return _encoded(pixels, ".png", 0, [released.why], released.losses(stored))
    suffix = released.suffix
    reasons = _reasons(stored)
    if not reasons:
        content = _without_metadata(stored, suffix)
        if _shows(content, pixels):
            return Stripped(content, suffix, lossless=True, note="")
        reasons = ["its data are damaged and could not be taken over part by part"]
    losses = _losses_of_png(stored) if suffix == ".png" else ["JPEG cannot be encoded again without loss"]
    return _encoded(pixels, suffix, jpeg_quality, reasons, losses)


def told(photo: PhotoFile) -> frozenset[str]:
    """Return the texts of a photo's EXIF block that identify a device or a person.

    They are the serial numbers of body and lens, owner, artist, copyright and the unique ID of the image. Texts of
    fewer than 4 characters, numbers of fewer than 6 digits and repetitions of one character are left out, as they
    occur anywhere by chance. The maker's note is not read.
    """
    texts = {text for found in names_in(exif_block(photo)).values() for text in found}
    return frozenset(text for text in texts if len(set(text)) > 1 and len(text) >= (6 if text.isdigit() else 4))


def _reasons(stored: Stored) -> list[str]:
    """Return why the pixels cannot be copied from the file."""
    turned = ["its EXIF block, which is left out, said how to turn it upright"] * (stored.turn != 1)
    profile = applied_profile(stored)
    odd = ["its colour profile is not that of a well-known space, and may identify a device or a person"]
    unsaid = ["its colours are not sRGB, and only metadata, which are left out, say so"]
    by_metadata = not stored.profile and stored.conversion.changes_colours
    return turned + odd * bool(profile and not plain_profile(profile)) + unsaid * by_metadata


def _without_metadata(stored: Stored, suffix: str) -> bytes:
    applied = applied_profile(stored)
    profile = plain_profile(applied) if applied else b""
    if suffix == ".jpg":
        return _jpeg_without_metadata(stored.content, profile)
    return _png_without_metadata(stored.content, profile)


def _jpeg_without_metadata(content: bytes, profile: bytes) -> bytes:
    segments = read_jpeg(content).segments
    kept = [segment_bytes(*segment) for segment in segments if segment.marker in CODING]
    return b"".join([JPEG, *_heads(segments), *icc_segments(profile), *kept, bytes((0xFF, EOI))])


def _heads(segments: Sequence[Segment]) -> list[bytes]:
    """Return the segments from which decoders know the colours of three channels: JFIF's, Adobe's, both or neither."""
    before = segments[: next((index for index, part in enumerate(segments) if part.marker == SOS), 0)]
    # Decoders use only the last byte, the transform.
    adobe = [_ADOBE_HEAD + data[ADOBE_LENGTH - 1 : ADOBE_LENGTH] for marker, data in before if _is_adobe(marker, data)]
    # A JFIF segment turns RGB, as stated by Adobe's segment or by the names of the channels, into YCbCr. So it must not
    # be added to a file without one, unless Adobe's is missing too and the channels are named as in JFIF.
    has_jfif = any(marker == APP0 and data.startswith(b"JFIF\0") and len(data) >= len(JFIF) for marker, data in before)
    if has_jfif or (not adobe and _channels(before) in (b"\x01", b"\x01\x02\x03")):
        return [segment_bytes(APP0, JFIF), *(segment_bytes(APP14, data) for data in adobe[-1:])]
    return [segment_bytes(APP14, data) for data in adobe[-1:]]


def _is_adobe(marker: int, data: bytes) -> bool:
    return marker == APP14 and is_adobe(data)


def is_adobe(data: bytes) -> bool:
    """Return whether a segment APP14 is Adobe's, which defines the colours. Decoders ignore shorter ones."""
    return data.startswith(ADOBE) and len(data) >= ADOBE_LENGTH


def _channels(segments: Sequence[Segment]) -> bytes:
    """Return the names of the channels, one byte each (T.81, B.2.2)."""
    frames = [data for marker, data in segments if marker in range(0xC0, 0xD0) and marker not in (0xC4, 0xC8, 0xCC)]
    return frames[0][6::3] if frames else b""


def icc_segments(profile: bytes) -> list[bytes]:
    """Return the segments that hold a profile in a JPEG file (ICC.1:2022, B.4)."""
    pieces = [profile[start : start + _ICC_A_SEGMENT] for start in range(0, len(profile), _ICC_A_SEGMENT)]
    return [segment_bytes(APP2, ICC + bytes((index, len(pieces))) + piece) for index, piece in enumerate(pieces, 1)]


def _png_without_metadata(content: bytes, profile: bytes) -> bytes:
    """Return a PNG file with only what pixels need; empty if they are damaged, as their end is not known then."""
    chunks = read_png(content).chunks
    header = png_header(chunks)
    if not header or not (pixels := pixel_data(chunks, header)).is_whole:
        return b""
    kept = [chunk for chunk, is_kept in zip(chunks, are_needed(chunks), strict=True) if is_kept]
    if pixels.behind or pixels.has_more:
        kept = [*(chunk for chunk in kept if chunk.name != b"IDAT"), packed(chunks, header)]
    if profile:
        kept.insert(1, Chunk(b"iCCP", PROFILE_NAME + zlib.compress(profile)))
    return png_bytes(kept)


def are_needed(chunks: Sequence[Chunk]) -> list[bool]:
    """Return for each chunk of a PNG file whether pixels need it: it holds pixels, or only says how to show them."""
    header = png_header(chunks)
    most = PNG_COLOUR | _OF_COLOUR_TYPE.get(header.colours if header else -1, {})
    seen: set[bytes] = set()
    needed = []
    for name, data in chunks:
        needed.append(name == b"IDAT" or (name not in seen and len(data) <= most.get(name, -1)))
        seen.add(name)
    return needed


def _shows(content: bytes, pixels: Image) -> bool:
    """Return whether a file decodes to the pixels, and nothing in it is damaged."""
    photo = PhotoFile(Path("stripped"), content)
    try:
        with collected() as messages:
            shown = photo.colour()
        return not messages and not photo.note and np.array_equal(shown, pixels)
    except Rejection:
        return False


def _encoded(
    pixels: Image, suffix: str, jpeg_quality: int, reasons: Sequence[str], losses: Sequence[str] = ()
) -> Stripped:
    content = encode_image(pixels, suffix, jpeg_quality)
    return Stripped(content, suffix, lossless=not losses, note="; ".join((*reasons, *losses)))


_PNG_COLOUR_TYPE, _PNG_DEPTH = 25, 24
"""Places in a PNG file."""


def _losses_of_png(stored: Stored) -> list[str]:
    chunks = {chunk.name for chunk in read_png(stored.content).chunks}
    is_transparent = bool(stored.content[_PNG_COLOUR_TYPE] & 4) or b"tRNS" in chunks
    found = {CONVERTED: stored.conversion.changes_colours, ROUNDED: stored.content[_PNG_DEPTH] == 16}
    return [loss for loss, is_so in (found | {OPAQUE: is_transparent}).items() if is_so]
