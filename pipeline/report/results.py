"""The results of the stages of a run: read from `results`, or None if a stage has not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import pandas as pd

from dpedtool.dataset.params import Params
from dpedtool.dataset.rows import Row
from dpedtool.dataset.scene_table import TEMPLATE, SceneEntry, read_scene_table
from dpedtool.dataset.schema import Alignment, CameraShot, Frame, Pair, Patch, Photo, Sample, Scene, Score, Timing
from dpedtool.dataset.sidecars.command_record import CommandRecord
from dpedtool.dataset.sidecars.examples import Examples
from dpedtool.dataset.sidecars.history import HISTORY
from dpedtool.dataset.sidecars.imported_patches import ImportedPatches
from dpedtool.dataset.sidecars.json_objects import Sidecar
from dpedtool.dataset.sidecars.metrics import Metrics
from dpedtool.dataset.sidecars.model_info import ModelInfo
from dpedtool.dataset.sidecars.selection import Selection
from dpedtool.dataset.sidecars.synchronisation import Synchronisation
from dpedtool.dataset.sidecars.verdict import Verdict
from dpedtool.dataset.tables import read_frame, read_rows
from dpedtool.pipeline.moments import Moment, moments
from dpedtool.pipeline.report.paths import Paths
from dpedtool.pipeline.report.places import (
    ALIGNED,
    EVALUATIONS,
    MODELS,
    PAIRS,
    PATCHES,
    RECORDS,
    SPLITS,
    Places,
    find_places,
)

RowT = TypeVar("RowT", bound=Row)
SidecarT = TypeVar("SidecarT", bound=Sidecar)

STAGES = ("pair", "align", "patches", "split", "train", "evaluate")
"""The stages that a report covers, in their order."""
_FOLDERS = {
    Synchronisation.FILE: PAIRS,
    Selection.FILE: PATCHES,
    ImportedPatches.FILE: PATCHES,
    ModelInfo.FILE: MODELS,
    HISTORY: MODELS,
    Metrics.FILE: EVALUATIONS,
    Examples.FILE: EVALUATIONS,
}
"""The folder of each file that stages write for each phone in addition to their tables."""


@dataclass(frozen=True)
class PairWindows:
    """Number of windows of each pair that has any, by pair_id."""

    windows: Mapping[str, int]
    accepted: Mapping[str, int]


@dataclass(frozen=True)
class PhoneResults:
    """The results for one phone. Reading raises DpedtoolError if a file is damaged, and gives None if it is missing."""

    results: Path
    name: str
    paths: Paths = field(default_factory=Paths)
    """Shortens the paths in the sentences of its tables."""
    places: Places = field(default_factory=Places)
    """Where its results lie if not in folders named as in dvc.yaml."""

    def folder(self, stage: str) -> Path:
        """Return the folder of the results of a stage, named as in dvc.yaml."""
        named = self.results / stage / self.name
        return named if named.is_dir() else self.places.folder(stage, self.name) or named

    def file(self, name: str) -> Path:
        """Return the path of a file of this phone; `name` is a key of `_FOLDERS`."""
        return self.folder(_FOLDERS[name]) / name

    def _read(self, kind: type[SidecarT]) -> SidecarT | None:
        return _sidecar(self.file(kind.FILE), kind)

    @cached_property
    def pairs(self) -> list[Pair] | None:
        """Pairs and lone photos."""
        return _rows(Pair.table_in(self.folder(PAIRS)), Pair)

    @cached_property
    def synchronisation(self) -> Synchronisation | None:
        """How the photos were paired, and how the clocks relate."""
        return self._read(Synchronisation)

    @cached_property
    def alignments(self) -> list[Alignment] | None:
        """One row for each pair with both photos, except rows of pairs that no longer exist."""
        if self._aligned is None or self.pairs is None:
            return self._aligned
        paired = self._paired
        return [row for row in self._aligned if row.pair_id in paired]

    @cached_property
    def moments(self) -> list[Moment]:
        """The moments of `alignments`: of one frame each, or of several; empty if stage align has not run."""
        return moments(self.alignments or ())

    @cached_property
    def shots(self) -> list[CameraShot] | None:
        """Every photo of this phone and the DSLR, with its exposure."""
        return _rows(CameraShot.table_in(self.results / PAIRS / self.name), CameraShot)

    @property
    def gone(self) -> int:
        """How many aligned pairs no longer exist, since the photos were paired again."""
        return len(self._aligned or ()) - len(self.alignments or ())

    @property
    def waiting(self) -> int:
        """How many pairs stage align has not processed; 0 if it has not run."""
        return len(self._paired) - len(self.alignments) if self.pairs and self.alignments is not None else 0

    @cached_property
    def _aligned(self) -> list[Alignment] | None:
        return _rows(Alignment.table_in(self.folder(ALIGNED)), Alignment)

    @cached_property
    def _paired(self) -> frozenset[str]:
        return frozenset(row.pair_id for row in self.pairs or () if row.status == "paired")

    @cached_property
    def scenes(self) -> dict[str, SceneEntry]:
        """What the user has said about the scenes of the pairs, by scene_id, when stage pair ran."""
        path = self.folder(PAIRS) / TEMPLATE
        names = {row.scene_id for row in self.pairs or () if row.scene_id is not None}
        return read_scene_table(path).find(names) if path.is_file() else {}

    @cached_property
    def timings(self) -> list[Timing] | None:
        """Processor time of the pairs."""
        return _rows(Timing.table_in(self.folder(ALIGNED)), Timing)

    def patches(self, only: Sequence[str]) -> pd.DataFrame | None:
        """Return these columns of the table of windows, kept and rejected: millions of rows for a large session.

        Every call reads the table again. On 1.8 million rows, one frame with all columns in use took as long, and held
        a hundred megabytes more.
        """
        return _frame(self.patch_table, Patch, only)

    def frames(self, only: Sequence[str]) -> pd.DataFrame | None:
        """Return these columns of the pairs that patches were cut from; None for imported patches."""
        return _frame(Frame.table_in(self.folder(PATCHES)), Frame, only)

    def windows(self, only: Sequence[str]) -> pd.DataFrame | None:
        """Return these columns of the windows only, without the rows that say why a pair has no windows.

        Those rows have no place. Imported patches have no known place either, but count as windows.
        """
        rows = self.patches(list(dict.fromkeys([*only, "x"])))
        return rows if rows is None or self.imported else rows[rows["x"].notna()]

    @cached_property
    def windows_by_pair(self) -> PairWindows | None:
        """The number of windows of each pair; None if stage patches has not run."""
        rows = self.windows(["pair_id", "status"])
        if rows is None:
            return None
        return PairWindows(_counts(rows["pair_id"]), _counts(rows.loc[rows["status"] == "accepted", "pair_id"]))

    @property
    def patch_table(self) -> Path:
        """Path of the table of windows; the shards are in the same folder."""
        return Patch.table_in(self.folder(PATCHES))

    @cached_property
    def selection(self) -> Selection | None:
        """How many windows were kept, by what they show."""
        return self._read(Selection)

    @cached_property
    def imported(self) -> ImportedPatches | None:
        """What `dpedtool release import` wrote about the patches. Their photos are not known."""
        return None if self.selection else self._read(ImportedPatches)

    def samples(self, only: Sequence[str]) -> pd.DataFrame | None:
        """Return these columns of the table of accepted patches and their split."""
        return _frame(self._sample_table, Sample, only)

    @property
    def _sample_table(self) -> Path:
        named = self.results / SPLITS / f"{self.name}.parquet"
        return named if named.is_file() else self.places.samples.get(self.name, named)

    @cached_property
    def card(self) -> ModelInfo | None:
        """The network and how it was trained."""
        return self._read(ModelInfo)

    @property
    def evaluation(self) -> Path:
        """Folder of the scores and examples."""
        return self.folder(EVALUATIONS)

    @cached_property
    def metrics(self) -> Metrics | None:
        """Mean scores by protocol."""
        return self._read(Metrics)

    @cached_property
    def examples(self) -> Examples | None:
        """Patches and photos before and after the network."""
        return self._read(Examples)

    @cached_property
    def scores(self) -> pd.DataFrame | None:
        """One row for each test patch, with the columns of `dpedtool.dataset.schema.Score`."""
        return _frame(Score.table_in(self.evaluation), Score, None)

    @property
    def has_results(self) -> bool:
        """Whether any stage has results for this phone."""
        return len(self.missing) < len(STAGES) or self.imported is not None

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the stages without results for this phone. Imported patches need no pairs or alignments."""
        tables = {
            "pair": Pair.table_in(self.folder(PAIRS)),
            "align": Alignment.table_in(self.folder(ALIGNED)),
            "patches": self.patch_table,
            "split": self._sample_table,
            "train": self.file(ModelInfo.FILE),
            "evaluate": self.file(Metrics.FILE),
        }
        needless = ("pair", "align") if self.imported else ()
        return tuple(stage for stage, table in tables.items() if stage not in needless and not table.is_file())


@dataclass(frozen=True)
class RunResults:
    """A whole run: its phones, and what they share."""

    results: Path
    params: Params
    params_folder: Path | None = None
    """The folder that paths in the parameters are relative to, if any."""

    @cached_property
    def phones(self) -> tuple[PhoneResults, ...]:
        """The phones that the params file names; if it names none, all phones with results of any stage."""
        names = self.params.captures.phones or _found(self.results)
        if not any(PhoneResults(self.results, name).has_results for name in names):
            names = self.places.phones or names
        return tuple(PhoneResults(self.results, name, self.paths, self.places) for name in names)

    @cached_property
    def places(self) -> Places:
        """Where the results lie if they are not in folders named as in dvc.yaml."""
        names = self.params.captures.phones or _found(self.results)
        is_whole = names and not any(PhoneResults(self.results, name).missing for name in names)
        return Places() if is_whole else find_places(self.results)

    @cached_property
    def paths(self) -> Paths:
        """Shortens the paths in everything that is published."""
        return Paths.below(self.params.captures.root, self.results)

    def photos(self, only: Sequence[str]) -> pd.DataFrame | None:
        """Return these columns of the split's record of the existing pairs: which side each is on, and why.

        Columns are read one by one, since the thumbnails of a large session are hundreds of megabytes.
        """
        return _frame(Photo.table_in(self.splits), Photo, only, where={"status": "present"})

    @cached_property
    def tags(self) -> dict[str, tuple[str, ...]]:
        """Tags of the scenes that have any, each as key=value, by scene_id; empty if stage split has not run.

        The split records only scenes with an aligned pair. The tags of the others are those that stage pair knew, in
        the template of the table of scenes that it wrote. A template that the user has filled in without naming it in
        captures.scenes does not count.
        """
        table = _frame(Scene.table_in(self.splits), Scene, ["scene_id", "tags"])  # without the notes
        if table is None:
            return {}
        placed = dict(zip(table["scene_id"].tolist(), (list(tags) for tags in table["tags"]), strict=True))
        known: dict[str, list[str]] = {}
        if any(placed.values()) or self.params.captures.scenes:
            for scene, entry in (item for phone in self.phones for item in phone.scenes.items()):
                known[scene] = [f"{key}={value}" for key, value in entry.tags.items()]
        return {
            scene: tuple(dict.fromkeys(map(self.paths.shorten, tags)))
            for scene, tags in (known | placed).items()
            if tags
        }

    @cached_property
    def verdict(self) -> Verdict | None:
        """What `dpedtool split --verify --verdict` wrote."""
        return _sidecar(Verdict.file_in(self.splits), Verdict)

    @property
    def splits(self) -> Path:
        """Folder of the split."""
        named = self.results / SPLITS
        return named if named.is_dir() else self.places.splits or named

    @cached_property
    def records(self) -> dict[str, CommandRecord]:
        """What `dpedtool --record` wrote about each command, by the file's stem: 'split', 'align.phone-a'.

        Records of phones that are no longer in this run are left out.
        """
        phones = {phone.name for phone in self.phones}
        files = sorted((self.results / RECORDS).glob("*.json"))
        known = [path for path in files if path.stem.partition(".")[2] in {"", *phones}]
        return {path.stem: CommandRecord.read(path) for path in known}

    @cached_property
    def is_simulated(self) -> bool:
        """Whether the photos were rendered: only the simulator writes a file with the truth next to its captures."""
        return (Path(self.params.captures.root) / "truth.json").is_file()


def _rows(path: Path, row_type: type[RowT]) -> list[RowT] | None:
    return read_rows(path, row_type) if path.is_file() else None


def _frame(
    path: Path, row_type: type[Row], only: Sequence[str] | None, where: Mapping[str, str] | None = None
) -> pd.DataFrame | None:
    return read_frame(path, row_type, only, where) if path.is_file() else None


def _counts(names: pd.Series[str]) -> dict[str, int]:
    return {str(name): int(count) for name, count in names.value_counts(sort=False).items()}


def _sidecar(path: Path, kind: type[SidecarT]) -> SidecarT | None:
    return kind.read(path) if path.is_file() else None


def _found(results: Path) -> tuple[str, ...]:
    tables = ((PAIRS, Pair), (ALIGNED, Alignment), (PATCHES, Patch))
    found = (table for stage, kind in tables for table in (results / stage).glob(f"*/{kind.TABLE}.parquet"))
    return tuple(sorted({table.parent.name for table in found}))
