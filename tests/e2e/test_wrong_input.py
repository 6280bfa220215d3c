"""Inputs that are no photos, and places where nothing may be written: no command hangs or spoils a folder of photos."""

from __future__ import annotations

import os
import shutil

import cv2
import pandas as pd
import pytest


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
