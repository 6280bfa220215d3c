"""Arrays of another kind are converted or refused, with a sentence that says how to convert them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dpedtool
from dpedtool.api.inputs import bgr, photo_file, pixels

COLOURS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


def test_colours_change_their_order_once() -> None:
    assert bgr(COLOURS, "photo")[0, 0].tolist() == [2, 1, 0]
    assert pixels(COLOURS, "photo")[0, 0].tolist() == [2, 1, 0]
    assert photo_file(COLOURS, "photo").colour()[0, 0].tolist() == [2, 1, 0]


def test_grey_becomes_three_equal_channels() -> None:
    grey = np.array([[7, 9]], np.uint8)
    assert pixels(grey, "photo").tolist() == [[[7, 7, 7], [9, 9, 9]]]


def test_views_are_taken() -> None:
    assert pixels(COLOURS[::-1, ::2], "photo").shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (
            COLOURS.astype(np.uint16),
            "photo is an array of uint16, but uint8, 0..255, is needed: convert it with "
            "np.rint(image / 257).astype(np.uint8).",
        ),
        (
            COLOURS / 255,
            "photo is an array of float64, but uint8, 0..255, is needed: convert it with "
            "np.rint(image * 255).clip(0, 255).astype(np.uint8), if its values are 0..1.",
        ),
        (COLOURS > 3, "photo is an array of bool, but uint8, 0..255, is needed: convert it."),
        (
            np.zeros((2, 4, 4), np.uint8),
            "photo has the shape (2, 4, 4), but (height, width, 3), RGB, is needed: drop the alpha channel with "
            "image[..., :3].",
        ),
        (
            np.zeros((1, 2, 4, 3), np.uint8),
            "photo has the shape (1, 2, 4, 3), but (height, width, 3), RGB, is needed: reshape it.",
        ),
        (np.zeros((0, 4, 3), np.uint8), "photo has the shape (0, 4, 3), and so no pixels: give a photo."),
        (
            [[1, 2]],
            "photo is of the type list: give an array (height, width, 3), RGB, uint8, or the path of a photo.",
        ),
    ],
)
def test_others_are_refused_with_one_sentence(photo: object, message: str) -> None:
    with pytest.raises(dpedtool.DpedtoolError) as refused:
        dpedtool.enhance(dpedtool.example_model(), photo)
    assert str(refused.value) == message


def test_a_file_that_is_missing_is_a_rejection(tmp_path: Path) -> None:
    with pytest.raises(dpedtool.Rejection) as rejected:
        dpedtool.residuals(tmp_path / "none.png", COLOURS)
    assert rejected.value.reason == "unreadable_photo"
