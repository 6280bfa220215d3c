"""Files whose format is not in the table, such as JPEG 2000: they are read if Pillow and OpenCV know them."""

from __future__ import annotations

from dpedtool.dataset.photos.formats.by_pillow import ByPillow
from dpedtool.dataset.photos.formats.input_format import EncodedAgain, InputFormat

_READER = ByPillow(None)


def _is_other(_: bytes) -> bool:
    return True


FORMAT = InputFormat(
    name="file of another kind",
    suffixes=frozenset(),
    is_known=_is_other,
    open=_READER.open,
    exif=_READER.exif,
    taken=_READER.taken,
    released=EncodedAgain("it is a file of another kind"),
)
