"""croissant.json: mlcroissant accepts it, and its record sets hold the data of the release."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from release_rig import PARAMS, describe_release, write_release

from dpedtool.dataset.io import file_sha256
from dpedtool.pipeline.release.documents.croissant import CONTEXT, croissant

RELEASES: dict[str, dict[str, Any]] = {
    "all": {"params": replace(PARAMS, date="2026-03-31", url="https://example.org/x", doi="10.5281/zenodo.1")},
    "odd": {
        "phones": ("a b's [3]", "patches"),
        "params": replace(PARAMS, layouts=("parquet",), authors=(), description=""),
    },
    "loose": {"phones": ("patches",), "params": replace(PARAMS, layouts=("dped",), licence="CC-PDM-1.0")},
}
READ = """
import json, sys
from pathlib import Path
import mlcroissant
from mlcroissant._src.core.context import Context
from mlcroissant._src.core.rdf import make_context

def shown(value):
    if isinstance(value, list):
        return [shown(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value.size if hasattr(value, "size") and \\
        not hasattr(value, "dtype") else value.item() if hasattr(value, "item") else value

found = {"context": make_context(Context(conforms_to="http://mlcommons.org/croissant/1.1"))}
for path in map(Path, sys.argv[1:]):
    data = mlcroissant.Dataset(path / "croissant.json")
    issues = data.metadata.ctx.issues
    found[path.name] = {
        "errors": sorted(issues.errors),
        "warnings": sorted(issues.warnings),
        "records": {
            one.uuid: [{key: shown(value) for key, value in row.items()} for row in data.records(one.uuid)]
            for one in data.metadata.record_sets
        },
    }
print(json.dumps(found, default=str))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("croissant")
    for name, changes in RELEASES.items():
        write_release(folder / name, **changes)
    return folder


@pytest.fixture(scope="module")
def found(home: Path) -> dict[str, Any]:
    """What mlcroissant reads of each release, in a process of its own."""
    environment = os.environ | {"CROISSANT_CACHE": str(home / "cache"), "HOME": str(home / "cache")}
    command = [sys.executable, "-c", READ, *(str(home / name) for name in RELEASES)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Could not match" not in done.stderr
    return dict(json.loads(done.stdout))


def test_the_context_is_that_of_the_specification(found: dict[str, Any]) -> None:
    assert found["context"] == CONTEXT


def test_it_is_valid_and_lacks_but_what_the_publisher_left_out(found: dict[str, Any]) -> None:
    assert found["all"]["errors"] == found["all"]["warnings"] == []
    for name in ("odd", "loose"):
        assert found[name]["errors"] == []
        (warning,) = found[name]["warnings"]
        assert "datePublished" in warning


def test_the_tables_are_read_column_by_column(home: Path, found: dict[str, Any]) -> None:
    rows = pq.read_table(home / "all" / "patches.parquet").to_pylist()
    read = found["all"]["records"]["patches"]
    assert [{key.removeprefix("patches/"): value for key, value in row.items()} for row in read] == rows
    pairs = found["all"]["records"]["pairs"]
    assert len(pairs) == pq.read_metadata(home / "all" / "pairs.parquet").num_rows
    assert pairs[0]["pairs/thumbnail"] == [256, 170]
    scenes = {row["scenes/scene_id"]: row["scenes/tags"] for row in found["all"]["records"]["scenes"]}
    assert len(scenes) == 6
    assert (scenes["train-0"], scenes["test-0"]) == (["light=dim", "night=yes"], [])


def test_the_images_of_layout_parquet_come_with_split_and_facts(found: dict[str, Any]) -> None:
    rows = found["all"]["records"]["iphone"]
    assert {row["iphone/split"] for row in rows} == {"train", "validation", "test"}
    for row in rows:
        assert f"iphone-{row['iphone/split']}-" in row["iphone/patch_id"]
        assert row["iphone/phone_image"] == row["iphone/dslr_image"] == [32, 32]
        assert row["iphone/ncc"] == 0.95


def test_names_that_are_taken_or_odd_are_made_usable(found: dict[str, Any]) -> None:
    assert set(found["odd"]["records"]) == {"splits", "patches", "pairs", "scenes", "a-b-s--3-", "patches-2"}
    assert [len(found["odd"]["records"][name]) for name in ("a-b-s--3-", "patches-2")] == [10, 10]


def test_loose_images_are_found_by_camera_and_folder(found: dict[str, Any]) -> None:
    records = found["loose"]["records"]
    for camera in ("phone", "dslr"):
        rows = records[f"patches-2/{camera}"]
        places = sorted((row[f"patches-2/{camera}/folder"], row[f"patches-2/{camera}/number"]) for row in rows)
        assert places == sorted(
            (folder, n)
            for folder, count in (("training_data", 5), ("validation_data", 2), ("test_data", 3))
            for n in range(count)
        )


def test_every_file_has_its_sum_and_size(home: Path) -> None:
    data = croissant(describe_release(home / "all"))
    files = [node for node in data["distribution"] if node["@type"] == "cr:FileObject"]
    assert len(files) == 3 + 16
    for file in files:
        assert file["sha256"] == file_sha256(home / "all" / file["contentUrl"])
        assert file["contentSize"] == f"{(home / 'all' / file['contentUrl']).stat().st_size} B"


def test_what_is_not_stated_is_left_out(home: Path) -> None:
    data = croissant(describe_release(home / "all"))
    assert not {"url", "datePublished", "sameAs"} & set(data)
    assert data["license"] == "https://creativecommons.org/licenses/by/4.0/legalcode"
    assert data["creator"] == [
        {"@type": "sc:Person", "name": "Jane Doe"},
        {"@type": "sc:Organization", "name": "The Tripod Group"},
    ]
