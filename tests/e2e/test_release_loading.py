"""The loading examples of a release's card, each run as it stands there: what they load is what was released."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from release_rig import COUNTS, PARAMS, patch_images, write_release

from dataset.params import ReleaseParams
from dataset.photos import decode_image

RELEASES: dict[str, ReleaseParams] = {
    "all": PARAMS,
    **{layout: replace(PARAMS, layouts=(layout,)) for layout in ("dped", "webdataset", "parquet")},
}
PHONES = {"all": "iphone", "dped": "a b's [3]", "webdataset": "iphone", "parquet": "a b's [3]"}
KINDS = {
    "all": ("pyarrow", "datasets", "webdataset", "mlcroissant", "torch"),
    "dped": ("pyarrow", "mlcroissant", "torch"),
    "webdataset": ("pyarrow", "datasets", "webdataset", "mlcroissant", "torch"),
    "parquet": ("pyarrow", "datasets", "mlcroissant", "torch"),
}
RUN = """
import os, sys, warnings
import numpy as np

def pixels(image):
    found = np.asarray(image, dtype=float)
    return np.transpose(found, (1, 2, 0)) * 255 if found.shape[0] == 3 else found

out = os.path.abspath(sys.argv[1])
for path in sys.argv[2:]:
    release, name = path.split("/")
    os.chdir(os.path.join(out, release))
    with open(os.path.join(out, path + ".txt")) as file:
        known = {"__name__": "__main__"}
        exec(compile(file.read(), path, "exec"), known)
    images = {side: pixels(known[side]) for side in ("phone", "dslr")}
    np.savez(os.path.join(out, path + ".npz"), count=known["count"], **images)
"""
"""Runs pieces of code in the folders of their releases; in one process, as importing takes longer than loading."""


def blocks(release: str, folder: Path) -> dict[str, str]:
    """The pieces of code of a card by what they need."""
    found = re.findall(r"^```python\n(.*?)^```$", (folder / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(found) == len(KINDS[release])
    return dict(zip(KINDS[release], found, strict=True))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """What the code of each card has in `count`, `phone` and `dslr` at the end, by layouts and kind."""
    home = tmp_path_factory.mktemp("releases")
    names = []
    for release, params in RELEASES.items():
        for kind, code in blocks(release, write_release(home / release, (PHONES[release],), params=params)).items():
            (home / release / f"{kind}.txt").write_text(code)
            names.append(f"{release}/{kind}")
    caches = {"HF_HOME": "hub", "HF_DATASETS_CACHE": "hub/datasets", "CROISSANT_CACHE": "croissant", "HOME": "home"}
    environment = os.environ | {name: str(home / "caches" / folder) for name, folder in caches.items()}
    environment |= {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(home), *names], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "gnoring" not in done.stderr
    return {(release, kind): np.load(home / release / f"{kind}.npz") for release in KINDS for kind in KINDS[release]}


def originals(phone: str, splits: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The images of the released patches, RGB, the phone's and the DSLR's."""
    names = [f"{phone}-{split}-{n // 2}-{n % 2}" for split in splits for n in range(COUNTS[split])]
    images = [patch_images(name, 32) for name in names]
    return [
        tuple(decode_image(content or b"", Path(image.name))[..., ::-1] for content in (image.phone, image.dslr))
        for image in images
    ]


@pytest.mark.parametrize(("release", "kind"), [(release, kind) for release in KINDS for kind in KINDS[release]])
def test_the_code_of_the_card_loads_what_was_released(loaded: Any, release: str, kind: str) -> None:
    found = loaded[release, kind]
    # Without layout parquet, Croissant tells no split of an image; nor does it pair them.
    whole = kind == "mlcroissant" and release in ("dped", "webdataset")
    assert int(found["count"]) == (sum(COUNTS.values()) if whole else COUNTS["train"])
    is_jpeg = release == "dped" or (release == "all" and kind in ("pyarrow", "torch"))
    most = 12 if is_jpeg else 0.01
    candidates = originals(PHONES[release], list(COUNTS) if whole else ["train"])
    near = [
        [float(np.abs(found[side] - image).mean()) for side, image in zip(("phone", "dslr"), pair, strict=True)]
        for pair in candidates
    ]
    best = min(near, key=sum)
    assert max(best) < most
    # No other patch is like it.
    assert sorted(map(sum, near))[1] > 4 * most
