"""Photos of real cameras: the metadata that are kept, and published weights on whole photos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image as PillowImage
from PIL.ExifTags import IFD
from real_data import published_checkpoint, real_folder

from dpedtool.dataset.photos.decoding import open_photo
from dpedtool.dataset.photos.kept_metadata import kept_metadata
from dpedtool.dataset.photos.writing import write_photo
from dpedtool.pipeline.cli import main
from dpedtool.training.enhance.whole_photo import Settings, enhance_image
from dpedtool.training.weights.checkpoint import load_model
from dpedtool.training.weights.published_weights import import_weights

MAKE, MODEL, DATE_TIME, TAKEN, EXPOSURE, APERTURE, FOCAL_LENGTH = 0x10F, 0x110, 0x132, 0x9003, 0x829A, 0x829D, 0x920A
GPS, EXIF, WIDTH, MAKER_NOTE = 0x8825, 0x8769, 0xA002, 0x927C


def test_what_cameras_write_is_read_back_without_position_and_thumbnail(tmp_path: Path) -> None:
    photos = sorted(real_folder("photos").glob("*.jpg"))
    assert photos
    small = np.zeros((30, 40, 3), np.uint8)
    for path in photos:
        with PillowImage.open(path) as photo:
            before = photo.getexif()
            shot_before = before.get_ifd(EXIF)
        for format_ in ("png", "jpg", "tiff"):
            metadata = kept_metadata(open_photo(path), (40, 30))
            assert metadata.note == ""
            write_photo(tmp_path / "a", small, format_, metadata=metadata)
            with PillowImage.open(tmp_path / "a") as result:
                after = result.getexif()
                assert not after.get_ifd(GPS)
                assert not after.get_ifd(IFD.IFD1)
                shot = after.get_ifd(EXIF)
            assert [after[tag] for tag in (MAKE, MODEL, DATE_TIME)] == [before[tag] for tag in (MAKE, MODEL, DATE_TIME)]
            told = (TAKEN, EXPOSURE, APERTURE, FOCAL_LENGTH)
            assert [shot[tag] for tag in told] == [shot_before[tag] for tag in told]
            assert shot[WIDTH] == 40
            assert MAKER_NOTE not in shot


@pytest.mark.parametrize("name", ["iphone_orig", "dped_resnet_8_32", "dped_srcnn"])
def test_published_weights_in_stripes_are_exact(name: str, tmp_path: Path) -> None:
    """The difference is within float32's rounding, which PyTorch's own result has too; in bfloat16, a grey level."""
    model = import_weights(published_checkpoint(name), tmp_path / "weights.safetensors").generator.eval()
    photo = cv2.imread(str(real_folder("city100") / "iphonex" / "001.jpg"))[100:251, 200:403]
    image = torch.from_numpy(photo[..., ::-1].copy()).permute(2, 0, 1).float() / 255
    exact, half = (enhance_image(model, image, Settings(torch.device("cpu"), kind)) for kind in ("float32", "bfloat16"))
    with torch.inference_mode():
        whole = model(image[None])[0]
        truth = model.double()(image[None].double())[0]
    # How PyTorch itself rounds depends on its threads: 2.05e-4 was seen with one.
    assert (exact - whole).abs().max() < 2.5e-4 / 255
    assert (exact - truth).abs().max() < 1.5e-4 / 255
    assert (half - truth).abs().max() < 1 / 255


@pytest.mark.parametrize("name", ["dped_resnet_8_32", "dped_srcnn"])
def test_published_weights_enhance_a_whole_photo(tmp_path: Path, name: str) -> None:
    photo = real_folder("city100") / "iphonex_far" / "001.jpg"
    weights = tmp_path / "weights.safetensors"
    for arguments in (
        ["import-weights", published_checkpoint(name), "-o", weights],
        ["enhance", photo, "-o", tmp_path, "--weights", weights, "--precision", "float32", "--device", "cpu"],
    ):
        done = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert done.exit_code == 0, done.output
    rgb = torch.from_numpy(cv2.imread(str(photo))[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        expected = (load_model(weights)(rgb).clamp(0, 1) * 255)[0].permute(1, 2, 0).numpy()[..., ::-1]
    found = cv2.imread(str(tmp_path / "001.png")).astype(np.float32)
    assert np.abs(found - expected).max() < 0.51
