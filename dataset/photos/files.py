"""Photos as files: what a folder holds, the bytes of one, its pixels and its capture time; images to files."""

from __future__ import annotations

import hashlib
import io
import stat
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO

import cv2

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.io import replacing
from dpedtool.dataset.photos.decoding import decode_plain, open_stored
from dpedtool.dataset.photos.formats import jpeg
from dpedtool.dataset.photos.formats.input_format import HEAD, InputFormat
from dpedtool.dataset.photos.formats.table import SUFFIXES, format_of, format_of_suffix
from dpedtool.dataset.photos.profiles import to_srgb
from dpedtool.dataset.photos.stored import (
    DAMAGED,
    Factor,
    Image,
    ReducedGrey,
    unreadable,
    upright_colour,
    upright_grey,
    upright_size,
)
from dpedtool.dataset.places import Place, answering

MOST_BYTES = 2 * 10**9
"""Of a photo's file: 250 megapixels of 16 bit RGB, more than which are refused, are 1.5 GB as they are."""


def list_photos(folder: Place) -> list[Place]:
    """Return the photos directly in a folder, sorted by name; hidden files and other suffixes are left out.

    Where a camera or an export wrote one moment twice, IMG_1.JPG beside IMG_1.HEIC or beside a raw file, the JPEG is
    taken and the other left out.

    Raises
    ------
    DpedtoolError
        The folder is missing, no folder, holds no photo, or only such as need an extra that is not installed.

    """
    with answering(folder):
        files = _files_in(folder)
    photos = sorted((path for path in files if path.suffix.lower() in SUFFIXES), key=lambda path: path.name)
    if not photos:
        others = sorted({path.suffix.lower() or "no suffix" for path in files})
        found = f"only files with {', '.join(others)}" if others else "nothing"
        raise DpedtoolError(f"{folder} holds no photos ({found}): put JPEG, PNG, TIFF, HEIC or camera raw files there.")
    kept = _without_doubles(photos)
    missing = [format_of_suffix(path).missing_extra for path in kept]
    if all(missing):
        raise DpedtoolError(f"None of the photos in {folder} can be read: {missing[0]}.")
    return kept


def _files_in(folder: Place) -> list[Place]:
    if not folder.exists():
        raise DpedtoolError(f"There is no folder {folder}: name the folder that holds the camera's photos.")
    if not folder.is_dir():
        raise DpedtoolError(f"{folder} is not a folder: name the folder that holds the camera's photos.")
    # A link that leads nowhere counts: it stands for a photo that somebody misses.
    return [path for path in folder.iterdir() if not path.is_dir() and not path.name.startswith(".")]


def _without_doubles(photos: Sequence[Place]) -> list[Place]:
    """Leave out HEIC and raw files that stand beside a JPEG of the same stem, capitals apart."""
    jpegs = {path.stem.lower() for path in photos if format_of_suffix(path) is jpeg.FORMAT}
    return [path for path in photos if not format_of_suffix(path).is_beside_jpeg or path.stem.lower() not in jpegs]


@dataclass(frozen=True)
class PhotoFile:
    """A photo as its file's bytes, read once; pixels are decoded when they are asked for.

    JPEG, PNG, TIFF, WebP and BMP of 8 or 16 bit, RGB or grey; HEIC and camera raw files with the extras `heic` and
    `raw`. Raw files are developed by LibRaw: camera white balance, no automatic brightness, sRGB.
    """

    path: Place
    content: bytes = field(repr=False)

    @property
    def format(self) -> InputFormat:
        """The format that its bytes are of, whatever its name is; only raw files are told by that."""
        return format_of(self.content, self.path)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px as the header says, upright.

        Raises
        ------
        Rejection
            As `colour`.

        """
        return upright_size(open_stored(self.content, self.path))

    @property
    def note(self) -> str:
        """What of the photo was ignored, as a sentence, such as a damaged colour profile; empty where nothing was.

        Raises
        ------
        Rejection
            As `colour`.

        """
        photo = open_stored(self.content, self.path)
        note = to_srgb(photo.profile).note
        if photo.is_adobe_rgb and not photo.profile:
            note = "it is in Adobe RGB without a profile, and is taken as sRGB; set the camera to sRGB"
        return f"{self.path}: {note}." if note else ""

    @property
    def time(self) -> datetime | None:
        """EXIF capture time on the camera's own clock, without zone; None where there is none to be read."""
        return _read_time(io.BytesIO(self.content), self.path)

    def colour(self) -> Image:
        """Decode the photo, upright, as (H, W, 3) BGR uint8 in sRGB.

        16 bit are reduced to 8. An embedded ICC profile other than sRGB, such as a phone's Display P3, is applied; a
        photo without one is taken as sRGB.

        Raises
        ------
        Rejection
            `unreadable_photo`: empty, truncated, too large, or no photo at all.

        """
        photo = open_stored(self.content, self.path)
        return to_srgb(photo.profile).apply(upright_colour(photo))

    def grey(self, factor: Factor = 1) -> ReducedGrey:
        """Decode the photo in grey, upright as `colour`, each side reduced by the factor and rounded up.

        Colour profiles are not applied: this grey is for finding things, not for looking at.

        Raises
        ------
        Rejection
            As `colour`.

        """
        return upright_grey(open_stored(self.content, self.path), factor)


def open_photo(path: Place) -> PhotoFile:
    """Read a photo's file, from this machine or from a URL.

    Raises
    ------
    Rejection
        `unreadable_photo`: missing, larger than any photo, no file, or not to be read.

    """
    try:
        with answering(path):
            _check_file(path)
            return PhotoFile(path, path.read_bytes())
    except OSError as error:
        raise unreadable(path, error.strerror or "it cannot be read") from None
    except DpedtoolError as error:
        raise Rejection("unreadable_photo", str(error)) from None


def _check_file(path: Place) -> None:
    """Refuse what would never end or fill the memory; of URLs the protocol's package says nothing of the kind."""
    if not isinstance(path, Path):
        return
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise unreadable(path, "it is no file: name a photo")
    if found.st_size > MOST_BYTES:
        raise unreadable(path, f"the file has {found.st_size / 10**9:.1f} GB, which no photo has")


def open_unchanged(path: Place, sha256: str) -> PhotoFile:
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


def load_photo(path: Place) -> Image:
    """Read and decode a photo: `open_photo(path).colour()`."""
    return open_photo(path).colour()


def load_unchanged(path: Place, sha256: str) -> Image:
    """Read, prove and decode a photo: `open_unchanged(path, sha256).colour()`."""
    return open_unchanged(path, sha256).colour()


def decode_photo(content: bytes, path: Place) -> Image:
    """Decode a photo's bytes as `PhotoFile.colour` does; `path` only names it in messages."""
    return PhotoFile(path, content).colour()


def save_image(path: Path, image: Image, key: str = "") -> None:
    """Write a PNG file, whole or not at all; `key` says in it what it was made from, for `image_key` to read."""
    encoded = encode_image(image, ".png")
    with replacing(path) as temporary:
        temporary.write_bytes(_with_key(encoded, key) if key else encoded)


def image_key(path: Path) -> str:
    """Return the key that `save_image` wrote into a PNG file; empty where there is no such file or no key."""
    try:
        with path.open("rb") as file:
            head = file.read(PNG_HEADER + 12 + len(_KEYWORD) + 100)
    except OSError:
        return ""
    length = int.from_bytes(head[PNG_HEADER : PNG_HEADER + 4], "big")
    text = head[PNG_HEADER + 8 : PNG_HEADER + 8 + length]
    return text[len(_KEYWORD) :].decode("ascii", "replace") if text.startswith(_KEYWORD) else ""


_KEYWORD = b"dpedtool key\0"
PNG_HEADER = 33
"""A PNG begins with 8 bytes of signature and 25 of the chunk IHDR (PNG specification, 5.2 and 11.2.1)."""


def _with_key(png: bytes, key: str) -> bytes:
    """Insert a tEXt chunk behind the header (PNG specification, 11.3.3.2)."""
    return png[:PNG_HEADER] + png_chunk(b"tEXt", _KEYWORD + key.encode("ascii")) + png[PNG_HEADER:]


def png_chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file as it is stored (PNG specification, 5.3)."""
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


PNG_OPTIONS = [
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH),
]
"""Photographs hardly repeat themselves, so that looking for repetitions costs time and saves nothing: beside OpenCV's
defaults three quarters of the time and nine tenths of the bytes."""


def encode_image(image: Image, suffix: str, jpeg_quality: int = 95) -> bytes:
    """Encode an image as the bytes of a `.png` or `.jpg` file."""
    options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if suffix == ".jpg" else PNG_OPTIONS
    done, encoded = cv2.imencode(suffix, image, options)
    if not done:
        raise DpedtoolError(f"An image of {image.shape} could not be encoded as {suffix}.")
    return encoded.tobytes()


def decode_image(content: bytes, path: Place) -> Image:
    """Decode what `encode_image` made, (H, W, 3) BGR uint8; `path` only names it in messages.

    Nothing is looked for that such files do not have, such as an orientation or a colour profile: for small images
    that takes longer than decoding.

    Raises
    ------
    Rejection
        `unreadable_photo`: empty, truncated, or no image.

    """
    return decode_plain(content, path)


def capture_time(path: Place) -> datetime | None:
    """Return the EXIF capture time on the camera's own clock, without zone; None where there is none to be read."""
    try:
        with answering(path):
            _check_file(path)
            with path.open("rb") as file:
                return _read_time(file, path)
    except (OSError, DpedtoolError, Rejection):
        return None


def _read_time(file: IO[bytes], path: Place) -> datetime | None:
    try:
        with warnings.catch_warnings():
            # Pillow warns of damaged EXIF blocks and of large headers; neither matters for a date.
            warnings.simplefilter("ignore")
            return _time_in(file, path)
    except (*DAMAGED, DpedtoolError):
        return None


def _time_in(file: IO[bytes], path: Place) -> datetime | None:
    head = file.read(HEAD)
    return format_of(head, path).time(head, file, path)
