"""Layout dped: loose JPEG files as in DPED's own release, so that code written for DPED runs unchanged.

    dped/<phone>/training_data/{<phone>,canon}/N.jpg
    dped/<phone>/validation_data/patches/{<phone>,canon}/N.jpg       not in DPED; its readers do not look there
    dped/<phone>/test_data/patches/{<phone>,canon}/N.jpg
    dped/<phone>/test_data/full_size_test_images/N.jpg
    dped/<phone>/test_data/full_size_test_images_canon/N.jpg         not in DPED; the DSLR's, on the same grid

N counts from 0 without gaps, as DPED's readers expect.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from dpedtool.dataset.photos.decoding import decode_image
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.pipeline.foreign.dped_layout import BELOW, FULL_SIZE, PARTS, TEST
from dpedtool.pipeline.release.chunks import Chunk, Images, content_of

ROOT = BELOW


class Dped:
    """The layout. Patches that were cut as JPEG are copied unchanged; others are encoded as JPEG.

    Parameters
    ----------
    dslr_folder
        Name of the DSLR's folders.
    jpeg_quality
        1..100.

    """

    def __init__(self, dslr_folder: str, jpeg_quality: int) -> None:
        self._dslr_folder, self._quality = dslr_folder, jpeg_quality

    def folders(self, phone: str, split: str) -> tuple[str, str]:
        """Return the folders of the phone's and the DSLR's patches, relative to the release."""
        above = f"{ROOT}/{phone}/{PARTS[split]}"
        return f"{above}/{phone}", f"{above}/{self._dslr_folder}"

    def files(self, chunk: Chunk) -> list[str]:
        """Return the names of the files of a chunk, the phone's first."""
        return [
            f"{folder}/{number}.jpg" for folder in self.folders(chunk.phone, chunk.split) for number in chunk.numbers
        ]

    def write(self, chunk: Chunk, rows: pa.Table, images: Sequence[Images], root: Path) -> None:
        """Write two files for each patch."""
        del rows
        folders = [root / folder for folder in self.folders(chunk.phone, chunk.split)]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        for number, image in zip(chunk.numbers, images, strict=True):
            for folder, content in zip(folders, (image.phone, image.dslr), strict=True):
                (folder / f"{number}.jpg").write_bytes(self._as_jpeg(content, Path(image.name)))

    def read(self, chunk: Chunk, root: Path) -> Iterator[Images]:
        """Yield the files of a chunk, patch by patch."""
        phone, dslr = (root / folder for folder in self.folders(chunk.phone, chunk.split))
        for number in chunk.numbers:
            yield Images(str(number), content_of(phone / f"{number}.jpg"), content_of(dslr / f"{number}.jpg"))

    def _as_jpeg(self, content: bytes, name: Path) -> bytes:
        if is_jpeg(content):
            return content
        return encode_image(decode_image(content, name), ".jpg", self._quality)


def is_jpeg(content: bytes) -> bool:
    """Return whether these are the bytes of a JPEG file."""
    return content.startswith(b"\xff\xd8")


def full_size_folder(phone: str) -> str:
    """Return the folder of a phone's full-size test photos, relative to the release."""
    return f"{ROOT}/{phone}/{TEST}/{FULL_SIZE}"


def full_size_target_folder(phone: str, dslr_folder: str) -> str:
    """Return the folder of the DSLR's full-size photos on the grid of the phone's, relative to the release."""
    return f"{full_size_folder(phone)}_{dslr_folder}"
