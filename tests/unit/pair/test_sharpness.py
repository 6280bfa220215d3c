"""How sharp photos are: a slight blur loses, noise does not win, and the number of threads changes nothing."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from dpedtool.dataset.places import Place
from dpedtool.dataset.progress import OUTPUT
from dpedtool.pipeline.pair import sharpness
from dpedtool.pipeline.pair.sharpness import sharpness_of, sharpness_of_all


def photo(path: Path, *, blur: float = 0, noise: float = 0, seed: int = 0) -> Path:
    """A photo of 1600 x 1200 px with discs of many sizes, whose edges are as soft as those of a good lens."""
    rng = np.random.default_rng(7)
    scene = np.full((1200, 1600), 90, np.uint8)
    for radius in np.geomspace(200, 3, 400).astype(int).tolist():
        centre = int(rng.integers(1600)), int(rng.integers(1200))
        cv2.circle(scene, centre, radius, int(rng.integers(20, 235)), -1, cv2.LINE_AA)
    seen = cv2.GaussianBlur(scene.astype(np.float32), (0, 0), 0.7)
    if blur:
        seen = cv2.GaussianBlur(seen, (0, 0), blur)
    seen += noise * np.random.default_rng(seed).normal(size=seen.shape)
    picture = PillowImage.fromarray(np.clip(np.rint(seen), 0, 255).astype(np.uint8)).convert("RGB")
    content = io.BytesIO()
    picture.save(
        content, "PNG" if path.suffix == ".png" else "JPEG", **({} if path.suffix == ".png" else {"quality": 92})
    )
    path.write_bytes(content.getvalue())
    return path


@pytest.mark.parametrize("noise", [0, 4, 12])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_slight_blur_loses_by_more_than_new_noise_changes(tmp_path: Path, noise: float, suffix: str) -> None:
    """A sigma of 1 px at full resolution is half a pixel of the reduced photo, and is seen there nevertheless."""
    sharp, again, blurred = (
        sharpness_of(photo(tmp_path / f"{name}{suffix}", blur=blur, noise=noise, seed=seed))
        for seed, (name, blur) in enumerate([("sharp", 0), ("again", 0), ("blurred", 1)])
    )
    assert min(sharp, again) > 1.08 * blurred
    assert sharp == pytest.approx(again, rel=0.01)


def test_what_cannot_be_read_or_is_plain_has_no_sharpness(tmp_path: Path) -> None:
    PillowImage.new("RGB", (64, 48), (9, 9, 9)).save(tmp_path / "plain.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 broken")
    paths = [tmp_path / name for name in ("plain.png", "broken.jpg", "missing.jpg")]
    assert sharpness_of_all(paths) == dict.fromkeys(paths, 0.0)
    assert sharpness_of_all([]) == {}


def test_the_number_of_threads_changes_nothing_and_progress_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(OUTPUT, "every_item", True)
    paths = [photo(tmp_path / f"{index}.jpg", blur=0.3 * index, noise=3, seed=index) for index in range(5)]
    found = []
    for workers in (1, 2, 8):
        monkeypatch.setattr(sharpness, "default_workers", lambda count=workers: count)
        found.append(sharpness_of_all(paths))
    assert found[0] == found[1] == found[2] == {path: sharpness_of(path) for path in paths}
    assert list(found[0]) == paths
    assert "compare sharpness: 5 of 5" in capsys.readouterr().err


def test_damage_is_told(tmp_path: Path) -> None:
    whole, spoilt, gone = (tmp_path / f"{name}.jpg" for name in ("whole", "spoilt", "gone"))
    photo(whole)
    content = whole.read_bytes()
    middle = len(content) * 2 // 3
    spoilt.write_bytes(content[:middle] + bytes(512) + content[middle + 512 :])
    damaged: dict[Place, str] = {}
    sharpness_of_all([whole, spoilt, gone], damaged)
    assert sorted(path.name for path in damaged) == ["gone.jpg", "spoilt.jpg"]
    assert "damaged from row" in damaged[spoilt]
