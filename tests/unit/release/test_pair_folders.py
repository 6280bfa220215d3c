"""Whole aligned pairs in a release: folders that train as they are, on the sides of the split."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from release_damage import edit_json, faults, renew
from whole_rig import CELL_PX, CROP, write_release, write_session

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import file_sha256, read_json
from dpedtool.dataset.params import ReleaseParams
from dpedtool.dataset.schema import Alignment, Photo
from dpedtool.dataset.sides import SPLITS
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.geometry.aligned import aligned_images
from dpedtool.pipeline.release import build, pair_folders
from dpedtool.pipeline.release.build import build_release
from dpedtool.pipeline.release.description import CARD, RELEASE, SUMS
from dpedtool.training.data import FolderPairs

PARAMS = ReleaseParams(name="pairs", licence="CC-BY-4.0", layouts=("parquet",), examples=1, whole_pairs="png")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_session(tmp_path_factory.mktemp("session"))


@pytest.fixture(scope="module")
def released(session: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_release(session, tmp_path_factory.mktemp("out"), PARAMS)


@pytest.fixture
def release(released: Path, tmp_path: Path) -> Path:
    return shutil.copytree(released, tmp_path / "release")


def sides(session: Path) -> dict[str, str]:
    return {row.pair_id: row.split for row in read_rows(Photo.table_in(session / "splits"), Photo)}


def rows_of(session: Path) -> dict[str, Alignment]:
    return {row.pair_id: row for row in read_rows(Alignment.table_in(session / "aligned/a"), Alignment)}


def test_every_side_has_its_pairs_as_align_would_write_them(session: Path, released: Path) -> None:
    wanted = sides(session)
    assert set(wanted.values()) == set(SPLITS)
    assert set(read_json(released / RELEASE)["whole_pairs"]) == set(wanted)
    for split in SPLITS:
        home = released / "pairs/a" / split
        pairs = FolderPairs(home / "phone", home / "dslr")
        names = [Path(name).stem for name in pairs.names()]
        assert sorted(names) == sorted(pair for pair, side in wanted.items() if side == split)
        for index, name in enumerate(names):
            for found, expected in zip(pairs.images(index), aligned_images(rows_of(session)[name]), strict=True):
                assert np.array_equal(found, expected)
            mask = cv2.imread(str(home / "mask" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
            assert mask is not None
            assert mask.shape == (CROP[3], CROP[2])
            assert (mask[:CELL_PX, CELL_PX : 2 * CELL_PX] == 0).all()
            assert int((mask == 255).sum()) == CROP[2] * CROP[3] - CELL_PX**2


def test_it_verifies_and_holds_nothing_private(released: Path) -> None:
    assert faults(released) == []
    for path in (released / "pairs").rglob("*.png"):
        assert not any(mark in path.read_bytes() for mark in (b"SN-87654321", b"Jane Roe", b"Exif"))
    text = (released / CARD).read_text()
    assert "| 6 whole aligned pairs of photos, as far as both show the same place; PAIR is the" in text
    assert "What both cameras show is there as whole aligned pairs; the DSLR's part is resampled." in text


def test_jpeg_files_are_close(session: Path, tmp_path: Path) -> None:
    out = tmp_path / "release"
    build_release(session / "splits", out, replace(PARAMS, whole_pairs="jpg"), aligned=session / "aligned")
    assert faults(out) == []
    home = out / "pairs/a/test"
    pairs = FolderPairs(home / "phone", home / "dslr")
    for index, name in enumerate(pairs.names()):
        assert name.endswith(".jpg")
        for found, expected in zip(pairs.images(index), aligned_images(rows_of(session)[Path(name).stem]), strict=True):
            assert np.abs(found.astype(int) - expected).mean() < 1.5


def test_an_interrupted_build_writes_only_the_other_pairs_again(
    session: Path, released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def write(wanted: pair_folders.WantedPair, **others: object) -> pair_folders.WrittenPair:
        written.append(wanted.pair_id)
        if len(written) == 3:
            raise KeyboardInterrupt
        return pair_folders.write_pair(wanted, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(build, "write_pair", write)
    with pytest.raises(KeyboardInterrupt):
        build_release(session / "splits", tmp_path / "release", PARAMS, aligned=session / "aligned")
    build_release(session / "splits", tmp_path / "release", PARAMS, aligned=session / "aligned")
    assert len(written) == 7
    assert len(set(written)) == 6
    assert file_sha256(tmp_path / "release" / SUMS) == file_sha256(released / SUMS)


def test_a_pair_whose_photo_is_gone_is_left_out_and_said(session: Path, tmp_path: Path) -> None:
    rows = rows_of(session)
    gone = min(rows)
    changed = [replace(row, dslr_path=tmp_path / "gone.png") if name == gone else row for name, row in rows.items()]
    write_rows(Alignment.table_in(tmp_path / "aligned"), Alignment, changed)
    built = build_release(session / "splits", tmp_path / "release", PARAMS, aligned=tmp_path / "aligned")
    assert [note.partition(":")[0] for note in built.notes] == [f"The whole pair {gone} is left out"]
    assert set(read_json(tmp_path / "release" / RELEASE)["whole_pairs"]) == set(rows) - {gone}
    assert faults(tmp_path / "release") == []


def test_whole_pairs_need_alignments(session: Path, tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"Whole pairs need their alignments: name the folder .* by --aligned"):
        build_release(session / "splits", tmp_path / "release", PARAMS)


def test_other_formats_are_refused() -> None:
    with pytest.raises(DpedtoolError, match=r"whole_pairs must be one of png, jpg, not 'gif'"):
        replace(PARAMS, whole_pairs="gif")


def first(release: Path, part: str, split: str = "test") -> Path:
    return min((release / "pairs/a" / split / part).iterdir())


def move(release: Path) -> None:
    for part in pair_folders.PARTS:
        path = first(release, part)
        path.rename(release / "pairs/a/train" / part / path.name)


def smaller(release: Path) -> None:
    image = cv2.imread(str(first(release, "dslr")))
    assert image is not None
    cv2.imwrite(str(first(release, "dslr")), image[:-1])


DEFECTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (
        lambda release: first(release, "mask").unlink(),
        r"pairs/a/test/mask/(a-s\d+)\.png: this file of the whole pair \1 is missing\.",
    ),
    "on another side": (move, r"pairs/a/train/dslr/a-s\d+\.png: it is not part of the release\."),
    "another size": (smaller, r"pairs/a/test/dslr/.*: it is 53 x 39 px, but pairs/a/test/phone/.* is 53 x 40 px\."),
    "no image": (
        lambda release: first(release, "phone").write_text("no"),
        r"pairs/a/test/phone/.*: it is not a PNG or JPEG file whose size can be read\.",
    ),
    "of no pair": (
        lambda release: edit_json(release / RELEASE, lambda data: data["whole_pairs"].append("other")),
        r"release\.json: it names the whole pair other, which is not in pairs\.parquet\.",
    ),
    "named twice": (
        lambda release: edit_json(release / RELEASE, lambda data: data["whole_pairs"].append(data["whole_pairs"][0])),
        r"release\.json: 'whole_pairs' is not a list of names, each of them once\.",
    ),
    "not told": (
        lambda release: edit_json(release / RELEASE, lambda data: data.pop("whole_pairs")),
        r"pairs/a/test/phone/.*: it is not part of the release\.",
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_verify_finds(release: Path, name: str) -> None:
    damage, sentence = DEFECTS[name]
    damage(release)
    renew(release)
    found = faults(release)
    assert any(re.match(sentence, line) for line in found), found
