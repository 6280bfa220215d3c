"""What the stages of a run left: read from `results`, or None where a stage has not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import read_json
from dpedtool.dataset.params import Params
from dpedtool.dataset.schema import Alignment, Pair, Patch, Photo, Row, Sample, Score, Timing
from dpedtool.dataset.tables import read_frame, read_rows
from dpedtool.pipeline.report.paths import Paths
from dpedtool.pipeline.split.verification import VERDICT

RowT = TypeVar("RowT", bound=Row)

STAGES = ("pair", "align", "patches", "split", "train", "evaluate")
"""The stages that a report tells of, in their order."""
SYNCHRONISATION, SELECTION, IMPORTED = "synchronisation.json", "selection.json", "imported.json"
RECORDS = "records"
CARD, HISTORY, METRICS = "model.json", "history.csv", "metrics.json"
_FOLDERS = {
    SYNCHRONISATION: "pairs",
    SELECTION: "patches",
    IMPORTED: "patches",
    CARD: "models",
    HISTORY: "models",
    METRICS: "evaluations",
}
"""Below the results, by what stages leave there of each phone beside their tables. Written here anew, since a report
that imported the stages would be made anew whenever their code changes."""


@dataclass(frozen=True)
class PhoneRun:
    """What the stages left of one phone. Reading raises DpedtoolError where a file is damaged; None: not there."""

    results: Path
    name: str
    paths: Paths = field(default_factory=Paths)
    """What shortens the paths in the sentences of its tables."""

    def file(self, name: str) -> Path:
        """Return where a file of this phone is, by one of the names above."""
        return self.results / _FOLDERS[name] / self.name / name

    @cached_property
    def pairs(self) -> list[Pair] | None:
        """Pairs and lone photos."""
        return _rows(Pair.table_in(self.results / "pairs" / self.name), Pair)

    @cached_property
    def synchronisation(self) -> dict[str, Any] | None:
        """synchronisation.json, as `dpedtool.pipeline.pair.synchronisation.synchronisation` describes it."""
        return _json(self.file(SYNCHRONISATION))

    @cached_property
    def alignments(self) -> list[Alignment] | None:
        """One row for each pair that has both photos; those of pairs that are no more are left out."""
        if self._aligned is None or self.pairs is None:
            return self._aligned
        paired = self._paired
        return [row for row in self._aligned if row.pair_id in paired]

    @property
    def gone(self) -> int:
        """How many pairs were aligned that are none any more, since they were paired anew."""
        return len(self._aligned or ()) - len(self.alignments or ())

    @property
    def waiting(self) -> int:
        """How many pairs stage align has not looked at; none where it has not run."""
        return len(self._paired) - len(self.alignments) if self.pairs and self.alignments is not None else 0

    @cached_property
    def _aligned(self) -> list[Alignment] | None:
        return _rows(Alignment.table_in(self.results / "aligned" / self.name), Alignment)

    @cached_property
    def _paired(self) -> frozenset[str]:
        return frozenset(row.pair_id for row in self.pairs or () if row.status == "paired")

    @cached_property
    def timings(self) -> list[Timing] | None:
        """Processor time of the pairs."""
        return _rows(Timing.table_in(self.results / "aligned" / self.name), Timing)

    def patches(self, only: Sequence[str]) -> pd.DataFrame | None:
        """Return these columns of the table of windows, kept and rejected; millions of rows for a large session.

        Read anew by each who asks: on 1.8 million rows, a frame of all columns that anybody asks for took as long and
        held a hundred megabytes more.
        """
        return _frame(self.patch_table, Patch, only)

    def windows(self, only: Sequence[str]) -> pd.DataFrame | None:
        """Return these columns of the windows alone: a row without a place says why a pair gave none.

        An imported patch is one too, though nobody knows its place.
        """
        rows = self.patches(list(dict.fromkeys([*only, "x"])))
        return rows if rows is None or self.imported else rows[rows["x"].notna()]

    @property
    def patch_table(self) -> Path:
        """Where the table of windows is; the shards lie beside it."""
        return Patch.table_in(self.results / "patches" / self.name)

    @cached_property
    def selection(self) -> dict[str, Any] | None:
        """selection.json: how many windows were kept, by what they show."""
        return _json(self.file(SELECTION))

    @cached_property
    def imported(self) -> dict[str, Any] | None:
        """imported.json: what `dpedtool release import` made the patches with, of which no photos are known."""
        return None if self.selection else _json(self.file(IMPORTED))

    def samples(self, only: Sequence[str]) -> pd.DataFrame | None:
        """Return these columns of the table of accepted patches and their split."""
        return _frame(self._sample_table, Sample, only)

    @property
    def _sample_table(self) -> Path:
        return self.results / "splits" / f"{self.name}.parquet"

    @cached_property
    def card(self) -> dict[str, Any] | None:
        """model.json: the network and how it was trained."""
        return _json(self.file(CARD))

    @cached_property
    def history(self) -> pd.DataFrame | None:
        """history.csv: a row a validation; None for a network that was not trained here."""
        path = self.file(HISTORY)
        if not path.is_file():
            return None
        try:
            # As text first: not every pandas reads numbers to their last digit.
            return pd.read_csv(path, dtype=str).astype(float)
        except (OSError, ValueError) as error:
            raise DpedtoolError(f"{path} cannot be read ({error}): train again.") from None

    @property
    def evaluation(self) -> Path:
        """Folder of the scores and of the examples."""
        return self.results / "evaluations" / self.name

    @cached_property
    def metrics(self) -> dict[str, Any] | None:
        """metrics.json: mean scores by protocol, as `dvc metrics` shows them."""
        return _json(self.file(METRICS))

    @cached_property
    def scores(self) -> pd.DataFrame | None:
        """A row a test patch; columns of `dpedtool.dataset.schema.Score`."""
        return _frame(Score.table_in(self.evaluation), Score, None)

    @property
    def missing(self) -> tuple[str, ...]:
        """Name the stages that have left nothing of this phone; what is imported needs no photos."""
        tables = {
            "pair": Pair.table_in(self.results / "pairs" / self.name),
            "align": Alignment.table_in(self.results / "aligned" / self.name),
            "patches": self.patch_table,
            "split": self._sample_table,
            "train": self.file(CARD),
            "evaluate": self.file(METRICS),
        }
        needless = ("pair", "align") if self.imported else ()
        return tuple(stage for stage, table in tables.items() if stage not in needless and not table.is_file())


@dataclass(frozen=True)
class Run:
    """A whole run: its phones, and what they share."""

    results: Path
    params: Params
    params_folder: Path | None = None
    """Which paths in the parameters have been made relative to; None: to none."""

    @cached_property
    def phones(self) -> tuple[PhoneRun, ...]:
        """The phones that the params file names; without such, those that any stage has left something of."""
        names = self.params.captures.phones or _found(self.results)
        return tuple(PhoneRun(self.results, name, self.paths) for name in names)

    @cached_property
    def paths(self) -> Paths:
        """What shortens the paths in all that is published."""
        return Paths.below(self.params.captures.root, self.results)

    def photos(self, only: Sequence[str]) -> pd.DataFrame | None:
        """Return these columns of the split's record of the pairs that are there: who is on which side and why.

        Column by column, since the thumbnails of a large session are hundreds of megabytes.
        """
        return _frame(Photo.table_in(self.results / "splits"), Photo, only, where={"status": "present"})

    @cached_property
    def verdict(self) -> dict[str, Any] | None:
        """What `dpedtool split --verify --verdict` wrote."""
        return _json(self.verdict_file)

    @property
    def verdict_file(self) -> Path:
        """Where the recipe has it written."""
        return self.results / "splits" / VERDICT

    @cached_property
    def records(self) -> dict[str, dict[str, Any]]:
        """What `dpedtool --record` wrote of each command, by the file's stem: 'split', 'align.phone-a'.

        Those of phones that are not of this run any more are left out.
        """
        phones = {phone.name for phone in self.phones}
        files = sorted((self.results / RECORDS).glob("*.json"))
        known = [path for path in files if path.stem.partition(".")[2] in {"", *phones}]
        return {path.stem: read_json(path) for path in known}

    def record_file(self, name: str) -> Path:
        """Return where the recipe has the record of this name written."""
        return self.results / RECORDS / f"{name}.json"

    @cached_property
    def is_simulated(self) -> bool:
        """Whether the photos were rendered: the simulator leaves the truth beside its captures, and no camera does."""
        return (Path(self.params.captures.root) / "truth.json").is_file()


def _rows(path: Path, row_type: type[RowT]) -> list[RowT] | None:
    return read_rows(path, row_type) if path.is_file() else None


def _frame(
    path: Path, row_type: type[Row], only: Sequence[str] | None, where: Mapping[str, str] | None = None
) -> pd.DataFrame | None:
    return read_frame(path, row_type, only, where) if path.is_file() else None


def _json(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None


def _found(results: Path) -> tuple[str, ...]:
    folders = (path for stage in ("pairs", "aligned", "patches") for path in (results / stage).glob("*/"))
    return tuple(sorted({path.name for path in folders}))
