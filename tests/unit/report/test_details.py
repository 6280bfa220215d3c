"""The details of a pair: measured on the pictures themselves, made once, and the same for any number of workers."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import AlignParams, CapturesParams, PairParams, Params, PatchesParams
from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.schema import Alignment, Pair, Patch, Shown
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.align.stage import align
from dpedtool.pipeline.geometry.aligned import aligned_images, crop_box, mask_columns, transform, transform_columns
from dpedtool.pipeline.geometry.homographies import translation
from dpedtool.pipeline.geometry.node_files import columns_of, grid_shape, rounded, write_nodes
from dpedtool.pipeline.geometry.transform import Transform
from dpedtool.pipeline.measure.certainty import shift_errors
from dpedtool.pipeline.measure.noise import NO_NOISE
from dpedtool.pipeline.measure.residuals import comparable, search
from dpedtool.pipeline.pair.stage import pair_folders
from dpedtool.pipeline.patches.stage import cut_patches
from dpedtool.pipeline.report.pairs import details, opened
from dpedtool.pipeline.report.pairs.depth_picture import DepthPicture
from dpedtool.pipeline.report.pairs.details import show_pairs
from dpedtool.pipeline.report.pairs.opened import Album
from dpedtool.pipeline.report.results import RunResults

PARAMS = PatchesParams(size_px=60, stride_px=60)
HOSTILE = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)> & '"
A, B, C, D = (f"phone--{name}" for name in "abcd")

Stage = Callable[..., RunResults]


@pytest.fixture(scope="module")
def alignments(tmp_path_factory: pytest.TempPathFactory, pairs: list[Pair]) -> list[Alignment]:
    """The alignments of a, b and c; d could not be read."""
    return align(pairs, tmp_path_factory.mktemp("aligned"), AlignParams(), images=False)


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory, alignments: list[Alignment]) -> list[Patch]:
    return read_rows(cut_patches(alignments, tmp_path_factory.mktemp("patches"), PARAMS), Patch)


@pytest.fixture
def stage(tmp_path: Path, pairs: list[Pair], alignments: list[Alignment], patches: list[Patch]) -> Stage:
    """Return a function that writes the tables of a run, with the given rows in place of the finished ones."""

    def make(aligned: Any = alignments, paired: Any = pairs, cut: Any = patches) -> RunResults:
        results = tmp_path / "results"
        for folder, row_type, rows in (
            ("pairs", Pair, paired),
            ("aligned", Alignment, aligned),
            ("patches", Patch, cut),
        ):
            write_rows(row_type.table_in(results / folder / "phone"), row_type, rows)
        return RunResults(results, Params(captures=CapturesParams(root="x", reference="dslr", phones=("phone",))))

    return make


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "files" / "pairs"


def read(out: Path, pair_id: str) -> dict[str, Any]:
    """The details as the page gets them."""
    text = (out / pair_id / "details.js").read_text(encoding="utf-8").split("\n")[1]
    assert text.startswith("dpedtool.details({")
    assert text.endswith("});")
    return json.loads(text.removeprefix("dpedtool.details(").removesuffix(");"))


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def with_first(rows: list[Alignment], **changes: Any) -> list[Alignment]:
    return [replace(rows[0], **changes), *rows[1:]]


# One pair


def test_a_good_pair_is_shown_on_one_grid(stage: Stage, out: Path, alignments: list[Alignment]) -> None:
    shown = show_pairs(stage(), out)
    found, row = read(out, A), alignments[0]
    box = crop_box(row)
    assert (found["id"], found["kind"], found["note"]) == (A, "aligned", "")
    assert found["crop"] == [box.x, box.y, box.width, box.height]
    assert {"x", "y", "dx", "dy", "ncc", "state"} == set(found["shifts"][0])
    assert len([shift for shift in found["shifts"] if shift["state"] == "found"]) > 20
    assert found["residual_px"] < 0.1
    lengths = [np.hypot(shift["dx"], shift["dy"]) for shift in found["shifts"] if shift["state"] == "found"]
    assert (found["certain"], found["amiss"]) == (len(lengths), 0)
    assert found["certain_p95_px"] == pytest.approx(np.percentile(lengths, 95), abs=0.01)
    assert (shown[A].certain, shown[A].certain_p95_px) == (len(lengths), found["certain_p95_px"])
    assert found["residual_p95_px"] == pytest.approx(row.residual_p95_px, abs=0.1)
    for side in ("phone", "dslr"):
        picture = load_photo(out / A / found[side]["file"])
        assert picture.shape[:2] == (found[side]["height"], found[side]["width"]) == (box.height, box.width)
    assert max(load_photo(out / A / "thumbnail.jpg").shape) == 160
    assert (shown[A].status, shown[A].pictures) == ("shown", 3 + 2 * len(found["spots"]))
    assert sum(path.stat().st_size for path in (out / A).iterdir()) == shown[A].bytes


def test_larger_pictures_are_shrunk_to_both_sides(stage: Stage, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened, "PICTURE_PX", 200)
    show_pairs(stage(), out)
    found = read(out, A)
    assert max(found["phone"]["width"], found["phone"]["height"]) == 200
    assert load_photo(out / A / "dslr.jpg").shape[:2] == (found["dslr"]["height"], found["dslr"]["width"])
    assert found["shifts"]
    assert load_photo(out / A / "spot-1-dslr.png").shape == (96, 96, 3)


def test_an_alignment_that_is_off_is_measured(stage: Stage, out: Path, alignments: list[Alignment]) -> None:
    to = transform(alignments[0])
    wrong = Transform(to.homography @ translation(2, -1), to.field)
    show_pairs(stage(with_first(alignments, **transform_columns(wrong))), out)
    found = read(out, A)
    believed = [shift for shift in found["shifts"] if shift["state"] == "found"]
    assert len(believed) > 20
    # What the phone shows at x, the DSLR's image now shows 2 px to the left and 1 px below.
    assert np.median([shift["dx"] for shift in believed]) == pytest.approx(-2, abs=0.1)
    assert np.median([shift["dy"] for shift in believed]) == pytest.approx(1, abs=0.1)
    assert found["residual_px"] == pytest.approx(5**0.5, abs=0.1)


def test_windows_are_those_of_the_patches_in_px_of_the_crop(
    stage: Stage, out: Path, alignments: list[Alignment], patches: list[Patch]
) -> None:
    moved = [replace(row, phone_x=row.phone_x + 3, phone_y=row.phone_y - 2, mode="dped") for row in patches if row.x]
    others = [row for row in patches if row.x is None]
    show_pairs(stage(cut=[*moved[::-1], *others]), out)
    found, box = read(out, B), crop_box(alignments[1])
    expected = [
        {
            "x": row.phone_x - box.x,
            "y": row.phone_y - box.y,
            "reason": row.reason,
            "ncc": pytest.approx(row.ncc, abs=6e-4),
            "residual_px": pytest.approx(row.residual_px, abs=6e-3),
        }
        for row in moved[::-1]
        if row.pair_id == B
    ]
    assert len(expected) > 5
    assert (found["patch_px"], found["windows"]) == (60, expected)


def test_a_pair_that_gave_no_window_says_why(stage: Stage, out: Path, patches: list[Patch]) -> None:
    blank = {"x": None, "y": None, "size": None, "phone_x": None, "phone_y": None}
    show_pairs(stage(cut=[replace(patches[0], status="rejected", reason="small_crop", **blank)]), out)
    assert read(out, A)["note"] == "No patches were cut: the common crop is smaller than a window."
    assert (read(out, A)["windows"], read(out, B)["note"]) == ([], "")


def test_masked_cells_are_joined_and_have_no_say(stage: Stage, out: Path, alignments: list[Alignment]) -> None:
    box = crop_box(alignments[0])
    cells = np.zeros((-(-box.height // 32), -(-box.width // 32)), bool)
    cells[1:3, 2:5] = True
    cells[3, 0] = cells[-1, -1] = True
    show_pairs(stage(with_first(alignments, **mask_columns(cells, 32))), out)
    found = read(out, A)
    last = [(cells.shape[1] - 1) * 32, (cells.shape[0] - 1) * 32]
    assert found["mask"] == [
        [64, 32, 96, 64],
        [0, 96, 32, 32],
        [*last, box.width - last[0], box.height - last[1]],
    ]
    everything = np.ones(cells.shape, bool)
    show_pairs(stage(with_first(alignments, **mask_columns(everything, 32), key="another")), out)
    found = read(out, A)
    assert found["mask"] == [[0, 0, box.width, box.height]]
    assert (found["residual_px"], found["spots"]) == (None, [])
    assert (found["certain"], found["amiss"], found["certain_p95_px"]) == (0, 0, None)
    assert found["shifts"]


def test_spots_are_the_pixels_themselves(stage: Stage, out: Path, alignments: list[Alignment]) -> None:
    show_pairs(stage(), out)
    found, images = read(out, A), aligned_images(alignments[0])
    lengths = [(shift["dx"] ** 2 + shift["dy"] ** 2) ** 0.5 for shift in found["shifts"] if shift["state"] == "found"]
    titles = [spot["title"] for spot in found["spots"]]
    assert titles[0] == f"Largest certain shift: {max(lengths):.2f} px"
    assert titles[1].startswith("Median shift: 0.0")
    assert titles[-1].startswith("Most contrast near the middle: shift 0.")
    places = {(shift["x"], shift["y"]) for shift in found["shifts"]}
    for spot in found["spots"]:
        assert (spot["x"], spot["y"]) in places
        for side, image in zip(("phone", "dslr"), images, strict=True):
            square = load_photo(out / A / spot[side]["file"])
            assert square.shape[:2] == (spot[side]["height"], spot[side]["width"]) == (96, 96)
            x, y = (
                min(max(0, round(spot[axis] - 47.5)), length - 96)
                for axis, length in zip("xy", image.shape[1::-1], strict=True)
            )
            assert np.array_equal(square, image[y : y + 96, x : x + 96])


def test_shifts_that_nobody_knows_have_no_say_in_the_certain_residual(
    stage: Stage, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a sky: windows that fit well at any place count only in the residual of all windows."""

    def half_known(phone: Any, dslr: Any, found: Any, noise: Any) -> Any:
        errors = shift_errors(phone, dslr, found, noise)
        unknown = found.lengths > np.median(found.lengths)
        return np.where(unknown, np.nan, errors)

    monkeypatch.setattr(opened, "shift_errors", half_known)
    shown = show_pairs(stage(), out)
    found = read(out, A)
    lengths = [np.hypot(shift["dx"], shift["dy"]) for shift in found["shifts"] if shift["state"] == "found"]
    assert found["certain"] == len(lengths) < found["fitting"]
    assert found["certain_p95_px"] == pytest.approx(np.percentile(lengths, 95), abs=0.01)
    assert found["certain_p95_px"] < found["residual_p95_px"]
    assert shown[A].certain_p95_px == found["certain_p95_px"]


def test_a_spot_shows_what_is_amiss(stage: Stage, out: Path, alignments: list[Alignment]) -> None:
    far = Transform(transform(alignments[0]).homography @ translation(30, 30))
    show_pairs(stage(with_first(alignments, **transform_columns(far))), out)
    found = read(out, A)
    assert found["amiss"] == sum(shift["state"] == "amiss" for shift in found["shifts"]) > 20
    assert any(spot["title"].startswith("Not found where it should be: NCC ") for spot in found["spots"])


def test_a_rejected_pair_with_a_transform_is_laid_on_each_other(
    stage: Stage, out: Path, alignments: list[Alignment]
) -> None:
    why = {"status": "rejected", "reason": "misaligned", "detail": "Half are shifted.", "mask": None, "masked": None}
    show_pairs(stage(with_first(alignments, **why)), out)
    found = read(out, A)
    assert found["kind"] == "aligned"
    assert found["note"] == "The photos of this rejected pair are overlaid by its transform."
    assert found["shifts"]
    assert found["mask"] == []


@pytest.mark.parametrize("lost", [{"crop_width": None}, {"dslr_from_phone": None}])
def test_a_rejected_pair_without_transform_or_crop_is_shown_as_it_is(
    stage: Stage, out: Path, alignments: list[Alignment], lost: dict[str, None]
) -> None:
    why = {"status": "rejected", "reason": "poor_coverage", "detail": "They share 2 %."}
    show_pairs(stage(with_first(alignments, **why, **lost)), out)
    found = read(out, A)
    assert (found["kind"], found["crop"], found["shifts"], found["spots"]) == ("apart", None, [], [])
    assert found["note"] == "The photos are shown as they are, without overlaying them."
    sizes = [(found[side]["width"], found[side]["height"]) for side in ("phone", "dslr")]
    assert sizes == [(320, 240), (560, 400)]


def test_of_a_pair_with_an_unreadable_photo_the_other_is_shown(stage: Stage, out: Path) -> None:
    shown = show_pairs(stage(), out)
    found = read(out, D)
    assert (found["kind"], found["phone"]) == ("alone", None)
    assert found["dslr"]["width"] == 560
    assert found["note"] == "Only the photo that could be read is shown."
    assert (shown[D].status, shown[D].reason, shown[D].pictures) == ("failed", "unreadable_photo", 2)


def test_a_pair_that_align_has_not_looked_at_is_shown_as_it_is(stage: Stage, out: Path) -> None:
    show_pairs(stage(aligned=[], cut=[]), out)
    assert read(out, A)["kind"] == "apart"
    assert read(out, A)["note"].startswith("Stage align has not processed this pair. ")


def test_lone_photos_and_what_they_are_called_stay_text(
    stage: Stage, out: Path, tmp_path: Path, texture: Callable[..., np.ndarray]
) -> None:
    photos = tmp_path / "photos"
    for camera, name in (("phone", "<img src=x onerror=alert(1)>"), ("phone", "a"), ("dslr", "a")):
        (photos / camera).mkdir(parents=True, exist_ok=True)
        exif = PillowImage.Exif()
        exif[0x010E] = "a secret"
        PillowImage.fromarray(texture(100, 150)).save(photos / camera / f"{name}.jpg", exif=exif)
    rows = pair_folders(photos / "phone", photos / "dslr", PairParams(by="name")).rows
    alone = next(row for row in rows if row.status == "unpaired")
    show_pairs(stage(aligned=[], paired=[replace(alone, detail=alone.detail + HOSTILE)], cut=[]), out)
    found = read(out, alone.pair_id)
    assert (found["kind"], found["dslr"], found["phone"]["width"]) == ("alone", None, 150)
    assert found["note"] == ""
    assert not set("<>&") & set((out / alone.pair_id / "details.js").read_text(encoding="utf-8"))
    assert not any(b"secret" in content or b"Exif" in content for content in files(out).values())


def test_a_photo_without_a_name_that_can_be_told_has_no_picture(stage: Stage, out: Path) -> None:
    unusable = Pair(pair_id="p", phone="phone", status="unpaired", reason="unusable_name", detail="Rename it.")
    shown = show_pairs(stage(aligned=[], paired=[unusable], cut=[]), out)
    assert (read(out, "p")["kind"], read(out, "p")["note"]) == ("none", "")
    assert (shown["p"].status, shown["p"].pictures) == ("shown", 0)


def test_photos_that_changed_or_are_gone_are_told_and_looked_for_again(
    stage: Stage, out: Path, tmp_path: Path, captures: Path, alignments: list[Alignment]
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(captures, moved)
    paths = {"phone_path": moved / "phone" / "a.jpg", "dslr_path": moved / "dslr" / "a.jpg"}
    run = stage(with_first(alignments, **paths))
    (moved / "dslr" / "a.jpg").write_bytes((captures / "dslr" / "b.jpg").read_bytes())
    shown = show_pairs(run, out)
    found = read(out, A)
    assert (found["kind"], found["dslr"], shown[A].reason) == ("alone", None, "photo_changed")
    assert "a.jpg is not the photo that was paired" in found["note"]
    (moved / "phone" / "a.jpg").unlink()
    shown = show_pairs(run, out)
    assert (read(out, A)["kind"], shown[A].status, shown[A].pictures) == ("none", "failed", 0)
    assert "No such file" in read(out, A)["note"]
    for camera in ("phone", "dslr"):
        shutil.copy(captures / camera / "a.jpg", moved / camera)
    assert show_pairs(run, out)[A].status == "shown"
    assert read(out, A)["kind"] == "aligned"


# Nodes


def with_nodes(row: Alignment, path: Path, step: float = -6.0) -> Alignment:
    """Return the row with nodes whose right half is displaced by so many px, in a file."""
    box = crop_box(row)
    displacements = np.zeros((*grid_shape(row.phone_width, row.phone_height), 2))
    displacements[:, 20:, 0] = step
    nodes = rounded(displacements)
    write_nodes(path, nodes)
    # The crop of a pair with nodes begins at whole squares of them.
    corner = {"crop_x": -(-box.x // 8) * 8, "crop_y": -(-box.y // 8) * 8, "crop_width": 240, "crop_height": 176}
    return replace(row, model="local", hidden=0.1, jump=0.05, **corner, **columns_of(nodes, path))


def test_nodes_are_shown_as_a_picture_and_told(
    stage: Stage, out: Path, tmp_path: Path, alignments: list[Alignment]
) -> None:
    row = with_nodes(alignments[0], tmp_path / "nodes" / "a.npy")
    shown = show_pairs(stage([row, *alignments[1:]]), out)
    found = read(out, A)
    depth = found["depth"]
    assert depth["picture"] == {"file": "depth.jpg", "width": 240, "height": 176}
    picture = load_photo(out / A / "depth.jpg").astype(float)
    drawn = DepthPicture(transform(row).nodes, crop_box(row)).draw((240, 176))
    assert picture.shape == (176, 240, 3)
    assert np.median(np.abs(picture - drawn)) < 3
    assert (depth["direction"], depth["range_px"], depth["largest_px"]) == ([1, 0], 6, 6)
    assert depth["squeezed"] > 0.02
    assert depth["stretched"] == 0
    assert {"x", "y", "px"} == set(depth["places"][0])
    assert shown[A].pictures == 4 + 2 * len(found["spots"])
    assert sum(path.stat().st_size for path in (out / A).iterdir()) == shown[A].bytes


def test_the_picture_of_the_depth_is_as_large_as_the_photo_below_it(
    stage: Stage, out: Path, tmp_path: Path, alignments: list[Alignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened, "PICTURE_PX", 100)
    show_pairs(stage([with_nodes(alignments[0], tmp_path / "a.npy"), *alignments[1:]]), out)
    found = read(out, A)
    sizes = [(some["width"], some["height"]) for some in (found["phone"], found["depth"]["picture"])]
    assert sizes == [(100, 73), (100, 73)]
    assert load_photo(out / A / "depth.jpg").shape == (73, 100, 3)


def test_without_nodes_there_is_no_picture_of_depth(stage: Stage, out: Path) -> None:
    show_pairs(stage(), out)
    assert [read(out, name)["depth"] for name in (A, B, C, D)] == [None] * 4
    assert not list(out.glob("*/depth.jpg"))


def test_a_picture_of_nodes_that_are_gone_is_removed(
    stage: Stage, out: Path, tmp_path: Path, alignments: list[Alignment]
) -> None:
    show_pairs(stage([with_nodes(alignments[0], tmp_path / "a.npy"), *alignments[1:]]), out)
    assert (out / A / "depth.jpg").is_file()
    show_pairs(stage(), out)
    assert not (out / A / "depth.jpg").exists()


def test_other_nodes_make_another_picture(
    stage: Stage, out: Path, tmp_path: Path, alignments: list[Alignment], opened_pairs: list[str]
) -> None:
    path = tmp_path / "a.npy"
    show_pairs(stage([with_nodes(alignments[0], path), *alignments[1:]]), out)
    opened_pairs.clear()
    show_pairs(stage([with_nodes(alignments[0], path), *alignments[1:]]), out)
    assert opened_pairs == []
    show_pairs(stage([with_nodes(alignments[0], path, step=5.0), *alignments[1:]]), out)
    assert opened_pairs == [A]
    assert (read(out, A)["depth"]["stretched"] > 0, read(out, A)["depth"]["squeezed"]) == (True, 0)


@pytest.mark.parametrize("harm", ["removed", "changed"])
def test_a_pair_whose_nodes_are_gone_is_shown_as_its_photos_until_they_are_back(
    harm: str, stage: Stage, out: Path, tmp_path: Path, alignments: list[Alignment]
) -> None:
    path = tmp_path / "nodes" / "a.npy"
    run = stage([with_nodes(alignments[0], path), *alignments[1:]])
    content = path.read_bytes()
    if harm == "removed":
        path.unlink()
    else:
        path.write_bytes(content[:-1] + b"x")
    shown = show_pairs(run, out)
    found = read(out, A)
    assert (found["kind"], found["depth"], shown[A].status, shown[A].pictures) == ("apart", None, "shown", 3)
    assert found["note"].startswith("The file of nodes a.npy ")
    assert "run `dpedtool align` again" in found["note"]
    assert found["note"].endswith("The photos are shown as they are, without overlaying them.")
    path.write_bytes(content)
    show_pairs(run, out)
    assert read(out, A)["kind"] == "aligned"
    assert read(out, A)["depth"] is not None


# How well a shift is known


def both(image: np.ndarray, dx: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture as the phone shows it, and as the DSLR does: shifted to the right, with different noise."""
    rng = np.random.default_rng(1)
    shifted = np.roll(image, dx, axis=1)
    phone, dslr = (np.clip(one + rng.normal(0, 2, one.shape), 0, 255).astype(np.uint8) for one in (image, shifted))
    return comparable(phone, dslr, NO_NOISE)[:2]


def test_a_shift_is_known_where_there_is_texture(texture: Callable[..., np.ndarray]) -> None:
    phone, dslr = both(texture(200, 300), 3)
    found = search(phone, dslr)
    errors = shift_errors(phone, dslr, found)
    assert len(errors) > 10
    assert errors.max() < 0.05
    assert np.abs(found.shifts - [3, 0]).max() < 0.1


def test_along_a_straight_edge_no_shift_is_known() -> None:
    edge = np.full((200, 300, 3), 60, np.uint8)
    edge[100:] = 180
    phone, dslr = both(edge, 3)
    found = search(phone, dslr)
    assert found.found.sum() > 10
    assert np.isnan(shift_errors(phone, dslr, found)).all()


# All pairs


@pytest.fixture
def opened_pairs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pairs that are warped after this."""
    names: list[str] = []

    def watched(row: Alignment) -> Any:
        names.append(row.pair_id)
        return aligned_images(row)

    monkeypatch.setattr(opened, "aligned_images", watched)
    return names


def test_a_second_report_opens_no_pair_again(stage: Stage, out: Path, opened_pairs: list[str]) -> None:
    show_pairs(stage(), out)
    before = files(out)
    assert opened_pairs == [A, B, C]
    show_pairs(stage(), out)
    assert opened_pairs == [A, B, C]
    assert files(out) == before
    assert set(before) >= {"shown.parquet", f"{A}/details.js", f"{D}/thumbnail.jpg"}


def test_what_changed_is_done_again_and_no_more(
    stage: Stage, out: Path, opened_pairs: list[str], alignments: list[Alignment], patches: list[Patch]
) -> None:
    show_pairs(stage(), out)
    opened_pairs.clear()
    show_pairs(stage(cut=[replace(row, ncc=0.5) if row.pair_id == B else row for row in patches]), out)
    assert opened_pairs == [B]
    show_pairs(stage(with_first(alignments, key="of other parameters"), cut=patches), out)
    assert opened_pairs == [B, A, B]


def test_files_that_are_gone_or_of_another_run_are_made_again(stage: Stage, out: Path, opened_pairs: list[str]) -> None:
    show_pairs(stage(), out)
    before = files(out)
    opened_pairs.clear()
    (out / A / "spot-1-phone.png").unlink()
    script = out / B / "details.js"
    script.write_text(script.read_text(encoding="utf-8").replace("// ", "// f", 1)[:-1], encoding="utf-8")
    shutil.rmtree(out / C)
    show_pairs(stage(), out)
    assert opened_pairs == [A, B, C]
    assert files(out) == before


def test_an_interrupted_report_goes_on(
    stage: Stage, out: Path, opened_pairs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = opened.aligned_images

    def interrupted(row: Alignment) -> Any:
        if row.pair_id == B:
            raise KeyboardInterrupt
        return watched(row)

    with monkeypatch.context() as patch:
        patch.setattr(opened, "aligned_images", interrupted)
        with pytest.raises(KeyboardInterrupt):
            show_pairs(stage(), out)
    show_pairs(stage(), out)
    assert opened_pairs == [A, B, C]
    assert all(path.name != ".parts" for path in out.iterdir())


def test_folders_of_pairs_that_are_gone_are_removed_and_others_are_left(
    stage: Stage, out: Path, alignments: list[Alignment], pairs: list[Pair], patches: list[Patch]
) -> None:
    show_pairs(stage(), out)
    (out / "mine").mkdir()
    (out / "mine" / "notes.txt").write_text("mine")
    shown = show_pairs(stage(alignments[:2], pairs[:2], [row for row in patches if row.pair_id in (A, B)]), out)
    assert sorted(path.name for path in out.iterdir()) == ["mine", A, B, "shown.parquet"]
    assert list(shown) == [row.pair_id for row in read_rows(Shown.table_in(out), Shown)] == [A, B]


def test_what_others_keep_in_the_folder_of_a_pair_stays(
    stage: Stage, out: Path, pairs: list[Pair], patches: list[Patch], opened_pairs: list[str]
) -> None:
    show_pairs(stage(), out)
    (out / A / "notes.txt").write_text("mine")
    opened_pairs.clear()
    show_pairs(stage(), out)
    assert opened_pairs == []
    (out / A / "phone.jpg").unlink()
    show_pairs(stage(), out)
    assert (out / A / "phone.jpg").is_file()
    show_pairs(stage([], pairs[1:], patches), out)
    assert [path.name for path in (out / A).iterdir()] == ["notes.txt"]
    assert (out / A / "notes.txt").read_text() == "mine"


def test_a_fault_of_the_program_is_told_and_stops_nothing(
    stage: Stage, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(row: Alignment) -> Any:
        if row.pair_id == A:
            raise ZeroDivisionError("of all things")
        return aligned_images(row)

    with monkeypatch.context() as patch:
        patch.setattr(opened, "aligned_images", faulty)
        shown = show_pairs(stage(), out)
    assert (shown[A].status, shown[A].reason, shown[A].pictures) == ("failed", "internal_error", 0)
    assert "ZeroDivisionError: of all things" in read(out, A)["note"]
    assert read(out, A)["kind"] == "none"
    assert shown[B].status == "shown"
    assert show_pairs(stage(), out)[A].status == "shown"


def test_the_bytes_are_the_same_for_any_number_of_workers(stage: Stage, out: Path) -> None:
    show_pairs(stage(), out, workers=1)
    show_pairs(stage(), out.with_name("again"), workers=2)
    assert files(out) == files(out.with_name("again"))


def test_a_name_that_leads_out_of_the_folder_is_refused(stage: Stage, out: Path) -> None:
    for name in ("../../elsewhere", "", ".."):
        with pytest.raises(DpedtoolError, match="not a name of letters, digits"):
            show_pairs(stage([], [Pair(pair_id=name, phone="phone", status="unpaired")], []), out)


def test_without_any_result_there_is_nothing_to_show(tmp_path: Path, out: Path) -> None:
    assert show_pairs(RunResults(tmp_path, Params()), out) == {}
    assert details.Shown.table_in(out).is_file()


def test_a_full_disk_leaves_no_picture_that_is_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.write_bytes

    def fill(path: Path, content: bytes) -> int:
        real(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OSError, match="No space left") as caught:
        Album(tmp_path).add("phone.jpg", np.zeros((8, 8, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []
    assert caught.value.filename == str(tmp_path / "phone.jpg")
