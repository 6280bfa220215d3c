"""Small photos with capture times, and how they are paired, for tests of the clocks."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from dpedtool.dataset.params import PairParams
from dpedtool.pipeline.pair.stage import Pairing, pair_folders

START = datetime(2023, 3, 26, 1, 30)
EXIF, ORIGINAL, OFFSET_ORIGINAL = 0x8769, 36867, 36881


def photo(path: Path, seconds: float | None = None, zone: str | None = None, start: datetime = START) -> Path:
    """A black photo that differs from all others, with its camera's time in whole seconds, if one is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = PillowImage.Exif()
    exif[270] = ascii(path)
    shot = exif.get_ifd(EXIF)
    if seconds is not None:
        shot[ORIGINAL] = (start + timedelta(seconds=seconds)).strftime("%Y:%m:%d %H:%M:%S")
    if zone is not None:
        shot[OFFSET_ORIGINAL] = zone
    content = io.BytesIO()
    PillowImage.fromarray(np.zeros((240, 320, 3), np.uint8)).save(content, "JPEG", exif=exif)
    path.write_bytes(content.getvalue())
    return path


def pairing(folder: Path, **params: Any) -> Pairing:
    """How the photos in the folders phone and dslr are paired."""
    return pair_folders(folder / "phone", folder / "dslr", PairParams(**params))


def couples(folder: Path, **params: Any) -> dict[str, str]:
    """The DSLR's photo of each of the phone's that has one, by file names."""
    rows = pairing(folder, **params).rows
    return {row.phone_path.name: row.dslr_path.name for row in rows if row.phone_path and row.dslr_path}
