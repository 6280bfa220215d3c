"""Checks of a release with any bytes: they end in a sentence, and never in a Python error."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dpedtool.dataset.bounded_yaml import UNUSABLE
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.photos.stored_shape import stored_shape
from dpedtool.pipeline.release.verification.listing import is_inside
from dpedtool.pipeline.release.verification.patch_images import read_patch
from dpedtool.pipeline.release.verification.plain_yaml import load_yaml

SIDE = 16
PIXELS = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
FILES = [encode_image(PIXELS, suffix) for suffix in (".jpg", ".png")]


@given(st.sampled_from(FILES), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4), st.data())
@settings(max_examples=200)
def test_a_damaged_image_is_whole_or_has_a_fault(
    content: bytes, changes: list[tuple[int, int]], data: st.DataObject
) -> None:
    damaged = bytearray(content)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    image, fault = read_patch(cut, SIDE)
    assert (image is None) == bool(fault)
    assert image is None or image.shape == (SIDE, SIDE, 3)


@given(st.binary(max_size=64))
def test_any_bytes_have_a_shape_or_none(content: bytes) -> None:
    for start in (b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n"):
        shape = stored_shape(start + content)
        assert shape is None or len(shape) == 4


@given(st.integers(1, 40), st.integers(1, 40), st.booleans(), st.sampled_from([".jpg", ".png"]))
def test_headers_say_what_decoders_find(height: int, width: int, is_grey: bool, suffix: str) -> None:
    image = np.zeros((height, width) if is_grey else (height, width, 3), np.uint8)
    assert stored_shape(encode_image(image, suffix)) == (height, width, 1 if is_grey else 3, 8)
    decoded = cv2.imdecode(np.frombuffer(encode_image(image, suffix), np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    assert decoded.shape == image.shape


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b.jpg", "\\", "\0", "\n", "C:"]), min_size=1, max_size=5))
def test_only_names_below_the_folder_are_inside(parts: list[str]) -> None:
    name = "/".join(parts)
    assert is_inside(name) == all(part in ("a", "b.jpg", "C:") for part in parts)


@given(st.text(st.sampled_from("a1: -?[]{},\n'\"\\UFx!&*|>%#~<.")))
@settings(max_examples=300)
def test_any_yaml_is_texts_or_cannot_be_used(text: str) -> None:
    try:
        waiting = [load_yaml(text)]
    except UNUSABLE:
        return
    while waiting:
        value = waiting.pop()
        assert value is None or isinstance(value, dict | list | str)
        waiting += list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
