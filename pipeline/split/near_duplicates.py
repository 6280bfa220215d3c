"""Finds photos that show the same view: a burst, or the same place minutes later, shifted, zoomed or brighter.

Local features decide. SIFT keypoints of two thumbnails are matched, and every match implies a similarity transform.
The one that most matches agree with is fitted as an affine. Many keypoints in agreement link two photos at any
distance in time, and few are enough within some minutes. Photos with too few keypoints are compared as a whole.

Whether two photos are linked depends on these two alone: photos that are added later change nothing between earlier
ones, and neither do the order, the number of processors or a random state. There is no time to match all photos with
each other, so only those are matched whose keypoints fall into the same cells of a fixed hash. This also depends on
the two photos alone.

The limits come from the 150 photos of City100, which are 50 prints by three cameras: photos of the same print had at
least 74 keypoints in agreement, photos of different prints at most 6. The limits of the hash come from 800 frames, cut
from 68 photos, of which 2154 pairs have 12 keypoints in agreement. The hash finds 93 % of these pairs, and 98 % of
those with 24 keypoints. Of the pairs of different views 0.4 % are matched in vain.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.photos.pixels import GreyPhoto
from dpedtool.dataset.photos.thumbnails import is_small
from dpedtool.dataset.progress import track
from dpedtool.pipeline.measure.cells import cosines, count_cells
from dpedtool.pipeline.runner import default_workers
from dpedtool.pipeline.split.appearances import LAYOUT_SIDE, Appearance, Appearances, root_sift

Item = TypeVar("Item")
Result = TypeVar("Result")
Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.intp]
Times = npt.NDArray[np.datetime64]

FEATURES = 256
RATIO = 0.85
"""Largest ratio of the nearest to the second nearest descriptor distance; it may be high, as places must agree too."""
TOLERANCES_PX = (12.0, 8.0, 6.0, 5.0, 5.0)
"""How far a match may lie from the similarity, and then from each affine fit after it, in px of 256."""
WEAK = 8
"""Number of keypoints that must agree within `Limits.minutes`."""
MIN_COVERAGE = 0.1
"""Share of one frame that they must span: less is an object in common, such as a print on the wall, and not a view."""
SAME_LAYOUT, LIKE_LAYOUT = 0.98, 0.93
"""Correlation of light and dark that links frames with too few keypoints, and any frames within `Limits.minutes`."""
FEW_KEYPOINTS = 40
HASH_ALIKE, HASH_WORTH_A_LOOK = 0.024, 0.019
"""Cosine of two photos' cells from which they are matched: at any distance in time, and within `Limits.minutes`."""
BLOCK = 512
"""Number of photos whose cells are compared with those of as many others at once, in 70 MB for each processor."""


@dataclass(frozen=True)
class View:
    """One photo to be compared: a name that no other has, its thumbnail as a JPEG file, and when it was taken."""

    name: str
    thumbnail: bytes
    time: datetime | None


@dataclass(frozen=True)
class Link:
    """Two photos, by name, that show the same view."""

    one: str
    two: str
    evidence: str
    """The reason, as a clause with figures."""


@dataclass(frozen=True)
class Agreement:
    """Keypoints of two photos that one affine explains, and the share of a frame that they span."""

    keypoints: int
    coverage: float


NONE = Agreement(0, 0.0)


@dataclass(frozen=True)
class Limits:
    """What makes two photos near-duplicates."""

    minutes: float
    """Few keypoints are enough if photos were taken within this many minutes; photos without a time never were."""
    keypoints: int
    """Keypoints that must agree at any distance in time."""


def find_links(views: Sequence[View], limits: Limits, sides: Mapping[str, str] | None = None) -> list[Link]:
    """Return all links among photos, in the order of their names.

    Parameters
    ----------
    views
        The photos; each name once.
    limits
        What makes two of them near-duplicates.
    sides
        The side of each photo, by name: photos on the same side are not compared. If it is None, all photos are.

    Raises
    ------
    DpedtoolError
        A thumbnail cannot be decoded.

    """
    ordered = sorted(views, key=lambda view: view.name)
    on = np.array([sides[view.name] for view in ordered], np.str_) if sides is not None else None
    with Appearances(len(ordered)) as looks:
        _in_threads(lambda number: looks.put(number, look_at(ordered[number])), range(len(ordered)), "Looked at")
        times = np.array([view.time for view in ordered], "datetime64[us]")
        compare = functools.partial(_links_of_blocks, ordered, looks, times, limits)
        found = _in_threads(compare, _pairs_of_blocks(len(ordered), on), "Compared")
    return sorted((link for links in found for link in links), key=lambda link: (link.one, link.two))


def _links_of_blocks(
    views: Sequence[View], looks: Appearances, times: Times, limits: Limits, blocks: tuple[Numbers, Numbers]
) -> list[Link]:
    """Return the links between the photos of two blocks, or among those of one block that is given twice."""
    found = []
    for number, others in _candidates(looks, times, limits, blocks):
        look = looks[number]
        for other, close in others:
            # The affine is fitted from the first name to the second, whatever the order of the blocks is.
            i, j = min(number, other), max(number, other)
            one, two = (look, looks[other]) if number == i else (looks[other], look)
            if evidence := _evidence(one, two, _needed(limits, close=close), close=close):
                found.append(Link(views[i].name, views[j].name, evidence + _apart(views[i], views[j])))
    return found


def _needed(limits: Limits, *, close: bool) -> int:
    """Return how many keypoints must agree."""
    return min(WEAK, limits.keypoints) if close else limits.keypoints


def _in_threads(work: Callable[[Item], Result], items: Sequence[Item], label: str) -> list[Result]:
    """Return the results in the order of the items, made by a thread for each processor.

    The libraries below get one thread each: theirs would wait for each other's processors.
    """
    threads, pool = cv2.getNumThreads(), ThreadPoolExecutor(default_workers())
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            return list(track(pool.map(work, items), label, len(items)))
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)


def look_at(view: View) -> Appearance:
    """Return how a photo's thumbnail looks.

    SIFT (Lowe 2004, doi:10.1023/B:VISI.0000029664.99615.94), RootSIFT (Arandjelovic and Zisserman 2012,
    doi:10.1109/CVPR.2012.6248018).

    Raises
    ------
    DpedtoolError
        The thumbnail cannot be decoded.

    """
    grey = _decode(view)
    # The threshold is low because a dark photo of a burst has little contrast; only the strongest keypoints are kept.
    sift = cv2.SIFT.create(nfeatures=FEATURES, contrastThreshold=0.01, enable_precise_upscale=True)
    keypoints, found = sift.detectAndCompute(grey, None)
    # OpenCV gives whole numbers from 0 to 255, as floats.
    descriptors = np.zeros((0, 128), np.uint8) if found is None else found.astype(np.uint8)
    points = np.array([complex(*keypoint.pt) for keypoint in keypoints], np.complex64)
    angles = np.deg2rad([keypoint.angle for keypoint in keypoints])
    vectors = np.array([keypoint.size for keypoint in keypoints]) * np.exp(1j * angles)
    cells = count_cells(root_sift(descriptors))
    return Appearance(grey.size, points, vectors.astype(np.complex64), descriptors, cells, _layout(grey))


def agreement(one: Appearance, two: Appearance, fewest: int = WEAK) -> Agreement:
    """Return how far the keypoints of two photos agree on one affine between them.

    If fewer than `fewest` keypoints match, which is almost always so in photos of different views, nothing is fitted.
    """
    first, second = _matches(one, two)
    p, q = one.points[first], two.points[second]
    if len(p) < max(fewest, WEAK):
        return NONE
    # Each match implies a similarity by size and orientation of its keypoints. All are tried, so nothing is random.
    factors = two.vectors[second] / one.vectors[first]
    predicted = factors[:, None] * (p[None] - p[:, None]) + q[:, None]
    close = np.abs(predicted - q) < TOLERANCES_PX[0]
    inliers = close[close.sum(axis=1).argmax()]
    terms = np.column_stack([p.real, p.imag, np.ones(len(p))])
    aims = np.column_stack([q.real, q.imag])
    for tolerance in TOLERANCES_PX[1:]:
        if inliers.sum() < WEAK:
            return NONE
        affine = np.linalg.lstsq(terms[inliers], aims[inliers], rcond=None)[0]
        inliers = np.hypot(*(terms @ affine - aims).T) < tolerance
    if not _is_a_view(affine[:2]):
        return NONE
    # A place with two orientations has two keypoints, but counts once.
    places = np.unique(np.column_stack([terms[:, :2], aims])[inliers].round(), axis=0)
    spans = [_span(p[inliers]) / one.area, _span(q[inliers]) / two.area]
    return Agreement(len(places), max(spans))


def _evidence(one: Appearance, two: Appearance, keypoints: int, *, close: bool) -> str:
    """Return why two photos show the same view; empty if they do not."""
    found = agreement(one, two, keypoints)
    if found.keypoints >= keypoints and found.coverage >= MIN_COVERAGE:
        return f"{found.keypoints} keypoints agree over {found.coverage:.0%} of the frame"
    correlation = float(one.layout @ two.layout)
    plain = min(len(one.points), len(two.points)) < FEW_KEYPOINTS
    if (close and correlation >= LIKE_LAYOUT) or (plain and correlation >= SAME_LAYOUT):
        return f"light and dark correlate by {correlation:.3f}"
    return ""


def _apart(one: View, two: View) -> str:
    seconds = seconds_apart(one.time, two.time)
    return "" if seconds is None else f", {seconds:.0f} s apart"


def seconds_apart(one: datetime | None, two: datetime | None) -> float | None:
    """Return the time between two shots in seconds; None if a time is missing."""
    return None if one is None or two is None else abs((one - two).total_seconds())


def _pairs_of_blocks(count: int, sides: npt.NDArray[np.str_] | None) -> list[tuple[Numbers, Numbers]]:
    """Return pairs of blocks of photos, by number, so that any two photos that are to be compared are in one of them.

    Each block is on one side, if there are sides, and only blocks on two sides are compared: a third of the work.
    """
    alone = [np.arange(count)] if sides is None else [np.flatnonzero(sides == side) for side in np.unique(sides)]
    blocks = [
        (side, photos[start : start + BLOCK])
        for side, photos in enumerate(alone)
        for start in range(0, len(photos), BLOCK)
    ]
    return [
        (one, other)
        for number, (side, one) in enumerate(blocks)
        for its_side, other in blocks[number:]
        if sides is None or side != its_side
    ]


def _candidates(
    looks: Appearances, times: Times, limits: Limits, blocks: tuple[Numbers, Numbers]
) -> Iterator[tuple[int, list[tuple[int, bool]]]]:
    """Yield a photo of the first block, by number, and the photos of the second one that are worth matching with it.

    With each of these comes whether the two are within the minutes.
    """
    ones, others = blocks
    alike = cosines(looks.cells[ones], looks.cells[others])
    layouts = looks.layouts[ones] @ looks.layouts[others].T
    # Comparisons with NaT are false, so that no photo without a time is close to another.
    apart = np.abs(np.subtract.outer(times[ones], times[others]))
    close = apart <= np.timedelta64(round(limits.minutes * 60e6), "us")
    fewer = np.minimum.outer(looks.keypoints[ones], looks.keypoints[others])
    worth = np.where(close, alike >= HASH_WORTH_A_LOOK, alike >= HASH_ALIKE)
    # Photos with fewer keypoints cannot have so many in agreement.
    worth &= fewer >= np.where(close, _needed(limits, close=True), _needed(limits, close=False))
    worth |= close & (layouts >= LIKE_LAYOUT)
    worth |= (fewer < FEW_KEYPOINTS) & (layouts >= SAME_LAYOUT)
    if ones is others:
        worth = np.triu(worth, 1)
    for row in np.flatnonzero(worth.any(axis=1)):
        columns = np.flatnonzero(worth[row])
        yield int(ones[row]), list(zip(others[columns].tolist(), close[row, columns].tolist(), strict=True))


def _matches(one: Appearance, two: Appearance) -> tuple[Numbers, Numbers]:
    """Indices, in both photos, of keypoints that are each other's nearest and clearly nearer than the next one."""
    if min(len(one.points), len(two.points)) < WEAK:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    products = one.descriptors @ two.descriptors.T
    rows = np.arange(len(products))
    nearest = products.argmax(axis=1)
    best = products[rows, nearest]
    products[rows, nearest] = -1
    # Squared distances of unit vectors: |a-b|^2 = 2 - 2 a.b.
    clear = np.flatnonzero(1 - best < RATIO**2 * (1 - products.max(axis=1)))
    products[rows, nearest] = best
    # Few are clear, so that it takes less time to ask the others' opinion last.
    mutual = products[:, nearest[clear]].argmax(axis=0) == clear
    good = clear[mutual]
    return good, nearest[good]


def _is_a_view(affine: npt.NDArray[np.float64]) -> bool:
    """Whether a (2, 2) matrix is a change of view: not mirrored, not squeezed and not zoomed by more than four."""
    largest, smallest = np.linalg.svd(affine, compute_uv=False)
    return bool(np.linalg.det(affine) > 0 and largest < 2 * smallest and smallest > 0.25 and largest < 4)


def _span(points: npt.NDArray[np.complex64]) -> float:
    """The area of the convex hull, px^2."""
    hull = cv2.convexHull(np.column_stack([points.real, points.imag]).astype(np.float32))
    return cv2.contourArea(hull)


def _decode(view: View) -> GreyPhoto:
    is_usable = is_small(view.thumbnail)
    grey = cv2.imdecode(np.frombuffer(view.thumbnail, np.uint8), cv2.IMREAD_GRAYSCALE) if is_usable else None
    if grey is None:
        raise DpedtoolError(
            f"The thumbnail of {view.name} cannot be decoded, so its table is damaged: make the table again "
            "in an empty folder."
        )
    return np.asarray(grey, np.uint8)


def _layout(grey: GreyPhoto) -> Floats:
    small = cv2.resize(grey.astype(np.float32), (LAYOUT_SIDE, LAYOUT_SIDE), interpolation=cv2.INTER_AREA).ravel()
    small = small - small.mean()
    # Variation of less than half a grey level is noise, and must not resemble anything.
    return np.asarray(small / max(float(np.linalg.norm(small)), LAYOUT_SIDE / 2), np.float32)
