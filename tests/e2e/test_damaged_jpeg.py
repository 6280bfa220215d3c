"""JPEGs with a bad sector through the command line: nothing behind the damage becomes a patch, and all say so."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from dpedtool.dataset.photos.encoding import encode_image


def bad_sector(content: bytes, share: float) -> bytes:
    scan = content.index(b"\xff\xda") + 14
    place = scan + round(share * (len(content) - scan))
    return content[:place] + bytes(512) + content[place + 512 :]


def false_colours(image: np.ndarray) -> np.ndarray:
    """The right half in colours that damage left, as no decoder notices it: its grey detail is the same."""
    spoilt = image.astype(int)
    spoilt[:, image.shape[1] // 2 :] += np.array([90, -30, 60])
    return np.clip(spoilt, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def session(rig, tmp_path_factory, dpedtool):
    folder = tmp_path_factory.mktemp("damaged")
    for camera in ("phone", "dslr"):
        (folder / camera).mkdir()
    images = {
        name: [cv2.imread(str(rig.folder / c / f"{name}.png")) for c in ("phone", "dslr")]
        for name in ("001", "002", "003")
    }
    jpegs = {name: [encode_image(image, ".jpg", 92) for image in pair] for name, pair in images.items()}
    jpegs["001"][0] = bad_sector(jpegs["001"][0], 0.6)
    jpegs["002"][1] = bad_sector(jpegs["002"][1], 0.6)
    jpegs["003"][0] = encode_image(false_colours(images["003"][0]), ".jpg", 92)
    for name, pair in jpegs.items():
        for camera, content in zip(("phone", "dslr"), pair, strict=True):
            (folder / camera / f"{name}.jpg").write_bytes(content)
    ended = dpedtool("align", folder / "phone", folder / "dslr", "-o", folder / "out", "--workers", 1, "--no-images")
    assert ended.code == 0, ended.err
    settings = ["-S", "patches.size_px=40", "-S", "patches.stride_px=20"]
    cut = dpedtool("patches", folder / "out", "-o", folder / "patches", "--workers", 1, *settings)
    assert cut.code == 0, cut.err
    return folder, ended, cut


def damaged_row(said: str, photo: Path) -> int:
    """The row that a note names."""
    line = next(line for line in said.splitlines() if str(photo) in line)
    assert "its JPEG data is damaged from row" in line
    return int(line.rsplit(" from row ", 1)[1].split()[0])


def test_both_stages_and_the_table_name_the_damage(session) -> None:
    folder, aligned, cut = session
    table = pd.read_parquet(folder / "out" / "alignments.parquet").set_index("scene_id")
    assert list(table["status"]) == ["aligned"] * 3
    for name, camera in (("001", "phone"), ("002", "dslr")):
        photo = folder / camera / f"{name}.jpg"
        assert (
            damaged_row(aligned.out, photo)
            == damaged_row(cut.out, photo)
            == damaged_row(table.loc[name, "note"], photo)
        )
    assert table.loc["003", "note"] == ""


def test_pair_names_the_damage_where_it_compares_pictures(session, tmp_path, dpedtool) -> None:
    folder, aligned, _ = session
    ended = dpedtool("pair", folder / "phone", folder / "dslr", "-o", tmp_path / "pairs", "-S", "pair.by=pictures")
    (note,) = (line for line in ended.said if "damaged" in line)
    assert note.startswith("2 photos that had to be compared are damaged (")
    for name, camera in (("001", "phone"), ("002", "dslr")):
        row = damaged_row(aligned.out, folder / camera / f"{name}.jpg")
        assert f"{name}.jpg, its JPEG data is damaged from row {row}" in note
    by_name = dpedtool("pair", folder / "phone", folder / "dslr", "-o", tmp_path / "named")
    assert "damaged" not in by_name.err


def test_no_patch_lies_behind_the_damage_of_the_phones_photo(session) -> None:
    folder, aligned, _ = session
    row = damaged_row(aligned.out, folder / "phone" / "001.jpg")
    patches = pd.read_parquet(folder / "patches" / "patches.parquet").query("scene_id == '001'")
    assert (patches["y"] + patches["size"] <= row).all()
    assert (patches["status"] == "accepted").sum() > 5


def test_no_patch_lies_behind_the_damage_of_the_dslrs_photo(session) -> None:
    folder, aligned, _ = session
    row = damaged_row(aligned.out, folder / "dslr" / "002.jpg")
    patches = pd.read_parquet(folder / "patches" / "patches.parquet").query("scene_id == '002'")
    assert (patches["dslr_y"] + patches["dslr_height"] <= row).all()
    assert (patches["status"] == "accepted").sum() > 5


def test_false_colours_that_nothing_noticed_are_refused_as_such(session) -> None:
    folder, _, _ = session
    patches = pd.read_parquet(folder / "patches" / "patches.parquet").query("scene_id == '003'")
    selection = json.loads((folder / "patches" / "selection.json").read_text())
    refused = patches[patches["reason"] == "colour"]
    assert selection["rejected"]["colour"] >= len(refused) > 3
    # Either half of the photo may be taken for the right one, but not both.
    accepted = patches[patches["status"] == "accepted"]
    right = accepted["x"] + accepted["size"] / 2 > 180
    assert min(right.mean(), 1 - right.mean()) < 0.1
    assert len(accepted) > 3
