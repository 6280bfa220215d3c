"""A part holds what the table will hold, to the last bit, and nothing that others wrote into it is believed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.parts import read_part, write_part
from dpedtool.dataset.places import as_place
from dpedtool.dataset.rows import Identifier, Row, column
from dpedtool.dataset.tables import read_rows, write_rows


@dataclass(frozen=True)
class Kinds(Row):
    """One column of each kind, and one that may be empty."""

    TABLE: ClassVar[str] = "kinds"
    MADE_BY: ClassVar[str] = "nothing"
    name: Identifier = column("name")
    text: str = column("text")
    number: int = column("number")
    value: float = column("value")
    values: tuple[float, ...] = column("values")
    words: tuple[str, ...] = column("words")
    data: bytes = column("data")
    path: Path = column("path")
    unknown: float | None = column("unknown", default=None)


def kinds(**other: Any) -> Kinds:
    usual: dict[str, Any] = {
        "name": "a_b-1",
        "text": 'ä\n"\\ \x00 \u2028',
        "number": -(2**63),
        "value": 0.1 + 0.2,
        "values": (5e-324, -0.0, float("inf"), 1.7976931348623157e308),
        "words": ("", "é"),
        "data": bytes(range(256)),
        "path": Path("photos/x.jpg"),
    }
    return Kinds(**{**usual, **other})


def part_of(tmp_path: Path, **other: Any) -> Path:
    write_part(tmp_path / "part.json", Kinds, [kinds(**other)])
    return tmp_path / "part.json"


def changed(tmp_path: Path, **values: Any) -> Path:
    """A part in which somebody changed values."""
    path = part_of(tmp_path)
    content = json.loads(path.read_text())
    (row,) = content["rows"]
    for name, value in values.items():
        row[list(content["columns"]).index(name)] = value
    path.write_text(json.dumps(content))
    return path


def test_every_kind_of_value_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    path = part_of(tmp_path, path=tmp_path / "photos" / "x.jpg")
    (found,) = read_part(path, Kinds)
    assert found == kinds(path=tmp_path / "photos" / "x.jpg")
    assert str(found.values[1]) == "-0.0"


def test_nan_stays_nan_and_nothing_stays_nothing(tmp_path: Path) -> None:
    (found,) = read_part(part_of(tmp_path, value=float("nan")), Kinds)
    assert np.isnan(found.value)
    assert found.unknown is None


def test_the_table_is_the_same_file_with_and_without_a_part_between(tmp_path: Path) -> None:
    """Numbers of numpy's and whole numbers among floats are written as a table writes them."""
    rows = [kinds(number=np.int64(3), value=np.float32(0.1), values=(np.float64(0.3), 1), unknown=2)]
    write_part(tmp_path / "part.json", Kinds, rows)
    write_rows(tmp_path / "direct.parquet", Kinds, rows)
    write_rows(tmp_path / "by_part.parquet", Kinds, read_part(tmp_path / "part.json", Kinds))
    assert (tmp_path / "direct.parquet").read_bytes() == (tmp_path / "by_part.parquet").read_bytes()
    assert read_rows(tmp_path / "direct.parquet", Kinds) == read_part(tmp_path / "part.json", Kinds)


@pytest.mark.parametrize("text", ["s3://bucket/x.jpg", os.fsdecode(b"p\xff.jpg")])
def test_urls_and_names_that_are_not_utf_8_come_back(tmp_path: Path, text: str) -> None:
    place = as_place(text, tmp_path)
    (found,) = read_part(part_of(tmp_path, path=place), Kinds)
    assert found.path == place


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "../../evil"),
        ("name", "a\n"),
        ("text", 3),
        ("text", None),
        ("number", 1.5),
        ("number", True),
        ("number", 2**63),
        ("value", 10**400),
        ("text", "\ud800"),
        ("value", "1"),
        ("value", None),
        ("values", [1, [2]]),
        ("values", "12"),
        ("words", [None]),
        ("data", "no base64!"),
        ("path", "a\0b"),
        ("unknown", []),
    ],
)
def test_a_value_that_no_run_wrote_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    path = changed(tmp_path, **{name: value})
    with pytest.raises(DpedtoolError) as caught:
        read_part(path, Kinds)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"[" * 100_000, b'{"table": "kinds", "columns": {}, "rows": []}', b"\xff\xfe"]
)
def test_a_damaged_part_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "part.json").write_bytes(content)
    with pytest.raises(DpedtoolError, match=r"part\.json cannot be used \(.*\): remove it\."):
        read_part(tmp_path / "part.json", Kinds)


@pytest.mark.parametrize("rows", [None, 3, [[1, 2]], [3]])
def test_rows_of_another_shape_are_refused(tmp_path: Path, rows: Any) -> None:
    path = part_of(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "rows": rows}))
    with pytest.raises(DpedtoolError, match="cannot be used"):
        read_part(path, Kinds)


def test_a_pipe_in_place_of_a_part_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "part.json")
    with pytest.raises(DpedtoolError, match="it is not a file"):
        read_part(tmp_path / "part.json", Kinds)


def test_what_no_table_could_hold_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="column text must not be empty"):
        part_of(tmp_path, text=None)
    with pytest.raises(TypeError, match="no column holds values such as <object"):
        part_of(tmp_path, text=object())
    assert not list(tmp_path.iterdir())
