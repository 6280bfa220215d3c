"""Photos of different exposures are cut off at the same content."""

from __future__ import annotations

import numpy as np

from dpedtool.pipeline.measure.common_range import common_range, in_common_range

EVEN = np.arange(256, dtype=np.uint8).repeat(100)
"""All grey levels, equally often."""


def test_photos_that_show_the_same_range_stay_as_they_are() -> None:
    assert common_range(EVEN, EVEN) == ((0, 255), (0, 255))
    one, other = in_common_range(EVEN, EVEN)
    assert one is EVEN
    assert other is EVEN


def test_what_one_photo_has_burnt_out_the_other_loses() -> None:
    """One photo is a stop brighter: the upper half is burnt out, all that is 127 and more in the other one."""
    bright = np.minimum(2 * EVEN.astype(int), 255).astype(np.uint8)
    phone, dslr = common_range(bright, EVEN)
    assert phone == (0, 255)
    assert dslr[0] == 0
    assert abs(dslr[1] - 127) <= 1
    cut = in_common_range(bright, EVEN)[1]
    assert cut.max() == dslr[1]
    assert ((cut == cut.max()).mean() - (bright >= 254).mean()) < 0.005
    assert common_range(EVEN, bright) == (dslr, phone)


def test_likewise_with_black() -> None:
    dark = np.maximum(EVEN.astype(int) - 64, 0).astype(np.uint8)
    phone, dslr = common_range(dark, EVEN)
    assert (phone, dslr[1]) == ((0, 255), 255)
    assert abs(dslr[0] - 65) <= 1


def test_a_few_px_do_not_matter() -> None:
    lamp = EVEN.copy()
    lamp[:200] = 255
    assert common_range(lamp, EVEN) == ((0, 255), (0, 255))


def test_one_photo_may_be_burnt_out_and_the_other_one_black() -> None:
    phone = np.clip(EVEN.astype(int) + 60, 0, 255).astype(np.uint8)
    dslr = np.clip(EVEN.astype(int) - 60, 0, 255).astype(np.uint8)
    (low, high), (dslr_low, dslr_high) = common_range(phone, dslr)
    assert (high, dslr_low) == (255, 0)
    assert abs(low - 121) <= 1
    assert abs(dslr_high - 135) <= 2
