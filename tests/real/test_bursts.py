"""Near-duplicates among real photos: bursts stay together, the prints of City100 apart."""

from __future__ import annotations

from datetime import datetime
from itertools import combinations

import cv2
import numpy as np
import pytest
from real_data import real_folder

from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.photos.thumbnails import thumbnail
from dpedtool.pipeline.split.near_duplicates import Limits, View, find_links

LIMITS = Limits(minutes=30, keypoints=12)
CAMERAS = ("iphonex", "iphonex_far", "nikon_d5500")


@pytest.fixture(scope="module")
def photos() -> dict[str, np.ndarray]:
    """The DSLR's photos of City100, by scene."""
    return {path.stem: load_photo(path) for path in sorted((real_folder("city100") / "nikon_d5500").glob("*.jpg"))}


NOON = datetime(2024, 5, 1, 12)


def linked(views: list[View]) -> set[frozenset[str]]:
    return {frozenset([link.one, link.two]) for link in find_links(views, LIMITS)}


def moved(photo: np.ndarray, shift: float, turn: float, zoom: float) -> np.ndarray:
    height, width = photo.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom)
    matrix[0, 2] += shift * width
    return cv2.warpAffine(photo, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)


def exposed(photo: np.ndarray, stops: float) -> np.ndarray:
    light = (photo / 255) ** 2.2 * 2**stops
    return np.clip(255 * light ** (1 / 2.2), 0, 255).astype(np.uint8)


def with_passer_by(photo: np.ndarray) -> np.ndarray:
    height, width = photo.shape[:2]
    axes = (width // 8, height * 9 // 20)
    return cv2.ellipse(photo.copy(), (width // 3, height * 3 // 5), axes, 0, 0, 360, (40, 50, 60), -1)


BURSTS = {
    "shifted": lambda photo: moved(photo, 0.25, 0, 1),
    "dark": lambda photo: exposed(photo, -2),
    "passer-by": with_passer_by,
    "all": lambda photo: exposed(with_passer_by(moved(photo, 0.08, 1, 1.1)), -1.5),
}


@pytest.mark.parametrize("change", BURSTS)
def test_bursts_stay_together_and_scenes_apart(photos, change: str) -> None:
    views = [View(name, thumbnail(photo), None) for name, photo in photos.items()]
    views += [View(f"{name}+", thumbnail(BURSTS[change](photo)), None) for name, photo in photos.items()]
    assert linked(views) == {frozenset([name, f"{name}+"]) for name in photos}


def test_cameras_of_one_print_are_linked_and_prints_are_not_even_within_minutes() -> None:
    views = []
    for camera in CAMERAS:
        folder = real_folder("city100") / camera
        views += [
            View(f"{path.stem}/{camera}", thumbnail(load_photo(path)), NOON) for path in sorted(folder.glob("*.jpg"))
        ]
    scenes = {view.name.split("/")[0] for view in views}
    pairs = {frozenset(f"{scene}/{camera}" for camera in two) for scene in scenes for two in combinations(CAMERAS, 2)}
    assert linked(views) == pairs


def test_one_place_from_three_sides_is_found_and_no_other_photos_are_tied() -> None:
    paths = sorted(real_folder("parallax").glob("*.jpg")) + sorted(real_folder("photos").glob("*.jpg"))
    links = linked([View(path.name, thumbnail(load_photo(path)), None) for path in paths])
    assert frozenset(["01.jpg", "02.jpg"]) in links
    # Whether the third is worth a look is a matter of a thousandth, and so of how its thumbnail was rounded.
    assert set().union(*links) <= {"01.jpg", "02.jpg", "03.jpg"}
