"""Dataclasses as JSON: the same text when written again, and a sentence for every value of another type."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import write_json
from dpedtool.dataset.sidecars.json_objects import WHERE_KNOWN, JsonObject, Sidecar, keyed


@dataclass(frozen=True)
class Point(JsonObject):
    x: float
    y: float | None
    source: str = field(metadata=keyed("from"))


@dataclass(frozen=True, kw_only=True)
class Odd(Sidecar):
    FILE: ClassVar[str] = "odd.json"

    count: int
    is_odd: bool
    why: Literal["one", "other"]
    points: list[Point]
    size: tuple[int, str]
    sides: tuple[float, ...]
    by_name: dict[str, int]
    nested: dict[str, list[Point]]
    free: dict[str, Any]
    nearest: Point | None
    note: str = ""
    reason: str | None = field(default=None, metadata=WHERE_KNOWN)


POINT = {"x": 1, "y": None, "from": "a"}
GOOD: dict[str, Any] = {
    "count": 3,
    "is_odd": True,
    "why": "one",
    "points": [POINT],
    "size": [1, "px"],
    "sides": [0, 0.5],
    "by_name": {"a": 1},
    "nested": {"a": [POINT]},
    "free": {"a": [None, {"b": 1.5}]},
    "nearest": None,
    "note": "",
}

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
finite = numbers.filter(lambda value: abs(value) < 1e300)
points = st.builds(Point, finite, st.none() | finite, st.text())
odds = st.builds(
    Odd,
    count=st.integers(),
    is_odd=st.booleans(),
    why=st.sampled_from(["one", "other"]),
    points=st.lists(points, max_size=3),
    size=st.tuples(st.integers(), st.text()),
    sides=st.lists(finite, max_size=3).map(tuple),
    by_name=st.dictionaries(st.text(), st.integers(), max_size=3),
    nested=st.dictionaries(st.text(), st.lists(points, max_size=2), max_size=2),
    free=st.dictionaries(st.text(), st.none() | st.text() | finite, max_size=3),
    nearest=st.none() | points,
    note=st.text(),
    reason=st.none() | st.text(),
)


@given(odd=odds)
def test_what_is_written_is_read_back_and_written_again_the_same(odd: Odd, tmp_path_factory: Any) -> None:
    file = tmp_path_factory.getbasetemp() / "odd.json"
    odd.write(file)
    before = file.read_bytes()
    read = Odd.read(file)
    assert read == odd
    read.write(file)
    assert file.read_bytes() == before


def test_fields_are_keys_and_what_is_not_known_has_none() -> None:
    odd = Odd.from_json(GOOD)
    assert odd.points == [Point(1, None, "a")]
    assert (odd.size, odd.sides) == ((1, "px"), (0, 0.5))
    assert odd.as_json() == GOOD
    assert Odd.from_json(GOOD | {"reason": "none"}).as_json() == GOOD | {"reason": "none"}


def test_keys_of_a_newer_version_are_passed_over_and_those_with_a_default_may_be_missing() -> None:
    older = {key: value for key, value in GOOD.items() if key != "note"}
    assert Odd.from_json(older | {"newer": 1}) == Odd.from_json(GOOD)


WRONG = [
    ({"count": 3.0}, "count must be a whole number, not 3.0"),
    ({"count": True}, "count must be a whole number, not True"),
    ({"count": None}, "count must be a whole number, not None"),
    ({"is_odd": 1}, "is_odd must be true or false, not 1"),
    ({"why": "none"}, "why must be one of one, other, not 'none'"),
    ({"why": ["one"]}, "why must be one of one, other, not ['one']"),
    ({"points": {}}, "points must be a list, not {}"),
    ({"points": [POINT, 3]}, "points[1] must be an object, not 3"),
    ({"points": [POINT | {"x": "1"}]}, "points[0].x must be a number, not '1'"),
    ({"points": [POINT | {"x": False}]}, "points[0].x must be a number, not False"),
    ({"points": [POINT | {"y": float("nan")}]}, "points[0].y must be a number, not nan"),
    ({"points": [POINT | {"y": 10**400}]}, "points[0].y must be a number, not 1000"),
    ({"points": [{"x": 1, "y": 1}]}, "points[0].from is missing"),
    ({"size": [1]}, "size must be a list of 2, not [1]"),
    ({"size": [1, 2]}, "size[1] must be a text, not 2"),
    ({"sides": [1, "2"]}, "sides[1] must be a number, not '2'"),
    ({"by_name": [1]}, "by_name must be an object, not [1]"),
    ({"by_name": {"a": "b"}}, "by_name['a'] must be a whole number, not 'b'"),
    ({"nested": {"a": [{}]}}, "nested['a'][0].x is missing"),
    ({"free": None}, "free must be an object, not None"),
    ({"nearest": "here"}, "nearest must be an object, not 'here'"),
    ({"reason": 3}, "reason must be a text, not 3"),
    ({"note": "x" * 100, "count": "y" * 100}, "count must be a whole number, not 'yyy"),
]


@pytest.mark.parametrize(("changes", "words"), WRONG)
def test_what_is_of_another_type_is_told_by_its_place(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        Odd.from_json(GOOD | changes)


@pytest.mark.parametrize("key", [key for key in GOOD if key != "note"])
def test_a_file_that_lacks_a_key_says_what_to_run(tmp_path: Path, key: str) -> None:
    file = tmp_path / Odd.FILE
    write_json(file, {name: value for name, value in GOOD.items() if name != key})
    with pytest.raises(
        DpedtoolError, match=rf"odd\.json is not as this version writes it \({key} is missing\): run its stage again\.$"
    ):
        Odd.read(file)


@pytest.mark.parametrize(("text", "words"), [("[1]", "holds no JSON object"), ("{", "is damaged"), (None, "cannot be")])
def test_what_is_no_json_object_says_what_to_run(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "odd.json").write_text(text)
    with pytest.raises(DpedtoolError, match=f"{words} .*: run the stage|{words}: run the stage"):
        Odd.read(Odd.file_in(tmp_path))


def test_only_a_file_of_the_kind_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "odd.json"
    Odd.check_replaceable(file, "strange file")
    write_json(file, GOOD)
    Odd.check_replaceable(file, "strange file")
    write_json(file, {"count": 3})
    with pytest.raises(DpedtoolError, match="is not a strange file: choose another name"):
        Odd.check_replaceable(file, "strange file")
