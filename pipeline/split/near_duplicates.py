"""Finds photos that show the same view: a burst, or the same place minutes later, shifted, zoomed or brighter.

Local features decide. SIFT keypoints of two thumbnails are matched, and every match implies a similarity transform.
The one that most matches agree with is fitted as an affine. Many keypoints in agreement link two photos at any
distance in time, and few are enough within some minutes. Photos with too few keypoints are compared as a whole.

Whether two photos are linked depends on these two alone: photos that are added later change nothing between earlier
ones, and neither do the order, the number of processors or a random state. There is no time to match all photos with
each other, so only those are matched whose keypoints fall into the same cells of a fixed hash. This also depends on
the two photos alone.

The limits come from the 150 photos of City100, which are 50 prints by three cameras. Photos of the same print had at
least 74 keypoints in agreement and a cosine of the hash of 0.38. Photos of different prints had at most 6 and 0.375.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.photos.pixels import GreyPhoto
from dpedtool.dataset.photos.thumbnails import is_small
from dpedtool.dataset.progress import track

Floats = npt.NDArray[np.float32]

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
TABLES, BITS = 16, 10
"""The hash: number of cells for each keypoint, and number of bits for each cell."""
HASH_ALIKE, HASH_WORTH_A_LOOK = 0.365, 0.345
"""Cosine of two photos' cells from which they are matched: at any distance in time, and within `Limits.minutes`."""
SPARSE = 0.45
"""Photos with fewer keypoints have fewer cells in common by chance: the limit falls with this power of their number."""
LAYOUT_SIDE = 24
BLOCK = 512


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


@dataclass(frozen=True, eq=False)
class Appearance:
    """How a thumbnail looks."""

    area: float
    """px^2."""
    points: npt.NDArray[np.complex64]
    """(N,) keypoints x + iy, in px of the thumbnail."""
    vectors: npt.NDArray[np.complex64]
    """(N,) their orientations, as vectors whose length is the keypoint's size."""
    descriptors: Floats
    """(N, 128) RootSIFT, of length 1."""
    cells: npt.NDArray[np.uint8]
    """(TABLES << BITS,) how many keypoints fall into each cell of the hash."""
    layout: Floats
    """(LAYOUT_SIDE ** 2,) light and dark, of mean 0 and length 1, or shorter if there is almost no contrast."""


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
    looks = [look_at(view) for view in track(ordered, "Looked at", len(ordered))]
    found = []
    for i, j, close in _candidates(ordered, looks, limits.minutes):
        one, two = ordered[i], ordered[j]
        if sides is None or sides[one.name] != sides[two.name]:
            needed = min(WEAK, limits.keypoints) if close else limits.keypoints
            if evidence := _evidence(looks[i], looks[j], needed, close=close):
                found.append(Link(one.name, two.name, evidence + _apart(one, two)))
    return sorted(found, key=lambda link: (link.one, link.two))


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
    descriptors = np.zeros((0, 128), np.float32) if found is None else found.astype(np.float32)
    descriptors = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-9))
    points = np.array([complex(*keypoint.pt) for keypoint in keypoints], np.complex64)
    angles = np.deg2rad([keypoint.angle for keypoint in keypoints])
    vectors = np.array([keypoint.size for keypoint in keypoints]) * np.exp(1j * angles)
    return Appearance(grey.size, points, vectors.astype(np.complex64), descriptors, _cells(descriptors), _layout(grey))


def agreement(one: Appearance, two: Appearance) -> Agreement:
    """Return how far the keypoints of two photos agree on one affine between them."""
    first, second = _matches(one, two)
    p, q = one.points[first], two.points[second]
    if len(p) < WEAK:
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
    found = agreement(one, two)
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


def _candidates(views: Sequence[View], looks: Sequence[Appearance], minutes: float) -> Iterator[tuple[int, int, bool]]:
    """Yield two indices that are worth matching, the lower one first, and whether they are within the minutes."""
    counts = np.array([len(look.points) for look in looks])
    plain = counts < FEW_KEYPOINTS
    sparse = np.minimum(counts / FEATURES, 1) ** SPARSE
    times = np.array([view.time for view in views], "datetime64[us]")
    window = np.timedelta64(round(minutes * 60e6), "us")
    starts = range(0, len(views), BLOCK)
    for start in track(starts, "Compared", len(starts)):
        rows = slice(start, start + BLOCK)
        ones = _hashes(looks[rows])
        for other in range(start, len(views), BLOCK):
            columns = slice(other, other + BLOCK)
            alike = ones @ _hashes(looks[columns]).T
            layouts = _layouts(looks[rows]) @ _layouts(looks[columns]).T
            # Photos without a time are not close in time: comparisons with NaT are false.
            close = np.abs(times[rows, None] - times[None, columns]) <= window
            fewer = np.minimum(sparse[rows, None], sparse[None, columns])
            worth = alike >= fewer * np.where(close, HASH_WORTH_A_LOOK, HASH_ALIKE)
            worth |= close & (layouts >= LIKE_LAYOUT)
            worth |= (plain[rows, None] | plain[None, columns]) & (layouts >= SAME_LAYOUT)
            for i, j in np.argwhere(worth):
                if start + i < other + j:
                    yield start + int(i), other + int(j), bool(close[i, j])


def _matches(one: Appearance, two: Appearance) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices, in both photos, of keypoints that are each other's nearest and clearly nearer than the next one."""
    if min(len(one.points), len(two.points)) < WEAK:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    products = one.descriptors @ two.descriptors.T
    rows = np.arange(len(products))
    nearest = products.argmax(axis=1)
    best = products[rows, nearest]
    mutual = products.argmax(axis=0)[nearest] == rows
    products[rows, nearest] = -1
    # Squared distances of unit vectors: |a-b|^2 = 2 - 2 a.b.
    good = np.flatnonzero(mutual & (1 - best < RATIO**2 * (1 - products.max(axis=1))))
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


def _planes() -> Floats:
    """Return (TABLES * BITS, 128) of +1 and -1, as many of each, from raw bits of PCG64, which NumPy never changes."""
    draws = np.random.PCG64(0).random_raw(TABLES * BITS * 128).reshape(TABLES * BITS, 128)
    return np.where(np.argsort(draws, axis=1, kind="stable") < 64, 1, -1).astype(np.float32)


_PLANES = _planes()


def _cells(descriptors: Floats) -> npt.NDArray[np.uint8]:
    """Count the keypoints in each cell; cells are sides of hyperplanes (Charikar 2002, doi:10.1145/509907.509965).

    All SIFT descriptors lie in one corner of the sphere. Once the photo's mean is subtracted, they lie all around.
    """
    centred = descriptors - (descriptors.mean(axis=0) if len(descriptors) else 0)
    sides = (centred @ _PLANES.T > 0).reshape(-1, TABLES, BITS)
    codes = (sides << np.arange(BITS)).sum(axis=2) + (np.arange(TABLES) << BITS)
    counts = np.bincount(codes.ravel(), minlength=TABLES << BITS)
    return np.minimum(counts, 255).astype(np.uint8)


def _hashes(looks: Sequence[Appearance]) -> Floats:
    """Return (len(looks), TABLES << BITS), rows of length 1; by square roots, a repeating texture counts less."""
    counts: Floats = np.sqrt(np.stack([look.cells for look in looks]), dtype=np.float32)
    counts /= np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)
    return counts


def _layout(grey: GreyPhoto) -> Floats:
    small = cv2.resize(grey.astype(np.float32), (LAYOUT_SIDE, LAYOUT_SIDE), interpolation=cv2.INTER_AREA).ravel()
    small = small - small.mean()
    # Variation of less than half a grey level is noise, and must not resemble anything.
    return np.asarray(small / max(float(np.linalg.norm(small)), LAYOUT_SIDE / 2), np.float32)


def _layouts(looks: Sequence[Appearance]) -> Floats:
    return np.stack([look.layout for look in looks])
