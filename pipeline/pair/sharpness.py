"""How sharp photos of one scene by one camera are, to rank the frames of a moment."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.decoding import open_photo, open_stored
from dpedtool.dataset.photos.pixels import Factor
from dpedtool.dataset.photos.stored import upright_grey
from dpedtool.dataset.places import Place
from dpedtool.dataset.progress import track
from dpedtool.pipeline.runner import default_workers

FACTOR: Factor = 2
"""Photos are decoded at half their size. With SMOOTHED_PX, that keeps the order: of eight photos of 8 to 14 MP, with
noise of 0, 4 and 12 grey levels, a copy blurred by 0.7 px had a sharpness 10 % below the sharp one's or lower, and one
blurred by 1 px 18 % or lower. New noise changed it by 0.05 % at most."""
SMOOTHED_PX = 0.6
"""Standard deviation of the smoothing before the Laplacian, in px of the reduced photo; it keeps out noise."""

_HEADER = threading.Lock()
"""Reading a header silences warnings of Pillow for the whole process, which only one thread may do at a time."""


def sharpness_of_all(paths: Sequence[Place], damaged: dict[Place, str] | None = None) -> dict[Place, float]:
    """Return the sharpness of each photo, worked out by as many threads as there are processors.

    Parameters
    ----------
    paths
        The photos.
    damaged
        Is given what is wrong with photos, as clauses.

    """
    if not paths:
        return {}
    damaged = {} if damaged is None else damaged
    with ThreadPoolExecutor(min(default_workers(), len(paths))) as pool:
        found = track(pool.map(lambda path: sharpness_of(path, damaged), paths), "compare sharpness", len(paths))
        return dict(zip(paths, found, strict=True))


def sharpness_of(path: Place, damaged: dict[Place, str] | None = None) -> float:
    """Return how sharp a photo is: the root mean square of its grey Laplacian, over its standard deviation.

    It is compared among photos of one scene by one camera only. 0 for a photo that cannot be read.
    What is wrong with the photo is added to `damaged`, as a clause.
    """
    damaged = {} if damaged is None else damaged
    try:
        content = open_photo(path).content
        with _HEADER:
            stored = open_stored(content, path)
        photo = upright_grey(stored, FACTOR).image
        damage = stored.damage().note
    except Rejection as rejection:
        damaged[path] = rejection.detail
        return 0.0
    if damage:
        damaged[path] = damage
    grey = cv2.GaussianBlur(photo.astype(np.float32), (0, 0), SMOOTHED_PX)
    spread = float(grey.std())
    return float(np.sqrt(np.mean(cv2.Laplacian(grey, cv2.CV_32F) ** 2))) / spread if spread else 0.0
