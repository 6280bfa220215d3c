"""The file of a pair's nodes: a .npy array of int16, (rows, columns, 2), x and y in 1/64 px of the phone photo."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.io import replacing
from dpedtool.dataset.places import Place
from dpedtool.dataset.regular_files import open_regular
from dpedtool.pipeline.geometry.transform import NODE_PX, Nodes

STEPS_A_PX = 64
MOST_PX = 32_767 / STEPS_A_PX
"""Longer displacements do not fit into the file."""
HEADER_BYTES = 4096
"""The header of a .npy file of such an array is shorter than this."""


def grid_shape(width: int, height: int) -> tuple[int, int]:
    """Return the rows and columns of the nodes of a photo of this size in px."""
    return -(-height // NODE_PX), -(-width // NODE_PX)


def rounded(displacements: npt.NDArray[Any]) -> Nodes:
    """Return nodes (rows, columns, 2), rounded to what a file holds, so that they are the same before and after."""
    steps = np.rint(np.clip(displacements, -MOST_PX, MOST_PX) * STEPS_A_PX)
    return Nodes(np.asarray(steps / STEPS_A_PX, np.float32))


def as_file(nodes: Nodes) -> bytes:
    """Return the content of the file."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(nodes.displacements * STEPS_A_PX, np.int16), allow_pickle=False)
    return buffer.getvalue()


def columns_of(nodes: Nodes, path: Path | None) -> dict[str, Any]:
    """Return the columns of a row of alignments that describe these nodes, and the file that holds them, if any."""
    rows, columns = nodes.displacements.shape[:2]
    return {
        "nodes_path": path,
        "nodes_sha256": hashlib.sha256(as_file(nodes)).hexdigest(),
        "nodes_rows": rows,
        "nodes_columns": columns,
        "nodes_spacing_px": NODE_PX,
    }


def write_nodes(path: Path, nodes: Nodes) -> None:
    """Write the file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(as_file(nodes))


def read_nodes(path: Place, sha256: str, rows: int, columns: int) -> Nodes:
    """Read the nodes of a pair.

    Raises
    ------
    Rejection
        `nodes_changed`: the file is missing, or is not the one that the table of alignments means.

    """
    most = rows * columns * 4 + HEADER_BYTES
    try:
        if not isinstance(path, Path):
            raise _changed(path, "is a URL, but results are files of this machine")
        with open_regular(path) as file:
            content = file.read(most + 1)
    except OSError as error:
        reason = error.strerror or "the file does not exist"
        raise _changed(path, f"cannot be read ({reason})") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _changed(path, "is not the one that the alignment made")
    # The digest is that of a file that this program wrote, unless the table is made up as well.
    try:
        steps = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError):
        raise _changed(path, "is not a .npy array") from None
    if not isinstance(steps, np.ndarray) or steps.dtype != np.int16 or steps.shape != (rows, columns, 2):
        raise _changed(path, f"does not hold {rows} x {columns} nodes")
    return Nodes(np.asarray(steps / STEPS_A_PX, np.float32))


def _changed(path: Place, what: str) -> Rejection:
    return Rejection("nodes_changed", f"The file of nodes {path} {what}: run `dpedtool align` again.")
