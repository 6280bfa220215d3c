"""Files of nodes: what is written is read, rounded once; what is not a file of nodes is refused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from dpedtool.dataset.errors import Rejection
from dpedtool.pipeline.geometry.node_files import (
    MOST_PX,
    as_file,
    columns_of,
    grid_shape,
    read_nodes,
    rounded,
    write_nodes,
)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_grid_covers_the_photo() -> None:
    assert grid_shape(640, 480) == (60, 80)
    assert grid_shape(641, 479) == (60, 81)
    assert grid_shape(1, 1) == (1, 1)


def test_displacements_are_rounded_to_64ths_and_bounded() -> None:
    nodes = rounded(np.array([[[0.01, -0.02], [1000.0, -1000.0]]]))
    np.testing.assert_array_equal(nodes.displacements, np.float32([[[1 / 64, -1 / 64], [MOST_PX, -MOST_PX]]]))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    nodes = rounded(np.random.default_rng(0).normal(0, 20, (7, 9, 2)))
    write_nodes(tmp_path / "deep" / "a.npy", nodes)
    facts = columns_of(nodes, tmp_path / "deep" / "a.npy")
    again = read_nodes(facts["nodes_path"], facts["nodes_sha256"], facts["nodes_rows"], facts["nodes_columns"])
    np.testing.assert_array_equal(again.displacements, nodes.displacements)
    # Anybody can open it with numpy alone.
    steps = np.load(tmp_path / "deep" / "a.npy")
    assert (steps.dtype, steps.shape) == (np.int16, (7, 9, 2))
    np.testing.assert_array_equal(steps / 64, nodes.displacements)
    assert facts["nodes_sha256"] == digest((tmp_path / "deep" / "a.npy").read_bytes())


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00v\x00{'descr'", b"x" * 1000])
def test_a_file_of_other_bytes_is_refused_though_its_digest_is_right(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(Rejection, match=r"is not a \.npy array") as refused:
        read_nodes(tmp_path / "a.npy", digest(content), 7, 9)
    assert refused.value.reason == "nodes_changed"


def test_an_array_of_another_shape_or_type_is_refused(tmp_path: Path) -> None:
    content = as_file(rounded(np.zeros((7, 9, 2))))
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(Rejection, match="does not hold 9 x 7 nodes"):
        read_nodes(tmp_path / "a.npy", digest(content), 9, 7)
    np.save(tmp_path / "b.npy", np.zeros((7, 9, 2), np.uint16))
    with pytest.raises(Rejection, match="does not hold 7 x 9 nodes"):
        read_nodes(tmp_path / "b.npy", digest((tmp_path / "b.npy").read_bytes()), 7, 9)


def test_pickled_objects_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(Rejection, match=r"is not a \.npy array"):
        read_nodes(tmp_path / "a.npy", digest((tmp_path / "a.npy").read_bytes()), 7, 9)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    for name in ("none.npy", "pipe.npy", "."):
        with pytest.raises(Rejection, match="cannot be read"):
            read_nodes(tmp_path / name, "0", 7, 9)
