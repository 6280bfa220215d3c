"""Inputs that are no photos, and places where nothing may be written: no command hangs or spoils a folder of photos."""

from __future__ import annotations

import os
import shutil

import cv2
import pandas as pd
import pytest

from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.train.loop import first_network
from dpedtool.training.weights.checkpoint import save_model


def test_pipes_and_devices_are_rows_and_stop_nothing(rig, tmp_path, dpedtool):
    photos = rig.copy(tmp_path / "photos", ["001", "002"])
    os.mkfifo(photos.phone / "pipe.png")
    os.mkfifo(photos.dslr / "pipe.png")
    (photos.phone / "device.jpg").symlink_to("/dev/zero")
    shutil.copy(rig.photos("003")[1], photos.dslr / "device.png")
    ended = dpedtool("pair", photos.phone, photos.dslr, "-o", tmp_path / "pairs")
    assert "unreadable_photo" in ended.out
    rows = pd.read_parquet(tmp_path / "pairs/pairs.parquet").set_index("pair_id")
    assert rows.loc["phone--pipe", "reason"] == rows.loc["phone--device", "reason"] == "unreadable_photo"
    assert "it is not a file" in rows.loc["phone--pipe", "detail"]
    ended = dpedtool("align", photos.phone, photos.dslr, "-o", tmp_path / "out", "--workers", 1, "--no-images")
    assert "Aligned 2 of 2 pairs" in ended.out
    shutil.copytree(tmp_path / "pairs", tmp_path / "results/pairs/phone")
    shutil.copytree(tmp_path / "out", tmp_path / "results/aligned/phone")
    # A photo that has become a pipe since.
    photos.photos("001")[0].unlink()
    os.mkfifo(photos.photos("001")[0])
    ended = dpedtool(
        "report", tmp_path / "results", "-o", tmp_path / "report", "-S", "captures.phones=[phone]", "--workers", 1
    )
    assert "Pairs with a photo that cannot be shown: " in ended.out
    assert dpedtool("align", photos.phone / "pipe.png", rig.photos("001")[1], "-o", tmp_path / "o", code=1).sentence


@pytest.mark.parametrize("below", ["", "results/of/today"])
@pytest.mark.parametrize("camera", ["phone", "dslr"])
def test_nothing_is_written_among_the_photos(rig, tmp_path, dpedtool, content, camera, below):
    photos = rig.copy(tmp_path / "photos", ["001", "002"])
    dpedtool("align", photos.phone, photos.dslr, "-o", tmp_path / "out", "--workers", 1, "--no-images")
    before = content(photos.folder)
    among = tmp_path / "photos" / camera / below
    for words in (
        ("pair", photos.phone, photos.dslr),
        ("align", photos.phone, photos.dslr),
        ("align", tmp_path / "out"),
        ("patches", tmp_path / "out"),
    ):
        sentence = dpedtool(*words, "-o", among, code=1).sentence
        assert f"would lie among the photos of {tmp_path / 'photos' / camera}" in sentence
    assert content(photos.folder) == before
    assert "choose" in dpedtool("simulate", "-o", tmp_path / "photos" / camera, code=1).sentence
    assert content(photos.folder) == before


def test_two_photos_may_have_their_results_beside_them(rig, tmp_path, dpedtool):
    for photo, name in zip(rig.photos("001"), ("phone.png", "dslr.png"), strict=True):
        shutil.copy(photo, tmp_path / name)
    dpedtool("align", "phone.png", "dslr.png", "-o", "aligned", "--no-images", cwd=tmp_path)
    dpedtool("patches", "aligned", "-o", "cut", "--workers", 1, cwd=tmp_path)


def test_two_photos_and_one_to_enhance_have_no_results_in_their_own_folder(rig, tmp_path, dpedtool, content):
    for photo, name in zip(rig.photos("001"), ("phone.png", "dslr.png"), strict=True):
        shutil.copy(photo, tmp_path / name)
    (tmp_path / "dslr").mkdir()
    shutil.move(tmp_path / "dslr.png", tmp_path / "dslr/dslr.png")
    save_model(tmp_path / "model", first_network(TrainParams(channels=2, blocks=1)), {})
    before = content(tmp_path)
    for words in (
        ("align", "phone.png", "dslr/dslr.png", "-o", "."),
        ("align", "phone.png", "dslr/dslr.png", "-o", "dslr"),
        ("enhance", "phone.png", "-o", ".", "--weights", "model"),
    ):
        assert "would lie beside the photo" in dpedtool(*words, code=1, cwd=tmp_path).sentence
    assert content(tmp_path) == before
    # The advice: a folder below.
    dpedtool("align", "phone.png", "dslr/dslr.png", "-o", "new", cwd=tmp_path)
    assert "beside the photo" in dpedtool("patches", "new", "-o", ".", code=1, cwd=tmp_path).sentence
    dpedtool("enhance", "phone.png", "-o", "new", "--weights", "model", cwd=tmp_path)


def test_pairs_that_make_no_sense_are_named(rig, tmp_path, dpedtool):
    """The same file on both sides, and photos of the DSLR that are coarser than those of the phone."""
    photos = rig.copy(tmp_path, ["001", "002", "003"])
    shutil.copy(photos.photos("001")[0], photos.photos("001")[1])
    for name in ("002", "003"):
        image = cv2.imread(str(photos.photos(name)[1]))
        cv2.imwrite(str(photos.photos(name)[1]), cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    said = dpedtool("pair", photos.phone, photos.dslr, "-o", tmp_path / "pairs").said
    assert any("1 pair has the same file on both sides" in line and "001.png" in line for line in said)
    ended = dpedtool("align", tmp_path / "pairs", "-o", tmp_path / "out", "--workers", 1, "--no-images")
    assert "are the same file" in ended.out
    assert "In 2 of 3 pairs the DSLR's photo is coarser than the phone's" in ended.out
    # The advice: the other order of the folders.
    other = dpedtool("align", photos.dslr, photos.phone, "-o", tmp_path / "other", "--workers", 1, "--no-images")
    assert "coarser" not in other.out


def test_pictures_of_60_px_are_too_small_to_align_and_are_paired(rig, tmp_path, dpedtool):
    for camera, photo in zip(("phone", "dslr"), rig.photos("001"), strict=True):
        (tmp_path / camera).mkdir()
        cv2.imwrite(str(tmp_path / camera / "a.png"), cv2.resize(cv2.imread(str(photo)), (60, 45)))
    ended = dpedtool("pair", tmp_path / "phone", tmp_path / "dslr", "-o", tmp_path / "pairs")
    assert "1 pair, " in ended.out
    assert any("60x45 px" in line for line in ended.said)
    ended = dpedtool("align", tmp_path / "pairs", "-o", tmp_path / "out", "--workers", 1)
    assert "too small" in ended.out
    assert "same scene" not in ended.out
