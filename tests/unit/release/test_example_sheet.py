"""The example picture."""

from __future__ import annotations

import numpy as np

from dpedtool.pipeline.release.documents.example_sheet import GAP_PX, example_picture


def test_the_phone_is_above_and_the_dslr_below_twice_as_large() -> None:
    pairs = [(np.full((3, 5, 3), 10 * n, np.uint8), np.full((3, 5, 3), 10 * n + 5, np.uint8)) for n in (1, 2)]
    picture = example_picture(pairs)
    assert picture.shape == (12 + GAP_PX, 20 + GAP_PX, 3)
    assert (picture[:6, :10] == 10).all()
    assert (picture[:6, -10:] == 20).all()
    assert (picture[-6:, :10] == 15).all()
    assert (picture[-6:, -10:] == 25).all()
    assert (picture[6 : 6 + GAP_PX] == 255).all()
    assert (picture[:, 10 : 10 + GAP_PX] == 255).all()


def test_pixels_are_repeated_as_they_are() -> None:
    phone = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    picture = example_picture([(phone, phone)])
    assert np.array_equal(picture[:4:2, ::2], phone)
    assert np.array_equal(picture[1:4:2, 1::2], phone)
