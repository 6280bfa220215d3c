"""Reduced grey photos: a point of the reduced photo lies exactly where its transform says in the full one."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.decoding import PhotoFile, open_photo, open_unchanged
from dpedtool.dataset.photos.pixels import Factor

ORIENTATION = 0x0112
# From the photo as seen to the stored rows (EXIF 2.32, 4.6.4 A, Orientation).
STORED = {
    1: lambda seen: seen,
    2: lambda seen: seen[:, ::-1],
    3: lambda seen: seen[::-1, ::-1],
    4: lambda seen: seen[::-1],
    5: lambda seen: seen.transpose(1, 0),
    6: lambda seen: np.rot90(seen, 1),
    7: lambda seen: np.rot90(seen, 2).transpose(1, 0),
    8: lambda seen: np.rot90(seen, -1),
}
SIGMA_PX = 14.0
EXACT: dict[str, dict] = {"JPEG": {"quality": 100}, "PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}}


def blobs(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """A dark picture with four bright Gaussian blobs, and their centres (4, 2), x and y, off the pixel grid."""
    centres = np.array([[70.3, 66.7], [width - 75.6, 71.2], [68.9, height - 72.4], [width - 70.1, height - 66.5]])
    y, x = np.mgrid[:height, :width]
    picture = np.full((height, width), 20.0)
    for centre in centres:
        picture += 215 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * SIGMA_PX**2))
    return np.rint(picture).astype(np.uint8), centres


def photo(seen: np.ndarray, orientation: int, kind: str = "JPEG") -> PhotoFile:
    exif = PillowImage.Exif()
    exif[ORIENTATION] = orientation
    out = io.BytesIO()
    stored = PillowImage.fromarray(np.ascontiguousarray(STORED[orientation](seen)))
    stored.save(out, kind, exif=exif, **EXACT[kind])
    return PhotoFile(Path("some"), out.getvalue())


def centroid(image: np.ndarray, near: np.ndarray, radius: float) -> np.ndarray:
    """The centre of brightness of the blob around a point, refined until the window sits on it; px of the image."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    weight = np.clip(image.astype(float) - 25, 0, None)
    for _ in range(20):
        # A soft window has no edge that cuts pixels in two.
        window = weight * np.exp(-((x - near[0]) ** 2 + (y - near[1]) ** 2) / (2 * (radius / 2) ** 2))
        near = np.array([(window * x).sum(), (window * y).sum()]) / window.sum()
    return near


def worst_error(seen: np.ndarray, centres: np.ndarray, file: PhotoFile, factor: Factor) -> float:
    """The largest distance, in full px, of a blob in the reduced photo from where it was drawn."""
    reduced = file.grey(factor)
    assert reduced.size == (seen.shape[1], seen.shape[0])
    matrix = reduced.full_from_reduced
    worst = 0.0
    for centre in centres:
        near = np.linalg.solve(matrix, [*centre, 1])[:2]
        found = matrix @ [*centroid(reduced.image, near, 3 * SIGMA_PX / factor), 1]
        worst = max(worst, float(np.hypot(*(found[:2] - centre))))
    return worst


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_blobs_lie_where_the_transform_says(orientation: int, factor: Factor, kind: str) -> None:
    # Odd, of remainders 1 and 3 on division by 8: the last reduced column covers a single full one.
    seen, centres = blobs(297, 243)
    assert worst_error(seen, centres, photo(seen, orientation, kind), factor) < 0.05


@settings(max_examples=60)
@given(st.integers(260, 292), st.integers(260, 292), st.sampled_from(sorted(STORED)), st.sampled_from([2, 4, 8]))
def test_blobs_lie_where_the_transform_says_at_every_size(
    width: int, height: int, orientation: int, factor: Factor
) -> None:
    seen, centres = blobs(width, height)
    assert worst_error(seen, centres, photo(seen, orientation), factor) < 0.05


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_full_grey_lies_as_the_colour_photo(orientation: int, kind: str) -> None:
    seen, _ = blobs(297, 243)
    file = photo(seen, orientation, kind)
    np.testing.assert_allclose(file.grey().image, cv2.cvtColor(file.colour(), cv2.COLOR_BGR2GRAY), atol=1)
    np.testing.assert_allclose(file.grey().image.astype(int), seen, atol=2)
    np.testing.assert_array_equal(file.grey().full_from_reduced, np.eye(3))


def test_the_reduced_sides_are_rounded_up() -> None:
    seen, _ = blobs(297, 243)
    for kind in ("JPEG", "PNG"):
        assert photo(seen, 1, kind).grey(2).image.shape == (122, 149)
        assert photo(seen, 6, kind).grey(4).image.shape == (61, 75)
        assert photo(seen, 1, kind).grey(8).image.shape == (31, 38)


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\xd8\xff"])
def test_grey_refuses_what_colour_refuses(content: bytes) -> None:
    file = PhotoFile(Path("some.jpg"), content)
    with pytest.raises(Rejection) as colour:
        file.colour()
    for factor in (1, 2, 4, 8):
        with pytest.raises(Rejection) as grey:
            file.grey(factor)
        assert grey.value.args == colour.value.args


def test_a_truncated_photo_has_no_reduced_grey() -> None:
    seen, _ = blobs(200, 200)
    for kind in ("JPEG", "PNG"):
        content = photo(seen, 1, kind).content
        for length in range(0, len(content), len(content) // 20):
            with pytest.raises(Rejection):
                PhotoFile(Path("some.jpg"), content[:length]).grey(4)


def test_a_photo_is_read_once_and_proved(tmp_path: Path) -> None:
    seen, _ = blobs(200, 200)
    path = tmp_path / "a.jpg"
    path.write_bytes(photo(seen, 1).content)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    file = open_unchanged(path, sha256)
    path.write_bytes(b"")
    assert file.colour().shape == (200, 200, 3)
    assert "content" not in repr(file)
    with pytest.raises(Rejection) as changed:
        open_unchanged(path, sha256)
    assert changed.value.reason == "photo_changed"
    path.unlink()
    with pytest.raises(Rejection) as missing:
        open_photo(path)
    assert missing.value.reason == "unreadable_photo"
