"""Where the results of a run lie: in folders named as in dvc.yaml, or wherever the commands were told to write them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.rows import Row
from dpedtool.dataset.schema import Alignment, Pair, Patch, Photo, Sample
from dpedtool.dataset.sidecars.metrics import Metrics
from dpedtool.dataset.sidecars.model_info import ModelInfo
from dpedtool.dataset.tables import holds, read_frame

PAIRS, ALIGNED, PATCHES, SPLITS, MODELS = "pairs", "aligned", "patches", "splits", "models"
EVALUATIONS, RECORDS = "evaluations", "records"
"""Folders below the results, named as in dvc.yaml."""

_TABLES: Mapping[str, type[Row]] = {PAIRS: Pair, ALIGNED: Alignment, PATCHES: Patch}
_DEPTH = 3
"""Folders above a file that is searched for, below the results."""


@dataclass(frozen=True)
class Places:
    """The folders of results that are not named as in dvc.yaml."""

    of_phone: Mapping[tuple[str, str], Sequence[Path]] = field(default_factory=dict)
    """By stage and phone."""
    samples: Mapping[str, Path] = field(default_factory=dict)
    """The table of samples of each phone."""
    splits: Path | None = None

    @property
    def phones(self) -> tuple[str, ...]:
        """All phones with any result."""
        return tuple(sorted({phone for _, phone in self.of_phone} | self.samples.keys()))

    def folder(self, stage: str, phone: str) -> Path | None:
        """Return the folder of the results of a stage for a phone; None if there is none.

        Raises
        ------
        DpedtoolError
            Several folders hold such results, and nothing tells which of them belong to the others.

        """
        found = self.of_phone.get((stage, phone), ())
        # `align` writes the pairs that it has found beside its own table.
        aligned = self.of_phone.get((ALIGNED, phone), ())
        found = [folder for folder in found if folder in aligned] or found
        if len(found) > 1:
            raise _twice(f"{stage} of {phone}", found)
        return found[0] if found else None


def find_places(results: Path) -> Places:
    """Search a folder, and those below it, for the results of the stages.

    A table of `pair`, `align` or `patches` is of the phone that it names, unless it lies in `patches/PHONE`, say. A
    model and its scores are of the phone with the name of their folder, or of the only phone.

    Raises
    ------
    DpedtoolError
        Two folders hold splits, or a table is damaged.

    """
    found = defaultdict[tuple[str, str], list[Path]](list)
    for stage, row_type in _TABLES.items():
        for table in _files(results, f"{row_type.TABLE}.parquet"):
            found[stage, _phone_of(table, stage, row_type)].append(table.parent)
    splits = [table.parent for table in _files(results, f"{Photo.TABLE}.parquet") if holds(table, Photo)]
    if len(splits) > 1:
        raise _twice("splits", splits)
    samples = {table.stem: table for folder in splits for table in folder.glob("*.parquet") if holds(table, Sample)}
    phones = sorted({phone for _, phone in found} | samples.keys())
    for stage, file in ((MODELS, ModelInfo.FILE), (EVALUATIONS, Metrics.FILE)):
        for path in _files(results, file):
            name = path.parent.name
            if name in phones or len(phones) == 1:
                found[stage, name if name in phones else phones[0]].append(path.parent)
    return Places(found, samples, splits[0] if splits else None)


def _files(results: Path, name: str) -> list[Path]:
    return sorted(path for depth in range(_DEPTH) for path in results.glob("*/" * depth + name))


def _phone_of(table: Path, stage: str, row_type: type[Row]) -> str:
    if table.parent.parent.name == stage:
        return table.parent.name
    names = read_frame(table, row_type, ["phone"])["phone"].unique().tolist()
    return str(names[0]) if len(names) == 1 else table.parent.name


def _twice(what: str, folders: Sequence[Path]) -> DpedtoolError:
    return DpedtoolError(
        f"{folders[0]} and {folders[1]} both hold results that belong to {what}: name a folder that holds one of them."
    )
