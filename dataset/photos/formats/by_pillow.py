"""Read headers with Pillow: sizes, colour profiles and EXIF blocks. Each format is only opened by its own plugin."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from PIL import Image as PillowImage
from PIL.ImageFile import ImageFile

from dpedtool.dataset.photos.colours import by_exif
from dpedtool.dataset.photos.exif import Taken, exif_says, taken_by_pillow
from dpedtool.dataset.photos.formats.by_opencv import ByOpencv
from dpedtool.dataset.photos.stored import DAMAGED, MAX_PIXELS, NO_PHOTO, Stored, turn_of, unreadable
from dpedtool.dataset.places import Place

# Pillow refuses more than twice this. Its own default would refuse photos of 200 megapixels, which phones take.
PillowImage.MAX_IMAGE_PIXELS = MAX_PIXELS // 2


@dataclass(frozen=True)
class ByPillow:
    """Reads a format with Pillow; its methods are those that an `InputFormat` needs."""

    plugin: type[ImageFile] | None
    """The plugin to try; None: all that Pillow has."""
    kind: type[Stored] = ByOpencv
    """What decodes the pixels."""

    def open(self, content: bytes, path: Place) -> Stored:
        """Read a photo's header."""
        with self.header(content, path) as photo:
            said = exif_says(photo)
            return self.kind(
                content=content,
                path=path,
                size=photo.size,
                turn=turn_of(said.orientation),
                profile=profile_of(photo),
                stated=by_exif(said.colour_space, said.interoperability),
            )

    @contextlib.contextmanager
    def header(self, content: bytes, path: Place) -> Iterator[PillowImage.Image]:
        """Open a photo for its header; refuse one that is damaged, too large, or in colours that cannot be read."""
        try:
            with self.opened(io.BytesIO(content)) as photo:
                if photo.mode in ("CMYK", "LAB"):
                    raise unreadable(path, f"its colours are {photo.mode}, not RGB: export it as RGB")
                yield photo
        except PillowImage.DecompressionBombError:
            raise unreadable(path, f"its header claims more than {MAX_PIXELS // 10**6} megapixels") from None
        except DAMAGED:
            raise unreadable(path, NO_PHOTO) from None

    @contextlib.contextmanager
    def opened(self, file: IO[bytes]) -> Iterator[PillowImage.Image]:
        """Open a photo as Pillow does, and raise what Pillow raises."""
        plugins = (str(self.plugin.format),) if self.plugin else None
        with warnings.catch_warnings():
            # Pillow warns of damaged EXIF blocks and of large headers; the callers check both.
            warnings.simplefilter("ignore")
            with PillowImage.open(file, formats=plugins) as photo:
                yield photo

    def info(self, content: bytes) -> dict[str | tuple[int, int], object] | None:
        """Return what Pillow finds besides the picture; None if the file is damaged."""
        try:
            with self.opened(io.BytesIO(content)) as photo:
                return dict(photo.info)
        except DAMAGED:
            return None

    def exif(self, content: bytes) -> bytes:
        """Return the EXIF block; empty if there is none, or the file is damaged."""
        block = (self.info(content) or {}).get("exif")
        return block if isinstance(block, bytes) else b""

    def taken(self, _: bytes, file: IO[bytes], __: Place) -> Taken:
        """Return when and how the photo was taken; only the header of the file is read."""
        file.seek(0)
        with self.opened(file) as photo:
            return taken_by_pillow(photo.getexif())


def profile_of(photo: PillowImage.Image) -> bytes:
    """Return the embedded ICC profile; empty if there is none."""
    return photo.info.get("icc_profile") or b""
