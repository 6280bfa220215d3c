"""The tables' declarations: complete, and the same in files as in code."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from dpedtool.dataset.rows import Row, arrow_schema, columns
from dpedtool.dataset.schema import TABLES, Alignment, Pair, Patch, Sample, as_markdown


@pytest.mark.parametrize("row_type", TABLES, ids=lambda row_type: row_type.TABLE)
def test_every_column_and_reason_is_explained(row_type: type[Row]) -> None:
    assert all(spec.meaning for spec in columns(row_type))
    assert all(meaning for meaning in row_type.REASONS.values())
    assert "" not in row_type.REASONS


@pytest.mark.parametrize("row_type", TABLES, ids=lambda row_type: row_type.TABLE)
def test_the_file_carries_meaning_and_unit(row_type: type[Row]) -> None:
    schema = arrow_schema(row_type)
    assert schema.names == [spec.name for spec in columns(row_type)]
    for spec in columns(row_type):
        field = schema.field(spec.name)
        assert field.nullable == spec.nullable
        assert field.metadata == {b"meaning": spec.meaning.encode(), b"unit": spec.unit.encode()}
    assert schema.metadata == {b"dpedtool.table": row_type.TABLE.encode()}


def test_types_by_hand() -> None:
    types = {spec.name: (spec.kind, spec.nullable, spec.is_path) for spec in columns(Alignment)}
    assert types["pair_id"] == (str, False, False)
    assert types["phone_path"] == (Path, False, True)
    assert types["crop_x"] == (int, True, False)
    assert types["mask"] == (bytes, True, False)
    schema = arrow_schema(Alignment)
    assert schema.field("dslr_from_phone").type == pa.list_(pa.float64())
    assert schema.field("field").type == pa.list_(pa.float64())
    assert schema.field("mask").type == pa.binary()
    assert schema.field("phone_width").type == pa.int64()
    assert schema.field("phone_path").type == pa.string()


def test_the_table_of_samples_has_only_columns_of_patches_and_the_split() -> None:
    of_patches = {spec.name for spec in columns(Patch)}
    assert {spec.name for spec in columns(Sample)} - of_patches == {"split"}


def test_the_documentation_names_every_table_column_and_reason() -> None:
    text = as_markdown()
    for row_type in TABLES:
        assert f"\n## {row_type.TABLE}\n" in text
        assert all(f"| {spec.name} | " in text for spec in columns(row_type))
        assert all(f"| {reason} | {meaning} |" in text for reason, meaning in row_type.REASONS.items())
    assert "pixel centres" in text
    assert "| clock_error_s | double, or empty | s | " in text


def test_the_documentation_in_the_repository_is_up_to_date() -> None:
    document = Path(__file__).parents[3] / "docs" / "tables.md"
    assert document.read_text(encoding="utf-8") == as_markdown()


def test_a_row_needs_its_columns_and_takes_no_others() -> None:
    with pytest.raises(TypeError):
        Pair(pair_id="a")
    with pytest.raises(TypeError):
        Pair(pair_id="a", phone="p", status="paired", colour="red")
