"""Finds data other than pixels in image files, in two independent ways.

The first splits the file into its parts: every part that pixels do not need is a finding. The second knows no formats,
and searches all bytes for the beginnings of metadata blocks. The pixels of PNG files are decompressed to their end,
which takes most of the time of a scan; those of JPEG files are not decoded.

Data hidden in pixels, in coefficients and tables, or between a JPEG's coded data and the next marker are not found.
That needs decoding: `dpedtool release verify` decodes, and reports the complaints of the decoder.
"""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dpedtool.dataset.photos.decoding import PhotoFile
from dpedtool.dataset.photos.kept_metadata import exif_block
from dpedtool.pipeline.release.privacy.exif_names import has_position, names_in
from dpedtool.pipeline.release.privacy.image_parts import (
    APP,
    CODING,
    COM,
    DRI,
    JPEG,
    PNG,
    SOS,
    Chunk,
    Segment,
    pixel_data,
    png_header,
    read_jpeg,
    read_png,
)
from dpedtool.pipeline.release.privacy.plain_profiles import plain_profile
from dpedtool.pipeline.release.privacy.private_texts import Secret, private_texts
from dpedtool.pipeline.release.privacy.stripping import (
    ADOBE_LENGTH,
    APP0,
    APP2,
    APP14,
    ICC,
    JFIF,
    PROFILE_NAME,
    are_needed,
    is_adobe,
)

_EXIF, _XMP, _IPTC = "EXIF", "XMP", "IPTC"
_MARKS: Mapping[bytes, str] = {
    b"Exif\0\0": _EXIF,
    b"II*\0\x08\0\0\0": _EXIF,
    b"MM\0*\0\0\0\x08": _EXIF,
    b"http://ns.adobe.com/": _XMP,
    b"22-rdf-syntax-ns#": _XMP,
    b"Photoshop 3.0": _IPTC,
    b"Raw profile type ": "Raw profile",
    b"MotionPhoto_Data": "MotionPhoto",
}
"""First bytes of metadata, anywhere in a file. A terabyte of random bytes has about a 1 % chance of a false alarm."""
_EXIF_START = b"Exif\0\0"
_MOST_TEXT = 10**6
"""Most bytes that are unpacked from a compressed text."""
_MOST_LISTED = 5
_MOST_REMEMBERED = 1 << 14
"""Findings are cached only if the parts of a file have no more bytes than this."""
_COMPRESSED = re.compile(rb"(?<=\0)\x78[\x01\x5e\x9c\xda]")
"""First bytes of compressed texts (RFC 1950, 2.2)."""


def is_image(content: bytes) -> bool:
    """Return whether these bytes are an image in a format that can be proven clean: JPEG or PNG."""
    return content.startswith((JPEG, PNG))


def scan_image(content: bytes, secrets: Collection[Secret] = ()) -> list[str]:
    """Return what a JPEG or PNG file holds besides its pixels, as phrases for a sentence."""
    scan = _scan_jpeg if content.startswith(JPEG) else _scan_png
    found = list(scan(content, secrets if isinstance(secrets, frozenset) else frozenset(secrets)))
    marks = {kind for mark, kind in _MARKS.items() if mark in content}
    hidden = sorted(kind for kind in marks if not any(kind in thing for thing in found))
    return list(dict.fromkeys([*found, *(f"bytes that mark {kind}" for kind in hidden)]))


def _scan_jpeg(content: bytes, secrets: frozenset[Secret]) -> Iterator[str]:
    image = read_jpeg(content)
    yield from _findings(tuple(part for part in image.segments if part.marker != SOS), secrets, _in_segments)
    yield from _around(image.stray, "between its segments", secrets)
    yield from _around(image.rest, "after the end of the image", secrets)
    if not image.is_whole:
        yield "no end of the image, so it cannot be proven clean"


def _scan_png(content: bytes, secrets: frozenset[Secret]) -> Iterator[str]:
    image = read_png(content)
    yield from _findings(tuple(part for part in image.chunks if part.name != b"IDAT"), secrets, _in_chunks)
    yield from _behind_pixels(image.chunks, secrets)
    if any(part.data.startswith(b"Raw profile type ") for part in image.chunks):
        yield _in_exif(exif_block(PhotoFile(Path("image.png"), content)))
    yield from _around(image.rest, "after the end of the image", secrets)
    if not image.is_whole:
        yield "no end of the image, so it cannot be proven clean"


def _behind_pixels(chunks: Sequence[Chunk], secrets: frozenset[Secret]) -> Iterator[str]:
    header = png_header(chunks)
    pixels = pixel_data(chunks, header) if header else None
    if pixels is None or not pixels.is_whole:
        yield "damaged pixels, so it cannot be proven clean"
    if pixels:
        yield from _around(pixels.behind, "after the end of its compressed pixels", secrets)
        yield from ["bytes after its pixels, compressed with them"] * pixels.has_more


def _around(data: bytes, where: str, secrets: frozenset[Secret]) -> Iterator[str]:
    if data:
        yield f"{len(data)} bytes {where}"
        yield from _texts(data, secrets)


def _texts(data: bytes, secrets: frozenset[Secret]) -> list[str]:
    # Texts from Windows may have two bytes per letter.
    readings = (_decoded(data), _decoded(data.replace(b"\0", b"")))
    found = [thing for reading in readings for thing in private_texts(reading, secrets, is_binary=True)]
    return list(dict.fromkeys(found))[:_MOST_LISTED]


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


Part = tuple[int | bytes, bytes]
"""A segment or a chunk."""
Finder = Callable[[Sequence[Any]], Iterator[str]]


def _findings(parts: tuple[Part, ...], secrets: frozenset[Secret], find: Finder) -> Sequence[str]:
    """Return the findings in the parts that are not pixels."""
    small = sum(len(part[1]) for part in parts) <= _MOST_REMEMBERED
    return (_remembered if small else _found_in)(parts, secrets, find)


def _found_in(parts: tuple[Part, ...], secrets: frozenset[Secret], find: Finder) -> Sequence[str]:
    return (*find(parts), *_texts(b"\n".join(_readable(*part) for part in parts), secrets))


# Most patches have the same few segments before their pixels.
_remembered = functools.lru_cache(maxsize=256)(_found_in)


def _readable(name: int | bytes, data: bytes) -> bytes:
    """Return the bytes of a part, followed by its compressed texts, unpacked."""
    if name in (b"zTXt", b"iTXt", b"iCCP"):
        # The compressed text follows a name, some flags and, in iTXt, further names (PNG, 11.3.3).
        starts = (found.start() for found in _COMPRESSED.finditer(data))
        return b"\n".join([data, *(_inflated(data[start:]) for start in starts)])
    return data


def _in_segments(segments: Sequence[Segment]) -> Iterator[str]:
    profile = b"".join(data[len(ICC) + 2 :] for marker, data in segments if marker == APP2 and data.startswith(ICC))
    yield from _in_profile(profile)
    for marker, data in segments:
        if not _is_needed(marker, data):
            yield from _in_segment(marker, data)


def _is_needed(marker: int, data: bytes) -> bool:
    """Return whether pixels need a segment. Profiles are accepted here, as they are checked separately."""
    if marker == APP0:
        return data.startswith(b"JFIF\0") and len(data) == len(JFIF) and data.endswith(b"\0\0")
    if marker == APP2:
        return data.startswith(ICC)
    if marker == APP14:
        return is_adobe(data) and len(data) == ADOBE_LENGTH
    return marker in CODING and (marker != DRI or len(data) == 2)


def _in_segment(marker: int, data: bytes) -> Iterator[str]:
    if marker == COM:
        yield "a comment"
    elif data.startswith(_EXIF_START):
        yield _in_exif(data[len(_EXIF_START) :])
    elif data.startswith(b"http://ns.adobe.com/"):
        yield _XMP
    elif data.startswith(b"Photoshop 3.0"):
        yield f"{_IPTC} or other data of Photoshop"
    elif data.startswith((b"JFIF\0", b"JFXX\0")):
        yield "a thumbnail"
    elif data.startswith(b"MPF\0"):
        yield "a list of further pictures (MPF)"
    else:
        yield f"a segment APP{marker - APP0}" if marker in APP else f"a segment of the unknown kind {marker:#04x}"


def _in_exif(block: bytes) -> str:
    kinds = ["GPS position"] * has_position(block) + sorted(names_in(block))
    return f"{_EXIF} with {_listed(kinds)}" if kinds else _EXIF


def _listed(things: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(things[:-1]), things[-1])))


def _in_profile(profile: bytes) -> Iterator[str]:
    if profile and plain_profile(profile) != profile:
        yield "a colour profile with texts or figures of its own"


def _in_chunks(chunks: Sequence[Chunk]) -> Iterator[str]:
    seen_size = False
    for chunk, is_needed in zip(chunks, are_needed(chunks), strict=True):
        is_size = chunk.name == b"pHYs" and len(chunk.data) == 9 and not seen_size
        seen_size |= is_size
        if not (is_needed or is_size):
            yield from _in_chunk(*chunk)


def _in_chunk(name: bytes, data: bytes) -> Iterator[str]:
    if name == b"iCCP":
        profile = _inflated(data.partition(b"\0")[2][1:])
        yield from _in_profile(profile if data.startswith(PROFILE_NAME) else profile + b"a name of its own")
    elif name == b"eXIf":
        yield _in_exif(data.removeprefix(_EXIF_START))
    elif name in (b"tEXt", b"zTXt", b"iTXt"):
        keyword = data.partition(b"\0")[0].decode("latin-1")
        yield _XMP if keyword == "XML:com.adobe.xmp" else f"a text {keyword!r}"
    elif name == b"PLTE":
        yield "a palette that no pixel uses"
    else:
        yield "the time of the last change" if name == b"tIME" else f"a chunk {name.decode('latin-1')!r}"


def _inflated(data: bytes) -> bytes:
    """Return the unpacked text up to a limit; empty if it is damaged."""
    try:
        return zlib.decompressobj().decompress(data, _MOST_TEXT)
    except zlib.error:
        return b""
