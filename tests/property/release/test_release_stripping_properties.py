"""JPEG files with any additional data: the scan finds the data, stripping removes them, and the pixels stay."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from photo_exif import full_exif
from PIL import Image as PillowImage

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.decoding import PhotoFile, decode_photo
from dpedtool.pipeline.release.privacy.image_parts import APP, COM, JPEG, segment_bytes
from dpedtool.pipeline.release.privacy.scan import scan
from dpedtool.pipeline.release.privacy.stripping import strip_photo

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
WORD = b"/home/anna/"
ORDER = full_exif().tobytes()

starts = st.sampled_from(
    [b"", b"Exif\0\0", ORDER, b"http://ns.adobe.com/xap/1.0/\0", b"Photoshop 3.0\0", b"MPF\0", b"JFXX\0", b"Adobe"]
)
segments = st.builds(
    lambda marker, start, data: segment_bytes(marker, start + WORD + data),
    st.sampled_from([*APP[1:], COM]),
    starts,
    st.binary(max_size=60),
)
fill = st.sampled_from([b"", b"\xff", b"\xff\xff\xff"])
encodings = st.fixed_dictionaries(
    {
        "quality": st.integers(5, 100),
        "progressive": st.booleans(),
        "subsampling": st.integers(0, 2),
        "restart_marker_blocks": st.integers(0, 3),
    }
)


def jpeg(**options: object) -> bytes:
    out = io.BytesIO()
    PillowImage.fromarray(PIXELS).save(out, "JPEG", **options)
    return out.getvalue()


@given(encodings, st.lists(st.tuples(fill, segments), min_size=1, max_size=5), st.binary(max_size=40))
def test_stripped_photos_are_clean_and_keep_their_pixels(
    options: dict[str, object], parts: list[tuple[bytes, bytes]], behind: bytes
) -> None:
    plain = jpeg(**options)
    content = JPEG + b"".join(before + part for before, part in parts) + plain[2:] + behind
    file = PhotoFile(Path("a.jpg"), content)
    assert any(finding == "a: the path /home/anna." for finding in scan("a", content))
    result = strip_photo(file, 90)
    assert scan("a", result.content) == []
    assert WORD not in result.content
    if result.lossless:
        np.testing.assert_array_equal(decode_photo(result.content, file.path), file.colour())
    else:
        # The added bytes may form an EXIF block with an orientation.
        assert result.note


@given(st.booleans(), st.integers(0, 10**6), st.binary(min_size=1, max_size=4))
def test_damage_ends_in_a_rejection_or_in_a_clean_photo(progressive: bool, place: int, damage: bytes) -> None:
    content = jpeg(progressive=progressive, restart_marker_blocks=1)
    place = 2 + place % (len(content) - 2)
    file = PhotoFile(Path("a.jpg"), content[:place] + damage + content[place + len(damage) :])
    try:
        shown = file.colour()
    except Rejection:
        return
    result = strip_photo(file, 90)
    assert decode_photo(result.content, file.path).shape == shown.shape
    if result.lossless:
        np.testing.assert_array_equal(decode_photo(result.content, file.path), shown)


@given(st.binary(max_size=300), st.sampled_from([b"", JPEG, b"\x89PNG\r\n\x1a\n", b"{", b"RIFF"]))
def test_any_bytes_can_be_scanned(content: bytes, start: bytes) -> None:
    for finding in scan("a name", start + content, {"secret"}):
        assert finding.startswith("a name: ")
        assert finding.endswith(".")
