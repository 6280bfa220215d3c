"""Writes a photo as the JPEG that the camera would have stored, with its clock and orientation in EXIF."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import ExifTags
from PIL import Image as PillowImage

from dpedtool.pipeline.rig.camera import Camera, Files
from dpedtool.pipeline.rig.scene import Image

NOTE = "simulated, not a photograph"
# By EXIF orientation: quarter turns anticlockwise from the photo as it is seen to the rows as they are stored.
STORED_TURNS = {1: 0, 6: 1}


def save_photo(photo: Image, camera: Camera, path: Path, taken: datetime) -> None:
    """Write a photo as its camera would.

    Parameters
    ----------
    photo
        BGR uint8 (H, W, 3), as it is seen.
    camera
        Its `files` say how the photo is stored.
    path
        The JPEG file.
    taken
        The true time; the camera's clock adds its offset. EXIF keeps whole seconds or, with `files.tells_exposure`,
        milliseconds.

    """
    stored = np.rot90(photo, STORED_TURNS[camera.files.orientation])
    exif = _exif(camera.files, taken)
    image = PillowImage.fromarray(np.ascontiguousarray(stored[..., ::-1]))
    image.save(path, "JPEG", quality=camera.files.jpeg_quality, exif=exif)


def _exif(files: Files, taken: datetime) -> PillowImage.Exif:
    time = taken + timedelta(seconds=files.clock_offset_s)
    shown = time.strftime("%Y:%m:%d %H:%M:%S")
    exif = PillowImage.Exif()
    exif[ExifTags.Base.ImageDescription] = NOTE
    exif[ExifTags.Base.Make] = files.make
    exif[ExifTags.Base.Model] = files.model
    exif[ExifTags.Base.Orientation] = files.orientation
    exif[ExifTags.Base.DateTime] = shown
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.DateTimeOriginal] = shown
    details[ExifTags.Base.DateTimeDigitized] = shown
    if files.tells_exposure:
        details[ExifTags.Base.SubsecTimeOriginal] = f"{time.microsecond // 1000:03d}"
        details[ExifTags.Base.ExposureTime] = files.exposure_s
        details[ExifTags.Base.ISOSpeedRatings] = files.iso
        details[ExifTags.Base.FNumber] = files.f_number
    return exif
