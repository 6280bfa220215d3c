"""A plain warp: OpenCV's DIS flow moves each px of the DSLR's photo, and windows with an NCC of 0.9 are kept.

    python -m benchmarks.depth_flow ALIGNED -o OUT

ALIGNED is a folder that `dpedtool align` wrote with `align.local=false`. The script takes the homography and the bend
of each pair from its table, also of pairs that dpedtool rejects: nobody checks. It computes the flow on plain 8 bit
grey, from the phone's photo to the DSLR's after that transform, and warps the DSLR's photo once. It writes
OUT/NAME/phone/X-Y.png and OUT/NAME/dslr/X-Y.png, where X and Y are the px of the window's top left corner.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.depth_judging import SIDE, STRIDE
from benchmarks.yardstick import Image, Mask
from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.schema import Alignment
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.geometry.aligned import required, transform
from dpedtool.pipeline.geometry.homographies import Box, local_scale
from dpedtool.pipeline.geometry.transform import Transform

LEAST_NCC = 0.9


def warped_by_flow(phone: Image, dslr: Image, to: Transform) -> tuple[Image, Mask]:
    """Return the DSLR's photo on the phone's grid (H, W, 3), and where the DSLR's photo reaches (H, W)."""
    height, width = phone.shape[:2]
    scale = local_scale(to.homography, np.array([width - 1, height - 1]) / 2)
    # What the phone's grid is too coarse for would alias.
    sigma = 0.5 * float(np.sqrt(max(scale**2 - 1, 0)))
    source = cv2.GaussianBlur(dslr, (0, 0), sigma) if sigma else dslr
    first = cv2.remap(source, *to.maps(Box(0, 0, width, height)), cv2.INTER_CUBIC)
    greys: Any = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in (phone, first)]
    flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*greys, None)  # type: ignore[call-overload]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=2)
    places = to((grid + flow).reshape(-1, 2).astype(np.float64)).reshape(height, width, 2).astype(np.float32)
    inside = np.all((places >= 0) & (places <= np.array(dslr.shape[1::-1]) - 1), axis=2)
    x, y = (np.ascontiguousarray(places[..., axis]) for axis in (0, 1))
    return np.asarray(cv2.remap(source, x, y, cv2.INTER_CUBIC), np.uint8), np.asarray(inside)


def cut(phone: Image, dslr: Image, inside: Mask, out: Path) -> None:
    """Write the windows of two aligned photos (H, W, 3) that lie inside both and correlate."""
    for camera in ("phone", "dslr"):
        (out / camera).mkdir(parents=True)
    for y in range(0, phone.shape[0] - SIDE + 1, STRIDE):
        for x in range(0, phone.shape[1] - SIDE + 1, STRIDE):
            window = np.s_[y : y + SIDE, x : x + SIDE]
            greys: Any = [cv2.cvtColor(image[window], cv2.COLOR_BGR2GRAY) for image in (phone, dslr)]
            # OpenCV gives two flat windows an NCC of 1.
            if not inside[window].all() or min(grey.std() for grey in greys) == 0:
                continue
            if cv2.matchTemplate(greys[0], greys[1], cv2.TM_CCOEFF_NORMED)[0, 0] >= LEAST_NCC:
                for camera, image in (("phone", phone), ("dslr", dslr)):
                    cv2.imwrite(str(out / camera / f"{x}-{y}.png"), image[window])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.depth_flow")
    parser.add_argument("aligned", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    for row in read_rows(Alignment.table_in(options.aligned), Alignment):
        if row.dslr_from_phone is None:
            continue
        phone, dslr = load_photo(required(row.phone_path)), load_photo(required(row.dslr_path))
        warped, inside = warped_by_flow(phone, dslr, transform(row))
        cut(phone, warped, inside, options.out / row.phone_path.name)


if __name__ == "__main__":
    main()
