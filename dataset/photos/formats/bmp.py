"""BMP, which has neither EXIF blocks nor times."""

from __future__ import annotations

from PIL.BmpImagePlugin import BmpImageFile

from dpedtool.dataset.photos.formats.by_pillow import ByPillow
from dpedtool.dataset.photos.formats.input_format import EncodedAgain, InputFormat


def _is_bmp(content: bytes) -> bool:
    return content.startswith(b"BM")


FORMAT = InputFormat(
    name="BMP",
    suffixes=frozenset({".bmp"}),
    is_known=_is_bmp,
    open=ByPillow(BmpImageFile).open,
    released=EncodedAgain("it is a BMP file"),
)
