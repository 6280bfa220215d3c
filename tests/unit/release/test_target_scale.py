"""Releases whose targets are finer than the phone's grid: all sizes are checked by the side that they belong to."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from release_damage import COUNTS, MATE, edit, edit_json, faults, renew, set_in
from release_rig import PARAMS, describe_release, write_release, write_sums

from dpedtool.dataset.photos.decoding import decode_image
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.pipeline.release.columns import PATCHES
from dpedtool.pipeline.release.description import RELEASE
from dpedtool.pipeline.release.documents.card import card
from dpedtool.pipeline.release.documents.example_sheet import example_picture
from dpedtool.pipeline.release.verification.verify import verify


@pytest.fixture(scope="module")
def finer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_release(tmp_path_factory.mktemp("finer") / "release", ("iphone",), COUNTS, target_scale=2)


@pytest.fixture
def release(finer: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finer, tmp_path / "release")


def test_a_release_of_finer_targets_is_whole(finer: Path) -> None:
    verdict = verify(finer)
    assert not verdict.faults
    layouts = [line for line in verdict.said if line.startswith("Layout")]
    assert len(layouts) == 3
    assert all("undamaged and 32 x 32 and 64 x 64 px, as the tables say" in line for line in layouts)


def test_a_target_of_the_phones_size_is_a_fault(release: Path) -> None:
    image = decode_image((release / MATE).read_bytes(), Path(MATE))
    (release / MATE).write_bytes(encode_image(image[::2, ::2], ".jpg", PARAMS.jpeg_quality))
    renew(release)
    assert any("is 32 x 32 px of 3 x 8 bit, not 64 x 64 px of 3 x 8 bit" in line for line in faults(release))


def test_the_table_and_the_statement_agree(release: Path) -> None:
    edit(release / PATCHES, lambda row: set_in(row, target_scale=4))
    write_sums(release)
    assert f"{PATCHES}: its target_scale is 4, but {RELEASE} says 2." in faults(release)


def test_a_scale_that_is_none_is_refused(release: Path) -> None:
    edit_json(release / RELEASE, lambda data: set_in(data, target_scale=3))
    write_sums(release)
    assert f"{RELEASE}: 'target_scale' must be one of 1, 2, 4, not 3." in faults(release)


def test_the_card_says_that_targets_are_larger(finer: Path) -> None:
    text = card(describe_release(finer, target_scale=2))
    assert "with 2 x 2 pixels for each of the phone's. Each instance" in text
    assert "The DSLR's images are 2 times as large as the phone's" in text
    assert "larger" not in card(describe_release(finer)).partition("Where a pixel lies")[2].partition("##")[0]


@pytest.mark.parametrize(("finer", "side"), [(1, 10), (2, 10), (4, 20)])
def test_the_example_shows_both_images_at_one_size(finer: int, side: int) -> None:
    phone, dslr = np.full((5, 5, 3), 50, np.uint8), np.full((5 * finer, 5 * finer, 3), 90, np.uint8)
    picture = example_picture([(phone, dslr)] * 2)
    assert picture.shape == (2 * side + 4, 2 * side + 4, 3)
    assert (picture[:side, :side] == 50).all()
    assert (picture[-side:, -side:] == 90).all()
