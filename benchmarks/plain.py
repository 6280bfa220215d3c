"""A plain registration script: SIFT, ratio test, RANSAC homography, warp, crop, all with OpenCV's defaults.

    python benchmarks/plain.py PHONE_DIR DSLR_DIR -o OUT [--no-images]

The script pairs photos of equal names. It writes OUT/homographies.json, and without --no-images also OUT/phone/NAME.png
and OUT/dslr/NAME.png. It imports nothing of dpedtool.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
RESULT = "homographies.json"


def register(phone: Image, dslr: Image) -> NDArray[Any] | None:
    sift = cv2.SIFT.create()
    phone_keypoints, phone_descriptors = sift.detectAndCompute(cv2.cvtColor(phone, cv2.COLOR_BGR2GRAY), None)
    dslr_keypoints, dslr_descriptors = sift.detectAndCompute(cv2.cvtColor(dslr, cv2.COLOR_BGR2GRAY), None)
    if min(len(phone_keypoints), len(dslr_keypoints)) < 2:
        return None
    matcher = cv2.FlannBasedMatcher({"algorithm": 1, "trees": 5}, {"checks": 50})
    matches = matcher.knnMatch(phone_descriptors, dslr_descriptors, k=2)
    good = [first for first, second in matches if first.distance < 0.75 * second.distance]
    if len(good) < 4:
        return None
    phone_points = np.array([phone_keypoints[match.queryIdx].pt for match in good])
    dslr_points = np.array([dslr_keypoints[match.trainIdx].pt for match in good])
    return cv2.findHomography(phone_points, dslr_points, cv2.RANSAC, 5.0)[0]


def crop_of(dslr_from_phone: NDArray[Any], phone: Image, dslr: Image) -> tuple[slice, slice]:
    height, width = dslr.shape[:2]
    corners = np.array([[[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]], np.float64)
    (top_left, top_right, bottom_right, bottom_left) = cv2.perspectiveTransform(
        corners, np.linalg.inv(dslr_from_phone)
    )[0]
    left, right = max(0, top_left[0], bottom_left[0]), min(phone.shape[1], top_right[0], bottom_right[0])
    top, bottom = max(0, top_left[1], top_right[1]), min(phone.shape[0], bottom_left[1], bottom_right[1])
    return slice(int(np.ceil(top)), max(0, int(bottom))), slice(int(np.ceil(left)), max(0, int(right)))


def aligned(phone: Image, dslr: Image, dslr_from_phone: NDArray[Any]) -> tuple[Image, Image]:
    warped: Any = cv2.warpPerspective(dslr, np.linalg.inv(dslr_from_phone), (phone.shape[1], phone.shape[0]))
    crop = crop_of(dslr_from_phone, phone, dslr)
    return phone[crop], warped[crop]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("phone", type=Path)
    parser.add_argument("dslr", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--no-images", action="store_true")
    options = parser.parse_args()
    homographies: dict[str, list[list[float]] | None] = {}
    for path in sorted(options.phone.iterdir()):
        phone: Any = cv2.imread(str(path))
        dslr: Any = cv2.imread(str(options.dslr / path.name))
        matrix = register(phone, dslr)
        homographies[path.name] = None if matrix is None else matrix.tolist()
        if matrix is not None:
            images = aligned(phone, dslr, matrix)
            for camera, image in zip(("phone", "dslr"), images, strict=True):
                if not options.no_images:
                    (options.out / camera).mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(options.out / camera / f"{path.stem}.png"), image)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / RESULT).write_text(json.dumps(homographies), encoding="utf-8")


if __name__ == "__main__":
    main()
