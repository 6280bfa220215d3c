"""Photos that are refused: what the message advises is done, and the photo is read, with the right colours."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from photo_samples import dng, mosaic
from PIL import Image as PillowImage

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.photos.decoding import PhotoFile
from dpedtool.dataset.photos.listing import list_photos

PICTURE = cv2.resize(
    np.random.default_rng(6).integers(20, 230, (6, 8, 3)).astype(np.uint8), (80, 60), interpolation=cv2.INTER_CUBIC
)
"""(60, 80, 3) BGR, smooth, so that JPEG keeps its colours."""


def pillow(kind: str, mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    PillowImage.fromarray(PICTURE[..., ::-1]).convert(mode).save(out, kind, **options)
    return out.getvalue()


def tiff(image: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, image, photometric="rgb", **options)
    return out.getvalue()


RGB = PICTURE[..., ::-1]
DEEP = RGB.astype(np.uint16) * 257


def deep_png() -> bytes:
    return cv2.imencode(".png", DEEP[..., ::-1])[1].tobytes()


def of_12_bit() -> bytes:
    whole = pillow("JPEG")
    place = whole.index(b"\xff\xc0") + 4
    return whole[:place] + b"\x0c" + whole[place + 1 :]


@pytest.mark.parametrize(
    ("refused", "advice", "followed"),
    [
        (lambda: pillow("JPEG", "CMYK"), "export it as RGB", lambda: pillow("JPEG", quality=95)),
        (lambda: pillow("TIFF", "CMYK"), "export it as RGB", lambda: pillow("TIFF")),
        (of_12_bit, "export it as TIFF or PNG of 16 bit", deep_png),
        (of_12_bit, "export it as TIFF or PNG of 16 bit", lambda: tiff(DEEP)),
        (lambda: tiff(RGB.astype(np.float32)), "save it with 8 or 16 bit", lambda: tiff(RGB)),
        (lambda: tiff(RGB.astype(np.uint32)), "save it with 8 or 16 bit", lambda: tiff(DEEP)),
        (
            lambda: tiff(np.ascontiguousarray(DEEP.transpose(2, 0, 1)), planarconfig="separate"),
            "save it as RGB or grey of 8 or 16 bit, with interleaved channels",
            lambda: tiff(DEEP),
        ),
        (
            lambda: pillow("JPEG")[:-400],
            "copy it from the camera again",
            lambda: pillow("JPEG", quality=95),
        ),
    ],
    ids=["CMYK JPEG", "CMYK TIFF", "12 bit to PNG", "12 bit to TIFF", "floats", "32 bit", "planes", "cut short"],
)
def test_a_photo_that_is_stored_as_advised_is_read(
    refused: Callable[[], bytes], advice: str, followed: Callable[[], bytes]
) -> None:
    with pytest.raises(Rejection) as why:
        PhotoFile(Path("photo"), refused()).colour()
    assert advice in why.value.detail
    file = PhotoFile(Path("photo"), followed())
    assert np.abs(file.colour().astype(int) - PICTURE).mean() < 3
    assert file.note == ""


def test_a_raw_file_is_read_under_the_name_that_is_advised(tmp_path: Path) -> None:
    content = dng(mosaic(np.full((90, 130), 30_000.0)))
    with pytest.raises(Rejection, match=r"name it \.dng"):
        PhotoFile(tmp_path / "a.tif", content).colour()
    assert PhotoFile(tmp_path / "a.dng", content).colour().shape == (90, 130, 3)


def test_a_folder_is_read_as_its_message_advises(tmp_path: Path) -> None:
    (tmp_path / "camera" / "100CANON").mkdir(parents=True)
    with pytest.raises(DpedtoolError, match="holds no photos"):
        list_photos(tmp_path / "camera")
    (tmp_path / "camera" / "100CANON" / "IMG_1.JPG").write_bytes(pillow("JPEG"))
    with pytest.raises(DpedtoolError, match=r"name one of the sub-folders, or let .* with --recursive"):
        list_photos(tmp_path / "camera")
    assert [path.name for path in list_photos(tmp_path / "camera" / "100CANON")] == ["IMG_1.JPG"]
