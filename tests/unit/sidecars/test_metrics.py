"""The scores of a version have its name in their keys; two kinds of files are distinguished by what they hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import write_json
from dpedtool.dataset.sidecars.metrics import (
    NOT_SCORED,
    FittedPairs,
    FolderMetrics,
    FolderScores,
    Metrics,
    PatchScores,
    VersionScores,
    read_metrics,
)

BEFORE, AFTER = VersionScores(20.5, 0.9, 0.8, 1), VersionScores(None, 1.0, 1.0, 7)
PATCHES = PatchScores(pairs=7, before=BEFORE, colour=NOT_SCORED, oracle=NOT_SCORED, after=AFTER)
FLAT = {
    "pairs": 7,
    "constant_targets": 0,
    "psnr_before_db": 20.5,
    "ms_ssim_before": 0.9,
    "ssim_before": 0.8,
    "infinite_psnr_before": 1,
    "psnr_colour_db": None,
    "ms_ssim_colour": None,
    "ssim_colour": None,
    "infinite_psnr_colour": None,
    "psnr_oracle_db": None,
    "ms_ssim_oracle": None,
    "ssim_oracle": None,
    "infinite_psnr_oracle": None,
    "psnr_after_db": None,
    "ms_ssim_after": 1.0,
    "ssim_after": 1.0,
    "infinite_psnr_after": 7,
}


def folder_metrics(**image: VersionScores) -> FolderMetrics:
    versions = {"before": BEFORE, "colour": NOT_SCORED, "after": AFTER}
    return FolderMetrics(
        phone="a",
        dslr="b",
        pairs=7,
        weights=None,
        colour_transform=FittedPairs(0, "there is none"),
        image=FolderScores(pairs=7, **versions | image),
        batch=FolderScores(pairs=7, reason="Sizes differ.", **dict.fromkeys(versions, NOT_SCORED)),
    )


def test_scores_are_flat_in_the_file() -> None:
    assert PATCHES.as_json() == FLAT
    assert PatchScores.from_json(FLAT) == PATCHES


def test_lpips_and_the_reason_are_there_where_known_and_come_last() -> None:
    image = folder_metrics(after=VersionScores(20.0, 0.9, 0.8, 0, lpips=0.25)).as_json()["image"]
    assert list(image)[:3] == ["pairs", "constant_targets", "psnr_before_db"]
    assert list(image)[-1] == "lpips_after"
    assert "reason" not in image
    assert not any("oracle" in key for key in image)
    assert list(folder_metrics().as_json()["batch"])[-1] == "reason"


def test_either_kind_is_read_as_what_it_is(tmp_path: Path) -> None:
    for metrics in (Metrics(image=PATCHES, batch=PATCHES), folder_metrics()):
        metrics.write(metrics.file_in(tmp_path))
        assert read_metrics(metrics.file_in(tmp_path)) == metrics


@pytest.mark.parametrize("key", ["pairs", "psnr_oracle_db", "infinite_psnr_after"])
def test_a_missing_score_is_told(tmp_path: Path, key: str) -> None:
    lacking = {name: value for name, value in FLAT.items() if name != key}
    write_json(tmp_path / "metrics.json", {"image": FLAT, "batch": lacking})
    with pytest.raises(DpedtoolError, match=r"is not as this version writes it \(batch\..* is missing\)"):
        Metrics.read(tmp_path / "metrics.json")
    with pytest.raises(DpedtoolError, match=r"holds no scores: name the metrics\.json"):
        read_metrics(tmp_path / "metrics.json")
