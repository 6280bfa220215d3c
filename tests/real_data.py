"""The places of the real photos and checkpoints that some tests use."""

import os
from pathlib import Path

import pytest


def real_folder(name: str) -> Path:
    """Return a folder of real photos; the test is skipped if it is missing."""
    beside_the_checkout = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DPEDTOOL_REAL_DATA") or beside_the_checkout) / name
    if not folder.is_dir():
        pytest.skip(f"no real photos in {folder}: set DPEDTOOL_REAL_DATA")
    return folder


def published_checkpoint(name: str) -> Path:
    """Return the path of a published checkpoint; the test is skipped if it is missing."""
    folder = real_folder("dped_iphone_patches").parent.parent / "models"
    if not (folder / f"{name}.index").is_file():
        pytest.skip(f"no checkpoint {name} in {folder}, next to the folder of real photos")
    return folder / name
