"""TensorFlow's checkpoints: files of a small test writer are read back, and damaged files are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow_writer as writer
from tensorflow_writer import data_file, entry, header, index_file, message, number, write_checkpoint, write_rows

import dpedtool.training.weights.tensorflow_checkpoint
from dpedtool.dataset.errors import DpedtoolError
from dpedtool.training.weights.tensorflow_checkpoint import checkpoint_prefix, read_checkpoint

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def refused(prefix: Path) -> str:
    with pytest.raises(DpedtoolError) as error:
        read_checkpoint(prefix)
    assert "\n" not in str(error.value)
    return str(error.value)


def many() -> dict[str, np.ndarray]:
    """Return more tensors than a block holds, with names that share long prefixes."""
    rng = np.random.default_rng(0)
    return {f"generator/Variable_{place}": rng.normal(size=(place + 1, 2)).astype(np.float32) for place in range(13)}


@pytest.mark.parametrize("shards", [1, 3])
def test_tensors_come_back_in_the_order_of_their_names(tmp_path: Path, shards: int) -> None:
    write_checkpoint(tmp_path / "net", many(), shards)
    found = read_checkpoint(tmp_path / "net")
    assert list(found.tensors) == sorted(many())
    for name, values in many().items():
        np.testing.assert_array_equal(found.tensors[name], values)
    assert found.files == (
        index_file(tmp_path / "net"),
        *(data_file(tmp_path / "net", shard, shards) for shard in range(shards)),
    )


@pytest.mark.parametrize("kind", sorted(writer.DTYPES))
def test_numbers_of_every_kind_come_back(tmp_path: Path, kind: str) -> None:
    values = np.array([[0, 1], [1, 0]]).astype(kind)
    write_checkpoint(tmp_path / "net", {"some": values, "scalar": values[0, 1]})
    found = read_checkpoint(tmp_path / "net").tensors
    assert found["some"].dtype == values.dtype
    np.testing.assert_array_equal(found["some"], values)
    assert found["scalar"].shape == ()


def test_bfloat16_becomes_the_float32_of_the_same_value(tmp_path: Path) -> None:
    exact = np.array([1.5, -0.0078125, 3.0], np.float32)
    bits = (exact.view(np.uint32) >> 16).astype(np.uint16)
    write_rows(tmp_path / "net", [(b"", header()), (b"a", entry(bits, 0, dtype=writer.BFLOAT16))], bits.tobytes())
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "net").tensors["a"], exact)


@pytest.mark.parametrize("name", ["net", "net.index", "net.data-00000-of-00001", "net.data-00007-of-00012"])
def test_any_file_of_a_checkpoint_names_it(name: str) -> None:
    assert checkpoint_prefix(Path("folder") / name) == Path("folder/net")


@pytest.mark.parametrize("name", ["net.data", "v1.0", "net.data-0-of-1"])
def test_a_prefix_keeps_its_own_dots(name: str) -> None:
    assert checkpoint_prefix(Path(name)) == Path(name)


def test_a_missing_index_is_refused_and_says_what_a_checkpoint_is(tmp_path: Path) -> None:
    assert "net.index: name a TensorFlow checkpoint" in refused(tmp_path / "net")


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "net", many(), shards=3)
    data_file(tmp_path / "net", 1, 3).unlink()
    assert "net.data-00001-of-00003, which the checkpoint's index needs" in refused(tmp_path / "net")


def test_another_file_than_an_index_is_refused(tmp_path: Path) -> None:
    index_file(tmp_path / "net").write_bytes(b"no table" * 100)
    assert "net.index is damaged (it does not end as a table does)" in refused(tmp_path / "net")


def test_a_tensor_in_slices_is_refused_by_name(tmp_path: Path) -> None:
    sliced = number(1, 1) + message(7, b"")
    write_rows(tmp_path / "net", [(b"", header()), (b"\0\1big\0\1", entry(VALUES, 0)), (b"big", sliced)])
    assert "'big' in slices" in refused(tmp_path / "net")


def test_text_is_refused_by_name(tmp_path: Path) -> None:
    write_rows(tmp_path / "net", [(b"", header()), (b"words", entry(VALUES, 0, dtype=writer.STRING))])
    assert "'words' of type 7" in refused(tmp_path / "net")


def test_compressed_blocks_and_big_endian_numbers_are_refused(tmp_path: Path) -> None:
    rows = [(b"", header()), (b"a", entry(VALUES, 0))]
    index_file(tmp_path / "net").write_bytes(writer.table(rows, compression=1))
    assert "compressed (kind 1)" in refused(tmp_path / "net")
    write_rows(tmp_path / "net", [(b"", header(endianness=1)), rows[1]], VALUES.tobytes())
    assert "big-endian" in refused(tmp_path / "net")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "it has no header"),
        ([(b"a", entry(VALUES, 0))], "it has no header"),
        ([(b"", header(shards=0)), (b"a", entry(VALUES, 0))], "it claims 0 data files"),
        ([(b"", header(shards=10**9)), (b"a", entry(VALUES, 0))], "it claims 1000000000 data files"),
        ([(b"", header()), (b"a", entry(VALUES, 0, shard=1))], "a lies in data file 1 of 1"),
        ([(b"", header()), (b"a", entry(VALUES, 1))], "should lie at 1 with 24 of 24 bytes"),
        ([(b"", header()), (b"a", entry(VALUES, 2**63))], "should lie at 9223372036854775808"),
        ([(b"", header()), (b"a", entry(VALUES, 0)), (b"b", entry(VALUES, 0))], "b should lie at 0"),
        ([(b"", header()), (b"a", entry(VALUES, 0, shape=(3, 3)))], "a has the shape (3, 3)"),
        ([(b"", header()), (b"a", entry(VALUES, 0, shape=(2**40, 2**40)))], "a has the shape"),
        ([(b"", header()), (b"a", entry(VALUES[:0], 0, shape=(0, *[2**40] * 9)))], "a has the shape"),
        ([(b"", header()), (b"a", entry(VALUES, 0, shape=[1] * 33))], "a has 33 dimensions"),
        ([(b"", header()), (b"a", entry(VALUES + 1, 0))], "a fails its CRC"),
        ([(b"", header()), (b"\xff", entry(VALUES, 0))], "is not text"),
        ([(b"", header()), (b"a" * 5000, entry(VALUES, 0))], "a name shares 0 of 0 bytes and has 5000 more"),
        ([(b"", header()), (b"b", entry(VALUES, 0)), (b"a", entry(VALUES, 0))], "out of order"),
        ([(b"", header()), (b"a", b"\x0a\xff\xff\x01")], "32767 bytes are promised, but 0 are left"),
        ([(b"", header()), (b"a", number(2, 7))], "there is a number where a message should be"),
        ([(b"", header()), (b"a", b"\x03")], "a field of kind 3"),
    ],
)
def test_an_index_that_cannot_be_true_is_refused(tmp_path: Path, rows: list[writer.Row], reason: str) -> None:
    """The CRCs are correct: such a file was written on purpose or by a faulty program."""
    write_rows(tmp_path / "net", rows, VALUES.tobytes())
    assert reason in refused(tmp_path / "net")
    assert "is damaged" in refused(tmp_path / "net")


def test_names_that_would_take_any_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 16 bytes a row in the file, 4000 in memory.
    values = np.zeros(0, np.float32)
    rows = [(b"", header()), *((b"a" * 4000 + bytes([row]), entry(values, 0)) for row in range(100))]
    write_rows(tmp_path / "net", rows)
    assert len(read_checkpoint(tmp_path / "net").tensors) == 100
    monkeypatch.setattr(dpedtool.training.weights.tensorflow_checkpoint, "_MOST_BYTES_OF_NAMES", 300_000)
    assert "its names have more than 300000 bytes" in refused(tmp_path / "net")


def test_an_index_without_tensors_is_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "net", [(b"", header())])
    assert "holds no tensors" in refused(tmp_path / "net")
