"""A release of City100: it is built from the photos and loaded in five ways, and every kind of damage is found."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from card_examples import EVERY, pieces, run_pieces
from click.testing import CliRunner, Result
from PIL import Image as PillowImage
from real_data import real_folder

from dpedtool.pipeline.cli import main

SAID = {"name": "city100", "licence": "MIT", "authors": "[A Group]", "patches_a_file": 400}


def dpedtool(*words: object) -> Result:
    return CliRunner().invoke(main, [*map(str, words)])


def done(*words: object) -> str:
    result = dpedtool(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos, home = real_folder("city100"), tmp_path_factory.mktemp("city100")
    done("align", photos / "iphonex", photos / "nikon_d5500", "-o", home / "aligned", "--no-images", "--workers", 2)
    done("patches", home / "aligned", "-o", home / "patches" / "iphonex", "--workers", 1)
    done("split", home / "patches", "-o", home / "splits")
    return home / "splits"


@pytest.fixture(scope="module")
def home(splits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the release in it."""
    folder = tmp_path_factory.mktemp("releases")
    options = [word for name, value in SAID.items() for word in ("-S", f"release.{name}={value}")]
    done("release", "build", splits, "-o", folder / "release", *options, "--workers", 1)
    return folder


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    """A copy of the release; a file must be removed before it is written, as the original has the same bytes."""
    return shutil.copytree(home / "release", tmp_path / "release", copy_function=os.link)


def rewrite(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def sums_anew(release: Path) -> None:
    """Renew the sums, like somebody who wants to hide a change."""
    lines = (release / "SHA256SUMS").read_text().splitlines()
    names = [name for line in lines if (release / (name := line.split("  ", 1)[1])).is_file()]
    text = "".join(f"{hashlib.sha256((release / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    rewrite(release / "SHA256SUMS", text.encode())


def faults(release: Path) -> list[str]:
    result = dpedtool("release", "verify", release, "--workers", 1)
    assert result.exit_code == 1, result.output
    *found, sentence = [line for line in result.stderr.splitlines() if not line.startswith("Verified:")]
    assert sentence.startswith(f"Error: {release} has ")
    return found


def test_it_verifies(home: Path) -> None:
    said = done("release", "verify", home / "release", "--workers", 2)
    count = len(pd.read_parquet(home / "release" / "patches.parquet"))
    # 88 % of the 1995 windows.
    assert count >= 1756
    assert f"{count} of {count} patches" in said
    assert "No two near-duplicate views are on two sides: 50 DSLR frames were compared" in said
    assert said.splitlines()[-1] == f"Nothing wrong was found in {home / 'release'}."


def test_it_loads_in_five_ways(home: Path) -> None:
    for kind, code in pieces(home / "release").items():
        (home / "release" / f"{kind}.txt").write_text(code)
    try:
        run_pieces(home, [f"release/{kind}" for kind in EVERY])
        found = {kind: np.load(home / "release" / f"{kind}.npz") for kind in EVERY}
    finally:
        for kind in EVERY:
            (home / "release" / f"{kind}.txt").unlink()
            (home / "release" / f"{kind}.npz").unlink(missing_ok=True)
    train = pq.read_table(home / "release/patches.parquet", filters=[("split", "==", "train")])
    assert {kind: int(of["count"]) for kind, of in found.items()} == dict.fromkeys(EVERY, train.num_rows)
    # The last patch, as JPEG or as it was cut.
    for of in found.values():
        for side in ("phone", "dslr"):
            assert of[side].shape == (100, 100, 3)
            assert np.abs(of[side] - found["datasets"][side]).mean() < 4


def test_a_flipped_byte_is_found(copy: Path) -> None:
    for name in ("dped/iphonex/training_data/canon/5.jpg", "webdataset/iphonex/train-00001.tar"):
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        rewrite(copy / name, bytes(content))
    found = faults(copy)
    assert any(line.startswith("dped/iphonex/training_data/canon/5.jpg: ") for line in found)
    assert any(line.startswith("webdataset/iphonex/train-00001.tar: ") for line in found)
    assert {line.split(":")[0] for line in found} == {
        "dped/iphonex/training_data/canon/5.jpg",
        "webdataset/iphonex/train-00001.tar",
    }


def test_a_missing_pair_is_found_though_the_sums_are_right(copy: Path) -> None:
    for camera in ("iphonex", "canon"):
        (copy / f"dped/iphonex/test_data/patches/{camera}/7.jpg").unlink()
    shard = copy / "webdataset/iphonex/test-00000.tar"
    gone = _without_a_patch(shard)
    sums_anew(copy)
    found = faults(copy)
    assert any(line.startswith("dped/iphonex/test_data/patches/") and "7.jpg" in line for line in found)
    assert any(line.startswith("webdataset/iphonex/test-00000.tar: ") and gone in line for line in found)


def _without_a_patch(shard: Path) -> str:
    """Remove all members of the third patch; return its name."""
    kept = io.BytesIO()
    with tarfile.open(shard) as before, tarfile.open(fileobj=kept, mode="w", format=tarfile.USTAR_FORMAT) as after:
        names = list(dict.fromkeys(member.name.partition(".")[0] for member in before))
        for member in before.getmembers():
            if not member.name.startswith(f"{names[2]}."):
                after.addfile(member, before.extractfile(member))
    rewrite(shard, kept.getvalue())
    return names[2]


def _with_gps(content: bytes) -> bytes:
    exif = PillowImage.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 22.0, 0.0)})
    block = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    return content[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + content[2:]


@pytest.mark.parametrize(
    "name",
    ["dped/iphonex/training_data/iphonex/3.jpg", "dped/iphonex/test_data/full_size_test_images/0.jpg"],
)
def test_an_added_position_is_found_though_the_sums_are_right(copy: Path, name: str) -> None:
    rewrite(copy / name, _with_gps((copy / name).read_bytes()))
    sums_anew(copy)
    found = faults(copy)
    assert all(line.startswith(f"{name}: ") for line in found)
    assert any("GPS position" in line for line in found)


def _in_the_tables(release: Path) -> None:
    """Declare the patches of a test scene to be training patches."""
    table = pq.read_table(release / "patches.parquet")
    rows = table.to_pylist()
    for row in [row for row in rows if row["split"] == "test"][:3]:
        row["split"] = "train"
    (release / "patches.parquet").unlink()
    pq.write_table(pa.Table.from_pylist(rows, table.schema), release / "patches.parquet")


def _in_the_images(release: Path) -> None:
    """Replace training patches by test patches."""
    for camera in ("iphonex", "canon"):
        content = (release / f"dped/iphonex/test_data/patches/{camera}/0.jpg").read_bytes()
        rewrite(release / f"dped/iphonex/training_data/{camera}/0.jpg", content)


def _in_the_views(release: Path) -> None:
    """Use a test photo for training too, under another name."""
    table = pq.read_table(release / "pairs.parquet")
    rows = table.to_pylist()
    tested = next(row for row in rows if row["split"] == "test")
    trained = next(row for row in rows if row["split"] == "train")
    trained["thumbnail"] = tested["thumbnail"]
    (release / "pairs.parquet").unlink()
    pq.write_table(pa.Table.from_pylist(rows, table.schema), release / "pairs.parquet")


@pytest.mark.parametrize(
    ("leak", "words"),
    [
        (_in_the_tables, "with split 'train', but pairs.parquet has 'test'"),
        (_in_the_images, "dped/iphonex/training_data/canon/0.jpg"),
        (_in_the_views, "show the same view"),
    ],
)
def test_a_leaked_scene_is_found_though_the_sums_are_right(
    copy: Path, leak: Callable[[Path], None], words: str
) -> None:
    leak(copy)
    sums_anew(copy)
    assert any(words in line for line in faults(copy))
