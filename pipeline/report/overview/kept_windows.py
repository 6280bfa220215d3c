"""Windows that became patches: counts and shares from selection.json, and the yield for each pair of photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dpedtool.dataset.schema import Patch
from dpedtool.dataset.sidecars.selection import Bin, Selection
from dpedtool.pipeline.report.overview.photos_and_pairs import Reason, reasons
from dpedtool.pipeline.report.overview.published_scores import YIELDS, PublishedYield
from dpedtool.pipeline.report.overview.written import as_written
from dpedtool.pipeline.report.results import PhoneResults, RunResults


@dataclass(frozen=True)
class WindowCounts:
    """Candidate windows, and those that became patches."""

    windows: int
    accepted: int
    rejected: int


@dataclass(frozen=True)
class Yield:
    """The yield of one phone's photos."""

    pairs: int
    """Moments that were to be aligned; further frames of bursts and brackets are not counted."""
    aligned: int
    patch_px: int
    megapixels: float | None
    """Size of the phone's photos, as the median over the pairs."""
    windows_a_pair: float | None
    patches_a_pair: float | None
    """Accepted patches divided by all pairs, as for DPED; None without pairs."""
    patches_an_aligned_pair: float | None
    patches_a_megapixel: float | None


@dataclass(frozen=True)
class Windows:
    """Windows by phone; None if stage patches has not run. For imported phones each pair of patches counts as one."""

    all: WindowCounts
    phones: dict[str, WindowCounts | None]
    reasons: list[Reason]
    """Why windows were rejected."""
    pairs_without_window: list[Reason]
    """Why aligned pairs have no windows at all."""
    shares: dict[str, dict[str, list[Bin]]]
    """Share kept by brightness, texture, noise and place, by phone. Bins are those of
    `dpedtool.pipeline.patches.selection_figures.EDGES`."""
    proofs: dict[str, dict[str, int]]
    """Kept windows by what proves their place, `window` or `pair`, by phone; empty where nothing does, as in dped."""
    patch_px: int | None
    """Side of the patches; None if phones have different ones."""
    yields: dict[str, Yield | None]
    published_yields: list[PublishedYield]


def windows(run: RunResults) -> Windows:
    """Return what became of the windows of a run.

    Raises
    ------
    DpedtoolError
        A file is damaged, or from another version.

    """
    counts = {phone.name: _counts(phone) for phone in run.phones}
    known = [each for each in counts.values() if each]
    yields = {phone.name: _yield(phone, counts[phone.name]) for phone in run.phones}
    sides = {each.patch_px for each in yields.values() if each}
    return Windows(
        all=WindowCounts(*(sum(getattr(each, name) for each in known) for name in ("windows", "accepted", "rejected"))),
        phones=counts,
        reasons=reasons(Patch, {phone.name: _rejected(phone) for phone in run.phones}),
        pairs_without_window=reasons(Patch, {phone.name: _without_window(phone) for phone in run.phones}),
        shares=_shares(run.phones),
        proofs={
            phone.name: dict(phone.selection.proved_by)
            for phone in run.phones
            if phone.selection and phone.selection.proved_by
        },
        patch_px=sides.pop() if len(sides) == 1 else None,
        yields=yields,
        published_yields=list(YIELDS),
    )


def _counts(phone: PhoneResults) -> WindowCounts | None:
    if phone.selection is None:
        return _counted(phone)
    found, accepted = phone.selection.windows, phone.selection.accepted
    return WindowCounts(found, accepted, found - accepted)


def _counted(phone: PhoneResults) -> WindowCounts | None:
    """Count the rows of the table, as an import writes no selection.json."""
    rows = phone.windows(["status"])
    if rows is None:
        return None
    accepted = int((rows["status"] == "accepted").sum())
    return WindowCounts(len(rows), accepted, len(rows) - accepted)


def _rejected(phone: PhoneResults) -> Mapping[str, int]:
    if phone.selection is not None:
        return phone.selection.rejected
    rows = phone.windows(["reason"])
    return {} if rows is None else Counter(rows["reason"].tolist())


def _shares(phones: Iterable[PhoneResults]) -> dict[str, dict[str, list[Bin]]]:
    shares: dict[str, dict[str, list[Bin]]] = {}
    for phone in phones:
        for measure, bins in phone.selection.by.items() if phone.selection else ():
            shares.setdefault(measure, {})[phone.name] = bins
    return shares


def _without_window(phone: PhoneResults) -> Mapping[str, int]:
    table = None if phone.imported else phone.patches(["reason", "x"])
    return {} if table is None else Counter(table.loc[table["x"].isna(), "reason"].tolist())


def _yield(phone: PhoneResults, counts: WindowCounts | None) -> Yield | None:
    if counts is None or phone.alignments is None or phone.selection is None:
        return None
    rows = [moment.shown for moment in phone.moments]
    aligned = sum(moment.status == "aligned" for moment in phone.moments)
    sizes = [row.phone_width * row.phone_height / 1e6 for row in rows if row.phone_width and row.phone_height]
    megapixels = float(np.median(sizes)) if sizes else None
    patches_a_pair = _ratio(counts.accepted, len(rows))
    return Yield(
        pairs=len(rows),
        aligned=aligned,
        patch_px=_side(phone.selection, phone.file(Selection.FILE)),
        megapixels=megapixels,
        windows_a_pair=_ratio(counts.windows, len(rows)),
        patches_a_pair=patches_a_pair,
        patches_an_aligned_pair=_ratio(counts.accepted, aligned),
        patches_a_megapixel=None if patches_a_pair is None else _ratio(patches_a_pair, megapixels),
    )


def _ratio(part: float, whole: float | None) -> float | None:
    return part / whole if whole else None


def _side(selection: Selection, path: Path) -> int:
    with as_written(path):
        return int(selection.params["size_px"])
