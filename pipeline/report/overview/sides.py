"""The split: the size of its sides, what is left out, and the proof that nothing leaks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from dpedtool.dataset.schema import Photo
from dpedtool.dataset.sides import EXCLUDED, SPLITS
from dpedtool.pipeline.report.overview.photos_and_pairs import Reason, reasons
from dpedtool.pipeline.report.results import RunResults
from dpedtool.pipeline.split.verification import is_current

_COLUMNS = ("pair_id", "phone", "scene_id", "group", "split", "reason", "accepted", "drawn_by")


@dataclass(frozen=True)
class Side:
    """One side of the split, or what is excluded."""

    scenes: int | None
    """Scenes, groups and pairs are None if the patches were imported, as they are not known then."""
    groups: int | None
    pairs: int | None
    patches: int
    """Patches that were cut from these pairs. Excluded ones are not used as samples."""
    patches_by_phone: dict[str, int]


@dataclass(frozen=True)
class Proof:
    """The result of `dpedtool split --verify`."""

    is_current: bool
    """Whether the tables have not changed since."""
    is_proof: bool
    said: list[str]
    faults: list[str]


@dataclass(frozen=True)
class Sides:
    """The split, from its record photos.parquet; for an imported set, from its samples."""

    sides: dict[str, Side]
    """train, validation, test, excluded."""
    are_scenes_known: bool
    """False for imported patches."""
    groups: int
    """Scenes that share near-duplicates or files form a group and stay together; 0 if they are not known."""
    groups_of_several_scenes: int
    largest_group_scenes: int
    excluded_reasons: list[Reason]
    """Counts of pairs, not of patches."""
    drawn_by: str
    """Seed and shares."""
    samples: dict[str, dict[str, int] | None]
    """Rows of the table of samples on each side, by phone; None if there is no table."""
    proof: Proof | None
    """None if nothing was verified."""


def sides(run: RunResults) -> Sides | None:
    """Return the split of a run; None if it has not run.

    Raises
    ------
    DpedtoolError
        A table is damaged.

    """
    photos = run.photos(_COLUMNS)
    if photos is None:
        return _of_samples(run)
    phones = [phone.name for phone in run.phones]
    placed = photos[photos["split"] != EXCLUDED]
    scenes = placed.groupby("group")["scene_id"].nunique()
    return Sides(
        sides={name: _side(photos[photos["split"] == name], phones) for name in (*SPLITS, EXCLUDED)},
        are_scenes_known=True,
        groups=len(scenes),
        groups_of_several_scenes=int((scenes > 1).sum()),
        largest_group_scenes=int(scenes.max()) if len(scenes) else 0,
        excluded_reasons=reasons(Photo, {name: _reasons(photos[photos["phone"] == name]) for name in phones}),
        drawn_by="; ".join(sorted(photos["drawn_by"].unique())),
        samples={phone.name: _samples(phone.samples(["split"])) for phone in run.phones},
        proof=_proof(run),
    )


def _of_samples(run: RunResults) -> Sides | None:
    """Count the rows of the tables of samples, as an import writes nothing else about the split."""
    samples = {phone.name: _samples(phone.samples(["split"])) for phone in run.phones}
    known = [counts for counts in samples.values() if counts]
    if not known:
        return None
    sides = {
        name: Side(
            None,
            None,
            None,
            sum(counts[name] for counts in known),
            {phone: counts[name] if counts else 0 for phone, counts in samples.items()},
        )
        for name in SPLITS
    }
    sides[EXCLUDED] = Side(None, None, None, 0, dict.fromkeys(samples, 0))
    return Sides(sides, False, 0, 0, 0, [], "", samples, _proof(run))


def _side(photos: pd.DataFrame, phones: list[str]) -> Side:
    return Side(
        scenes=int(photos["scene_id"].nunique()),
        groups=len({*photos["group"]} - {""}),
        pairs=len(photos),
        patches=int(photos["accepted"].sum()),
        patches_by_phone={name: int(photos.loc[photos["phone"] == name, "accepted"].sum()) for name in phones},
    )


def _reasons(photos: pd.DataFrame) -> Counter[str]:
    return Counter(photos.loc[photos["split"] == EXCLUDED, "reason"].tolist())


def _samples(table: pd.DataFrame | None) -> dict[str, int] | None:
    return None if table is None else {name: int((table["split"] == name).sum()) for name in SPLITS}


def _proof(run: RunResults) -> Proof | None:
    verdict = run.verdict
    if verdict is None:
        return None
    return Proof(is_current(run.splits, verdict), verdict.is_proof, verdict.said, verdict.faults)
