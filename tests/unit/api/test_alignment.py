"""align and map_points: as the command line, from arrays as from files, with the colours in the right order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import dpedtool
from dpedtool.dataset.params import AlignParams, DemoParams
from dpedtool.dataset.schema import Alignment
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.cli import main
from dpedtool.pipeline.rig import Camera, simulate_pair, simulate_session

Photos = tuple[np.ndarray, np.ndarray]


def aligned_by_the_command(files: tuple[Path, Path], out: Path) -> Alignment:
    done = CliRunner().invoke(main, ["align", *map(str, files), "-o", str(out), "--workers", "1"])
    assert done.exit_code == 0, done.output
    (row,) = read_rows(Alignment.table_in(out), Alignment)
    # The command's paths are relative to its table.
    assert [path.resolve() for path in (row.phone_path, row.dslr_path)] == list(files)
    return replace(row, phone_path=files[0], dslr_path=files[1])


def test_the_result_is_that_of_the_command(
    files: tuple[Path, Path], alignment: dpedtool.Alignment, tmp_path: Path
) -> None:
    row = aligned_by_the_command(files, tmp_path)
    assert alignment.row == row
    for side in ("phone", "dslr"):
        stored = np.asarray(Image.open(tmp_path / side / f"{row.pair_id}.png"))
        assert np.array_equal(getattr(alignment, side), stored)


def test_so_is_that_of_turned_jpeg_photos_with_a_lens(tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="scikit-image is not installed: install the extra `demo`")
    simulate_session(DemoParams(scenes=1, missing=0), tmp_path / "captures")
    # This phone stores its photos a quarter turn off.
    files = tuple(next((tmp_path / "captures" / camera).glob("*.jpg")) for camera in ("phone-b", "dslr"))
    alignment = dpedtool.align(*map(str, files))
    assert alignment.row == aligned_by_the_command(files, tmp_path / "out")
    assert alignment.model != "homography"
    assert alignment.whole_phone().shape == (504, 672, 3)


def test_arrays_give_what_their_files_give(photos: Photos, alignment: dpedtool.Alignment) -> None:
    found = dpedtool.align(*photos)
    assert found.row.dslr_from_phone == alignment.row.dslr_from_phone
    assert found.residual_p95_px == alignment.residual_p95_px
    assert np.array_equal(found.phone, alignment.phone)
    assert np.array_equal(found.dslr, alignment.dslr)


def test_an_array_and_a_file_go_together(
    photos: Photos, files: tuple[Path, Path], alignment: dpedtool.Alignment
) -> None:
    found = dpedtool.align(photos[0], str(files[1]))
    assert found.row.dslr_from_phone == alignment.row.dslr_from_phone


def test_the_phone_s_crop_is_cut_from_its_photo_and_both_are_rgb(photos: Photos, alignment: dpedtool.Alignment) -> None:
    left, top, width, height = alignment.crop
    assert np.array_equal(alignment.phone, photos[0][top : top + height, left : left + width])
    assert np.array_equal(alignment.whole_phone(), photos[0])
    assert alignment.dslr.shape == (height, width, 3)
    # The pattern's channels are independent of each other, so that a wrong order does not correlate.
    for mine in range(3):
        for other in range(3):
            correlation = np.corrcoef(alignment.phone[..., mine].ravel(), alignment.dslr[..., other].ravel())[0, 1]
            assert (correlation > 0.9) == (mine == other)


def test_points_lie_where_the_rig_says() -> None:
    texture = cv2.resize(np.random.default_rng(5).integers(0, 256, (60, 80, 3), np.uint8), (800, 600))
    phone_camera = Camera(name="phone", width=400, height=300, focal_px=350, rotation=(0.01, -0.015, 0.02))
    dslr_camera = Camera(name="dslr", width=640, height=460, focal_px=520)
    phone, dslr, truth = simulate_pair(texture, phone_camera, dslr_camera, np.random.default_rng(1))
    alignment = dpedtool.align(phone[..., ::-1], dslr[..., ::-1])
    points = np.array([[30.0, 40.0], [199.5, 149.5], [370.0, 20.0], [50.0, 270.0]])
    assert np.abs(dpedtool.map_points(alignment, points) - truth.dslr_from_phone(points)).max() < 0.15


def test_a_shifted_copy_is_mapped_by_the_shift() -> None:
    _, photo = dpedtool.example_photos()
    # The phone's px (0, 0) is the DSLR's px (40, 25).
    alignment = dpedtool.align(photo[25:425, 40:600], photo)
    assert np.allclose(dpedtool.map_points(alignment, [(0, 0), (100.5, 7)]), [(40, 25), (140.5, 32)], atol=0.02)
    assert alignment.scale == pytest.approx(1, abs=1e-3)
    assert alignment.coverage > 0.98
    assert np.allclose(
        alignment.dslr_from_phone / alignment.dslr_from_phone[2, 2], [[1, 0, 40], [0, 1, 25], [0, 0, 1]], atol=0.02
    )


def test_the_overlay_shows_both_in_turn(alignment: dpedtool.Alignment) -> None:
    overlay = alignment.overlay()
    side = round(overlay.shape[1] / 8)
    assert np.array_equal(overlay[:side, :side], alignment.phone[:side, :side])
    assert np.array_equal(overlay[:side, side : 2 * side], alignment.dslr[:side, side : 2 * side])


def test_certainty(alignment: dpedtool.Alignment) -> None:
    assert 0 < alignment.residual_px <= alignment.residual_p95_px < 0.1
    assert alignment.residual_windows > 20
    assert alignment.mask.shape == alignment.phone.shape[:2]
    assert alignment.mask.mean() == alignment.masked == 0
    assert alignment.note == ""


def test_what_moved_is_masked(photos: Photos) -> None:
    phone, dslr = photos
    other, _ = dpedtool.example_photos(seed=9)
    changed = phone.copy()
    changed[100:180, 150:230] = other[100:180, 150:230]
    alignment = dpedtool.align(changed, dslr)
    left, top, _, _ = alignment.crop
    assert 0 < alignment.masked < 0.2
    assert alignment.mask[140 - top, 190 - left]
    assert not alignment.mask[20, 20]


def test_it_prints_and_shows_well(alignment: dpedtool.Alignment, photos: Photos) -> None:
    text = repr(alignment)
    assert text.startswith("Alignment of 1.png (400 x 300 px) and 1.png (640 x 460 px)\n")
    assert f"{alignment.residual_px:.3f} px, over {alignment.residual_windows} windows" in text
    assert "<img " in alignment._repr_html_()
    shown = cv2.imdecode(np.frombuffer(alignment._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(shown[..., ::-1], alignment.overlay())
    assert "phone (an array)" in repr(dpedtool.align(*photos))


def test_params_are_a_mapping_or_a_section(photos: Photos, alignment: dpedtool.Alignment) -> None:
    plain = dpedtool.align(*photos, params={"refine": False})
    assert plain.model == "homography"
    assert plain.row.fit_windows is None
    assert alignment.row.fit_windows
    section = dpedtool.align(*photos, params=AlignParams(refine=False))
    assert section.row.dslr_from_phone == plain.row.dslr_from_phone


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"ration": 0.7}, "params: unknown key 'ration': did you mean 'ratio'?"),
        ({"ratio": 2}, "params: ratio must be at most 1, not 2.0."),
        ({"refine": "yes"}, "params: refine must be true or false, not 'yes'."),
        (0.75, "params is of the type float: give a mapping of names to values, or an instance of "),
    ],
)
def test_wrong_params_are_refused(photos: Photos, params: object, message: str) -> None:
    with pytest.raises(dpedtool.ParamsError) as refused:
        dpedtool.align(*photos, params=params)
    assert str(refused.value).startswith(message)


def test_a_pair_that_does_not_align_is_a_rejection_with_reason_and_detail(photos: Photos) -> None:
    other, _ = dpedtool.example_photos(seed=4)
    with pytest.raises(dpedtool.Rejection) as rejected:
        dpedtool.align(other, photos[1])
    assert rejected.value.reason in ("few_matches", "wrong_pair")
    assert str(rejected.value) == f"{rejected.value.reason}: {rejected.value.detail}"


def test_a_file_that_is_not_a_photo_is_a_rejection(tmp_path: Path, photos: Photos, files: tuple[Path, Path]) -> None:
    (tmp_path / "1.jpg").write_text("not a photo")
    for dslr in (files[1], photos[1]):
        with pytest.raises(dpedtool.Rejection) as rejected:
            dpedtool.align(tmp_path / "1.jpg", dslr)
        assert rejected.value.reason == "unreadable_photo"


def test_a_missing_file_is_named(files: tuple[Path, Path]) -> None:
    with pytest.raises(dpedtool.DpedtoolError, match=r"There is no photo nowhere\.jpg"):
        dpedtool.align("nowhere.jpg", files[1])


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ((1, 2), "points has the shape (2,), but (N, 2) is needed: x and y of each point."),
        (np.zeros((2, 3)), "points has the shape (2, 3), but (N, 2) is needed: x and y of each point."),
        ([(0, np.nan)], "points holds NaN or infinite values: leave these points out."),
        ("some", "points must be numbers, (N, 2): x and y of each point."),
    ],
)
def test_points_of_another_kind_are_refused(alignment: dpedtool.Alignment, points: object, message: str) -> None:
    with pytest.raises(dpedtool.DpedtoolError) as refused:
        dpedtool.map_points(alignment, points)
    assert str(refused.value) == message


def test_no_points_are_no_error(alignment: dpedtool.Alignment) -> None:
    assert dpedtool.map_points(alignment, np.empty((0, 2))).shape == (0, 2)
