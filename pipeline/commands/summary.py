"""What a stage says when it ends: counts, and one line for each item that did not work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.schema import Alignment, Patch
from dpedtool.dataset.sidecars.selection import Selection
from dpedtool.dataset.sidecars.synchronisation import ClockFigures, TimeSteps
from dpedtool.dataset.tables import read_frame
from dpedtool.pipeline.moments import dslr_sampling, frame_counts, moments, standing, target_counts
from dpedtool.pipeline.pair.intake import PairedFolders
from dpedtool.pipeline.runner import LOST

MOST_LINES = 20
MOST_PHOTOS = 12
BIN_NAMES = {
    "brightness": "dark to bright",
    "texture": "plain to textured",
    "noise": "quiet to noisy",
    "place": "middle to rim of the frame",
}


def say_pairs(found: PairedFolders) -> None:
    """Say how many photos were paired, how, which have no mate, and how the clocks relate."""
    paired = [row for row in found.rows if row.status == "paired" and row.role not in ("frame", "target")]
    click.echo(f"{len(paired)} {_plural(len(paired), 'pair')}, {found.note}.")
    lone = [row for row in found.rows if row.status != "paired"]
    _say_failures(lone, "photo without a mate", "photos without a mate", MOST_PHOTOS)
    if frames := found.report.frames:
        moments = len({row.scene_id for row in found.rows if row.role == "frame"})
        of = f"{moments} {_plural(moments, 'moment')}"
        click.echo(f"{_frames(frames)} of {of}; shots.parquet names the base frames.")
    with_targets = [row for row in found.rows if row.role == "target" and row.status == "paired"]
    for reference, targets in Counter(row.reference for row in with_targets).items():
        have = "has" if targets == 1 else "have"
        of = f"{targets} of {len(paired)} {_plural(len(paired), 'moment')}"
        click.echo(f"{of} {have} a photo of the further reference {reference}.")
    for note in found.notes:
        click.echo(note, err=True)
    for session, clock in found.report.clocks.items():
        of = f"{session}: " if session else ""
        click.echo(of + _clocks_in_words(clock, found.report.exif_resolution_s))
    ties = found.report.ties
    ways = {"by comparing the pictures": ties.by_picture, "by the order of the shots": ties.by_order}
    if resolved := [f"{number} resolved {way}" for way, number in ways.items() if number]:
        count = ties.by_picture + ties.by_order
        click.echo(f"{count} {_plural(count, 'pair')} had several candidates by time: {', '.join(resolved)}.")


def _clocks_in_words(clock: ClockFigures, steps: TimeSteps) -> str:
    words = [f"DSLR clock {_offset(clock.offset_start_s)}"]
    if abs(clock.offset_end_s - clock.offset_start_s) > max(steps.phone or 0, steps.dslr or 0):
        words[0] += f" at the start, {_offset(clock.offset_end_s)} at the end"
    if clock.drift_s_per_day is not None:
        error = clock.drift_standard_error_s_per_day or 0.0
        is_measurable = abs(clock.drift_s_per_day) > 2 * error
        words.append(
            f"drift {clock.drift_s_per_day:+.1f} s a day (standard error {error:.1f})"
            if is_measurable
            else "no measurable drift"
        )
    if clock.pieces > 1:
        words.append("a clock was set once" if clock.pieces == 2 else f"clocks were set {clock.pieces - 1} times")
    if clock.stray_pairs:
        words.append(f"{clock.stray_pairs} {_plural(clock.stray_pairs, 'pair')} at other offsets")
    return f"{', '.join(words)}; pairs fit within {clock.error_s.max:.1f} s."


def _offset(seconds: float) -> str:
    """DSLR minus phone, in words."""
    if abs(seconds) < 0.05:
        return "equal to the phone's"
    return f"{abs(seconds):.1f} s {'ahead' if seconds > 0 else 'behind'}"


def counts(rows: Sequence[Any]) -> dict[str, Any]:
    """Count rows by status, and those that are not good by reason."""
    reasons = Counter(row.reason for row in rows if row.reason)
    return {"rows": len(rows), "statuses": dict(Counter(row.status for row in rows)), "reasons": dict(reasons)}


def moment_counts(rows: Sequence[Alignment]) -> dict[str, Any]:
    """Count the moments of a table of alignments by status and reason, and the further frames apart from them."""
    found = moments(rows)
    return {**counts(found), "frames": frame_counts(found).as_json(), "targets": target_counts(found)}


def median_residual(rows: Sequence[Alignment]) -> float | None:
    """Return the median of the residuals of the frames that stand for moments, in px; None where none is known."""
    residuals = [row.residual_px for row in standing(moments(rows)) if row.residual_px is not None]
    return float(np.median(residuals)) if residuals else None


def say_alignments(rows: Sequence[Alignment]) -> None:
    """Say how many moments were aligned, how well, how many in parts only, and why the others were not.

    Further frames of bursts and brackets are told apart. Where there are none, the moments are called pairs.
    """
    found = moments(rows)
    aligned, frames = standing(found), frame_counts(found)
    noun, further = ("moment", f", and {frames.aligned} of {_frames(frames.all)}") if frames.all else ("pair", "")
    residual = median_residual(rows)
    of = " of the moments" if frames.all else ""
    quality = "" if residual is None else f"; median residual{of} {residual:.2f} px"
    click.echo(f"Aligned {len(aligned)} of {len(found)} {_plural(len(found), noun)}{further}{quality}.")
    if len(rows) == 1 and aligned:
        click.echo(f"The pair is {rows[0].pair_id}.")
    if deep := sum(row.model == "local" for row in aligned):
        says = f"{noun} shows" if deep == 1 else f"{noun}s show"
        click.echo(f"{deep} {says} depth, which the transform follows (model local).")
    if masked := sum(bool(row.masked) for row in aligned):
        has = "has" if masked == 1 else "have"
        click.echo(f"{masked} {_plural(masked, noun)} {has} masked parts, which show parallax or motion.")
    if shakes := [row.shake_px for row in rows if row.shake_px is not None]:
        low, high = f"{min(shakes):.1f}", f"{max(shakes):.1f}"
        by = low if low == high else f"{low} to {high}"
        click.echo(f"The camera moved by {by} px between base frames and further frames.")
    _say_targets([row for moment in found for row in moment.targets])
    _say_coarse(aligned, noun)
    _say_stand_ins([moment.base for moment in found if moment.has_stand_in])
    lost = [moment.base for moment in found if moment.standing is None]
    further_lost = [row for moment in found for row in moment.further if row.status != "aligned"]
    for status in ("rejected", "failed"):
        _say_failures([row for row in lost if row.status == status], f"{noun} {status}", f"{noun}s {status}")
        of_status = [row for row in further_lost if row.status == status]
        _say_failures(of_status, f"further frame {status}", f"further frames {status}")
    say_notes([row.note for row in rows if row.note])


def _say_targets(targets: Sequence[Alignment]) -> None:
    """Say how many photos of each further reference were aligned, and why the others were not."""
    for reference in sorted({row.reference for row in targets}):
        own = [row for row in targets if row.reference == reference]
        aligned = sum(row.status == "aligned" for row in own)
        click.echo(
            f"Aligned {aligned} of {len(own)} {_plural(len(own), 'photo')} of the further reference {reference}."
        )
    _say_failures(
        [row for row in targets if row.status != "aligned"],
        "photo of a further reference is not aligned",
        "photos of further references are not aligned",
    )


def _say_coarse(aligned: Sequence[Alignment], noun: str) -> None:
    """Say in how many pairs the DSLR's photo shows less detail than the phone's."""
    sampling, coarse = dslr_sampling(aligned)
    if coarse:
        click.echo(
            f"In {coarse} of {len(aligned)} {_plural(len(aligned), noun)} the DSLR's photo is coarser than the "
            f"phone's, so that its patches show no more detail (median {sampling:.2f} DSLR px for each phone px). Use "
            "full-size photos of the DSLR or a longer lens. If the folders are swapped, name the phone's first."
        )


def _say_stand_ins(bases: Sequence[Alignment]) -> None:
    """Say why frames had to stand in for base frames."""
    one = "moment another frame stands in for the base frame"
    many = "moments another frame stands in for the base frame"
    _say_failures(bases, one, many, before="In ")


def _frames(count: int) -> str:
    return f"{count} further {_plural(count, 'frame')}"


def say_patches(table: Path) -> None:
    """Say how many windows were accepted, of what kind, why the others were not, and which pairs gave no window."""
    told = Selection.read(Selection.file_in(table.parent))
    reasons = sorted(told.rejected.items(), key=lambda item: (-item[1], item[0]))
    rejected = f"; rejected: {', '.join(f'{count} {reason}' for reason, count in reasons)}" if reasons else ""
    by_pair = (told.proved_by or {}).get("pair", 0)
    proof = f", {by_pair} of them by the proof of the pair" if by_pair else ""
    click.echo(f"Accepted {told.accepted} of {told.windows} windows{proof}{rejected}.")
    if told.stacks and told.stacks.all:
        lost = ", ".join(f"{count} {reason}" for reason, count in told.stacks.reasons.items())
        why = f"; rejected: {lost}" if lost else ""
        click.echo(f"In the stacks, {told.stacks.accepted} of {told.stacks.all} further frames are accepted{why}.")
    for reference, verdicts in ((told.stacks and told.stacks.targets) or {}).items():
        lost = ", ".join(f"{count} {reason}" for reason, count in verdicts.items() if reason != "accepted")
        of = f"{verdicts.get('accepted', 0)} of {sum(verdicts.values())}"
        click.echo(f"Of {reference}, {of} further targets are accepted{f'; rejected: {lost}' if lost else ''}.")
    if told.accepted:
        click.echo("Share of windows that were kept:")
        for name, bins in told.by.items():
            shares = ["-" if item.share is None else f"{item.share:.0%}" for item in bins]
            click.echo(f"  {BIN_NAMES[name]}: {', '.join(shares)}")
    frame = read_frame(table, Patch, ["pair_id", "status", "reason", "detail", "x"])
    failed = frame[frame["x"].isna()]
    _say_failures(list(failed.itertuples()), "pair gave no window", "pairs gave no window")


def check_lost(reasons: Iterable[str], table: Path) -> None:
    """Raise where items came to no end for a reason that is not in their data: the run is not whole.

    Raises
    ------
    DpedtoolError
        Some rows have the reason `worker_lost` or `internal_error`.

    """
    lost = sum(reason in LOST for reason in reasons)
    if lost:
        raise DpedtoolError(
            f"{lost} {_plural(lost, 'pair')} could not be finished, see {table}; the others are done. "
            "Run the same command again to retry."
        )


def _say_failures(rows: Sequence[Any], one: str, many: str, most: int = MOST_LINES, before: str = "") -> None:
    if not rows:
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(row.reason for row in rows).most_common())
    click.echo(f"{before}{len(rows)} {one if len(rows) == 1 else many} ({reasons}):")
    for row in rows[:most]:
        click.echo(f"  {row.pair_id}: {row.detail}")
    if len(rows) > most:
        click.echo(f"  and {len(rows) - most} more, in the table.")


def say_notes(notes: Sequence[str]) -> None:
    """Say what was noted about photos, the first of the notes in full."""
    for note in notes[:MOST_LINES]:
        click.echo(f"Note: {note}")
    if len(notes) > MOST_LINES:
        click.echo(f"  and {len(notes) - MOST_LINES} more, in the table.")


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"
