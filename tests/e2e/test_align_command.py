"""`dpedtool align` as a user runs it: what it writes, what it keeps, what it does again."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image as PillowImage

from dpedtool.dataset.schema import Alignment
from dpedtool.pipeline.align.overlay import checkerboard

SCENES = ("001", "002", "003", "004", "005", "006")
TABLES = {"alignments.parquet", "pairs.parquet", "shots.parquet", "synchronisation.json", "timings.parquet"}
# From the photo as it is seen to the rows as they are stored, by EXIF orientation (Exif 2.32, table 6).
STORED = {
    1: None,
    2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
    3: PillowImage.Transpose.ROTATE_180,
    4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
    5: PillowImage.Transpose.TRANSPOSE,
    6: PillowImage.Transpose.ROTATE_90,
    7: PillowImage.Transpose.TRANSVERSE,
    8: PillowImage.Transpose.ROTATE_270,
}


def table_of(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "alignments.parquet").set_index("pair_id")


def timeless(files: dict[str, bytes]) -> dict[str, bytes]:
    """All but how long the pairs took, which no two runs share."""
    assert "timings.parquet" in files
    return {name: content for name, content in files.items() if name != "timings.parquet"}


def crop(photo: np.ndarray, row: pd.Series) -> np.ndarray:
    x, y, width, height = (int(row[f"crop_{side}"]) for side in ("x", "y", "width", "height"))
    return photo[y : y + height, x : x + width]


def save_turned(photo: Path, to: Path, orientation: int) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    to.parent.mkdir(parents=True, exist_ok=True)
    with PillowImage.open(photo) as image:
        stored = image if STORED[orientation] is None else image.transpose(STORED[orientation])
        stored.save(to, quality=97, subsampling=0, exif=exif)


# What it writes


def test_two_folders_give_a_table_and_two_images_a_pair_and_nothing_else(aligned, content):
    names = [f"phone--{scene}.png" for scene in SCENES]
    images = {f"{camera}/{name}" for camera in ("phone", "dslr") for name in names}
    assert set(content(aligned)) == TABLES | images
    table = table_of(aligned)
    assert list(table.index) == [f"phone--{scene}" for scene in SCENES]
    assert (table["status"] == "aligned").all()
    assert (table["reason"] == "").all()


def test_the_phone_image_is_the_crop_of_the_photo_untouched(rig, aligned):
    for pair_id, row in table_of(aligned).iterrows():
        photo = cv2.imread(str(rig.phone / f"{row['scene_id']}.png"))
        image = cv2.imread(str(aligned / "phone" / f"{pair_id}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(image, crop(photo, row))
        assert row["coverage"] == pytest.approx(image.size / photo.size)


def test_the_dslr_image_shows_pixel_for_pixel_what_the_truth_says(rig, aligned):
    for pair_id, row in table_of(aligned).iterrows():
        image = cv2.imread(str(aligned / "dslr" / f"{pair_id}.png"))
        assert image.shape == (row["crop_height"], row["crop_width"], 3)
        errors = [difference(image, rig, row, shift) for shift in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))]
        # The truth itself must fit far better than the same a pixel aside; what is left is the resampling's.
        assert errors[0] < 3
        assert errors[0] < 0.3 * min(errors[1:])


def difference(image: np.ndarray, rig, row: pd.Series, shift: tuple[int, int]) -> float:
    """Mean difference in grey values from the DSLR photo taken where the truth, shifted by phone px, says."""
    dslr = cv2.GaussianBlur(cv2.imread(str(rig.dslr / f"{row['scene_id']}.png")), (0, 0), 0.55)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    points = np.column_stack([x.ravel() + row["crop_x"] + shift[0], y.ravel() + row["crop_y"] + shift[1]])
    places = rig.truths[row["scene_id"]].dslr_from_phone(points.astype(float)).reshape(*image.shape[:2], 2)
    expected = cv2.remap(dslr, places.astype(np.float32), None, cv2.INTER_CUBIC).astype(float)
    return float(np.abs(expected - image)[4:-4, 4:-4].mean())


def test_two_photos_give_one_pair(rig, tmp_path, dpedtool, aligned):
    ended = dpedtool("align", *rig.photos("003"), "-o", tmp_path / "new" / "out")
    assert ended.said == []
    assert ended.out.startswith("Aligned 1 of 1 pair; median residual 0.")
    table = table_of(tmp_path / "new" / "out")
    assert list(table.index) == ["phone--003"]
    for camera in ("phone", "dslr"):
        name = Path(camera) / "phone--003.png"
        assert (tmp_path / "new" / "out" / name).read_bytes() == (aligned / name).read_bytes()


def test_frames_of_a_moment_are_counted_apart(rig, tmp_path, dpedtool):
    """The second photo of the moment shows something else."""
    for camera in ("phone", "dslr"):
        (tmp_path / camera).mkdir()
    shutil.copy(rig.dslr / "003.png", tmp_path / "dslr" / "003.png")
    for name in ("003", "004"):
        shutil.copy(rig.phone / f"{name}.png", tmp_path / "phone" / f"{name}.png")
    (tmp_path / "list.csv").write_text("phone,dslr\n003,003\n004,003\n")
    arguments = ("align", tmp_path / "phone", tmp_path / "dslr", "--csv", tmp_path / "list.csv", "-o", tmp_path / "out")
    told = json.loads(dpedtool(*arguments, "--no-images", "--json").out)
    table = table_of(tmp_path / "out")
    assert list(table["status"]) == ["aligned", "rejected"]
    (reason,) = table["reason"][1:]
    assert (told["rows"], told["statuses"], told["reasons"]) == (1, {"aligned": 1}, {})
    assert list(table["role"]) == ["base", "frame"]
    assert told["frames"] == {
        "all": 1, "aligned": 0, "rejected": 1, "failed": 0, "reasons": {reason: 1}, "stand_ins": 0
    }  # fmt: skip
    said = dpedtool(*arguments, "--no-images").out
    assert "Aligned 1 of 1 moment, and 0 of 1 further frame; median residual of the moments 0." in said
    assert f"1 further frame rejected (1 {reason}):" in said


def test_two_photos_end_with_a_picture_that_shows_both(rig, tmp_path, dpedtool):
    ended = dpedtool("align", *rig.photos("003"), "-o", tmp_path)
    picture = tmp_path / "overlay" / "phone--003.jpg"
    assert ended.out.splitlines()[-1] == (
        f"Look at {picture}: squares of the phone's photo and of the DSLR's in turn; edges that break at a border are "
        "misaligned."
    )
    assert [path.name for path in picture.parent.iterdir()] == [picture.name]
    board, phone, dslr = (
        cv2.imread(str(path)) for path in (picture, *(tmp_path / side / "phone--003.png" for side in ("phone", "dslr")))
    )
    assert board.shape == phone.shape
    off, off_exchanged = (
        np.abs(board.astype(int) - checkerboard(*images)).mean() for images in ((phone, dslr), (dslr, phone))
    )
    # JPEG alone is between them.
    assert off < 3
    assert off < 0.9 * off_exchanged


def test_a_picture_of_an_earlier_alignment_goes_and_others_stay(rig, tmp_path, dpedtool):
    dpedtool("align", *rig.photos("003"), "-o", tmp_path)
    (tmp_path / "overlay" / "mine.jpg").write_bytes(b"mine")
    (tmp_path / "overlay" / "folder.jpg").mkdir()
    (tmp_path / "overlay" / "astray.jpg").symlink_to("nowhere")
    dpedtool("align", *rig.photos("001"), "-o", tmp_path)
    others = {"mine.jpg", "folder.jpg", "astray.jpg"}
    assert {path.name for path in (tmp_path / "overlay").iterdir()} == {*others, "phone--001.jpg"}
    ended = dpedtool("align", *rig.photos("001"), "-o", tmp_path, "--no-images")
    assert "Look at" not in ended.out
    dpedtool("align", rig.photos("001")[0], rig.photos("002")[1], "-o", tmp_path, code=1)
    assert {path.name for path in (tmp_path / "overlay").iterdir()} == others


def test_the_picture_is_not_written_among_the_photos(rig, tmp_path, dpedtool):
    photos = rig.copy(tmp_path / "photos", ["001"])
    photos.phone.rename(tmp_path / "overlay")
    ended = dpedtool("align", tmp_path / "overlay" / "001.png", photos.dslr / "001.png", "-o", tmp_path, code=1)
    assert "among the photos" in ended.sentence
    assert [path.name for path in (tmp_path / "overlay").iterdir()] == ["001.png"]


def test_the_number_of_workers_changes_no_byte(rig, aligned, dpedtool, content):
    dpedtool("align", rig.phone, rig.dslr, "-o", rig.folder / "by_two", "--workers", 2)
    assert timeless(content(rig.folder / "by_two")) == timeless(content(aligned))


def test_all_orientations_are_turned_upright(rig, tmp_path, dpedtool):
    phone, dslr = rig.photos("001")
    for orientation in STORED:
        save_turned(phone, tmp_path / "phone" / f"{orientation}.jpg", orientation)
        save_turned(dslr, tmp_path / "dslr" / f"{orientation}.jpg", 9 - orientation)
    dpedtool("align", tmp_path / "phone", tmp_path / "dslr", "-o", tmp_path / "out", "--workers", 1)
    table = table_of(tmp_path / "out")
    assert (table["phone_width"] == 360).all()
    assert (table["dslr_width"] == 600).all()
    for pair_id, row in table.iterrows():
        image = cv2.imread(str(tmp_path / "out" / "phone" / f"{pair_id}.png")).astype(int)
        # JPEG at quality 97 moves a grey value by a few steps; a turned photo by dozens.
        assert np.abs(image - crop(cv2.imread(str(phone)), row)).mean() < 3


def test_relative_paths_without_git_dvc_or_home(rig, tmp_path, dpedtool):
    """No program is on the PATH, the working folder is somewhere else, and the results name the photos relatively."""
    rig.copy(tmp_path / "my photos", ["001"])
    bare = {"PATH": str(tmp_path / "nothing"), "LC_ALL": "C.UTF-8"}
    dpedtool("align", "phone", "dslr", "-o", "../out", "--workers", 1, cwd=tmp_path / "my photos", env=bare)
    row = table_of(tmp_path / "out").loc["phone--001"]
    assert row["phone_path"] == "../my photos/phone/001.png"
    # Moved together, photos and results still belong together.
    (tmp_path / "elsewhere").mkdir()
    for name in ("my photos", "out"):
        shutil.move(tmp_path / name, tmp_path / "elsewhere")
    ended = dpedtool("patches", tmp_path / "elsewhere" / "out", "-o", "cut", "--workers", 1, cwd=tmp_path, env=bare)
    assert ended.out.startswith("Accepted ")
    assert not ended.out.startswith("Accepted 0 ")


# What it keeps, and what it does again


def test_a_second_run_changes_no_file_but_the_tables(rig, dpedtool, tmp_path, content, times):
    photos = rig.copy(tmp_path / "photos", ["001", "002"])
    arguments = ("align", photos.phone, photos.dslr, "-o", tmp_path / "out", "--workers", 1)
    dpedtool(*arguments)
    before, written = content(tmp_path / "out"), times(tmp_path / "out")
    dpedtool(*arguments)
    assert content(tmp_path / "out") == before
    now = times(tmp_path / "out")
    assert {name for name in now if now[name] != written[name]} <= TABLES


def test_without_images_the_table_alone_then_the_images_that_are_missing(rig, dpedtool, tmp_path, content, times):
    photos = rig.copy(tmp_path / "photos", ["001", "002"])
    out = tmp_path / "out"
    arguments = ("align", photos.phone, photos.dslr, "-o", out, "--workers", 1)
    dpedtool(*arguments, "--no-images")
    assert set(content(out)) == TABLES
    table = (out / "alignments.parquet").read_bytes()
    dpedtool(*arguments)
    complete, written = content(out), times(out)
    assert len(complete) == len(TABLES) + 4
    assert complete["alignments.parquet"] == table
    (out / "dslr" / "phone--002.png").unlink()
    dpedtool(*arguments)
    assert timeless(content(out)) == timeless(complete)
    assert times(out)["phone/phone--001.png"] == written["phone/phone--001.png"]


def test_a_photo_that_was_replaced_is_done_anew_and_no_other(rig, dpedtool, tmp_path, times):
    photos = rig.copy(tmp_path / "photos", ["001", "002"])
    out = tmp_path / "out"
    arguments = ("align", photos.phone, photos.dslr, "-o", out, "--workers", 1)
    dpedtool(*arguments)
    written, before = times(out), table_of(out)
    for old, new in zip(photos.photos("001"), rig.photos("003"), strict=True):
        size = old.stat()
        shutil.copy(new, old)
        os.utime(old, ns=(size.st_atime_ns, size.st_mtime_ns))  # content counts, not the time
    dpedtool(*arguments)
    after = table_of(out)
    assert after.loc["phone--001", "phone_sha256"] != before.loc["phone--001", "phone_sha256"]
    image = cv2.imread(str(out / "phone" / "phone--001.png"))
    np.testing.assert_array_equal(image, crop(cv2.imread(str(rig.phone / "003.png")), after.loc["phone--001"]))
    assert times(out)["phone/phone--002.png"] == written["phone/phone--002.png"]


def test_a_photo_that_became_unusable_leaves_no_image_of_its_earlier_self(rig, dpedtool, tmp_path, content):
    photos = rig.copy(tmp_path / "photos", ["001", "002", "003"])
    arguments = ("align", photos.phone, photos.dslr, "-o", tmp_path / "out", "--workers", 1)
    dpedtool(*arguments)
    photos.photos("001")[0].write_text("no photo any more")
    photos.photos("003")[0].unlink()
    dpedtool(*arguments)
    assert table_of(tmp_path / "out")["status"].to_dict() == {"phone--001": "failed", "phone--002": "aligned"}
    images = {name for name in content(tmp_path / "out") if name.endswith(".png")}
    assert images == {"phone/phone--002.png", "dslr/phone--002.png"}


def test_other_parameters_are_not_served_from_an_earlier_run(rig, dpedtool, tmp_path):
    out = tmp_path / "out"
    dpedtool("align", *rig.photos("001"), "-o", out, "--no-images")
    usual = table_of(out).loc["phone--001", "matches"]
    dpedtool("align", *rig.photos("001"), "-o", out, "--no-images", "-S", "align.ratio=0.5")
    assert table_of(out).loc["phone--001", "matches"] < usual


# What it says


def test_the_help_names_every_status_and_every_reason_on_a_line_of_its_own(dpedtool):
    lines = [line.strip() for line in dpedtool("align", "--help").out.splitlines()]
    for reason, meaning in Alignment.REASONS.items():
        assert any(line.startswith(f"{reason} ") and line.endswith(f" {meaning}") for line in lines), reason
    words = " ".join(lines)
    assert (
        "The status of a pair: aligned, rejected (for what the photos show) or failed (no verdict: another run" in words
    )
    assert set(Alignment.STATUSES) == {"aligned", "rejected", "failed"}


def test_a_wide_part_at_another_depth_is_followed_unless_that_is_turned_off(rig, dpedtool, tmp_path):
    photos = rig.copy(tmp_path / "photos", ["001", "002"])
    moved = cv2.imread(str(photos.photos("002")[0]))
    moved[90:200, 130:250] = np.roll(moved, 5, axis=1)[90:200, 130:250]
    cv2.imwrite(str(photos.photos("002")[0]), moved)
    words = ("align", photos.phone, photos.dslr, "-o", tmp_path / "out", "--workers", 1)
    followed = dpedtool(*words)
    line = "1 pair shows depth, which the transform follows (model local)."
    assert line in followed.out.splitlines()
    assert [file.name for file in (tmp_path / "out" / "nodes").iterdir()] == ["phone--002.npy"]
    ended = dpedtool(*words, "-S", "align.local=false")
    assert "1 pair has masked parts, which show parallax or motion." in ended.out.splitlines()
    assert not list((tmp_path / "out" / "nodes").iterdir())


def test_the_motion_between_frames_is_said_and_in_the_table(rig, dpedtool, tmp_path):
    """The further frame is the base frame's photo, its content moved by 4 px to the right and 3 px down."""
    photos = rig.copy(tmp_path / "photos", ["001", "002"])
    further = np.roll(cv2.imread(str(photos.photos("001")[0])), (3, 4), axis=(0, 1))
    cv2.imwrite(str(photos.phone / "later.png"), further)
    taken = {"001": "2024:05:04 10:00:00", "later": "2024:05:04 10:00:01", "002": "2024:05:04 10:05:00"}
    for name, moment in taken.items():
        for file in photos.folder.glob(f"*/{name}.png"):
            exif = PillowImage.Exif()
            exif[306] = moment
            with PillowImage.open(file) as image:
                image.save(file, exif=exif)
    ended = dpedtool("align", photos.phone, photos.dslr, "-o", tmp_path / "out", "--no-images", "--workers", 1)
    table = table_of(tmp_path / "out")
    assert table["role"].tolist().count("frame") == 1
    assert table["shake_px"].notna().tolist() == (table["role"] == "frame").tolist()
    assert table["shake_px"].max() == pytest.approx(5, abs=0.15)
    assert table["shake_deg"].max() == pytest.approx(0, abs=0.02)
    assert "The camera moved by 5." in ended.out or "The camera moved by 4.9" in ended.out


def test_parts_that_moved_are_masked_counted_and_cut_into_no_patch(rig, dpedtool, tmp_path):
    photos = rig.copy(tmp_path / "photos", ["001", "002"])
    moved = cv2.imread(str(photos.photos("002")[0]))
    moved[90:160, 140:220] = np.roll(moved, 5, axis=1)[90:160, 140:220]
    cv2.imwrite(str(photos.photos("002")[0]), moved)
    ended = dpedtool("align", photos.phone, photos.dslr, "-o", tmp_path / "out", "--workers", 1)
    assert "1 pair has masked parts, which show parallax or motion." in ended.out.splitlines()
    assert not list((tmp_path / "out" / "nodes").iterdir())
    table = table_of(tmp_path / "out")
    assert (table["masked"] > 0).tolist() == [False, True]
    settings = ("-S", "patches.size_px=40", "-S", "patches.stride_px=20")
    dpedtool("patches", tmp_path / "out", "-o", tmp_path / "cut", "--workers", 1, *settings)
    patches = pd.read_parquet(tmp_path / "cut" / "patches.parquet")
    masked = patches[patches["reason"] == "masked"]
    assert set(masked["pair_id"]) == {"phone--002"}
    middle = patches[
        (patches["pair_id"] == "phone--002") & patches["x"].between(140, 180) & patches["y"].between(90, 120)
    ]
    assert len(middle) > 1
    assert (middle["reason"] == "masked").all()
