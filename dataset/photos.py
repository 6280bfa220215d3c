"""Photos from files: the one place where a photo is decoded, turned upright, and asked for its capture time."""

from __future__ import annotations

import hashlib
import io
import warnings
import zlib
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from dataset.errors import DpedtoolError, Rejection
from dataset.io import replacing

Image = npt.NDArray[np.uint8]
"""(height, width, 3), BGR, 0..255."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"})
MAX_PIXELS = 250_000_000
"""Larger photos are refused: beyond every camera's, and a header may lie."""

_EXIF_IFD, _DATE_TIME, _DATE_TIME_ORIGINAL, _SUBSEC_ORIGINAL = 0x8769, 306, 36867, 37521


def list_photos(folder: Path) -> list[Path]:
    """Return the photos directly in a folder, sorted by name; hidden files and other suffixes are left out.

    Raises
    ------
    DpedtoolError
        The folder is missing, no folder, or holds no photo.

    """
    if not folder.exists():
        raise DpedtoolError(f"There is no folder {folder}: name the folder that holds the camera's photos.")
    if not folder.is_dir():
        raise DpedtoolError(f"{folder} is not a folder: name the folder that holds the camera's photos.")
    # A link that leads nowhere counts: it stands for a photo that somebody misses.
    files = [path for path in folder.iterdir() if not path.is_dir() and not path.name.startswith(".")]
    photos = sorted(path for path in files if path.suffix.lower() in SUFFIXES)
    if not photos:
        others = sorted({path.suffix.lower() or "no suffix" for path in files})
        found = f"only files with {', '.join(others)}" if others else "nothing"
        raise DpedtoolError(
            f"{folder} holds no photos ({found}): put JPEG, PNG or TIFF files there, converting others such as "
            "HEIC or raw first."
        )
    return photos


def load_photo(path: Path) -> Image:
    """Decode a photo, upright by its EXIF orientation, as (H, W, 3) BGR uint8; deeper photos are reduced to 8 bit.

    Raises
    ------
    Rejection
        `unreadable_photo`: missing, empty, truncated, too large, or no photo at all.

    """
    return decode_photo(_read(path), path)


def load_unchanged(path: Path, sha256: str) -> Image:
    """Decode a photo as `load_photo` does, once its file is proved to have this SHA-256 (hex).

    Raises
    ------
    Rejection
        `unreadable_photo`, or `photo_changed`.

    """
    content = _read(path)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise Rejection("photo_changed", f"{path} is not the photo that was paired: run the stages again from pair on.")
    return decode_photo(content, path)


def decode_photo(content: bytes, path: Path) -> Image:
    """Decode a photo's bytes as `load_photo` does; `path` only names it in messages."""
    if not content:
        raise _unreadable(path, "the file is empty")
    if _is_truncated_jpeg(content):
        raise _unreadable(path, "the JPEG data ends too early: copy it from the camera again")
    image = _decode(content, path)
    if image is None:
        raise _unreadable(path, "it is no complete JPEG, PNG or TIFF file")
    return image


def save_image(path: Path, image: Image, key: str = "") -> None:
    """Write a PNG file, whole or not at all; `key` says in it what it was made from, for `image_key` to read."""
    encoded = encode_image(image, ".png")
    with replacing(path) as temporary:
        temporary.write_bytes(_with_key(encoded, key) if key else encoded)


def image_key(path: Path) -> str:
    """Return the key that `save_image` wrote into a PNG file; empty where there is no such file or no key."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_END + 12 + len(_KEYWORD) + 100)
    except OSError:
        return ""
    length = int.from_bytes(head[_HEADER_END : _HEADER_END + 4], "big")
    text = head[_HEADER_END + 8 : _HEADER_END + 8 + length]
    return text[len(_KEYWORD) :].decode("ascii", "replace") if text.startswith(_KEYWORD) else ""


_KEYWORD = b"dpedtool key\0"
_HEADER_END = 33
"""A PNG begins with 8 bytes of signature and 25 of the chunk IHDR (PNG specification, 5.2 and 11.2.1)."""


def _with_key(png: bytes, key: str) -> bytes:
    """Insert a tEXt chunk behind the header (PNG specification, 11.3.3.2)."""
    chunk = b"tEXt" + _KEYWORD + key.encode("ascii")
    sealed = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    return png[:_HEADER_END] + sealed + png[_HEADER_END:]


def encode_image(image: Image, suffix: str, jpeg_quality: int = 95) -> bytes:
    """Encode an image as the bytes of a `.png` or `.jpg` file."""
    options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if suffix == ".jpg" else []
    done, encoded = cv2.imencode(suffix, image, options)
    if not done:
        raise DpedtoolError(f"An image of {image.shape} could not be encoded as {suffix}.")
    return encoded.tobytes()


def capture_time(path: Path) -> datetime | None:
    """Return the EXIF capture time on the camera's own clock, without zone; None where there is none to be read."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of damaged EXIF blocks and of large headers; neither matters for a date.
            warnings.simplefilter("ignore")
            with PillowImage.open(path) as photo:
                exif = photo.getexif()
                details = exif.get_ifd(_EXIF_IFD)
    except (OSError, ValueError, SyntaxError, PillowImage.DecompressionBombError):
        return None
    text = details.get(_DATE_TIME_ORIGINAL) or exif.get(_DATE_TIME)
    return _parse_exif_time(text, details.get(_SUBSEC_ORIGINAL))


def _parse_exif_time(text: object, fraction: object) -> datetime | None:
    try:
        moment = datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    digits = str(fraction or "").strip("\0 ")
    return moment.replace(microsecond=int(f"{digits:0<6}"[:6])) if digits.isdecimal() else moment


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or "it cannot be read") from None


def _decode(content: bytes, path: Path) -> Image | None:
    _check_size(content, path)
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)  # type: ignore[return-value]
    except cv2.error as error:
        raise _unreadable(path, f"decoding failed: {error.err or error.code}") from None


def _check_size(content: bytes, path: Path) -> None:
    """Refuse by the header what would fill the memory when decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PillowImage.open(io.BytesIO(content)) as photo:
                width, height = photo.size
    except PillowImage.DecompressionBombError:
        raise _unreadable(path, f"its header claims more than {MAX_PIXELS // 10**6} megapixels") from None
    except (OSError, ValueError, SyntaxError):
        return
    if width * height > MAX_PIXELS:
        raise _unreadable(path, f"its header claims {width}x{height} px; at most {MAX_PIXELS // 10**6} megapixels")


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


def _unreadable(path: Path, why: str) -> Rejection:
    return Rejection("unreadable_photo", f"{path}: {why}.")
