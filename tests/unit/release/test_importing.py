"""Imports of other people's data sets: every pair that can be read is kept unchanged, and measured."""

from __future__ import annotations

import io
import itertools
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from dying import dying_after
from PIL import Image as PillowImage

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import file_sha256, read_json
from dpedtool.dataset.params import Params, PatchesParams, SplitParams
from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.schema import Patch, Sample
from dpedtool.dataset.shards import Extent, member_name
from dpedtool.dataset.tables import read_frame, read_rows
from dpedtool.pipeline.release.importing import layout
from dpedtool.pipeline.release.importing.layout import Imported, import_layout
from dpedtool.pipeline.release.importing.measured_pair import judge_pair, measure_pair
from dpedtool.training.data import PatchPairs

SIDE = 48


def save(folder: Path, name: str, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


@pytest.fixture
def make(texture):
    """Return a function that writes equal-named patches: the phone's are the DSLR's, darker and flatter."""

    def make_pairs(above: Path, count: int, first: int = 0) -> Path:
        for number in range(count):
            dslr = texture(SIDE, SIDE, seed=first + number)
            save(above / "canon", f"{number}.jpg", encode_image(dslr, ".jpg"))
            save(above / "iphone", f"{number}.jpg", encode_image((0.7 * dslr + 20).astype(np.uint8), ".jpg"))
        return above

    return make_pairs


@pytest.fixture
def phone(tmp_path: Path, make) -> Path:
    home = tmp_path / "iphone"
    make(home / "training_data", 12)
    make(home / "test_data" / "patches", 3, first=100)
    return home


def patches(out: Path) -> list[Patch]:
    return read_rows(out / "patches" / "iphone" / "patches.parquet", Patch)


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def note(done: Imported, words: str) -> str:
    (found,) = [note for note in done.notes if words in note]
    return found


def test_files_are_taken_over_byte_for_byte_in_the_order_of_their_numbers(phone: Path, tmp_path: Path) -> None:
    import_layout(phone, tmp_path / "out", Params(split=SplitParams(validation=0.0)))
    rows = patches(tmp_path / "out")
    names = [f"iphone--train--{number}" for number in range(12)] + [f"iphone--test--{number}" for number in range(3)]
    assert [row.patch_id for row in rows] == names
    for row in rows:
        content = row.shard.read_bytes()
        assert content[row.phone_offset :][: row.phone_bytes] == row.phone_path.read_bytes()
        assert content[row.dslr_offset :][: row.dslr_bytes] == row.dslr_path.read_bytes()
        assert (row.phone_sha256, row.dslr_sha256) == (file_sha256(row.phone_path), file_sha256(row.dslr_path))
        assert (row.status, row.mode, row.size, row.x, row.phone_x) == ("accepted", "imported", SIDE, None, None)
    assert len({row.pair_id for row in rows}) == len({row.scene_id for row in rows}) == 15


def test_the_samples_are_what_training_reads(phone: Path, tmp_path: Path) -> None:
    done = import_layout(phone, tmp_path / "out", Params(split=SplitParams(validation=0.25)))
    assert done.patches.loc["iphone"].to_dict() == {"train": 9, "validation": 3, "test": 3}
    table = tmp_path / "out" / "splits" / "iphone.parquet"
    sides = {name: PatchPairs(table, name).names() for name in ("train", "validation", "test")}
    assert {name: len(names) for name, names in sides.items()} == {"train": 9, "validation": 3, "test": 3}
    for image, camera in zip(PatchPairs(table, "test").images(1), ("iphone", "canon"), strict=True):
        assert np.array_equal(image, load_photo(phone / "test_data" / "patches" / camera / "1.jpg"))
    assert "3 pairs are held out from the training pairs" in note(done, "no pairs are marked for validation")
    again = import_layout(phone, tmp_path / "other", Params(split=SplitParams(validation=0.25, seed=1)))
    assert PatchPairs(tmp_path / "other" / "splits" / "iphone.parquet", "validation").names() != sides["validation"]
    assert again.patches.equals(done.patches)


def test_nothing_is_held_out_where_there_is_a_validation_or_nothing_to_train_on(
    phone: Path, tmp_path: Path, make
) -> None:
    make(phone / "validation_data" / "patches", 2, first=50)
    done = import_layout(phone, tmp_path / "out", Params())
    assert done.patches.loc["iphone"].to_dict() == {"train": 12, "validation": 2, "test": 3}
    tests = import_layout(make(tmp_path / "plain", 4), tmp_path / "tests", Params(), part="test")
    assert tests.patches.loc["iphone"].to_dict() == {"train": 0, "validation": 0, "test": 4}
    assert not any("held out" in note for note in (*done.notes, *tests.notes))


def test_a_known_shift_is_measured(texture) -> None:
    picture = texture(130, 130, seed=3)
    shifted = cv2.warpAffine(picture, np.array([[1, 0, 1.3], [0, 1, -0.6]]), (130, 130), flags=cv2.INTER_CUBIC)
    facts = measure_pair(picture[15:115, 15:115], shifted[15:115, 15:115], PatchesParams())
    assert (facts["residual_x"], facts["residual_y"]) == (pytest.approx(1.3, abs=0.05), pytest.approx(-0.6, abs=0.05))
    assert facts["residual_px"] == pytest.approx(np.hypot(1.3, 0.6), abs=0.05)
    assert facts["residual_error_px"] < 0.1
    assert (facts["dx"], facts["dy"], facts["angle_deg"]) == (-1, 1, 0)
    assert facts["ncc"] < facts["best_ncc"] <= 1


@pytest.mark.parametrize("side", [1, 8, 13, 14, 20, 33])
def test_small_patches_are_measured_as_far_as_they_go(side: int, texture) -> None:
    picture = texture(side, side)
    facts = measure_pair(picture, picture, PatchesParams())
    assert bool(facts) == (side >= 14)
    assert facts.get("ncc", 1) == pytest.approx(1)
    assert facts.get("dx", 0) == 0


def test_a_plain_patch_has_no_shift_but_is_kept(tmp_path: Path) -> None:
    grey = encode_image(np.full((SIDE, SIDE, 3), 99, np.uint8), ".png")
    for camera in ("iphone", "canon"):
        save(tmp_path / "in" / camera, "0.png", grey)
    import_layout(tmp_path / "in", tmp_path / "out", Params(), part="train")
    (row,) = patches(tmp_path / "out")
    assert (row.status, row.ncc, row.residual_px, row.phone_brightness) == ("accepted", None, None, 99)


def test_what_makes_no_pair_is_a_row_with_a_reason(tmp_path: Path, make, texture) -> None:
    home = make(tmp_path / "in", 6)
    (home / "canon" / "1.jpg").unlink()
    (home / "iphone" / "2.jpg").unlink()
    (home / "iphone" / "3.jpg").write_bytes(b"no image")
    (home / "canon" / "4.jpg").write_bytes(encode_image(texture(SIDE, SIDE - 2), ".jpg"))
    done = import_layout(home, tmp_path / "out", Params(), part="test")
    rows = patches(tmp_path / "out")
    reasons = ["", "no_mate", "no_mate", "unreadable_photo", "unequal_sizes", ""]
    assert [row.reason for row in rows] == reasons
    assert [row.status for row in rows] == ["rejected" if reason else "accepted" for reason in reasons]
    assert rows[1].detail == f"{home / 'iphone' / '1.jpg'} has no mate: {home / 'canon'} has no image named 1."
    sizes = f"{home / 'iphone' / '4.jpg'} is 48x48 px, but {home / 'canon' / '4.jpg'} is 46x48 px"
    assert rows[4].detail == f"{sizes}: a pair must have one size, or the DSLR's image 2 or 4 times the phone's."
    assert len(read_frame(tmp_path / "out" / "splits" / "iphone.parquet", Sample)) == 2
    said = note(done, "left out")
    assert said.startswith("iphone: 4 of 6 pairs are left out (2 no_mate, 1 unequal_sizes, 1 unreadable_photo)")
    assert rows[1].detail in said


@pytest.mark.parametrize("scale", [2, 4])
def test_targets_that_are_larger_are_measured_on_the_phones_px(tmp_path: Path, texture, scale: int) -> None:
    home = tmp_path / "in"
    dslr = cv2.resize(texture(SIDE, SIDE), None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    phone = cv2.resize(dslr, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    for folder, image in (("canon", dslr), ("iphone", phone)):
        save(home / folder, "0.png", encode_image(image, ".png"))
    import_layout(home, tmp_path / "out", Params(), part="test")
    (row,) = patches(tmp_path / "out")
    assert (row.status, row.size, row.target_scale) == ("accepted", SIDE, scale)
    assert row.ncc > 0.999
    assert row.residual_px < 0.01
    (sample,) = read_rows(tmp_path / "out" / "splits" / "iphone.parquet", Sample)
    assert sample.target_scale == scale


def turned(picture: np.ndarray) -> bytes:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    PillowImage.fromarray(picture[..., ::-1]).save(content, "JPEG", quality=95, exif=exif)
    return content.getvalue()


KINDS = {
    "turned.jpg": turned,
    "deep.png": lambda picture: cv2.imencode(".png", picture.astype(np.uint16) * 257 + 150)[1].tobytes(),
    "lossless.webp": lambda picture: cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes(),
    "plain.bmp": lambda picture: cv2.imencode(".bmp", picture)[1].tobytes(),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_reads_otherwise_in_a_shard_is_stored_as_png_with_its_pixels(
    tmp_path: Path, texture, name: str
) -> None:
    for camera in ("iphone", "canon"):
        save(tmp_path / "in" / camera, name, KINDS[name](texture(SIDE, SIDE) // 2))
    done = import_layout(tmp_path / "in", tmp_path / "out", Params(), part="test")
    (row,) = patches(tmp_path / "out")
    assert row.detail.startswith(f"{name} and {name}: stored as PNG")
    stored = PatchPairs(tmp_path / "out" / "splits" / "iphone.parquet", "test").images(0)
    assert np.array_equal(stored[0], load_photo(tmp_path / "in" / "iphone" / name))
    assert "1 pair has a file that was stored again as PNG" in note(done, "stored again")


def test_pairs_that_are_no_squares_are_measured_in_their_middle(tmp_path: Path, texture) -> None:
    for camera in ("iphone", "canon"):
        save(tmp_path / "in" / camera, "0.png", encode_image(texture(40, 90), ".png"))
    judged = judge_pair(tmp_path / "in/iphone/0.png", tmp_path / "in/canon/0.png", PatchesParams())
    assert judged.facts["size"] is None
    assert judged.facts["ncc"] == pytest.approx(1)


def test_tables_and_shards_do_not_depend_on_workers_or_batches(
    phone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = Params(patches=PatchesParams(shard_patches=4))
    import_layout(phone, tmp_path / "one", params)
    monkeypatch.setattr(layout, "BATCH", 5)
    import_layout(phone, tmp_path / "two", params, workers=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert {f"patches/iphone/patches-0000{shard}.tar" for shard in range(4)} < files(tmp_path / "one").keys()


def test_an_interrupted_import_leaves_no_table_and_goes_on(
    phone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_layout(phone, tmp_path / "whole", Params())
    monkeypatch.setattr(layout, "BATCH", 5)
    judged = []

    def counted(*arguments: object) -> object:
        judged.append(arguments)
        if len(judged) == 8:
            raise KeyboardInterrupt
        return judge_pair(*arguments)

    monkeypatch.setattr(layout, "judge_pair", counted)
    with pytest.raises(KeyboardInterrupt):
        import_layout(phone, tmp_path / "out", Params())
    assert not list((tmp_path / "out").glob("*/*.parquet"))
    assert [path.name for path in (tmp_path / "out" / "patches" / "iphone").iterdir()] == [".parts"]
    import_layout(phone, tmp_path / "out", Params())
    assert len(judged) == 8 + 10
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_a_kill_or_a_full_disk_while_results_are_published_loses_nothing(tmp_path: Path, make) -> None:
    phone = tmp_path / "iphone"
    make(phone / "training_data", 4)
    first, second = (Params(patches=PatchesParams(shard_patches=count)) for count in (1, 3))
    for name in ("before", "fresh"):
        import_layout(phone, tmp_path / name, first)
    import_layout(phone, tmp_path / "fresh", second)
    for step in itertools.count(0, 3):
        killed = tmp_path / f"killed-{step}"
        shutil.copytree(tmp_path / "before", killed)
        with dying_after(step) as refused:
            import_layout(phone, killed, second)
        if (killed / "splits" / "iphone.parquet").exists():
            check_samples(killed)
        import_layout(phone, killed, second)
        assert files(killed) == files(tmp_path / "fresh"), step
        if not refused:
            break
    assert step > 10


def check_samples(out: Path) -> None:
    """Samples that a killed import leaves name the patches that they say."""
    for sample in read_rows(out / "splits" / "iphone.parquet", Sample):
        extent = Extent(sample.phone_offset, sample.phone_bytes)
        assert member_name(sample.shard, extent).startswith(f"{sample.patch_id}.phone.")


def test_a_file_that_was_mended_since_is_read_again(phone: Path, tmp_path: Path, texture) -> None:
    (phone / "training_data" / "iphone" / "7.jpg").write_bytes(b"damaged")
    import_layout(phone, tmp_path / "out", Params())
    (phone / "training_data" / "iphone" / "7.jpg").write_bytes(encode_image(texture(SIDE, SIDE, 7), ".jpg"))
    import_layout(phone, tmp_path / "out", Params())
    assert {row.status for row in patches(tmp_path / "out")} == {"accepted"}


def test_work_that_came_to_no_end_stops_the_import(
    phone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> object:
        raise ZeroDivisionError("by hand")

    monkeypatch.setattr(layout, "judge_pair", broken)
    with pytest.raises(DpedtoolError, match=r"^The pairs 0 to 11 of .* could not be processed: ZeroDivisionError: by"):
        import_layout(phone, tmp_path / "out", Params())
    assert not list((tmp_path / "out").rglob("*.parquet"))


@pytest.mark.parametrize("table", ["splits/photos.parquet", "patches/iphone/frames.parquet"])
def test_a_folder_with_patches_of_photos_is_left_as_it_is(phone: Path, tmp_path: Path, table: str) -> None:
    save((tmp_path / "out" / table).parent, Path(table).name, b"ours")
    with pytest.raises(DpedtoolError, match="belongs to patches that were cut from photos: choose another"):
        import_layout(phone, tmp_path / "out", Params())


def test_a_phone_called_photos_is_refused(phone: Path, tmp_path: Path) -> None:
    phone.rename(tmp_path / "Photos")
    with pytest.raises(DpedtoolError, match="A phone is called photos"):
        import_layout(tmp_path / "Photos", tmp_path / "out", Params())


def test_what_an_import_was_made_with_lies_beside_the_table(phone: Path, tmp_path: Path) -> None:
    import_layout(phone, tmp_path / "out", Params())
    told = read_json(tmp_path / "out" / "patches" / "iphone" / "imported.json")
    assert told["patches"] == {"train": 11, "validation": 1, "test": 3}
    assert told["residual_px"]["measured"] == 15
    assert told["residual_px"]["p95"] < 0.1
    assert {row.params_sha256 for row in patches(tmp_path / "out")} == {told["params_sha256"]}


def test_a_release_of_other_layouts_is_not_imported(tmp_path: Path) -> None:
    for name in ("examples", "webdataset"):
        (tmp_path / name).mkdir()
    (tmp_path / "release.json").touch()
    with pytest.raises(DpedtoolError, match="is a release without layout dped: only that layout can be imported"):
        import_layout(tmp_path, tmp_path / "out", Params())
