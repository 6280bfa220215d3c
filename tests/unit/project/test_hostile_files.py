"""Files that never end or claim any size are refused in words by all that reads what a user hands in."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dpedtool.dataset.csv_lines import csv_lines
from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.io import file_sha256, read_json
from dpedtool.dataset.params import ReleaseParams
from dpedtool.dataset.params_files import load_params
from dpedtool.dataset.photos.decoding import Taken, how_taken, open_photo
from dpedtool.dataset.photos.encoding import image_key
from dpedtool.dataset.rows import arrow_schema
from dpedtool.dataset.schema import Pair
from dpedtool.dataset.shards import Extent, member_name, read_extent
from dpedtool.dataset.tables import holds, read_frame, read_rows
from dpedtool.pipeline.foreign.dped_layout import read_batch
from dpedtool.pipeline.geometry.node_files import read_nodes
from dpedtool.pipeline.release.changes import check_tables
from dpedtool.pipeline.release.chunks import content_of
from dpedtool.pipeline.release.documents.licence_text import licence_text
from dpedtool.pipeline.release.privacy.scan import scan_file
from dpedtool.pipeline.report.pairs.opened import key_of, read_details
from dpedtool.pipeline.rig.truth import load_truth
from dpedtool.pipeline.split.earlier_sides import read_sides
from dpedtool.training.data import read_names
from dpedtool.training.train.vgg import load_vgg
from dpedtool.training.weights.checkpoint import load_tensors, read_notes
from dpedtool.training.weights.state_dicts import read_tensors
from dpedtool.training.weights.tensorflow_checkpoint import read_checkpoint

SECONDS = 20


@pytest.fixture(autouse=True)
def no_hanging() -> Iterator[None]:
    """End a test that waits for a pipe. The error is none of those that readers turn into sentences."""

    def fail(*_: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def holes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def folder(path: Path) -> None:
    path.mkdir()


KINDS = {"a named pipe": pipe, "a link to a device": device, "a terabyte of holes": holes, "a folder": folder}
NO_END = ("a named pipe", "a link to a device")
READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "list": ("a.csv", lambda path: list(csv_lines(path, "pair.csv"))),
    "json": ("a.json", read_json),
    "params": ("a.yaml", load_params),
    "licence": ("a.txt", lambda path: licence_text(ReleaseParams(licence="MIT", licence_file=str(path)))),
    "names": ("a.txt", read_names),
    "truth": ("truth.json", load_truth),
    "table": ("a.parquet", lambda path: read_rows(path, Pair)),
    "frame": ("a.parquet", lambda path: read_frame(path, Pair)),
    "kind of table": ("a.parquet", lambda path: holds(path, Pair)),
    "table of a release": ("patches.parquet", lambda path: check_tables(path.parent)),
    "earlier sides": ("pairs.parquet", lambda path: read_sides(path.parent)),
    "nodes": ("a.npy", lambda path: read_nodes(path, "0" * 64, 2, 2)),
    "photo": ("a.jpg", open_photo),
    "weights": ("a.safetensors", load_tensors),
    "pickled weights": ("a.pth", lambda path: read_tensors(path, ["a"])),
    "weights of TensorFlow": ("a.index", read_checkpoint),
    "weights of VGG-19": ("a.safetensors", load_vgg),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_it_is_one_sentence(tmp_path: Path, reader: str, kind: str) -> None:
    name, read = READERS[reader]
    KINDS[kind](tmp_path / name)
    with pytest.raises((DpedtoolError, Rejection)) as caught:
        read(tmp_path / name)
    sentence = caught.value.detail if isinstance(caught.value, Rejection) else str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 500


@pytest.mark.parametrize("kind", NO_END)
@pytest.mark.parametrize("read", [file_sha256, lambda path: read_extent(path, Extent(512, 10))])
def test_what_has_no_end_is_an_error_of_the_system(tmp_path: Path, kind: str, read: Callable[[Path], Any]) -> None:
    KINDS[kind](tmp_path / "a")
    with pytest.raises(OSError, match="it is not a file"):
        read(tmp_path / "a")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_asked_for_a_note_has_none(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "details.js"
    KINDS[kind](path)
    assert how_taken(path) == Taken()
    assert read_notes(path) == {}
    assert image_key(path) == ""
    assert len(key_of(tmp_path)) <= 4096
    assert content_of(path) == b""


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_of_a_foreign_folder_is_a_fault(tmp_path: Path, kind: str) -> None:
    KINDS[kind](tmp_path / "1.jpg")
    batch = read_batch([tmp_path / "1.jpg"])
    assert batch.unreadable == 1
    assert len(batch.faults) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_details_of_a_pair_are_not_read(tmp_path: Path, kind: str) -> None:
    KINDS[kind](tmp_path / "details.js")
    with pytest.raises(OSError, match=r"not a file|MB"):
        read_details(tmp_path / "details.js")


def test_a_text_that_is_too_large_is_not_searched(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(2**26 + 1)
    assert scan_file(tmp_path / "a.txt", "a.txt") == ["a.txt: 0.1 GB, which is too much to look through."]


@pytest.mark.parametrize(
    "extent", [Extent(-512, 10), Extent(512, -1), Extent(512, 2**40), Extent(2**62, 10), Extent(2**63 - 1, 1)]
)
def test_an_impossible_extent_is_an_error_of_the_system(tmp_path: Path, extent: Extent) -> None:
    holes(tmp_path / "a.tar")
    with pytest.raises(OSError):  # noqa: PT011 - its words depend on the extent
        read_extent(tmp_path / "a.tar", extent)
    if extent.offset >= 512 and extent.length > 0 and extent.length < 2**40:
        with pytest.raises(OSError):  # noqa: PT011 - its words depend on the extent
            member_name(tmp_path / "a.tar", Extent(2**62, 1))


def test_links_to_files_are_followed(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.json").symlink_to("a.json")
    assert read_json(tmp_path / "b.json") == {}


def table_of_one_shared_text(path: Path, size: int) -> None:
    """Write a table of pairs with 50,000 rows, whose details are one text that is stored once."""
    schema, rows = arrow_schema(Pair), 50_000
    blank = Pair(pair_id="p--a", phone="p", scene_id="a", status="unpaired", reason="no_dslr_photo")
    values = {
        field.name: pa.array([getattr(blank, field.name)] * rows, field.type)
        for field in schema
        if field.name != "detail"
    }
    values["detail"] = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), ["x" * size])
    table = pa.table([values[name] for name in schema.names], names=schema.names)
    # Without Arrow's own schema, the file says that the column is plain text.
    pq.write_table(table, path, store_schema=False)


@pytest.mark.parametrize("read", [read_rows, read_frame])
def test_a_text_that_is_stored_once_for_many_rows_is_not_unpacked(tmp_path: Path, read: Callable[..., Any]) -> None:
    """Fifty thousand times a megabyte would be 50 GB, from a file of some kilobytes."""
    table_of_one_shared_text(path := tmp_path / "pairs.parquet", 2**20)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(DpedtoolError, match="its column detail unpacks to far more than any table has"):
        read(path, Pair)


def test_a_short_text_of_many_rows_is_read(tmp_path: Path) -> None:
    table_of_one_shared_text(path := tmp_path / "pairs.parquet", 1000)
    assert read_frame(path, Pair)["detail"].str.len().eq(1000).all()
