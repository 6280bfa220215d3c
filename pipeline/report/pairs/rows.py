"""The list of all pairs and lone photos, the worst first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dpedtool.dataset.places import Place
from dpedtool.dataset.schema import Alignment, Pair, Patch, Shown
from dpedtool.pipeline.report.overview.words import plainly
from dpedtool.pipeline.report.pairs.cases import Case, cases_of
from dpedtool.pipeline.report.pairs.contract import FrameOfMoment, PairRow, PairStatus
from dpedtool.pipeline.report.results import PairWindows, PhoneResults, RunResults

WORST_FIRST: tuple[PairStatus, ...] = ("failed", "rejected", "unpaired", "paired", "aligned")
MOST_AMISS = 1 / 20
"""Largest share of misplaced windows among the certain and misplaced ones for which the 95th percentile of the shifts
means something: with more, the 95th percentile window itself would be a misplaced one."""
FEWEST_AMISS = 5
"""Fewer misplaced windows may be chance, like a residual of fewer windows."""


FURTHER_FRAME = "A further frame of its moment, of a burst or a bracket."
"""What the report says of an aligned pair that does not stand for its moment."""
TARGET = "The base frame of its moment with the photo of a further reference, which is a further target."
"""What the report says of an aligned pair with the photo of a further reference."""
STAND_IN = "It stands in for the base frame of its moment, which was not aligned."
"""What the report says of a further frame that stands for its moment."""


def reason_words() -> dict[str, dict[str, str]]:
    """Return the meanings of the reasons of pairs and of patches, and as `names` all reasons in words."""
    pair, patch = {**Pair.REASONS, **Alignment.REASONS}, dict(Patch.REASONS)
    return {"pair": pair, "patch": patch, "names": {name: plainly(name) for name in (*pair, *patch)}}


def pair_rows(run: RunResults, shown: Mapping[str, Shown]) -> list[PairRow]:
    """Return a row for every pair and lone photo of all phones.

    Failed pairs come first, then rejected ones, unpaired photos, pairs that align has not processed, and aligned pairs.
    Among the aligned pairs, those with too many misplaced windows come first, by their share: at least `FEWEST_AMISS`
    windows, and more than `MOST_AMISS` of the certain and misplaced ones. The others follow by the 95th percentile of
    their certain shifts, the largest first, since a pair is only as good as its corners. If that is not known, the 95th
    percentile from the table of alignments is used, which includes skies and straight edges. Pairs without both come
    before the others. Ties are sorted by the median, then by pair_id. Figures are rounded to four decimals.

    Parameters
    ----------
    run
        The results of the stages. Missing ones are None in the rows.
    shown
        What was made for each pair on the page, by pair_id; empty for a report without pictures.

    """
    placed = run.photos(["pair_id", "split"])
    sides: dict[str, str] = {} if placed is None else dict(zip(placed["pair_id"], placed["split"], strict=True))
    rows = [
        _row(case, figures, _Scene(sides.get(case.pair_id, ""), run.tags.get(case.scene, ())), shown.get(case.pair_id))
        for phone in run.phones
        for figures in [_Figures(phone.windows_by_pair, _psnr(phone), _frames(phone))]
        for case in cases_of(phone)
    ]
    return sorted(rows, key=_goodness)


@dataclass(frozen=True)
class _Figures:
    """Results of later stages for a phone's pairs, by pair_id."""

    cut: PairWindows | None
    """None if stage patches has not run."""
    psnr: Mapping[str, tuple[float | None, float | None]]
    """Before and after, in dB."""
    frames: Mapping[str, FrameOfMoment]
    """Of the moments with several frames."""


@dataclass(frozen=True)
class _Scene:
    """What the split says about a pair's scene."""

    split: str
    tags: tuple[str, ...]


def _psnr(phone: PhoneResults) -> dict[str, tuple[float | None, float | None]]:
    """Return the mean PSNR of the test patches of each pair, without equal patches, whose PSNR is infinite."""
    samples = phone.samples(["patch_id", "pair_id"])
    if phone.scores is None or samples is None:
        return {}
    scores = phone.scores[["patch_id", "psnr_before", "psnr_after"]].merge(samples, on="patch_id")
    means = scores.replace([np.inf, -np.inf], np.nan).groupby("pair_id")[["psnr_before", "psnr_after"]].mean()
    known = [[None if np.isnan(value) else value for value in row] for row in means.to_numpy().tolist()]
    return {str(name): (before, after) for name, (before, after) in zip(means.index, known, strict=True)}


def _row(case: Case, figures: _Figures, scene: _Scene, seen: Shown | None) -> PairRow:
    row = case.alignment
    cut = figures.cut if case.status == "aligned" else None
    frame = figures.frames.get(case.pair_id)
    is_further = frame is not None and frame.of != case.pair_id
    if cut and is_further and case.pair_id not in cut.windows:
        cut = None  # patches are cut from another frame of this moment
    place = ""
    if frame and case.status == "aligned" and not frame.is_base:
        place = TARGET if frame.reference else FURTHER_FRAME if is_further else STAND_IN
    before, after = figures.psnr.get(case.pair_id, (None, None))
    return PairRow(
        id=case.pair_id,
        phone=case.phone,
        scene=case.scene,
        phone_file=_name(case.phone_path),
        dslr_file=_name(case.dslr_path),
        status=case.status,
        reason=case.reason,
        detail=case.detail or place,
        split=scene.split,
        residual_px=_rounded(row.residual_px) if row else None,
        residual_p95_px=_rounded(row.residual_p95_px) if row else None,
        certain_p95_px=_rounded(seen.certain_p95_px) if seen else None,
        certain=seen.certain if seen else None,
        amiss=seen.amiss if seen else None,
        at_place=_rounded(row.at_place) if row else None,
        coverage=_rounded(row.coverage) if row else None,
        masked=_rounded(row.masked) if row else None,
        windows=cut.windows.get(case.pair_id, 0) if cut else None,
        accepted=cut.accepted.get(case.pair_id, 0) if cut else None,
        psnr_before_db=_rounded(before),
        psnr_after_db=_rounded(after),
        pictures=bool(seen and seen.pictures),
        ranks_by_amiss=bool(seen and case.status == "aligned" and _share_amiss(seen.amiss, seen.certain)),
        model=(row.model or "") if row else "",
        hidden=_rounded(row.hidden) if row else None,
        jump=_rounded(row.jump) if row else None,
        session=case.session,
        tags=scene.tags,
        frame=frame,
    )


def _frames(phone: PhoneResults) -> dict[str, FrameOfMoment]:
    """Return the place of each row in the moments that have several, by pair_id."""
    aligned = {
        row.pair_id: moment.shown.pair_id for moment in phone.moments for row in (*moment.frames, *moment.targets)
    }
    shots = {(shot.scene_id, shot.frame): shot for shot in phone.shots or () if shot.camera == phone.name}
    of_references = {(shot.scene_id, shot.camera): shot for shot in phone.shots or () if shot.role == "target"}
    found = {}
    for frames in _of_several_frames(phone):
        base = next((row.pair_id for row in frames if row.role == "base"), frames[0].pair_id)
        # Before align has run, the base frame is the one to show.
        shown = next((aligned[row.pair_id] for row in frames if row.pair_id in aligned), base)
        for row in frames:
            name, number = row.reference, row.frame or 0
            shot = of_references.get((row.scene_id, name)) if name else shots.get((row.scene_id, number))
            found[row.pair_id] = FrameOfMoment(
                of=shown,
                number=len(frames) + number if name else number,
                is_base=row.pair_id == base,
                exposure_s=shot.exposure_s if shot else None,
                iso=shot.iso if shot else None,
                ev=_rounded(shot.ev) if shot else None,
                reference=name,
            )
    return found


def _of_several_frames(phone: PhoneResults) -> list[list[Pair | Alignment]]:
    """Return the rows of each moment that has several: those of align, or of pair if align has not run."""
    rows: dict[str, Pair | Alignment] = {row.pair_id: row for row in phone.pairs or () if row.status == "paired"}
    rows |= {row.pair_id: row for row in phone.alignments or ()}
    moments: dict[str | None, list[Pair | Alignment]] = {}
    for row in rows.values():
        moments.setdefault(row.scene_id, []).append(row)
    return [frames for scene, frames in moments.items() if scene is not None and len(frames) > 1]


def _rounded(value: float | None) -> float | None:
    """Return a value with enough digits for any reader, but short, as the page holds thousands."""
    return None if value is None else round(value, 4)


def _name(path: Place | None) -> str:
    return path.name if path else ""


def _goodness(row: PairRow) -> tuple[int, float, float, float, str]:
    """Return a key that sorts the worst pairs first. Values that were not measured count as the worst."""
    place = WORST_FIRST.index(row.status)
    if row.status != "aligned":
        return place, 0, 0, 0, row.id
    p95 = row.residual_p95_px if row.certain_p95_px is None else row.certain_p95_px
    p95, median = (np.inf if value is None else value for value in (p95, row.residual_px))
    return place, -_share_amiss(row.amiss, row.certain), -p95, -median, row.id


def _share_amiss(amiss: int | None, certain: int | None) -> float:
    """Return the share of misplaced windows among the certain and misplaced ones if it is relevant; else 0."""
    amiss, certain = amiss or 0, certain or 0
    counts = amiss >= FEWEST_AMISS and amiss > MOST_AMISS * (amiss + certain)
    return amiss / (amiss + certain) if counts else 0.0
