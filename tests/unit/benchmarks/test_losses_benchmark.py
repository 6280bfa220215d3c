"""The benchmark of the losses: what is wrong with its pairs, and its table."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import loss_trainings, losses
from benchmarks.loss_trainings import EXACT, EXPOSED, PUSHED_2, Figures
from benchmarks.pushed import PATCH_PX, Errors, PushedPairs
from dpedtool.dataset.train_params import ShiftArgs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def shift_px(moved: np.ndarray, image: np.ndarray) -> tuple[float, float]:
    """How far the content of one patch lies right of and below that of another, by least squares on the gradients."""
    ours, theirs = (cv2.GaussianBlur(patch.astype(float).mean(axis=2), (0, 0), 2) for patch in (moved, image))
    down, across = np.gradient(theirs)
    inner = (slice(6, -6),) * 2
    gradients = np.stack([across[inner].ravel(), down[inner].ravel()], axis=1)
    found = np.linalg.lstsq(gradients, (theirs - ours)[inner].ravel(), rcond=None)[0]
    return float(found[0]), float(found[1])


def test_targets_are_pushed_as_far_as_they_say_and_phones_stay() -> None:
    exact, pushed = PushedPairs([0], EXACT), PushedPairs([0], PUSHED_2)
    assert len(exact) == 36
    found = []
    for index in range(36):
        (phone, target), (same_phone, moved) = exact.images(index), pushed.images(index)
        np.testing.assert_array_equal(phone, same_phone)
        assert target.shape == moved.shape == (PATCH_PX, PATCH_PX, 3)
        found.append(shift_px(moved, target))
    # Uniform between -2 and 2: a standard deviation of 1.15 px.
    assert np.abs(found).max() < 2.3
    assert np.std(found, axis=0).tolist() == pytest.approx([1.15, 1.15], abs=0.35)


def test_a_push_of_almost_nothing_is_the_exact_target() -> None:
    exact, pushed = PushedPairs([0], EXACT), PushedPairs([0], Errors("hardly pushed", push_px=1e-9))
    for index in range(len(exact)):
        np.testing.assert_array_equal(exact.images(index)[1], pushed.images(index)[1])


def test_other_exposures_change_the_light_and_not_the_place() -> None:
    exact, exposed = PushedPairs([0], EXACT), PushedPairs([0], EXPOSED)
    gains = []
    for index in range(len(exact)):
        light, other = ((images.images(index)[1] / 255.0) ** 2.2 for images in (exact, exposed))
        # Burnt out and black px tell nothing.
        seen = ((other < 0.9) & (light > 0.02)).all(axis=2)
        gains.append(np.median(other[seen] / light[seen], axis=0))
    green = np.log2(np.array(gains)[:, 1])
    assert np.abs(green).max() < 1.1
    assert green.std() == pytest.approx(2 / np.sqrt(12), abs=0.2)
    for channel in (0, 2):
        balance = np.array(gains)[:, channel] / np.array(gains)[:, 1]
        assert 0.75 < balance.min() < 0.9 < 1.1 < balance.max() < 1.25


def test_a_text_names_terms_with_weights_and_arguments() -> None:
    shifted, plain = losses.terms("shifted_psnr + 0.2 psnr", max_shift_px=2)
    assert (shifted.loss, shifted.weight, shifted.args) == ("shifted_psnr", 1.0, {"max_shift_px": 2})
    assert (plain.loss, plain.weight, plain.args) == ("psnr", 0.2, {})
    for _, text, args in losses.CASES:
        assert losses.terms(text, **args)
        if text.startswith("shifted"):
            ShiftArgs(**args)


def test_the_table_has_means_and_spreads_over_the_seeds() -> None:
    rows = [
        Figures("", "the untouched phone", 0, 27.9, 0.979, 30.92, 0.741),
        Figures("exact", "psnr", 0, 30.0, 0.98, 32.0, 0.80, 8.0),
        Figures("exact", "psnr", 1, 31.0, 0.982, 33.0, 0.84, 10.0),
    ]
    text = losses.as_markdown(rows, 150)
    assert "|  | the untouched phone | 27.90 | 0.9790 | 30.92 | 0.74 |  |\n" in text
    assert "| exact | psnr | 30.50 ± 0.50 | 0.9810 ± 0.0010 | 32.50 ± 0.50 | 0.82 ± 0.02 | 9 |\n" in text
    assert "150 steps" in text


def test_finished_trainings_are_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loss_trainings, "TRAINING", [0])
    monkeypatch.setattr(loss_trainings, "TEST", [100])
    monkeypatch.setattr(losses, "CASES", (("pushed-1", "shifted_psnr", {"max_shift_px": 1}),))
    folders = ["--work", str(tmp_path / "work"), "--out", str(tmp_path)]
    losses.main(["--quick", *folders])
    first = capsys.readouterr()
    assert "pushed by up to 1 px: shifted_psnr, max_shift_px 1, seed 0" in first.err
    untouched, trained = json.loads((tmp_path / "losses.json").read_text())
    assert (untouched["losses"], trained["losses"]) == ("the untouched phone", "shifted_psnr, max_shift_px 1")
    # Two steps leave a network worse than the phone.
    assert 5 < trained["psnr_db"] < untouched["psnr_db"]
    losses.main(["--quick", *folders])
    again = capsys.readouterr()
    assert (again.out, again.err) == (first.out, "")
