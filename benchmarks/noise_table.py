"""The figures of a run in little light, and the Markdown that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.table import markdown, px

RIGHT_PX = 0.5
OLD_NCC = 0.9


@dataclass(frozen=True)
class Kept:
    """An accepted patch."""

    error_px: float
    """How far it is from where the unchanged photos put it."""
    proved_by: str
    ncc: float

    @property
    def by_old_rule(self) -> bool:
        """Whether the window alone proves its place, with a high NCC whatever the noise."""
        return self.proved_by == "window" and self.ncc >= OLD_NCC


@dataclass(frozen=True)
class Figures:
    """One set of photos in one light."""

    photos: str
    light: str
    pairs: int
    aligned: int
    windows: int
    errors_px: list[float]
    """Of all windows of the aligned pairs."""
    kept: list[Kept]
    same: int
    """Windows that the unchanged pairs keep and that are kept at the same place, to a tenth of a window."""


def as_markdown(figures: Sequence[Figures], notes: Sequence[str]) -> str:
    """Return the tables of a run as Markdown."""
    first = {one.photos: one for one in reversed(figures)}
    rows = [_cells(one, first[one.photos]) for one in figures]
    proofs = [_proof_cells(one) for one in figures]
    sections = ["# Night, dim and bright", *notes, _YIELD, markdown(_YIELD_HEADS, rows)]
    return "\n\n".join([*sections, _PROOFS, markdown(_PROOF_HEADS, proofs)]) + "\n"


_YIELD = """## Yield

The phone's photos are those of the set, with the noise of a sensor whose px hold so many electrons in full light (read
noise 1.5 electrons, no denoising), or with another exposure. `within 0.5 px` is the share of all windows of the aligned
pairs where the transform differs by at most half a px from that of the unchanged pair (root mean square over the
window). `kept` is the number of patches. `same` is the share of the windows of the unchanged photos' patches that are
kept here, too, at the same place to a tenth of a window. `off` is the share of the patches that differ by more than
half a px. `old rule` counts the patches that each window's own shift and an NCC of 0.9 would have kept, on the same
alignment. Windows are 100 px wide and 100 px apart."""

_PROOFS = """## What proves the patches

`window`: the patch's own shift is short and known to 0.12 px. `pair`: the windows around it agree, and a shift would do
no harm."""

_YIELD_HEADS = [
    "photos",
    "light",
    "aligned",
    "within 0.5 px",
    "kept",
    "same",
    "off",
    "p95 px",
    "old rule",
    "off",
]
_PROOF_HEADS = ["photos", "light", "by the window", "p95 px", "off", "by the pair", "p95 px", "off"]


def _cells(one: Figures, unchanged: Figures) -> list[str]:
    errors = [patch.error_px for patch in one.kept]
    old, old_unchanged = ([patch for patch in each.kept if patch.by_old_rule] for each in (one, unchanged))
    return [
        one.photos,
        one.light,
        f"{one.aligned} of {one.pairs}",
        _share(sum(error <= RIGHT_PX for error in one.errors_px), len(one.errors_px)),
        str(len(errors)),
        _share(one.same, len(unchanged.kept)),
        _off(errors),
        _p95(errors),
        f"{len(old)} ({_share(len(old), len(old_unchanged))})",
        _off([patch.error_px for patch in old]),
    ]


def _proof_cells(one: Figures) -> list[str]:
    cells = [one.photos, one.light]
    for proof in ("window", "pair"):
        errors = [patch.error_px for patch in one.kept if patch.proved_by == proof]
        cells += [str(len(errors)), _p95(errors), _off(errors)]
    return cells


def _off(errors: Sequence[float]) -> str:
    return _share(sum(error > RIGHT_PX for error in errors), len(errors))


def _p95(errors: Sequence[float]) -> str:
    return px(float(np.percentile(errors, 95))) if errors else "-"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"
