"""A hash of photos by which the few that may show the same view are found among thousands, before they are matched.

Each keypoint falls into one cell of each table, by its descriptor. Photos of one view have keypoints in the same cells.

Any two photos have many cells in common, since some cells are common in all photos. How many follows from the mirror
image: it has the same kinds of edges and corners, but shows no view of the photo. So each cell counts the keypoints of
the photo less those of its mirror image, and photos of different views have a cosine of about 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Cells = npt.NDArray[np.int8]

TABLES, BITS = 32, 9
"""The hash: number of cells for each keypoint, and number of bits for each cell."""
CELLS = TABLES << BITS
"""Number of all cells."""
CELL_UNIT = 8
"""The differences in the cells are kept in eighths, as a byte for each."""


def count_cells(descriptors: Floats) -> Cells:
    """Return the hash of a photo by its keypoints.

    Parameters
    ----------
    descriptors
        (N, 128) RootSIFT; in SIFT's order of 4 rows, 4 columns and 8 directions.

    Returns
    -------
    ndarray
        (CELLS,) square root of the number of keypoints in each cell, less that of the mirror image, in units
        of 1 / CELL_UNIT.

    Notes
    -----
    Cells are sides of hyperplanes (Charikar 2002, doi:10.1145/509907.509965). All SIFT descriptors lie in one corner of
    the sphere. Once the photo's mean is subtracted, they lie all around. By square roots, a repeating texture counts
    less.
    """
    centred = descriptors - (descriptors.mean(axis=0) if len(descriptors) else 0)
    sides = np.packbits((centred @ _BOTH_PLANES > 0).reshape(len(descriptors), 2 * TABLES, BITS), axis=2)
    codes = (sides[..., 0].astype(np.intp) << BITS - 8) + (sides[..., 1] >> 16 - BITS)
    codes += np.arange(2 * TABLES) << BITS
    roots = np.sqrt(np.bincount(codes.ravel(), minlength=2 * TABLES << BITS)).reshape(2, -1)
    return np.asarray(np.clip(np.rint((roots[0] - roots[1]) * CELL_UNIT), -127, 127), np.int8)


def cosines(ones: Cells, others: Cells) -> Floats:
    """Return the cosines of hashes that `count_cells` made: (N, M) of (N, CELLS) and (M, CELLS).

    Whole numbers are multiplied, so that a cosine depends neither on the other hashes nor on the library beneath.
    """
    counts = [cells.astype(np.float32) for cells in (ones, others)]
    lengths = [np.maximum(np.sqrt(np.einsum("ij,ij->i", cells, cells)), 1) for cells in counts]
    products = counts[0] @ counts[1].T
    products /= lengths[0][:, None]
    products /= lengths[1]
    return np.asarray(products, np.float32)


def _planes() -> Floats:
    """Return (TABLES * BITS, 128) of +1 and -1, as many of each, from raw bits of PCG64, which NumPy never changes."""
    draws = np.random.PCG64(0).random_raw(TABLES * BITS * 128).reshape(TABLES * BITS, 128)
    return np.where(np.argsort(draws, axis=1, kind="stable") < 64, 1, -1).astype(np.float32)


_PLANES = _planes()


def _mirrored() -> npt.NDArray[np.intp]:
    """Return the place of each number of a SIFT descriptor in the descriptor of the mirror image, (128,).

    The numbers are 4 rows, 4 columns and 8 directions, all relative to the keypoint's own direction.
    """
    places = np.arange(128).reshape(4, 4, 8)
    return places[::-1][:, :, -np.arange(8) % 8].ravel()


_BOTH_PLANES: Floats = np.vstack([_PLANES, _PLANES[:, _mirrored()]]).T.copy()
"""(128, 2 * TABLES * BITS): planes for a photo, and those that do for its mirror image's descriptors what these do."""
