"""The data about pairs on the page: the contract between rows.py, details.py and templates/rows.js, opened.js.

Both types become JSON by `dataclasses.asdict`. Lengths are px of the phone's upright photo unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PairStatus = Literal["aligned", "rejected", "failed", "unpaired", "paired"]
"""Status in the tables of alignments and pairs. paired means that align has not processed the pair."""


@dataclass(frozen=True)
class FrameOfMoment:
    """The place of a row among several of one moment, and how its photo was exposed.

    A moment has several rows if the phone took several frames of it, or if further references have photos of it.
    """

    of: str
    """pair_id of the frame that the list shows: the one that stands for the moment."""
    number: int
    """From 0: the frames in the order of time, then the further references."""
    is_base: bool
    exposure_s: float | None
    """Exposure time in s, from EXIF; None if it is not known."""
    iso: float | None
    ev: float | None
    """Exposure against the base frame in stops; positive is brighter. None for the photo of a further reference."""
    reference: str = ""
    """Name of the further reference whose photo is beside the base frame; empty: a frame of the phone."""


@dataclass(frozen=True)
class PairRow:
    """A pair of photos or a lone one; values are None if they are not known.

    The list has one line for each, or for the frames of a moment together.
    """

    id: str
    """pair_id, made of letters, digits, '_' and '-'; also the name of the folder with its pictures."""
    phone: str
    scene: str
    phone_file: str
    """File name of the photo, which may contain any characters; empty if there is no photo."""
    dslr_file: str
    status: PairStatus
    reason: str
    """Reason from the table's list; empty for aligned pairs."""
    detail: str
    """The reason as a sentence with figures; for aligned pairs the note, if any."""
    split: str
    """train, validation, test or excluded; empty if the pair has no patches, or the split has not run."""
    residual_px: float | None
    """Median remaining shift from the table of alignments, over all windows that fit well at any place."""
    residual_p95_px: float | None
    """95th percentile of the same. In a sky or along a straight edge any shift fits, so it may mean little."""
    certain_p95_px: float | None
    """95th percentile of the shifts of the certain windows, which are known to a quarter of a px and outside the mask.
    None if there are fewer than five, or the pair was not opened."""
    certain: int | None
    """Count of the certain windows; None if the pair was not opened, or has no common grid."""
    amiss: int | None
    """Count of misplaced windows: outside the mask, and clearly found elsewhere, or not at all."""
    at_place: float | None
    """Share 0..1 of the textured windows that are where they should be."""
    coverage: float | None
    """Share 0..1 of the phone's photo that both photos show."""
    masked: float | None
    """Share 0..1 of the crop that is masked."""
    windows: int | None
    accepted: int | None
    psnr_before_db: float | None
    """Mean PSNR of the pair's untouched test patches; None if it has no test patches."""
    psnr_after_db: float | None
    """The same after the network."""
    pictures: bool
    """Whether files/pairs/<id>/ has pictures. It has details.js in any case, which says why there are none."""
    ranks_by_amiss: bool = False
    """Whether an aligned pair has so many misplaced windows that it comes before the pairs ranked by their shift."""
    model: str = ""
    """Model of the transform from the table of alignments; empty if none was fitted."""
    hidden: float | None = None
    """Share 0..1 of the crop's detail that only one camera sees; None if no flow was computed."""
    jump: float | None = None
    """Share 0..1 of the crop where the flow jumps from one depth to another; None likewise."""
    session: str = ""
    """Session of the photos; empty where there is only one."""
    tags: tuple[str, ...] = ()
    """Tags of the scene from the table of scenes, each as key=value; the value of a tag that is a word is yes."""
    frame: FrameOfMoment | None = None
    """None if the moment has only this row."""


@dataclass(frozen=True)
class Picture:
    """A picture file of the pair's folder."""

    file: str
    """File name in the pair's folder."""
    width: int
    """Size in px of the file; the page needs it before the file is loaded."""
    height: int


@dataclass(frozen=True)
class Shift:
    """The result of searching for one window of the phone's image in the warped DSLR's image."""

    x: float
    """Middle of the window, in px of the crop."""
    y: float
    dx: float
    """How far to the right of its place the DSLR's image shows the window."""
    dy: float
    ncc: float
    state: Literal["found", "amiss", "unclear"]
    """found: dx and dy are known to a quarter of a px or better, however large they are. `amiss`: the window is
    misplaced: it is clearly found elsewhere, roughly where dx and dy point to, or not at all. unclear: neither, as in a
    sky or on a straight edge."""


@dataclass(frozen=True)
class Window:
    """A candidate window for a patch."""

    x: float
    """Left column of the phone's window in px of the crop; in mode dped after it was moved."""
    y: float
    reason: str
    """Why it was rejected; empty if it became a patch."""
    ncc: float | None
    residual_px: float | None


@dataclass(frozen=True)
class Spot:
    """A place in full resolution that the page shows enlarged."""

    title: str
    """Why this place was chosen: 'Largest certain shift: 0.83 px'."""
    x: float
    """Middle, in px of the crop."""
    y: float
    phone: Picture
    dslr: Picture


@dataclass(frozen=True)
class DepthPlace:
    """How far the nodes displace one place."""

    x: float
    """The place, in px of the crop."""
    y: float
    px: float
    """Displacement along the direction of `Depth`."""


@dataclass(frozen=True)
class Depth:
    """The picture of the depth of a pair with nodes.

    A displacement says where the DSLR's photo shows a place, compared with where it would be without nodes.
    """

    picture: Picture
    """Colours for the displacement, on the grid of the crop, with hatching where the nodes squeeze or stretch it."""
    direction: tuple[float, float]
    """Unit vector (x, y) along which displacements are measured; it points to the right, or straight down."""
    range_px: float
    """The colours end at -range_px and at range_px."""
    colours: list[str]
    """Colours as #rrggbb at equal distances, from -range_px to range_px."""
    largest_px: float
    """Length of the largest displacement along the direction."""
    across_px: float
    """95th percentile of the displacement across the direction, which the picture does not show."""
    squeezed: float
    """Share 0..1 of the crop that the nodes squeeze, because the DSLR does not see a part of it."""
    stretched: float
    """Share 0..1 of the crop that the nodes stretch, because the DSLR sees more than the phone."""
    places: list[DepthPlace]
    """Places all over the crop, the most displaced ones first."""


@dataclass(frozen=True)
class PairDetails:
    """The content of an opened pair; files/pairs/<id>/details.js calls `dpedtool.details` with it."""

    id: str
    kind: Literal["aligned", "apart", "alone", "none"]
    """aligned: phone and warped DSLR on the grid of the crop; apart: both photos unchanged, since no transform is
    known; alone: one photo; none: no picture, for the reason in `note`."""
    note: str
    """A sentence about these pictures that adds to the pair's row; may be empty."""
    phone: Picture | None
    dslr: Picture | None
    crop: tuple[int, int, int, int] | None
    """x, y, width, height of the common crop in the phone's photo; None unless of kind aligned."""
    window_px: int | None
    """Side of the windows of `shifts`."""
    shifts: list[Shift]
    """Measured again for the report, on the aligned images in full resolution."""
    certain: int | None
    """Count of found shifts that do not touch a masked box."""
    amiss: int | None
    """Count of misplaced windows that do not touch a masked box."""
    certain_px: float | None
    """Median length of the certain shifts; None if there are fewer than five."""
    certain_p95_px: float | None
    fitting: int | None
    """Count of windows that fit well at any place and do not touch a masked box, including unclear ones."""
    residual_px: float | None
    """Median length of their shifts, as in the table of alignments; None if there are fewer than five."""
    residual_p95_px: float | None
    mask: list[tuple[int, int, int, int]]
    """x, y, width, height of masked boxes, in px of the crop."""
    patch_px: int | None
    """Side of the patches."""
    windows: list[Window]
    spots: list[Spot]
    depth: Depth | None
    """None for pairs without nodes."""
