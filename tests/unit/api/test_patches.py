"""patches: the windows, measures and images of the command line, as arrays in RGB."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import dpedtool
from dpedtool.dataset.params import PatchesParams
from dpedtool.dataset.photos.decoding import decode_image
from dpedtool.dataset.schema import Patch
from dpedtool.dataset.shards import Extent, read_extent
from dpedtool.dataset.tables import read_frame, read_rows
from dpedtool.pipeline.cli import main

SMALL = {"size_px": 48, "stride_px": 40, "min_ncc": 0.99}


@pytest.mark.parametrize("mode", ["strict", "dped"])
def test_the_result_is_that_of_the_commands(
    files: tuple[Path, Path], alignment: dpedtool.Alignment, tmp_path: Path, mode: str
) -> None:
    params = {**SMALL, "mode": mode}
    options = [word for key, value in params.items() for word in ("-S", f"patches.{key}={value}")]
    for words in (
        ["align", *map(str, files), "-o", str(tmp_path), "--no-images", "--workers", "1"],
        ["patches", str(tmp_path), "-o", str(tmp_path / "patches"), "--workers", "1", *options],
    ):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
    found = dpedtool.patches(alignment, params=params)
    table = Patch.table_in(tmp_path / "patches")
    pd.testing.assert_frame_equal(found.table, read_frame(table, Patch)[found.table.columns])
    accepted = [row for row in read_rows(table, Patch) if row.status == "accepted"]
    assert len(found) == len(accepted) > 10
    for index, row in enumerate(accepted):
        extents = Extent(row.phone_offset, row.phone_bytes), Extent(row.dslr_offset, row.dslr_bytes)
        for images, extent in zip((found.phone, found.dslr), extents, strict=True):
            stored = decode_image(read_extent(row.shard, extent), row.shard)
            assert np.array_equal(images[index], stored[..., ::-1])


def test_images_lie_where_the_table_says(alignment: dpedtool.Alignment) -> None:
    found = dpedtool.patches(alignment, params=PatchesParams(size_px=64, stride_px=64))
    photo = alignment.whole_phone()
    left, top, _, _ = alignment.crop
    accepted = found.table[found.table["status"] == "accepted"]
    for index, (x, y) in enumerate(accepted[["x", "y"]].to_numpy().tolist()):
        assert np.array_equal(found.phone[index], photo[y : y + 64, x : x + 64])
        place = np.s_[y - top : y - top + 64, x - left : x - left + 64]
        assert np.array_equal(found.dslr[index], alignment.dslr[place])


def test_no_accepted_window_leaves_empty_arrays_that_print(alignment: dpedtool.Alignment) -> None:
    found = dpedtool.patches(alignment, params={"size_px": 64, "min_contrast": 200.0})
    assert found.phone.shape == found.dslr.shape == (0, 64, 64, 3)
    assert set(found.table["reason"]) == {"flat"}
    assert (
        repr(found)
        == f"Patches of 64 x 64 px\n  accepted  0 of {len(found.table)} windows\n  flat      {len(found.table)}"
    )
    assert "<img" not in found._repr_html_()
    assert found.strip().min() == 255


def test_the_picture_shows_the_phone_s_above_the_dslr_s(alignment: dpedtool.Alignment) -> None:
    found = dpedtool.patches(alignment, params={"size_px": 64, "stride_px": 64})
    assert len(found) > 8
    strip = cv2.imdecode(np.frombuffer(found._repr_png_(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.array_equal(strip[:64, :64], found.phone[0])
    assert np.array_equal(strip[68:132, -64:], found.dslr[-1])
    assert strip.shape == (132, 8 * 68 - 4, 3)
    assert "<img" in found._repr_html_()


def test_a_crop_without_room_for_a_window_is_a_rejection(alignment: dpedtool.Alignment) -> None:
    with pytest.raises(dpedtool.Rejection) as rejected:
        dpedtool.patches(alignment, params={"size_px": 500})
    assert rejected.value.reason == "small_crop"
    assert "too small for a window of 500 px" in rejected.value.detail


def test_wrong_params_are_refused(alignment: dpedtool.Alignment) -> None:
    with pytest.raises(dpedtool.ParamsError, match="did you mean 'size_px'"):
        dpedtool.patches(alignment, params={"size": 64})
