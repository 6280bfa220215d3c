"""The benchmark of night and other exposures: light by hand, errors and places, the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import noise
from benchmarks.exposures import READ_NOISE, exposed, in_the_dark
from benchmarks.noise import LADDER, Light, count_same, error_px
from benchmarks.noise_table import Figures, Kept, as_markdown
from dpedtool.dataset.schema import Patch
from dpedtool.pipeline.geometry.homographies import translation
from dpedtool.pipeline.geometry.transform import Transform

GREY = np.full((400, 400, 3), 128, np.uint8)
PATCH = Patch(
    patch_id="a--x00010-y00020",
    pair_id="a",
    phone="phone",
    scene_id="a",
    status="accepted",
    x=10,
    y=20,
    size=100,
    phone_path=Path("a.jpg"),
    dslr_path=Path("b.jpg"),
    phone_sha256="",
    dslr_sha256="",
    params_sha256="",
    key="",
)


def test_a_stop_is_twice_the_light() -> None:
    # 128 is 0.2158 of full light in sRGB; twice that is 176, a quarter 66, and 16 times is burnt out.
    assert [int(exposed(GREY, stops)[0, 0, 0]) for stops in (0, 1, -2, 4)] == [128, 176, 66, 255]


def test_noise_is_that_of_photons_and_electronics() -> None:
    dark = in_the_dark(GREY, 200, np.random.default_rng(0))
    light = np.where(dark <= 10, dark / 255 / 12.92, ((dark / 255 + 0.055) / 1.055) ** 2.4)
    electrons = 200 * light
    assert electrons.mean() == pytest.approx(200 * 0.2158, rel=0.01)
    assert electrons.std() == pytest.approx(np.sqrt(200 * 0.2158 + READ_NOISE**2), rel=0.02)


def test_a_light_takes_the_same_photo_again() -> None:
    for light in LADDER:
        np.testing.assert_array_equal(light.take(GREY, 3), light.take(GREY, 3))
    assert (Light(peak=15).take(GREY, 0) != Light(peak=15).take(GREY, 1)).any()


def test_errors_are_in_px_of_the_phone() -> None:
    truth = Transform(np.diag([2.0, 2.0, 1.0]))
    moved = replace(truth, homography=translation(0.6, 0.8) @ truth.homography)
    assert error_px(PATCH, moved, truth) == pytest.approx(0.5)
    assert error_px(PATCH, truth, truth) == 0


def test_places_are_the_same_to_a_tenth_of_a_window() -> None:
    wanted = {"a": [(0, 0), (100, 0), (200, 0)], "b": [(0, 0)]}
    assert count_same(wanted, {"a": [(6, 10), (111, 0)]}) == 1
    assert count_same(wanted, wanted) == 4


def test_the_table_compares_with_the_unchanged_photos_and_the_old_rule() -> None:
    sure, dark, plain = Kept(0.1, "window", 0.95), Kept(0.6, "window", 0.7), Kept(0.2, "pair", 0.1)
    figures = [
        Figures("City100", "unchanged", 2, 2, 4, [0.0] * 4, [sure, sure], 2),
        Figures("City100", "peak of 15 electrons", 2, 1, 4, [0.1, 0.6, 0.2, 0.2], [sure, dark, plain], 1),
    ]
    text = as_markdown(figures, [])
    assert "| City100 | peak of 15 electrons | 1 of 2 | 75.0% | 3 | 50.0% | 33.3% | 0.560 | 1 (50.0%) | 0.0% |" in text
    assert "| City100 | peak of 15 electrons | 2 | 0.575 | 50.0% | 1 | 0.200 | 0.0% |" in text


def test_a_try_with_one_light_leaves_table_and_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DPEDTOOL_REAL_DATA", str(tmp_path))
    monkeypatch.setattr(noise, "LADDER", (Light(peak=50),))
    noise.main(["--sets", "rig", "--rig-pairs", "1", "--workers", "1", "--out", str(tmp_path)])
    record = json.loads((tmp_path / "noise.json").read_text())
    assert [one["light"] for one in record] == ["unchanged", "peak of 50 electrons"]
    assert all(one["aligned"] == 1 and len(one["kept"]) > 50 for one in record)
    assert max(record[0]["errors_px"]) == 0
    assert np.percentile([patch["error_px"] for patch in record[1]["kept"]], 95) < 0.2
    assert "peak of 50 electrons" in (tmp_path / "noise.md").read_text()
    with pytest.raises(SystemExit, match="choose a set that exists"):
        noise.main(["--sets", "real", "--out", str(tmp_path)])
    assert "There is no folder" in capsys.readouterr().err
