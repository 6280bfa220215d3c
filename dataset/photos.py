"""Photos as files: what a folder holds, the bytes of one, its pixels and its capture time; images to files."""

from __future__ import annotations

import hashlib
import warnings
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import cv2
from PIL import Image as PillowImage

from dataset.decoding import Factor, decode_colour, decode_grey, unreadable
from dataset.decoding import Image as Image
from dataset.decoding import ReducedGrey as ReducedGrey
from dataset.errors import DpedtoolError, Rejection
from dataset.io import replacing

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"})

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


@dataclass(frozen=True)
class PhotoFile:
    """A photo as its file's bytes, read once; pixels are decoded when they are asked for."""

    path: Path
    content: bytes = field(repr=False)

    def colour(self) -> Image:
        """Decode the photo, upright by its EXIF orientation, as (H, W, 3) BGR uint8; 16 bit are reduced to 8.

        Raises
        ------
        Rejection
            `unreadable_photo`: empty, truncated, too large, or no photo at all.

        """
        return decode_colour(self.content, self.path)

    def grey(self, factor: Factor = 1) -> ReducedGrey:
        """Decode the photo in grey, upright as `colour`, each side reduced by the factor and rounded up.

        Raises
        ------
        Rejection
            As `colour`.

        """
        return decode_grey(self.content, self.path, factor)


def open_photo(path: Path) -> PhotoFile:
    """Read a photo's file.

    Raises
    ------
    Rejection
        `unreadable_photo`: missing, or not to be read.

    """
    try:
        return PhotoFile(path, path.read_bytes())
    except OSError as error:
        raise unreadable(path, error.strerror or "it cannot be read") from None


def open_unchanged(path: Path, sha256: str) -> PhotoFile:
    """Read a photo's file as `open_photo` does, once, and prove that it has this SHA-256 (hex).

    Raises
    ------
    Rejection
        `unreadable_photo`, or `photo_changed`.

    """
    photo = open_photo(path)
    if hashlib.sha256(photo.content).hexdigest() != sha256:
        raise Rejection("photo_changed", f"{path} is not the photo that was paired: run the stages again from pair on.")
    return photo


def load_photo(path: Path) -> Image:
    """Read and decode a photo: `open_photo(path).colour()`."""
    return open_photo(path).colour()


def load_unchanged(path: Path, sha256: str) -> Image:
    """Read, prove and decode a photo: `open_unchanged(path, sha256).colour()`."""
    return open_unchanged(path, sha256).colour()


def decode_photo(content: bytes, path: Path) -> Image:
    """Decode a photo's bytes as `PhotoFile.colour` does; `path` only names it in messages."""
    return decode_colour(content, path)


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
