"""What int8 loses: hand-computed values, and the sentence that says it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.training.metrics import MOST_PSNR_DB
from dpedtool.training.weights.calibration import Examples, Measured
from dpedtool.training.weights.int8 import Quantised, TargetScores, measure, time_run

PLAIN = torch.full((3, 4, 4), 51, dtype=torch.uint8)  # 0.2


def test_the_loss_is_the_mean_of_the_images() -> None:
    examples = Examples([PLAIN], [Measured(PLAIN, PLAIN), Measured(PLAIN, 2 * PLAIN)])
    found = measure(examples, lambda phone: phone + 0.1, lambda phone: phone + 0.2, (2, 3))
    # int8 differs from the float file by 0.1 everywhere: 20 dB. Errors to the targets: 0.1 and 0.1; 0.2 and 0.
    assert found.psnr_db == pytest.approx(20, abs=1e-4)
    assert found.targets is not None
    assert found.targets.float_db == pytest.approx(20, abs=1e-4)
    # Equal images count with the most that is measured.
    assert found.targets.int8_db == pytest.approx((20 * math.log10(5) + MOST_PSNR_DB) / 2, abs=1e-3)
    assert (found.calibrated, found.measured, found.convolutions) == (1, 2, (2, 3))


def test_outputs_are_clipped_before_they_are_compared() -> None:
    examples = Examples([PLAIN], [Measured(PLAIN, None)])
    found = measure(examples, lambda phone: phone + 0.9, lambda phone: phone + 0.7, (1, 1))
    assert found.psnr_db == pytest.approx(20, abs=1e-4)
    assert found.targets is None


def test_nan_in_int8_is_refused() -> None:
    with pytest.raises(DpedtoolError, match="NaN or infinite values in int8"):
        measure(Examples([PLAIN], [Measured(PLAIN, None)]), lambda phone: phone, lambda phone: phone * np.nan, (1, 1))


@pytest.mark.parametrize(
    ("float_db", "int8_db", "words"),
    [
        (21.5, 21.4, "21.40 dB in place of 21.50 dB, 0.10 dB less"),
        (21.4, 21.5, "21.50 dB in place of 21.40 dB, 0.10 dB more"),
        (21.5, 21.0, "0.50 dB less, which is a loss of more than 0.2 dB: calibrate on more images of the same phone"),
    ],
)
def test_the_sentence_says_whether_it_lost_or_gained(float_db: float, int8_db: float, words: str) -> None:
    how, what = Quantised(160, 1, (7, 8), 44.04, TargetScores(float_db, int8_db)).clauses()
    assert how == "7 of 8 convolutions in int8, calibrated on 160 images"
    assert what.startswith("on 1 image that it was not calibrated on, the PSNR to the float file is 44.0 dB")
    assert what.endswith(words)


def test_a_speed_is_for_a_megapixel_and_names_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([10.0, 14.0, 20.0, 22.0])
    monkeypatch.setattr("dpedtool.training.weights.int8.time.perf_counter", lambda: next(ticks))
    found = time_run(lambda phone: phone, (1, 3, 1000, 500))
    # The better of 4 s and 2 s, for half a megapixel.
    assert found.seconds == pytest.approx(4)
    assert found.threads == torch.get_num_threads()
    assert found.processor
