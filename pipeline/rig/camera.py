"""A camera on the tripod: where it looks, how its lens bends rays, and how it makes a photo of the light."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]

IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a camera does to light. The defaults are a clean camera: gamma only, no noise.

    Parameters
    ----------
    blur_px
        Standard deviation of the lens's Gaussian blur, in px; the pixel's own square area is added to it.
    vignetting
        Share of the light that is lost in the corners, 0..1; it grows with the squared distance from the centre.
    colour
        3x3 matrix from the scene's linear BGR to the camera's.
    gamma
        One exponent for each channel (BGR): encoded value = light ** (1 / gamma).
    contrast
        Strength of the S-curve on encoded values; negative flattens.
    black, white
        Encoded values (0..1) of no light and of full light.
    shot_noise, read_noise
        Variance of linear light per unit of light, and standard deviation at no light.
    sharpening
        Amount of unsharp masking at a standard deviation of 1 px.

    """

    blur_px: float = 0.5
    vignetting: float = 0.0
    colour: Matrix = IDENTITY
    gamma: Vector = (2.2, 2.2, 2.2)
    contrast: float = 0.0
    black: float = 0.0
    white: float = 1.0
    shot_noise: float = 0.0
    read_noise: float = 0.0
    sharpening: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Files:
    """How a camera stores its photos.

    Parameters
    ----------
    pattern, first_number
        File name for a running number, and the number of the session's first photo.
    jpeg_quality
        1..100.
    orientation
        EXIF orientation: 1 (rows as seen) or 6 (stored a quarter turn anticlockwise).
    clock_offset_s
        How far the camera's clock is ahead of the true time, in s.
    make, model
        EXIF strings.
    exposure_s, iso, f_number
        Exposure time in s, ISO sensitivity and f-number of a photo. Brightness and noise do not follow from them.
    tells_exposure
        Whether EXIF holds these three, and the time to the millisecond; otherwise it has whole seconds only.

    """

    pattern: str = "IMG_{:04d}.jpg"
    first_number: int = 1
    jpeg_quality: int = 95
    orientation: int = 1
    clock_offset_s: float = 0.0
    make: str = "simulated"
    model: str = "simulated camera"
    exposure_s: float = 1 / 60
    iso: int = 100
    f_number: float = 1.8
    tells_exposure: bool = False


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera with a pinhole, radial distortion and a pose on the tripod.

    Parameters
    ----------
    name
        Folder of its photos.
    width, height
        Size of the photo as it is seen, in px.
    focal_px
        Distance from the pinhole to the image plane, in px.
    centre_px
        Principal point (x, y), which is also the centre of distortion; the photo's middle if it is None.
    position_m
        Where the pinhole lies in the rig's frame.
    rotation
        Rodrigues vector that turns directions of the rig's frame into the camera's.
    k1, k2
        Radial distortion of normalised coordinates: distorted = n * (1 + k1 * r^2 + k2 * r^4), r = |n|.
    look, files
        How light becomes a photo, and the photo a file.

    References
    ----------
    Radial terms: D. C. Brown, "Decentering distortion of lenses", Photogrammetric Engineering 32(3), 1966.

    """

    name: str
    width: int
    height: int
    focal_px: float
    centre_px: tuple[float, float] | None = None
    position_m: Vector = (0.0, 0.0, 0.0)
    rotation: Vector = (0.0, 0.0, 0.0)
    k1: float = 0.0
    k2: float = 0.0
    look: Look = field(default_factory=Look)
    files: Files = field(default_factory=Files)

    @property
    def principal_point(self) -> tuple[float, float]:
        """Where the optical axis meets the photo, (x, y) in px."""
        return self.centre_px or ((self.width - 1) / 2, (self.height - 1) / 2)

    def rays(self, points: Points) -> Points:
        """Return the directions (N, 3) in the rig's frame that pixels (N, 2) look along; their z is near 1."""
        normalised = self.undistort((points - self.principal_point) / self.focal_px)
        return np.column_stack([normalised, np.ones(len(normalised))]) @ rotation_matrix(self.rotation)

    def project(self, points_m: Points) -> Points:
        """Return the pixels (N, 2) of points (N, 3) of the rig's frame; NaN behind the camera."""
        seen = (points_m - np.array(self.position_m)) @ rotation_matrix(self.rotation).T
        depth = np.where(seen[:, 2:] > 0, seen[:, 2:], np.nan)
        return self.distort(seen[:, :2] / depth) * self.focal_px + self.principal_point

    def inside(self, points: Points) -> NDArray[np.bool_]:
        """Return which points (N, 2) lie on the photo; NaN does not."""
        x, y = points[:, 0], points[:, 1]
        on_x = (x >= -0.5) & (x <= self.width - 0.5)
        return np.asarray(on_x & (y >= -0.5) & (y <= self.height - 0.5))

    def distort(self, normalised: Points) -> Points:
        """Apply the lens to normalised coordinates (N, 2); NaN beyond the radius where the lens folds over."""
        r = np.linalg.norm(normalised, axis=1)
        scale = np.where(r <= self._fold_radius(), 1 + self.k1 * r**2 + self.k2 * r**4, np.nan)
        return np.asarray(normalised * scale[:, None])

    def undistort(self, distorted: Points) -> Points:
        """Invert `distort` to 1e-10 by Newton's method on the radius; NaN where no radius fits."""
        target = np.linalg.norm(distorted, axis=1)
        r = np.minimum(target, self._fold_radius())
        for _ in range(30):
            step = (target - r * (1 + self.k1 * r**2 + self.k2 * r**4)) / self._slope(r)
            r = np.clip(r + step, 0, self._fold_radius())
            if np.all(np.abs(step[np.isfinite(step)]) < 1e-14):
                break
        reached = np.abs(r * (1 + self.k1 * r**2 + self.k2 * r**4) - target) < 1e-10
        scale = np.where(reached, np.divide(r, target, out=np.ones_like(r), where=target > 0), np.nan)
        return np.asarray(distorted * scale[:, None])

    def _slope(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
        # At the fold itself the slope is 0; the floor keeps Newton's step finite there.
        return np.maximum(1 + 3 * self.k1 * r**2 + 5 * self.k2 * r**4, 1e-9)

    def _fold_radius(self) -> float:
        """Return the radius up to which the distorted radius still grows."""
        # The slope 1 + 3 k1 s + 5 k2 s^2, s = r^2, first falls to 0 at s = 2 / (-3 k1 + sqrt(9 k1^2 - 20 k2)).
        discriminant = 9 * self.k1**2 - 20 * self.k2
        inverse = (math.sqrt(discriminant) - 3 * self.k1) / 2 if discriminant >= 0 else 0.0
        return 1 / math.sqrt(inverse) if inverse > 0 else math.inf


def rotation_matrix(rotation: Vector) -> NDArray[np.float64]:
    """Return the 3x3 matrix of a Rodrigues vector in rad."""
    return np.asarray(cv2.Rodrigues(np.array(rotation, dtype=np.float64))[0], dtype=np.float64)


def colour_matrix(saturation: float, gains: Vector) -> Matrix:
    """Return a colour matrix: saturation about the luminance (1 keeps it), then one gain for each channel (BGR).

    The luminance weights are those of ITU-R BT.709.
    """
    weights = np.array([0.0722, 0.7152, 0.2126])
    matrix = np.diag(gains) @ (saturation * np.eye(3) + (1 - saturation) * np.tile(weights, (3, 1)))
    return as_tuples(matrix.tolist())  # type: ignore[no-any-return]


def as_tuples(value: Any) -> Any:
    """Turn nested lists, as JSON gives them, into nested tuples."""
    return tuple(as_tuples(item) for item in value) if isinstance(value, list) else value
