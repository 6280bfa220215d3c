"""The figures of a run on scenes with depth, and the Markdown that shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.table import known, markdown, px

RANGES = (("about 3 px", 0.0, 5.0), ("about 10 px", 5.0, 15.0), ("more than 15 px", 15.0, float("inf")))
"""Name, least and upper limit of each range of parallax, in px of the phone's photo."""


@dataclass
class PairFigures:
    """What one way makes of one pair."""

    name: str
    range_px: float
    """Range of the parallax in px of the phone's photo."""
    windows: int
    """Windows that have detail and that both cameras see; the same for all ways."""
    aligned: bool
    kept: int = 0
    told: int = 0
    """Patches that the truth says something about."""
    wrong: int = 0
    mixed: int = 0
    shifts: list[float] = field(default_factory=list)
    """Of the told patches, in px; NaN where nothing of the patch was found."""
    part_shifts: list[float] = field(default_factory=list)
    """Of all parts of these patches that were found, in px."""

    @property
    def right(self) -> int:
        """Patches that are right, at most as many as there are windows: patches of a crop lie on another grid."""
        return min(self.told - self.wrong - self.mixed, self.windows)


@dataclass
class WayFigures:
    """One way on one set of photos."""

    title: str
    way: str
    cpu_s: float
    """CPU-seconds a pair."""
    pairs: list[PairFigures]


def as_markdown(figures: Sequence[WayFigures], notes: Sequence[str]) -> str:
    """Return the tables of a run as Markdown."""
    sections = ["# Scenes with depth, ways side by side", *notes, _WAYS]
    sections += [_YIELD, _table(_YIELD_HEADS, figures, _yield_cells)]
    sections += [_ERRORS, _table(_ERROR_HEADS, figures, _error_cells)]
    return "\n\n".join(sections) + "\n"


_WAYS = """## The ways

- **One transform, no depth filters**: dpedtool with `align.local=false`, and with the filters of the mode strict that
  look for depth switched off.
- **One transform, mode dped**: the same alignment, and `patches.mode=dped`: the phone's window moves and turns to where
  it correlates best.
- **One transform, plain DIS warp**: the same transform, also where dpedtool rejects the pair. Then OpenCV's DIS flow
  (medium preset, plain 8 bit grey) moves every px of the DSLR's photo, and windows with an NCC of at least 0.9 are
  kept. Nothing else is checked (`benchmarks/depth_flow.py`).
- **dpedtool, defaults**: nodes follow the depth, and the mode strict checks each patch."""

_YIELD = """## Yield and cost

`yield` is the number of right patches as a share of the windows that have detail and that both cameras see, over all
pairs, whether a way aligned them or not. A window counts as seen by both if the DSLR sees 97 % of it, and a pair counts
at most as many right patches as it has windows. The next columns are the same for the pairs with this range of parallax
(2nd to 98th percentile, in px of the phone's photo). Windows are 100 px wide and 50 px apart. The cost covers align and
patches, from decoding to written PNG, in one process on one processor; it includes the start of the programs, divided
by the number of pairs."""

_ERRORS = """## True errors of the kept patches

Each patch is compared with the DSLR's photo as the truth warps it, so that its true shift is known to some hundredths
of a px. Each patch has 16 parts of 28 px; those with detail along both axes are searched for within 8 px. The shift of
a patch is the median over its parts; `parts p95` is the 95th percentile over the parts of all patches. `judged` counts
the patches with three or more such parts and known truth. `wrong`: the shift is more than 1 px, or most of the parts
show something else. `mixed`: not wrong, but more than 15 % of the parts, two at least, are off by more than 1 px or are
not seen by the DSLR, or the DSLR sees less than 90 % of the patch. All other judged patches are right."""

_YIELD_HEADS = ["photos", "way", "pairs aligned", "yield", *(name for name, _, _ in RANGES), "CPU-s a pair"]
_ERROR_HEADS = ["photos", "way", "kept", "judged", "median px", "p95 px", "parts p95 px", "wrong", "mixed"]


def _table(heads: Sequence[str], figures: Sequence[WayFigures], cells: Callable[[WayFigures], list[str]]) -> str:
    return markdown(heads, [[one.title, one.way, *cells(one)] for one in figures])


def _yield_cells(one: WayFigures) -> list[str]:
    shares = [
        _yield([pair for pair in one.pairs if low <= pair.range_px < high])
        for low, high in [(0.0, float("inf")), *(limits for _, *limits in RANGES)]
    ]
    aligned = sum(pair.aligned for pair in one.pairs)
    return [f"{aligned} of {len(one.pairs)}", *shares, f"{one.cpu_s:.2f}"]


def _yield(pairs: Sequence[PairFigures]) -> str:
    return _share(sum(pair.right for pair in pairs), sum(pair.windows for pair in pairs))


def _error_cells(one: WayFigures) -> list[str]:
    kept, told, wrong, mixed = (
        sum(getattr(pair, name) for pair in one.pairs) for name in ("kept", "told", "wrong", "mixed")
    )
    shifts = [shift for pair in one.pairs for shift in pair.shifts]
    parts = [shift for pair in one.pairs for shift in pair.part_shifts]
    lengths = [_percentile(shifts, 50), _percentile(shifts, 95), _percentile(parts, 95)]
    return [str(kept), str(told), *lengths, _share(wrong, told), _share(mixed, told)]


def _percentile(shifts: Sequence[float], percent: float) -> str:
    told = known(shifts)
    return px(float(np.percentile(told, percent))) if told else "-"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"
