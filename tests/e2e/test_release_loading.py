"""The loading examples of a release's card: each is run unchanged, and must load what was released."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from card_examples import EVERY, pieces, run_pieces
from release_rig import COUNTS, PARAMS, patch_images, write_release

from dpedtool.dataset.params import ReleaseParams
from dpedtool.dataset.photos.decoding import decode_image

RELEASES: dict[str, ReleaseParams] = {
    "all": PARAMS,
    **{layout: replace(PARAMS, layouts=(layout,)) for layout in ("dped", "webdataset", "parquet")},
}
PHONES = {"all": "iphone", "dped": "a b's [3]", "webdataset": "iphone", "parquet": "a b's [3]"}
KINDS = {
    "all": EVERY,
    "dped": ("pyarrow", "mlcroissant", "torch"),
    "webdataset": EVERY,
    "parquet": ("pyarrow", "datasets", "mlcroissant", "torch"),
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """Return `count`, `phone` and `dslr` after the code of each card has run, by layouts and kind."""
    home = tmp_path_factory.mktemp("releases")
    names = []
    for release, params in RELEASES.items():
        for kind, code in pieces(
            write_release(home / release, (PHONES[release],), params=params), KINDS[release]
        ).items():
            (home / release / f"{kind}.txt").write_text(code)
            names.append(f"{release}/{kind}")
    run_pieces(home, names)
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
    # Without layout parquet, Croissant does not give the split of an image, and does not pair images.
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
    # No other patch is similar.
    assert sorted(map(sum, near))[1] > 4 * most
