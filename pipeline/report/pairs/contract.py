"""What the page is told of pairs: the contract between rows.py, details.py and templates/rows.js, opened.js.

Both types become JSON by `dataclasses.asdict`. Lengths are px of the phone's upright photo unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PairStatus = Literal["aligned", "rejected", "failed", "unpaired", "paired"]
"""As the tables of alignments and pairs say; paired: align has not looked at the pair."""


@dataclass(frozen=True)
class PairRow:
    """One line of the list of pairs; None where there is nothing to say."""

    id: str
    """pair_id: letters, digits, '_' and '-'; also the name of the folder of its pictures."""
    phone: str
    scene: str
    phone_file: str
    """The photo's file name, as text: it may hold anything; empty where there is no photo."""
    dslr_file: str
    status: PairStatus
    reason: str
    """Word of the table's list of reasons; empty for aligned pairs."""
    detail: str
    """The reason as a sentence, with figures; of aligned pairs the note, if any."""
    split: str
    """train, validation, test, excluded; empty where the pair has no patches or the split has not run."""
    residual_px: float | None
    """Median of the shifts that are left, as the table of alignments has it: of all windows that fit well anywhere."""
    residual_p95_px: float | None
    """95th percentile of the same. In a sky or along a straight edge any shift fits, so that it may say little."""
    certain_p95_px: float | None
    """95th percentile of the shifts of the certain windows: known to a quarter of a px, and outside the mask. None
    where they are fewer than five, or the pair was not opened."""
    certain: int | None
    """Count of the certain windows; None where the pair was not opened, or has no common grid."""
    amiss: int | None
    """Windows outside the mask that show clearly elsewhere, or not at all."""
    at_place: float | None
    """Share 0..1 of the textured windows that are where they should be."""
    coverage: float | None
    """Share 0..1 of the phone's photo that both show."""
    masked: float | None
    """Share 0..1 of the crop that is masked."""
    windows: int | None
    accepted: int | None
    psnr_before_db: float | None
    """Mean PSNR of the pair's test patches, untouched; None where it has none."""
    psnr_after_db: float | None
    """The same after the network."""
    pictures: bool
    """Whether files/pairs/<id>/ has a thumbnail and the rest. It has details.js in any case, which says why not."""
    ranks_by_amiss: bool = False
    """Whether so many windows of an aligned pair are amiss that it comes before those that are ranked by a shift."""


@dataclass(frozen=True)
class Picture:
    """A picture file of the pair's folder."""

    file: str
    """Name in the pair's folder."""
    width: int
    """In its own px, as the page needs it before the file is there."""
    height: int


@dataclass(frozen=True)
class Shift:
    """What a search for one window of the phone's image in the warped DSLR's found."""

    x: float
    """Middle of the window, in px of the crop."""
    y: float
    dx: float
    """Where the DSLR's image shows the window, to the right of where it should be."""
    dy: float
    ncc: float
    state: Literal["found", "amiss", "unclear"]
    """found: dx and dy are known to a quarter of a px or better, however large they are; amiss: it shows clearly
    elsewhere, where dx and dy only point to, or not at all; unclear: neither, as in a sky or on a straight edge."""


@dataclass(frozen=True)
class Window:
    """A candidate window of the patches."""

    x: float
    """Left column of the phone's window in px of the crop; in mode dped of where it has moved to."""
    y: float
    reason: str
    """Why it was rejected; empty: it became a patch."""
    ncc: float | None
    residual_px: float | None


@dataclass(frozen=True)
class Spot:
    """A place in full resolution, to be looked at several times its size."""

    title: str
    """Why this place: 'Largest certain shift: 0.83 px'."""
    x: float
    """Middle, in px of the crop."""
    y: float
    phone: Picture
    dslr: Picture


@dataclass(frozen=True)
class PairDetails:
    """What one opens a pair for; files/pairs/<id>/details.js calls `dpedtool.details` with it."""

    id: str
    kind: Literal["aligned", "apart", "alone", "none"]
    """aligned: phone and warped DSLR on one grid, that of the crop; apart: both as they are, since no transform is
    known; alone: one photo; none: no picture, as `note` says."""
    note: str
    """What to know of these pictures beyond what the pair's row says, in a sentence; may be empty."""
    phone: Picture | None
    dslr: Picture | None
    crop: tuple[int, int, int, int] | None
    """x, y, width, height of the common crop in the phone's photo; None unless of kind aligned."""
    window_px: int | None
    """Side of the windows of `shifts`."""
    shifts: list[Shift]
    """Measured anew on the aligned images, in full resolution."""
    certain: int | None
    """Shifts that are found and touch no masked box."""
    amiss: int | None
    """Shifts that are amiss and touch no masked box."""
    certain_px: float | None
    """Median length of the certain shifts; None where they are fewer than five."""
    certain_p95_px: float | None
    fitting: int | None
    """Windows that fit well anywhere and touch no masked box: unclear ones are among them."""
    residual_px: float | None
    """Median length of the shifts of those, as the table of alignments has it. None where they are fewer than five."""
    residual_p95_px: float | None
    mask: list[tuple[int, int, int, int]]
    """x, y, width, height of masked boxes, in px of the crop."""
    patch_px: int | None
    """Side of the patches."""
    windows: list[Window]
    spots: list[Spot]
