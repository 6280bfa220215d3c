"""The list of all pairs and lone photos, the worst first."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dataset.places import Place
from pipeline.report.pairs.cases import Case, cases_of
from pipeline.report.pairs.content import PairRow, PairStatus
from pipeline.report.run import PhoneRun, Run

WORST_FIRST: tuple[PairStatus, ...] = ("failed", "rejected", "unpaired", "paired", "aligned")


def pair_rows(run: Run, shown: Collection[str]) -> list[PairRow]:
    """Return a row for every pair and lone photo of all phones.

    Failed ones come first, then rejected, unpaired, and such as align has not looked at; then the aligned ones by the
    95th percentile of the shifts that are left, since a pair is no better than its corners: those without one first,
    then the largest. Ties go by pair_id. Figures are rounded to four decimals.

    Parameters
    ----------
    run
        The stages' results; what of them is missing is None in the rows.
    shown
        pair_id of those that have pictures.

    """
    placed = run.photos(["pair_id", "split"])
    sides: dict[str, str] = {} if placed is None else dict(zip(placed["pair_id"], placed["split"], strict=True))
    pictures = frozenset(shown)
    rows = [
        _row(case, figures, sides.get(case.pair_id, ""), case.pair_id in pictures)
        for phone in run.phones
        for figures in [_figures(phone)]
        for case in cases_of(phone)
    ]
    return sorted(rows, key=_goodness)


@dataclass(frozen=True)
class _Figures:
    """What later stages say of a phone's pairs, by pair_id."""

    windows: Mapping[str, int] | None
    """None: stage patches has not run."""
    accepted: Mapping[str, int]
    psnr: Mapping[str, tuple[float | None, float | None]]
    """Before and after, in dB."""


def _figures(phone: PhoneRun) -> _Figures:
    frame = phone.windows(["pair_id", "status"])
    if frame is None:
        return _Figures(None, {}, _psnr(phone))
    accepted = frame.loc[frame["status"] == "accepted", "pair_id"]
    return _Figures(_counts(frame["pair_id"]), _counts(accepted), _psnr(phone))


def _counts(names: pd.Series[str]) -> dict[str, int]:
    return {str(name): int(count) for name, count in names.value_counts(sort=False).items()}


def _psnr(phone: PhoneRun) -> dict[str, tuple[float | None, float | None]]:
    """Mean PSNR of the test patches of each pair; equal patches, of infinite PSNR, have no say."""
    samples = phone.samples(["patch_id", "pair_id"])
    if phone.scores is None or samples is None:
        return {}
    scores = phone.scores[["patch_id", "psnr_before", "psnr_after"]].merge(samples, on="patch_id")
    means = scores.replace([np.inf, -np.inf], np.nan).groupby("pair_id")[["psnr_before", "psnr_after"]].mean()
    known = [[None if np.isnan(value) else value for value in row] for row in means.to_numpy().tolist()]
    return {str(name): (before, after) for name, (before, after) in zip(means.index, known, strict=True)}


def _row(case: Case, figures: _Figures, split: str, pictures: bool) -> PairRow:
    row = case.alignment
    cut = figures.windows is not None and case.status == "aligned"
    before, after = figures.psnr.get(case.pair_id, (None, None))
    return PairRow(
        id=case.pair_id,
        phone=case.phone,
        scene=case.scene,
        phone_file=_name(case.phone_path),
        dslr_file=_name(case.dslr_path),
        status=case.status,
        reason=case.reason,
        detail=case.detail,
        split=split,
        residual_px=_rounded(row.residual_px) if row else None,
        residual_p95_px=_rounded(row.residual_p95_px) if row else None,
        at_place=_rounded(row.at_place) if row else None,
        coverage=_rounded(row.coverage) if row else None,
        masked=_rounded(row.masked) if row else None,
        windows=(figures.windows or {}).get(case.pair_id, 0) if cut else None,
        accepted=figures.accepted.get(case.pair_id, 0) if cut else None,
        psnr_before_db=_rounded(before),
        psnr_after_db=_rounded(after),
        pictures=pictures,
    )


def _rounded(value: float | None) -> float | None:
    """Finer than anybody looks, and short: the page holds thousands."""
    return None if value is None else round(value, 4)


def _name(path: Place | None) -> str:
    return path.name if path else ""


def _goodness(row: PairRow) -> tuple[int, float, float, str]:
    """Sorts the worst first; what was not measured is the worst of its kind."""
    measured = row.status == "aligned"
    shifts = (row.residual_p95_px, row.residual_px) if measured else (None, None)
    p95, median = (-np.inf if value is None else -value for value in shifts)
    return WORST_FIRST.index(row.status), p95, median, row.id
