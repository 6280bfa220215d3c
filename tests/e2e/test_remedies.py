"""What messages advise is done through the command line, and it helps: damaged results, leaks and releases."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

WINDOWS = ("-S", "patches.size_px=40", "-S", "patches.stride_px=40")
NETWORK = ("-S", "train.channels=2", "-S", "train.blocks=1", "-S", "train.iterations=2", "-S", "train.crop_px=32")


@pytest.fixture(scope="module")
def again(aligned: Path, tmp_path_factory, dpedtool) -> Callable[[], None]:
    """Make patches and a split of six scenes, again where something was removed."""
    folder = tmp_path_factory.mktemp("made")

    def run() -> None:
        dpedtool("patches", aligned, "-o", folder / "patches/phone", "--workers", 1, *WINDOWS)
        dpedtool("split", folder / "patches", "-o", folder / "splits")

    run.folder = folder
    run()
    return run


@pytest.fixture
def made(again: Callable[[], None]) -> Path:
    return again.folder


def test_a_damaged_shard_is_made_again_as_train_says(made, again, tmp_path, dpedtool) -> None:
    (shard,) = (made / "patches/phone").glob("*.tar")
    whole = shard.read_bytes()
    shard.write_bytes(bytes(len(whole)))
    train = ("train", made / "splits/phone.parquet", "-o", tmp_path / "model", *NETWORK)
    said = dpedtool(*train, code=1).said[-1]
    assert re.search(rf"/patches/phone/{shard.name} does not hold (\d+) of \1 patches where the split says", said)
    assert "the file is damaged, so remove it and run `dpedtool patches` and `dpedtool split` again" in said
    # Without the first part of the advice, nothing is cut again.
    again()
    assert shard.read_bytes() != whole
    shard.unlink()
    assert "is missing or ends before" in dpedtool(*train, code=1).said[-1]
    again()
    assert shard.read_bytes() == whole
    dpedtool(*train)


def test_a_damaged_table_of_alignments_is_made_again(aligned, tmp_path, dpedtool) -> None:
    # Beside the other one, since tables name photos relative to their own folder.
    copy = shutil.copytree(aligned, aligned.with_name("aligned-damaged"))
    (copy / "alignments.parquet").write_bytes(b"no table")
    words = ("patches", copy, "-o", tmp_path / "patches", "--workers", 1, *WINDOWS)
    assert "make it again" in dpedtool(*words, code=1).sentence
    dpedtool("align", copy, "-o", copy, "--workers", 1, "--no-images")
    dpedtool(*words)


def test_a_leak_is_gone_after_a_new_draw(made, tmp_path, dpedtool) -> None:
    shutil.copytree(made / "splits", tmp_path / "splits")
    photos = pd.read_parquet(tmp_path / "splits/photos.parquet")
    photos.loc[0, "split"] = "train" if photos.loc[0, "split"] != "train" else "test"
    photos.to_parquet(tmp_path / "splits/photos.parquet")
    said = dpedtool("split", "--verify", tmp_path / "splits", code=1).said[-1]
    (advice,) = re.findall(r"split it again with (split\.redraw): true", said)
    dpedtool("split", made / "patches", "-o", tmp_path / "splits", "-S", f"{advice}=true")
    dpedtool("split", "--verify", tmp_path / "splits")


def test_what_a_release_lacks_can_be_set_as_it_says(made, tmp_path, dpedtool) -> None:
    release = tmp_path / "release"
    build = ("release", "build", made / "splits", "-o", release, "-S", "release.name=set")
    said = dpedtool(*build, code=1).sentence
    assert "set release.licence to " in said
    assert "such as CC-BY-4.0" in said
    licensed = (*build, "-S", "release.licence=CC-BY-4.0")
    dpedtool(*licensed)
    assert "add --replace" in dpedtool(*licensed, code=1).sentence
    dpedtool(*licensed, "--replace")
    said = dpedtool(*licensed, "--replace", "--previous", release, code=1).sentence
    assert "set release.version to another, or leave out --previous" in said
    dpedtool(*licensed, "--replace", "--previous", release, "-S", "release.version=1.0.1")
    dpedtool("release", "verify", release)
