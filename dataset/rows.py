"""How the tables between the stages are declared: columns with meanings and units, and their Arrow schema."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pyarrow as pa

_ARROW_TYPES: Mapping[Any, pa.DataType] = {
    str: pa.string(),
    Path: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bytes: pa.binary(),
    tuple[float, ...]: pa.list_(pa.float64()),
    tuple[str, ...]: pa.list_(pa.string()),
}


def column(meaning: str, unit: str = "", default: Any = dataclasses.MISSING) -> Any:
    """Declare a column: what it means, and its unit where it has one."""
    metadata = {"meaning": meaning, "unit": unit}
    if default is dataclasses.MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


class Row:
    """Base of the row types. A column that may be empty is annotated `| None`."""

    TABLE: ClassVar[str]
    """Name of the table, and of its file where a folder holds just one."""
    MADE_BY: ClassVar[str]
    """The command that writes it."""
    STATUSES: ClassVar[tuple[str, ...]] = ()
    """Values of the column `status`: the good one first."""
    REASONS: ClassVar[Mapping[str, str]] = {}
    """Values of the column `reason` other than empty, and what each means in words."""
    ADDED: ClassVar[frozenset[str]] = frozenset()
    """Columns that earlier versions did not write: where they are missing, their default is read."""
    RETRIED: ClassVar[frozenset[str]] = frozenset(
        {"worker_lost", "internal_error", "unreadable_photo", "photo_changed"}
    )
    """Reasons that do not follow from the inputs alone: another run tries again."""

    @classmethod
    def table_in(cls, folder: Path) -> Path:
        """Return the file of the table in a folder that holds one of its kind."""
        return folder / f"{cls.TABLE}.parquet"


@dataclass(frozen=True)
class NamePattern:
    """What a name in a table must be, since files and folders are named after it."""

    regex: str
    """In the syntax of RE2, for the whole name."""
    words: str
    """The same in words."""


Identifier = Annotated[str, NamePattern(r"^[A-Za-z0-9_-]{1,255}$", "a name of letters, digits, '_' and '-'")]
"""The name of a pair, patch or moment."""
FolderName = Annotated[str, NamePattern(r"^(?:[^/\x00-\x1f\x7f.][^/\x00-\x1f\x7f]*)?$", "the name of one folder")]
"""The name of a camera's or session's folder, without the folders above; it may be empty, and it begins with no dot."""


@dataclass(frozen=True)
class ColumnSpec:
    """One column as declared: its Python type without None, and what it means."""

    name: str
    kind: Any
    nullable: bool
    unit: str
    meaning: str
    pattern: NamePattern | None = None
    """What its values must be if they are names; None: they name no file."""
    default: Any = None
    """What the column holds where nothing else is said; None if it has no default."""

    @property
    def is_path(self) -> bool:
        """Whether the column holds paths, which files keep relative to their own folder, or URLs."""
        return self.kind is Path

    @property
    def arrow_type(self) -> pa.DataType:
        """The type in the file."""
        return _ARROW_TYPES[self.kind]


def columns(row_type: type[Row]) -> tuple[ColumnSpec, ...]:
    """Return the columns of a row type in the order of the file."""
    # Type hints take milliseconds, and the columns are asked for with every file of a pair.
    if row_type not in _known:
        hints = typing.get_type_hints(row_type, include_extras=True)
        _known[row_type] = tuple(
            _column_spec(declared, hints[declared.name])
            for declared in dataclasses.fields(row_type)  # type: ignore[arg-type]
        )
    return _known[row_type]


_known: dict[type[Row], tuple[ColumnSpec, ...]] = {}


def arrow_schema(row_type: type[Row]) -> pa.Schema:
    """Return the Arrow schema of a row type; unit and meaning are in each field's metadata."""
    return pa.schema(
        [
            pa.field(
                spec.name,
                spec.arrow_type,
                nullable=spec.nullable,
                metadata={"unit": spec.unit, "meaning": spec.meaning},
            )
            for spec in columns(row_type)
        ],
        metadata={"dpedtool.table": row_type.TABLE},
    )


def _column_spec(declared: dataclasses.Field[Any], hint: Any) -> ColumnSpec:
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    kind, pattern = kinds[0], None
    if typing.get_origin(kind) is Annotated:
        kind, pattern = typing.get_args(kind)
    return ColumnSpec(
        name=declared.name,
        # `Place` is Path | UPath here; both are the same text in a file.
        kind=kind,
        pattern=pattern,
        nullable=types.NoneType in kinds,
        unit=declared.metadata["unit"],
        meaning=declared.metadata["meaning"],
        default=None if declared.default is dataclasses.MISSING else declared.default,
    )
