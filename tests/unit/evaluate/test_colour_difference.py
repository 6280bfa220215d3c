"""CIEDE2000 against the test data that Sharma, Wu and Dalal published for implementations."""

from __future__ import annotations

import pytest
import torch

import dpedtool.training.evaluate.colour_difference
from dpedtool.training.evaluate.colour_difference import ciede2000, lab_difference

PUBLISHED = """
50.0000 2.6772 -79.7751 50.0000 0.0000 -82.7485 2.0425
50.0000 3.1571 -77.2803 50.0000 0.0000 -82.7485 2.8615
50.0000 2.8361 -74.0200 50.0000 0.0000 -82.7485 3.4412
50.0000 -1.3802 -84.2814 50.0000 0.0000 -82.7485 1.0000
50.0000 -1.1848 -84.8006 50.0000 0.0000 -82.7485 1.0000
50.0000 -0.9009 -85.5211 50.0000 0.0000 -82.7485 1.0000
50.0000 0.0000 0.0000 50.0000 -1.0000 2.0000 2.3669
50.0000 -1.0000 2.0000 50.0000 0.0000 0.0000 2.3669
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0009 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0010 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0011 7.2195
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0012 7.2195
50.0000 -0.0010 2.4900 50.0000 0.0009 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0010 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0011 -2.4900 4.7461
50.0000 2.5000 0.0000 50.0000 0.0000 -2.5000 4.3065
50.0000 2.5000 0.0000 73.0000 25.0000 -18.0000 27.1492
50.0000 2.5000 0.0000 61.0000 -5.0000 29.0000 22.8977
50.0000 2.5000 0.0000 56.0000 -27.0000 -3.0000 31.9030
50.0000 2.5000 0.0000 58.0000 24.0000 15.0000 19.4535
50.0000 2.5000 0.0000 50.0000 3.1736 0.5854 1.0000
50.0000 2.5000 0.0000 50.0000 3.2972 0.0000 1.0000
50.0000 2.5000 0.0000 50.0000 1.8634 0.5757 1.0000
50.0000 2.5000 0.0000 50.0000 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""


def test_the_published_differences_are_found_in_both_orders() -> None:
    lines = [[float(value) for value in line.split()] for line in PUBLISHED.split("\n") if line]
    rows = torch.tensor(lines, dtype=torch.float64)
    assert len(rows) == 34
    for ours, theirs in ((rows[:, :3], rows[:, 3:6]), (rows[:, 3:6], rows[:, :3])):
        torch.testing.assert_close(lab_difference(ours, theirs), rows[:, 6], atol=5e-5, rtol=0)


def test_large_images_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, targets = torch.rand(2, 2, 3, 9, 5, generator=torch.Generator().manual_seed(0)).unbind()
    whole = ciede2000(outputs, targets)
    monkeypatch.setattr(dpedtool.training.evaluate.colour_difference, "_PX_AT_ONCE", 21)
    torch.testing.assert_close(ciede2000(outputs, targets), whole)


def test_images_are_taken_as_srgb_and_averaged() -> None:
    """White and black differ by 100; sRGB's red is L 53.24, a 80.09, b 67.20."""
    colours = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])[:, :, None, None].expand(2, 3, 4, 6).clone()
    colours[0, :, :, 3:] = 0
    black = torch.zeros_like(colours)
    red = lab_difference(torch.tensor([[53.2408, 80.0925, 67.2032]]), torch.zeros(1, 3)).item()
    assert ciede2000(colours, black).tolist() == pytest.approx([50, red], abs=1e-3)
    assert ciede2000(colours, colours).tolist() == [0, 0]
