"""Night, plain walls, other exposures: patches of a rendered pair whose true transform is known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import DSLR, PHONE, Shots

from benchmarks.exposures import exposed, in_the_dark
from dpedtool.dataset.params import AlignParams, PatchesParams
from dpedtool.dataset.photos.decoding import PhotoFile
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.schema import Alignment, Pair, Patch
from dpedtool.pipeline.align import stage as align_stage
from dpedtool.pipeline.align.stage import align_files
from dpedtool.pipeline.geometry.aligned import crop_box, crops
from dpedtool.pipeline.geometry.transform import Transform
from dpedtool.pipeline.measure.common_range import WHOLE
from dpedtool.pipeline.patches import judging
from dpedtool.pipeline.patches.judging import judge_windows
from dpedtool.pipeline.patches.windows import change_by

PARAMS = PatchesParams(size_px=80, stride_px=40)
SKY = 0.35
"""Share of the picture, from its top, that is a clear sky."""


@pytest.fixture(scope="module")
def town(texture: Callable[..., np.ndarray], take: Callable[..., Shots]) -> Shots:
    """A sky with a gradient over a textured town, seen by a phone of 640x480 px and a DSLR of 1120x800 px."""
    picture = texture(1080, 1480, 5)
    rows = int(SKY * len(picture))
    rise = np.linspace(200, 170, rows)[:, None, None] * np.array([1.0, 0.85, 0.7])
    picture[:rows] = np.rint(rise + np.zeros((1, picture.shape[1], 1)))
    phone, dslr = (
        replace(camera, width=2 * camera.width, height=2 * camera.height, focal_px=2 * camera.focal_px)
        for camera in (PHONE, DSLR)
    )
    shots, rng = take(picture, phone, dslr), np.random.default_rng(6)
    noisy = (image + rng.normal(0, 1.5, image.shape) for image in (shots.phone, shots.dslr))
    return Shots(*(np.clip(np.rint(image), 0, 255).astype(np.uint8) for image in noisy), shots.truth)


def patches_of(
    shots: Shots, phone: np.ndarray, params: PatchesParams = PARAMS
) -> tuple[Alignment, Transform | None, list[Patch]]:
    """Align the DSLR's photo to this one of the phone, and judge all windows."""
    contents = [encode_image(image, ".png") for image in (phone, shots.dslr)]
    files = PhotoFile(Path("phone.png"), contents[0]), PhotoFile(Path("dslr.png"), contents[1])
    pair = Pair(
        pair_id="phone--town",
        phone="phone",
        scene_id="town",
        status="paired",
        phone_path=Path("phone.png"),
        dslr_path=Path("dslr.png"),
        phone_sha256=hashlib.sha256(contents[0]).hexdigest(),
        dslr_sha256=hashlib.sha256(contents[1]).hexdigest(),
    )
    row, to = align_files(pair, lambda: files, AlignParams())
    if to is None:
        return row, None, []
    _, dslr = crops(files, to, crop_box(row))
    return row, to, [patch for patch, _ in judge_windows(row, to, phone, dslr, params)]


def kept(patches: list[Patch], proved_by: str | None = None) -> list[Patch]:
    return [patch for patch in patches if patch.status == "accepted" and proved_by in (None, patch.proved_by)]


def errors(shots: Shots, to: Transform, patches: list[Patch]) -> np.ndarray:
    """How far the transform is off in the middles of patches that the DSLR sees, in px of the phone."""
    middles = np.array([[patch.x + 39.5, patch.y + 39.5] for patch in patches])
    scale = shots.truth.dslr.focal_px / shots.truth.phone.focal_px
    found: np.ndarray = np.linalg.norm(to(middles) - shots.truth.dslr_from_phone(middles), axis=1) / scale
    return found[np.isfinite(found)]


def dark(shots: Shots, peak: float) -> np.ndarray:
    return in_the_dark(shots.phone, peak, np.random.default_rng([7, int(peak)]))


@pytest.mark.parametrize(("peak", "least"), [(200, 0.9), (50, 0.6), (15, 0.4)])
def test_at_night_the_pair_proves_what_no_window_can(town: Shots, peak: float, least: float) -> None:
    clean = patches_of(town, town.phone)[2]
    row, to, patches = patches_of(town, dark(town, peak))
    assert row.status == "aligned", row.detail
    assert row.phone_noise is not None
    assert row.phone_noise > 5
    assert to is not None
    accepted = kept(patches)
    assert len(accepted) >= least * len(kept(clean))
    assert (errors(town, to, accepted) > 0.5).mean() <= 0.01
    if peak == 15:
        # The rule that every window proves itself, with an NCC of 0.9, keeps next to nothing.
        assert sum((patch.ncc or 0) >= 0.9 for patch in kept(patches, "window")) < 0.1 * len(accepted)


def test_the_error_that_the_pair_claims_holds(town: Shots) -> None:
    _, to, patches = patches_of(town, dark(town, 50))
    assert to is not None
    off, said = errors(town, to, patches), np.array([patch.pair_error_px for patch in patches])
    # The true error of a normal distribution exceeds three standard errors of the worst direction in 1 % at most.
    assert (off <= 3 * said).mean() >= 0.97
    # Nobody knows the upper rim of the sky as well as the town.
    above = np.array([patch.y for patch in patches]) < 60
    assert np.median(said[above]) > 2 * np.median(said[~above])


def test_skies_are_kept_and_proved_by_the_pair(town: Shots) -> None:
    row, _, patches = patches_of(town, town.phone)
    sky = [patch for patch in patches if (patch.dslr_contrast or 0) < 5]
    assert len(sky) > 20
    # The gradient of the sky alone proves a few of them.
    assert len(kept(sky, "pair")) > 0.5 * len(sky)
    assert row.phone_noise is not None
    assert row.phone_noise < 5


def test_a_bird_in_one_sky_is_not_kept(town: Shots) -> None:
    rows, columns = np.mgrid[: town.phone.shape[0], : town.phone.shape[1]]
    bird = 20 * np.exp(-((columns - 320) ** 2 + (rows - 90) ** 2) / (2 * 4**2))
    seen = np.clip(town.phone - bird[..., None], 0, 255).astype(np.uint8)
    blind = replace(PARAMS, max_difference_peak=1e9)
    before, after, overlooked = (
        [
            patch
            for patch in patches_of(town, photo, params)[2]
            if 260 <= (patch.x or 0) <= 300 and 20 <= (patch.y or 0) <= 80
        ]
        for photo, params in ((town.phone, PARAMS), (seen, PARAMS), (seen, blind))
    )
    assert len(kept(before)) == len(before) > 0
    assert len(kept(overlooked)) > 0
    assert kept(after) == []
    assert "low_ncc" in {patch.reason for patch in after}
    assert any("at one place" in patch.detail for patch in after)


@pytest.mark.parametrize("stops", [-4, -2, 2])
def test_photos_of_other_exposures_are_aligned_as_well(town: Shots, stops: int) -> None:
    row, to, patches = patches_of(town, exposed(town.phone, stops))
    assert row.status == "aligned", row.detail
    assert to is not None
    accepted = kept(patches)
    assert len(accepted) > 20
    assert np.percentile(errors(town, to, accepted), 95) < 0.3


def test_what_only_one_photo_has_burnt_out_costs_no_other_windows(town: Shots, monkeypatch: pytest.MonkeyPatch) -> None:
    bright = exposed(town.phone, 2)
    cut_off = len(kept(patches_of(town, bright)[2]))
    for module in (align_stage, judging):
        monkeypatch.setattr(module, "common_range", lambda *_: (WHOLE, WHOLE))
    assert cut_off > 1.5 * len(kept(patches_of(town, bright)[2]))


def test_what_is_burnt_out_counts_as_such_though_both_are_cut_off(town: Shots) -> None:
    """The DSLR's photo is burnt out in one place, the phone's in another, larger one."""
    phone, dslr = town.phone.copy(), town.dslr.copy()
    phone[:, :100] = 255
    middle = town.truth.dslr_from_phone(np.array([[400.0, 320.0]]))[0].astype(int)
    dslr[middle[1] - 50 : middle[1] + 50, middle[0] - 50 : middle[0] + 50] = 255
    _, _, patches = patches_of(Shots(phone, dslr, town.truth), phone)
    over_it = [patch for patch in patches if 340 <= (patch.x or 0) <= 380 and 260 <= (patch.y or 0) <= 300]
    assert len(over_it) > 0
    assert min(patch.clipped or 0 for patch in over_it) > 0.3
    assert {patch.status for patch in over_it} == {"rejected"}
    # In dped, nothing is cut off.
    both = (
        {(patch.x, patch.y): patch.ncc for patch in patches_of(town, photo, replace(PARAMS, mode="dped"))[2]}
        for photo in (town.phone, phone)
    )
    before, after = both
    apart = [place for place in before.keys() & after.keys() if (place[0] or 0) > 200]
    assert len(apart) > 20
    np.testing.assert_allclose([before[place] for place in apart], [after[place] for place in apart], atol=0.01)


def test_the_change_by_a_shift_by_hand() -> None:
    """A ramp of two grey levels a px: 3 px along it change it by 6, across it by nothing."""
    ramp = np.tile(np.arange(0, 240, 2, dtype=np.float32), (120, 1))
    corner = np.array([10, 10])
    assert change_by(ramp, corner, 80, np.array([3.0, 0.0])) == pytest.approx(6)
    assert change_by(ramp, corner, 80, np.array([0.0, -3.0])) == pytest.approx(0)
    assert change_by(ramp, corner, 80, np.array([1.8, 2.4])) == pytest.approx(3.6, abs=0.01)


def test_harm_is_three_px_where_a_window_knows_nothing_and_little_where_it_knows_its_place(town: Shots) -> None:
    patches = patches_of(town, town.phone)[2]
    edges = [patch for patch in patches if patch.residual_error_px is None or patch.residual_error_px > 0.12]
    sure = [patch for patch in patches if (patch.residual_error_px or 1) < 0.03]
    assert min(patch.harm or 0 for patch in edges) > 0.1
    assert np.median([(patch.harm or 0) / (patch.dslr_contrast or 1) for patch in sure]) < 0.05


def test_noise_does_not_make_the_dslr_unsharp(town: Shots) -> None:
    """Smooth walls and little noise: what is sharp in the phone's photo is its noise."""
    smooth = Shots(cv2.GaussianBlur(town.phone, (0, 0), 4), cv2.GaussianBlur(town.dslr, (0, 0), 6), town.truth)
    noisy = smooth.phone + np.random.default_rng(3).normal(0, 3, smooth.phone.shape)
    patches = patches_of(smooth, np.clip(np.rint(noisy), 0, 255).astype(np.uint8))[2]
    assert "unsharp" not in {patch.reason for patch in patches}
    assert len(kept(patches)) > 0.7 * len(patches)
