"""Photos of real cameras in a release: the same pixels, and no private data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from real_data import real_folder

from dpedtool.dataset.photos.decoding import decode_photo, open_photo
from dpedtool.pipeline.release.privacy.scan import scan, scan_file
from dpedtool.pipeline.release.privacy.stripping import strip_photo, told


def test_stripped_photos_keep_their_pixels_and_tell_nothing(tmp_path: Path) -> None:
    photos = sorted(real_folder("photos").glob("*.jpg"))
    assert photos
    before: list[str] = []
    names: set[str] = set()
    for path in photos:
        photo = open_photo(path)
        findings = scan(path.name, photo.content, told(photo))
        assert any(": EXIF" in finding for finding in findings)
        result = strip_photo(photo, 95)
        assert (result.suffix, result.lossless, result.note) == (".jpg", True, "")
        np.testing.assert_array_equal(decode_photo(result.content, path), photo.colour())
        (tmp_path / "a.jpg").write_bytes(result.content)
        assert scan_file(tmp_path / "a.jpg", "a.jpg", told(photo)) == []
        assert not any(name.encode() in result.content for name in told(photo))
        before += findings
        names |= told(photo)
    assert names
    for kind in ("GPS position", "unique image ID", "artist", "XMP", "IPTC", "after the end of the image", "APP4"):
        assert any(kind in finding for finding in before)


def test_published_patches_are_clean() -> None:
    patches = sorted(real_folder("dped_iphone_patches").rglob("*.jpg"))
    assert patches
    assert [finding for path in patches for finding in scan_file(path, path.name)] == []
