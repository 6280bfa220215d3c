"""Real photos: a phone and a DSLR before flat scenes, scenes with depth, and files from eight cameras.

Residuals over the scenes tested here: median 0.06 px, 95th percentile 0.27 px.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image as PillowImage
from PIL import ImageOps
from real_data import real_folder

from benchmarks.exposures import in_the_dark
from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.schema import Alignment
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.geometry.aligned import mask_columns, transform
from dpedtool.pipeline.geometry.homographies import local_scale
from dpedtool.pipeline.measure.residuals import comparable, search

SCENES = 50


def dpedtool(*arguments, code: int = 0) -> str:
    """Run the command, and return what it says on both streams."""
    words = [sys.executable, "-m", "dpedtool", *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def city100() -> Path:
    return real_folder("city100")


@pytest.fixture(scope="module")
def aligned(city100, tmp_path_factory) -> Path:
    """The first scenes, linked so that nothing can be written beside the originals."""
    folder = tmp_path_factory.mktemp("city100")
    for camera in ("iphonex", "nikon_d5500"):
        (folder / camera).mkdir()
        for photo in sorted((city100 / camera).glob("*.jpg"))[:SCENES]:
            (folder / camera / photo.name).symlink_to(photo)
    said = dpedtool("align", folder / "iphonex", folder / "nikon_d5500", "-o", folder / "out", "--workers", 2)
    assert f"Aligned {SCENES} of {SCENES} pairs" in said
    return folder / "out"


@pytest.fixture(scope="module")
def measured(aligned) -> dict[str, np.ndarray]:
    """How far windows of the two written images are from each other, in px, by pair."""
    lengths = {}
    for pair_id in pd.read_parquet(aligned / "alignments.parquet")["pair_id"]:
        images = (cv2.imread(str(aligned / camera / f"{pair_id}.png")) for camera in ("phone", "dslr"))
        found = search(*comparable(*images)[:2])
        lengths[pair_id] = found.lengths[found.found]
    return lengths


def test_bursts_are_told_apart_by_what_the_photos_show(city100, tmp_path):
    """Ten scenes as bursts of five, 0.4 s apart, in whole seconds, under names in no order; each camera misses two."""
    missing = {"iphonex": {1, 8}, "nikon_d5500": {5, 6}}
    for camera, missed in missing.items():
        (tmp_path / camera).mkdir()
        for shot, photo in enumerate(sorted((city100 / camera).glob("*.jpg"))[:10]):
            if shot not in missed:
                moment = datetime(2024, 5, 4, 10) + timedelta(seconds=60 * (shot // 5) + 0.4 * shot)
                exif = PillowImage.Exif()
                exif[306] = moment.strftime("%Y:%m:%d %H:%M:%S")
                name = f"{shot * 7 % 10}-{camera}-{shot}.jpg"
                PillowImage.open(photo).save(tmp_path / camera / name, quality=95, exif=exif)
    said = dpedtool("pair", tmp_path / "iphonex", tmp_path / "nikon_d5500", "-o", tmp_path / "out")
    assert "6 pairs had several candidates by time: 6 resolved by comparing the pictures" in said
    table = pd.read_parquet(tmp_path / "out" / "pairs.parquet").query("status == 'paired'")
    shots = table[["phone_path", "dslr_path"]].map(lambda path: int(path[:-4].rpartition("-")[2]))
    assert sorted(shots.itertuples(index=False, name=None)) == [(shot, shot) for shot in (0, 2, 3, 4, 7, 9)]


def test_all_pairs_are_aligned_to_a_fraction_of_a_pixel(aligned, measured):
    table = pd.read_parquet(aligned / "alignments.parquet")
    assert (table["status"] == "aligned").all()
    assert min(len(lengths) for lengths in measured.values()) > 100
    assert max(np.median(lengths) for lengths in measured.values()) < 0.25
    assert np.median([np.median(lengths) for lengths in measured.values()]) <= 0.055
    assert np.median([np.percentile(lengths, 95) for lengths in measured.values()]) <= 0.3


def test_the_table_says_the_residuals_that_the_images_have(aligned, measured):
    """The table measures on grey images of its own, so that the last hundredths differ."""
    for pair_id, row in pd.read_parquet(aligned / "alignments.parquet").set_index("pair_id").iterrows():
        lengths = measured[pair_id]
        assert row["residual_windows"] == pytest.approx(len(lengths), rel=0.1)
        assert row["residual_px"] == pytest.approx(np.median(lengths), abs=0.02)


def test_most_of_the_phone_photo_is_used(aligned):
    table = pd.read_parquet(aligned / "alignments.parquet")
    assert table["coverage"].min() >= 0.8
    assert table["masked"].max() < 0.05


def patches_of(alignments: list[Alignment], out: Path, mode: str = "strict") -> pd.DataFrame:
    """Cut the patches of these pairs with the command, and return their table."""
    write_rows(Alignment.table_in(out / "aligned"), Alignment, alignments)
    dpedtool("patches", out / "aligned", "-o", out / "patches", "-S", f"patches.mode={mode}", "--workers", 1)
    return pd.read_parquet(out / "patches" / "patches.parquet")


@pytest.fixture(scope="module")
def patches(aligned, tmp_path_factory) -> tuple[pd.DataFrame, Path]:
    """All windows, and the folder of the shards."""
    out = tmp_path_factory.mktemp("patches")
    return patches_of(read_rows(Alignment.table_in(aligned), Alignment), out), out / "patches"


def test_most_windows_become_patches_and_are_aligned_to_a_fraction_of_a_pixel(patches):
    """Measured on the stored images: their inner 84 px, looked for within 8 px, as the shared yardstick does."""
    table, folder = patches
    assert len(table) >= 30 * SCENES
    accepted = table[table["status"] == "accepted"]
    assert len(accepted) > 0.6 * len(table)
    measurable = accepted[accepted["proved_by"] == "window"]
    lengths = np.array([left_over(*images) for images in stored_images(measurable, folder)])
    assert np.isfinite(lengths).sum() > 0.9 * len(measurable)
    assert np.nanmedian(lengths) <= 0.08
    assert np.nanpercentile(lengths, 95) <= 0.4


def stored_images(table: pd.DataFrame, folder: Path) -> Iterator[list[np.ndarray]]:
    """Phone and DSLR image of each patch, read by their offsets."""
    for row in table.itertuples():
        with (folder / row.shard).open("rb") as shard:
            images = []
            for offset, length in ((row.phone_offset, row.phone_bytes), (row.dslr_offset, row.dslr_bytes)):
                shard.seek(int(offset))
                images.append(cv2.imdecode(np.frombuffer(shard.read(int(length)), np.uint8), cv2.IMREAD_GRAYSCALE))
        yield images


def left_over(phone: np.ndarray, dslr: np.ndarray) -> float:
    """Length in px of the shift left between two patches; NaN where none can be measured."""
    a, b = (cv2.GaussianBlur(image, (0, 0), 1.2).astype(np.float32) for image in (phone, dslr))
    if min(a.std(), b.std()) < 6:
        return np.nan
    scores = cv2.matchTemplate(b, a[8:-8, 8:-8], cv2.TM_CCOEFF_NORMED)
    _, peak, _, (x, y) = cv2.minMaxLoc(scores)
    if peak < 0.9 or not (0 < x < 16 and 0 < y < 16):
        return np.nan
    offsets = [
        (v[0] - v[2]) / (2 * (v[0] - 2 * v[1] + v[2])) for v in (scores[y, x - 1 : x + 2], scores[y - 1 : y + 2, x])
    ]
    return float(np.hypot(x - 8 + offsets[0], y - 8 + offsets[1]))


def test_plain_windows_are_kept_where_a_shift_would_do_no_harm(patches):
    """Push each window that only the pair proves along the direction that it knows least: its noise is larger."""
    table, folder = patches
    kept = table[table["status"] == "accepted"]
    assert len(kept) / len(table) >= 0.88
    alone, harmless = kept[kept["proved_by"] == "window"], kept[kept["proved_by"] == "pair"]
    assert len(harmless) > 0.1 * len(table)
    assert alone["residual_px"].median() < 0.045
    assert alone["residual_px"].quantile(0.95) < 0.18
    changes = np.array([changes_of(dslr) for _, dslr in stored_images(harmless, folder)])
    assert (changes <= harmless["noise"].to_numpy()[:, None]).mean(axis=0).min() >= 0.99


def changes_of(image):
    """Root mean square changes of the smoothed image by 1, 2 and 3 px, over the px that stay inside."""
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.2)
    x, y = (cv2.Scharr(image, cv2.CV_32F, *order, scale=1 / 32) for order in ((1, 0), (0, 1)))
    tensor = np.array([[np.mean(x * x), np.mean(x * y)], [np.mean(x * y), np.mean(y * y)]])
    along = np.linalg.eigh(tensor)[1][:, 0]
    inner = np.s_[4:-4, 4:-4]
    changes = []
    for length in (1, 2, 3):
        pushed = [
            cv2.warpAffine(image, np.float32([[1, 0, dx], [0, 1, dy]]), image.shape[::-1])
            for dx, dy in (length * along, -length * along)
        ]
        changes.append(max(np.sqrt(np.mean((image - other)[inner] ** 2)) for other in pushed))
    return changes


@pytest.mark.parametrize(("peak", "least"), [(200, 0.9), (50, 0.6), (15, 0.4)])
def test_at_night_most_windows_are_kept_and_lie_where_the_clean_pair_puts_them(
    city100, aligned, patches, tmp_path, peak, least
):
    """Every fifth scene, as a sensor with this peak, in electrons, would see it."""
    rows = read_rows(Alignment.table_in(aligned), Alignment)[::5]
    for number, row in enumerate(rows):
        dark = in_the_dark(load_photo(row.phone_path), peak, np.random.default_rng([number, peak]))
        for camera, name, image in (("phone", "iphonex", dark), ("dslr", "nikon_d5500", None)):
            (tmp_path / camera).mkdir(exist_ok=True)
            photo = tmp_path / camera / row.phone_path.name
            if image is None:
                photo.symlink_to(city100 / name / photo.name)
            else:
                photo.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    said = dpedtool("align", tmp_path / "phone", tmp_path / "dslr", "-o", tmp_path / "dark", "--no-images")
    assert f"Aligned {len(rows)} of {len(rows)} pairs" in said
    at_night = read_rows(Alignment.table_in(tmp_path / "dark"), Alignment)
    truths = {row.phone_path.name: transform(row) for row in rows}
    clean, dark = (
        table[(table["status"] == "accepted") & table["pair_id"].isin(pairs)]
        for table, pairs in (
            (patches[0], {row.pair_id for row in rows}),
            (patches_of(at_night, tmp_path / "night"), {row.pair_id for row in at_night}),
        )
    )
    assert len(clean) > 300
    assert len(dark) >= least * len(clean)
    transforms, off = {row.phone_path.name: transform(row) for row in at_night}, []
    for patch in dark.itertuples():
        photo = Path(patch.phone_path).name
        middle = np.array([[patch.x, patch.y]]) + (patch.size - 1) / 2
        away = transforms[photo](middle) - truths[photo](middle)
        off.append(np.linalg.norm(away) / local_scale(truths[photo].homography, middle[0]))
    assert (np.array(off) > 0.5).mean() <= 0.01


@pytest.mark.parametrize(
    ("shift", "least"), [((1.0, 0.0), 0.99), ((-0.71, 0.71), 0.99), ((0.0, 2.0), 1.0), ((-3.0, 0.0), 1.0)]
)
def test_windows_that_are_pushed_away_are_rejected(aligned, tmp_path, shift, least):
    push = np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]])
    wrong = []
    for row in read_rows(Alignment.table_in(aligned), Alignment)[::3]:
        homography = np.array(row.dslr_from_phone).reshape(3, 3) @ push
        # The crop is made smaller, so that it does not reach beyond the DSLR's photo.
        box = {"crop_x": row.crop_x + 4, "crop_y": row.crop_y + 4}
        box |= {"crop_width": row.crop_width - 8, "crop_height": row.crop_height - 8}
        changed = replace(row, dslr_from_phone=tuple((homography / homography[2, 2]).ravel()), key=f"{row.key}-{shift}")
        wrong.append(replace(changed, **box, **mask_columns(np.zeros((40, 40), bool), 32)))
    table = patches_of(wrong, tmp_path)
    assert len(table) > 300
    assert (table["status"] == "rejected").mean() >= least
    # Correlation alone would have kept many of them.
    assert ((table["ncc"] > 0.9).mean() > 0.3) == (np.hypot(*shift) < 1.5)


def test_the_dped_mode_keeps_what_correlates(aligned, tmp_path):
    table = patches_of(read_rows(Alignment.table_in(aligned), Alignment)[::5], tmp_path, "dped")
    accepted = table["status"] == "accepted"
    assert accepted.mean() > 0.8
    assert (table["best_ncc"][accepted] >= 0.9).all()
    assert (table["best_ncc"] >= table["ncc"]).all()
    assert set(table.loc[~accepted, "reason"]) <= {"low_ncc", "flat"}


def test_photos_of_different_scenes_fail_with_a_reason(city100, tmp_path):
    phones, dslrs = (sorted((city100 / camera).glob("*.jpg"))[:4] for camera in ("iphonex", "nikon_d5500"))
    for camera, photos in (("phone", phones), ("dslr", dslrs[1:] + dslrs[:1])):
        (tmp_path / camera).mkdir()
        for number, photo in enumerate(photos):
            shutil.copyfile(photo, tmp_path / camera / f"{number}.jpg")
    said = dpedtool("align", tmp_path / "phone", tmp_path / "dslr", "-o", tmp_path / "out", "--workers", 1, code=1)
    table = pd.read_parquet(tmp_path / "out" / "alignments.parquet")
    assert len(table) == 4
    assert (table["status"] == "rejected").all()
    assert set(table["reason"]) <= {"few_matches", "wrong_pair"}
    assert all(
        f"  {pair_id}: {detail}" in said for pair_id, detail in zip(table["pair_id"], table["detail"], strict=True)
    )
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize(("phone", "dslr"), [("027", "014"), ("027", "030"), ("028", "014")])
def test_scenes_that_share_a_sight_are_told_apart(city100, tmp_path, phone, dslr):
    """The wrong pairs of these scenes whose matches do agree on a transform: only the windows tell."""
    photos = city100 / "iphonex" / f"{phone}.jpg", city100 / "nikon_d5500" / f"{dslr}.jpg"
    dpedtool("align", *photos, "-o", tmp_path, "--workers", 1, code=1)
    row = pd.read_parquet(tmp_path / "alignments.parquet").iloc[0]
    assert row["status"] == "rejected"
    assert row["reason"] in {"wrong_pair", "moving_object", "parallax", "not_followed", "misaligned", "poor_coverage"}


def three_views(tmp_path, pairs=3):
    """Pair three photos of one place from three positions, far apart; the first two are the closest ones."""
    photos = sorted(real_folder("parallax").glob("*.jpg"))
    assert len(photos) == 3
    for number, pair in enumerate(list(combinations(photos, 2))[:pairs]):
        for camera, photo in zip(("phone", "dslr"), pair, strict=True):
            (tmp_path / camera).mkdir(exist_ok=True)
            (tmp_path / camera / f"{number}.jpg").symlink_to(photo)
    return tmp_path / "phone", tmp_path / "dslr", "-o", tmp_path / "out", "--workers", 2, "--no-images"


def test_scenes_with_much_depth_are_only_aligned_by_nodes(tmp_path):
    dpedtool("align", *three_views(tmp_path, pairs=1))
    table = pd.read_parquet(tmp_path / "out" / "alignments.parquet")
    assert (table.loc[table["status"] == "aligned", "model"] == "local").all()
    patches = patches_of(read_rows(Alignment.table_in(tmp_path / "out"), Alignment), tmp_path / "patches")
    # Most of the frame is hidden, squeezed or masked: what is left must be as certain as elsewhere.
    kept = patches[patches["status"] == "accepted"]
    assert 0 < len(kept) < 0.2 * len(patches)
    assert kept["residual_px"].max() <= 0.5
    assert kept["squeezed"].max() <= 0.005


def test_without_nodes_scenes_with_depth_do_not_pass_for_aligned(tmp_path):
    """No homography fits, and what fits one layer must say so."""
    dpedtool("align", *three_views(tmp_path), "-S", "align.local=false", code=1)
    table = pd.read_parquet(tmp_path / "out" / "alignments.parquet")
    assert (table["status"] == "rejected").all()
    assert (table["reason"] == "parallax").all()
    assert table["detail"].str.len().min() > 20


def test_photos_of_eight_cameras_load_upright_and_whole():
    photos = sorted(real_folder("photos").glob("*.jpg"))
    assert len(photos) >= 8
    for path in photos:
        image = load_photo(path)
        with PillowImage.open(path) as photo:
            expected = np.asarray(ImageOps.exif_transpose(photo).convert("RGB"))[..., ::-1]
        assert image.shape == expected.shape, path.name
        assert image.size > 3 * 6_000_000, path.name
        # Two decoders may round differently; a photo that is turned, cut or of other colours is far off.
        assert np.abs(image[::7, ::7].astype(int) - expected[::7, ::7]).mean() < 2, path.name
