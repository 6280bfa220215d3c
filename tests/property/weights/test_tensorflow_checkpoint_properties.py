"""Properties that hold for any tensors, and for any damage to their files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tensorflow_writer import data_file, index_file, write_checkpoint

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.training.weights.tensorflow_checkpoint import read_checkpoint

names = st.text("abW_/019ü", min_size=1, max_size=12)
tensors = st.dictionaries(
    names,
    arrays.arrays(np.float32, arrays.array_shapes(max_dims=4, max_side=4), elements=st.floats(-9, 9, width=32)),
    min_size=1,
    max_size=12,
)


@given(tensors, st.integers(1, 3))
def test_any_tensors_come_back(content: dict[str, np.ndarray], shards: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "net"
        write_checkpoint(prefix, content, shards)
        found = read_checkpoint(prefix).tensors
        assert found.keys() == content.keys()
        for name, values in content.items():
            np.testing.assert_array_equal(found[name], values)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve tensors, three blocks, two data files."""
    prefix = tmp_path_factory.mktemp("checkpoint") / "net"
    rng = np.random.default_rng(0)
    shapes = [(5, 5, 3, 4) if place % 3 == 0 else (4,) for place in range(12)]
    content = {f"generator/Variable_{place}": rng.normal(size=shape) for place, shape in enumerate(shapes)}
    write_checkpoint(prefix, content, shards=2)
    return prefix


def files(prefix: Path) -> list[Path]:
    return [index_file(prefix), data_file(prefix, 0, 2), data_file(prefix, 1, 2)]


def assert_refused(prefix: Path, path: Path, content: bytes) -> None:
    whole = path.read_bytes()
    try:
        path.write_bytes(content)
        with pytest.raises(DpedtoolError) as error:
            read_checkpoint(prefix)
        assert "is damaged" in str(error.value) or "is compressed" in str(error.value)
        assert len(str(error.value).splitlines()) == 1
    finally:
        path.write_bytes(whole)


@given(st.data())
def test_a_changed_byte_anywhere_is_noticed(prefix: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(files(prefix)))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    assert_refused(prefix, path, bytes(content))


@given(st.data())
def test_a_truncation_anywhere_is_noticed(prefix: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(files(prefix)))
    content = path.read_bytes()
    assert_refused(prefix, path, content[: data.draw(st.integers(0, len(content) - 1))])


def test_every_flipped_bit_of_the_footer_is_noticed(prefix: Path) -> None:
    """The footer is the only part of the index that no CRC covers."""
    path = index_file(prefix)
    content = path.read_bytes()
    for place in range(8 * (len(content) - 48), 8 * len(content)):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        assert_refused(prefix, path, bytes(flipped))


@given(st.binary(max_size=200))
def test_no_bytes_are_taken_for_an_index(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        index_file(Path(folder) / "net").write_bytes(content + bytes.fromhex("57fb808b247547db"))
        with pytest.raises(DpedtoolError):
            read_checkpoint(Path(folder) / "net")
