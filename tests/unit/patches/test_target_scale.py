"""Targets finer than the phone's grid: their places against the truth, their px, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import dpedtool
from dpedtool.dataset.errors import ParamsError, Rejection
from dpedtool.dataset.params import AlignParams, PairParams, PatchesParams, ReleaseParams, SplitParams
from dpedtool.dataset.photos.decoding import decode_photo
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.schema import Alignment, Frame, Patch, Sample, StackFrame
from dpedtool.dataset.shards import Extent, read_extent
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.align.stage import align
from dpedtool.pipeline.measure.shifts import SMOOTHING
from dpedtool.pipeline.measure.subpixel import locate
from dpedtool.pipeline.pair.stage import pair_folders
from dpedtool.pipeline.patches.stage import cut_patches
from dpedtool.pipeline.release.build import build_release
from dpedtool.pipeline.release.verification.verify import verify
from dpedtool.pipeline.rig import Camera
from dpedtool.pipeline.rig.capture import capture
from dpedtool.pipeline.rig.scene import Scene, hang
from dpedtool.pipeline.split.stage import split

SIDE = 48
PHONE = Camera(name="phone", width=256, height=192, focal_px=224, k1=0.03, rotation=(0.01, -0.015, 0.02))


def dslr(scale: float) -> Camera:
    """A DSLR with so many px for a px of the phone; it sees a little more than the phone."""
    size = {"width": round(282 * scale), "height": round(216 * scale), "focal_px": PHONE.focal_px * scale}
    return Camera(name="dslr", position_m=(0.07, 0.02, 0), **size)


def finer(camera: Camera, times: int) -> Camera:
    """The same camera with px of a fraction of the side, which divide those of the camera."""
    size = {"width": times * camera.width, "height": times * camera.height, "focal_px": times * camera.focal_px}
    return replace(camera, **size)


def shoot(folder: Path, scene: Scene, camera: Camera) -> np.ndarray:
    photo = capture(scene, camera, np.random.default_rng(0))
    (folder / camera.name).mkdir(parents=True)
    (folder / camera.name / "a.png").write_bytes(encode_image(photo, ".png"))
    return photo


class Session:
    """A pair of photos of one wall, aligned."""

    def __init__(self, root: Path, picture: np.ndarray, scale: float) -> None:
        other = dslr(scale)
        self.scene = Scene((hang(picture, [PHONE, other], distance_m=8.0, tilt=(0.01, -0.015, 0.0)),))
        for camera in (PHONE, other):
            shoot(root, self.scene, camera)
        pairs = pair_folders(root / "phone", root / "dslr", PairParams()).rows
        self.alignments: list[Alignment] = align(pairs, root / "aligned", AlignParams(), images=False)
        assert [row.status for row in self.alignments] == ["aligned"]

    def cut(self, out: Path, **params: object) -> list[Patch]:
        cut_patches(self.alignments, out, replace(PatchesParams(size_px=SIDE, stride_px=SIDE), **params))
        return read_rows(Patch.table_in(out), Patch)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, texture: Callable[..., np.ndarray]) -> Session:
    """The DSLR has 3.8 px for a px of the phone."""
    return Session(tmp_path_factory.mktemp("session"), texture(850, 1120, 3), 3.8)


@pytest.fixture(scope="module")
def cut(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], list[Patch]]:
    """The windows for a scale."""
    found: dict[int, list[Patch]] = {}

    def rows(times: int) -> list[Patch]:
        if times not in found:
            found[times] = session.cut(tmp_path_factory.mktemp(f"scale{times}"), target_scale=times)
        return found[times]

    return rows


def accepted(rows: list[Patch]) -> list[Patch]:
    return [row for row in rows if row.status == "accepted"]


def image_of(row: Patch, side: str) -> np.ndarray:
    extent = Extent(getattr(row, f"{side}_offset"), getattr(row, f"{side}_bytes"))
    return decode_photo(read_extent(row.shard, extent), row.shard)


def shift_between(image: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how far one image is shifted against another of the same size, x and y in px."""
    greys = [cv2.cvtColor(each, cv2.COLOR_BGR2GRAY).astype(np.float32) for each in (image, other)]
    smooth = [cv2.GaussianBlur(grey, (0, 0), SMOOTHING) for grey in greys]
    corner, side = np.array([[8, 8]]), len(image) - 16
    return locate(*smooth, (corner, corner), side, np.zeros((1, 2)), np.zeros(1)).shifts[0]


@pytest.mark.parametrize("times", [1, 2, 4])
def test_targets_lie_where_a_phone_with_finer_px_would_have_them(
    times: int, session: Session, cut: Callable[[int], list[Patch]]
) -> None:
    """The same phone with as many px as the targets takes the photo; its windows are the truth."""
    truth = capture(session.scene, finer(PHONE, times), np.random.default_rng(0))
    rows = accepted(cut(times))
    assert len(rows) > 8
    shifts = []
    for row in rows:
        target, side = image_of(row, "dslr"), times * SIDE
        assert target.shape == (side, side, 3)
        assert image_of(row, "phone").shape == (SIDE, SIDE, 3)
        there = truth[times * row.y : times * row.y + side, times * row.x : times * row.x + side]
        shifts.append(shift_between(target, there) / times)
    assert np.linalg.norm(shifts, axis=1).max() <= 0.05


def test_windows_are_judged_on_the_phones_grid(cut: Callable[[int], list[Patch]]) -> None:
    """The scale changes nothing but the DSLR's images."""
    own = ("target_scale", "shard", "phone_offset", "dslr_offset", "dslr_bytes", "params_sha256", "key")
    # They are relative to the folder of the table.
    own += ("phone_path", "dslr_path")
    same = [[replace(row, **dict.fromkeys(own, None)) for row in cut(times)] for times in (1, 2, 4)]
    assert same[0] == same[1] == same[2]
    assert [{row.target_scale for row in cut(times)} for times in (1, 2, 4)] == [{1}, {2}, {4}]
    for one, four in zip(accepted(cut(1)), accepted(cut(4)), strict=True):
        np.testing.assert_array_equal(image_of(one, "phone"), image_of(four, "phone"))


def test_finer_targets_keep_detail_that_the_phones_grid_has_not(cut: Callable[[int], list[Patch]]) -> None:
    one, four = accepted(cut(1))[0], accepted(cut(4))[0]
    coarse, fine = image_of(one, "dslr"), image_of(four, "dslr")
    reduced = cv2.resize(fine, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    smooth = [cv2.GaussianBlur(image, (0, 0), 2).astype(int) for image in (reduced, coarse)]
    assert np.abs(smooth[0] - smooth[1]).mean() < 1.5
    enlarged = cv2.resize(coarse, (4 * SIDE, 4 * SIDE), interpolation=cv2.INTER_CUBIC)
    energies = [np.var(cv2.Laplacian(image, cv2.CV_32F)) for image in (fine, enlarged)]
    assert energies[0] > 1.5 * energies[1]


def test_a_dslr_without_that_detail_gives_no_patches(tmp_path: Path, texture: Callable[..., np.ndarray]) -> None:
    coarse = Session(tmp_path / "photos", texture(450, 600, 3), 1.9)
    (row,) = coarse.cut(tmp_path / "four", target_scale=4)
    assert (row.status, row.reason, row.x, row.target_scale) == ("rejected", "too_coarse", None, 4)
    scale = coarse.alignments[0].scale
    assert 0.9 * scale < float(row.detail.split(" px")[0].split("only ")[1]) <= scale
    assert "needs 3.6" in row.detail
    (frame,) = read_rows(Frame.table_in(tmp_path / "four"), Frame)
    assert (frame.windows, frame.accepted) == (0, 0)
    # 1.9 is less than 2, but not by a tenth.
    assert accepted(coarse.cut(tmp_path / "two", target_scale=2))


def test_a_pair_without_that_detail_is_not_read_again(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = [replace(session.alignments[0], dslr_from_phone=tuple(np.diag([2.0, 2.0, 1.0]).ravel()), key="wide")]
    params = PatchesParams(size_px=SIDE, stride_px=SIDE, target_scale=4)
    cut_patches(wide, tmp_path, params)
    before = Patch.table_in(tmp_path).read_bytes()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the pair is cut again")

    monkeypatch.setattr("dpedtool.pipeline.patches.stage.cut_moment", refuse)
    cut_patches(wide, tmp_path, params)
    assert Patch.table_in(tmp_path).read_bytes() == before


def test_windows_that_move_keep_the_targets_of_their_places(session: Session, tmp_path: Path) -> None:
    """In mode dped the phone's window moves alone, so that the target is that of mode strict."""
    moved = {row.patch_id: row for row in accepted(session.cut(tmp_path / "dped", target_scale=2, mode="dped"))}
    still = {row.patch_id: row for row in accepted(session.cut(tmp_path / "strict", target_scale=2))}
    assert len(moved.keys() & still.keys()) > 8
    for name in moved.keys() & still.keys():
        np.testing.assert_array_equal(image_of(moved[name], "dslr"), image_of(still[name], "dslr"))


def test_further_references_have_targets_of_the_same_scale(session: Session, tmp_path: Path) -> None:
    """The further reference took the very same photo; or one with too few px, which is a row with its reason."""
    (base,) = session.alignments
    further = {"role": "target", "reference": "wide", "frame": 1}
    same = replace(base, pair_id="phone--a--wide", key="wide", **further)
    coarse = replace(same, dslr_from_phone=tuple(np.diag([1.5, 1.5, 1.0]).ravel()), key="coarse")
    for target, reasons in ((same, {""}), (coarse, {"too_coarse"})):
        out = tmp_path / target.key
        params = PatchesParams(size_px=SIDE, stride_px=SIDE, target_scale=2)
        cut_patches([base, target], out, params)
        patches = {row.patch_id: row for row in accepted(read_rows(Patch.table_in(out), Patch))}
        rows = [row for row in read_rows(StackFrame.table_in(out), StackFrame) if row.role == "target"]
        assert len(rows) == len(patches) > 6
        assert {row.reason for row in rows} == reasons
        for row in rows:
            if row.status == "accepted":
                image = decode_photo(read_extent(row.shard, Extent(row.offset, row.bytes)), row.shard)
                np.testing.assert_array_equal(image, image_of(patches[row.patch_id], "dslr"))


def test_finer_targets_are_split_and_released(cut: Callable[[int], list[Patch]], tmp_path: Path) -> None:
    folder = accepted(cut(2))[0].shard.parent
    split({"phone": Patch.table_in(folder)}, tmp_path / "splits", SplitParams())
    samples = read_rows(tmp_path / "splits" / "phone.parquet", Sample)
    assert {row.target_scale for row in samples} == {2}
    params = ReleaseParams(name="pairs", licence="CC-BY-4.0", authors=("Doe, Jane",), contact="a@example.org")
    build_release(tmp_path / "splits", tmp_path / "release", params)
    verdict = verify(tmp_path / "release")
    assert not verdict.faults
    sizes = f"undamaged and {SIDE} x {SIDE} and {2 * SIDE} x {2 * SIDE} px"
    assert sum(sizes in line and f"{len(samples)} of {len(samples)}" in line for line in verdict.said) == 3


def test_the_python_interface_gives_the_same_targets(session: Session, cut: Callable[[int], list[Patch]]) -> None:
    row = session.alignments[0]
    found = dpedtool.patches(
        dpedtool.align(str(row.phone_path), str(row.dslr_path)),
        params={"size_px": SIDE, "stride_px": SIDE, "target_scale": 2},
    )
    assert found.dslr.shape == (len(found), 2 * SIDE, 2 * SIDE, 3)
    np.testing.assert_array_equal(found.dslr[0], image_of(accepted(cut(2))[0], "dslr")[..., ::-1])
    assert found.strip().shape[0] == 2 * 2 * SIDE + 4
    with pytest.raises(Rejection, match="px for each phone px"):
        dpedtool.patches(dpedtool.align(*dpedtool.example_photos()), params={"target_scale": 4})


@pytest.mark.parametrize("value", [3, True, 2.0, "2"])
def test_other_scales_are_refused(value: object) -> None:
    with pytest.raises(ParamsError, match="target_scale must be one of 1, 2, 4"):
        PatchesParams(target_scale=value)
