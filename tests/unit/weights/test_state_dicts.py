"""Files of torch.save: they are read as torch reads them, and nothing in them is ever run."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.training.weights.state_dicts import read_tensors

ZIP, LEGACY = True, False


def tensors() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    whole = torch.randn(5, 4, generator=random)
    return {
        "first.weight": torch.randn(2, 3, 3, 3, generator=random),
        "first.bias": torch.arange(7.0),
        "turned": whole.T,
        "part": whole[1:3, 2:],
        "half": whole.half(),
        "steps": torch.tensor(5),
        "none": torch.zeros(0, 4),
    }


def saved(path: Path, what: Any, as_zip: bool) -> Path:
    torch.save(what, path, _use_new_zipfile_serialization=as_zip)
    return path


@pytest.mark.parametrize("as_zip", [ZIP, LEGACY])
@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_both_formats_give_what_was_saved(tmp_path: Path, as_zip: bool, kind: type) -> None:
    path = saved(tmp_path / "a.pth", kind(tensors()), as_zip)
    found = read_tensors(path, tensors())
    assert list(found) == list(tensors())
    for name, value in tensors().items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("as_zip", [ZIP, LEGACY])
def test_only_the_values_asked_for_are_read(tmp_path: Path, as_zip: bool) -> None:
    path = saved(tmp_path / "a.pth", tensors(), as_zip)
    assert list(read_tensors(path, ["steps"])) == ["steps"]
    with pytest.raises(DpedtoolError, match=r"it lacks second\.weight"):
        read_tensors(path, ["steps", "second.weight"])


@pytest.mark.parametrize("as_zip", [ZIP, LEGACY])
def test_a_networks_state_and_parameters_are_tensors_too(tmp_path: Path, as_zip: bool) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    found = read_tensors(saved(tmp_path / "a.pth", network.state_dict(), as_zip), network.state_dict())
    assert all(torch.equal(found[name], value) for name, value in network.state_dict().items())
    path = saved(tmp_path / "b.pth", dict(network.named_parameters()), as_zip)
    assert torch.equal(read_tensors(path, ["0.weight"])["0.weight"], network[0].weight)


class Bomb:
    """An object that creates a file when it is unpickled."""

    def __init__(self, fuse: Path) -> None:
        self.fuse = fuse

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.fuse),)


@pytest.mark.parametrize("as_zip", [ZIP, LEGACY])
def test_a_malicious_file_is_refused_and_nothing_runs(tmp_path: Path, as_zip: bool) -> None:
    fuse = tmp_path / "exploded"
    path = saved(tmp_path / "a.pth", {"weight": torch.zeros(1), "bomb": Bomb(fuse)}, as_zip)
    with pytest.raises(DpedtoolError, match=r"asks for posix\.mkdir"):
        read_tensors(path, ["weight"])
    assert not fuse.exists()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_plain_malicious_pickle_is_refused_and_nothing_runs(tmp_path: Path, protocol: int) -> None:
    fuse, path = tmp_path / "exploded", tmp_path / "a.pth"
    path.write_bytes(pickle.dumps(Bomb(fuse), protocol))
    with pytest.raises(DpedtoolError, match=r"asks for posix\.mkdir"):
        read_tensors(path, ["weight"])
    assert not fuse.exists()
    pickle.loads(path.read_bytes())  # noqa: S301 - shows that the bomb is one
    assert fuse.exists()


@pytest.mark.parametrize("as_zip", [ZIP, LEGACY])
@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({"network": {"weight": torch.zeros(2)}}, "network is not a tensor"),
        ({"epoch": 3}, "epoch is not a tensor"),
        ({3: torch.zeros(2)}, "it is nested"),
        ([torch.zeros(2)], "it holds something else"),
        (torch.zeros(2), "it holds something else"),
        ({"weight": torch.zeros(2, dtype=torch.complex64)}, r"asks for torch\.ComplexFloatStorage"),
    ],
)
def test_anything_but_a_flat_dictionary_of_tensors_is_refused(
    tmp_path: Path, as_zip: bool, what: Any, reason: str
) -> None:
    with pytest.raises(DpedtoolError, match=reason):
        read_tensors(saved(tmp_path / "a.pth", what, as_zip), [])


def test_a_missing_file_and_one_of_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"none\.pth cannot be read"):
        read_tensors(tmp_path / "none.pth", [])
    (tmp_path / "text.pth").write_text("weights", encoding="utf-8")
    with pytest.raises(DpedtoolError, match=r"text\.pth cannot be used"):
        read_tensors(tmp_path / "text.pth", [])
    with zipfile.ZipFile(tmp_path / "zip.pth", "w") as archive:
        archive.writestr("a.txt", "weights")
    with pytest.raises(DpedtoolError, match=r"it is not an archive written by torch\.save"):
        read_tensors(tmp_path / "zip.pth", [])


def test_any_cut_of_an_old_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", {"weight": torch.arange(4.0), "bias": torch.arange(2.0)}, LEGACY)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(DpedtoolError):
            read_tensors(path, ["weight", "bias"])


def test_any_changed_byte_of_an_old_file_gives_tensors_or_a_sentence(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", {"weight": torch.arange(4.0), "bias": torch.arange(2.0)}, LEGACY)
    content = path.read_bytes()
    refused = 0
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x5D]) + content[position + 1 :])
        try:
            assert read_tensors(path, ["weight"])["weight"].shape
        except DpedtoolError:
            refused += 1
    assert refused > len(content) / 3


def test_a_tensor_that_reaches_beyond_its_values_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", {"weight": torch.arange(77.0)}, LEGACY)
    # BININT1 77: first the storage's length, then the tensor's.
    before, length, after = path.read_bytes().partition(b"K\x4dN")
    assert length
    path.write_bytes(before + length + after.replace(b"K\x4d", b"K\x4e", 1))
    with pytest.raises(DpedtoolError, match="reaches beyond its values"):
        read_tensors(path, ["weight"])


def archive_of(path: Path, pickled: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/data/0", bytes(4))
    return path


# Four bytes, and a view of them with 2^33 values that all equal the first.
REPEATED = (
    b"}U\x01actorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x01tQK\x00"
    b"\x8a\x05\x00\x00\x00\x00\x02\x85K\x00\x85tRs."
)
# Each of 60 tuples contains the one before it twice, so writing them as text would never end.
DOUBLED = b")q\x00" + b"h\x00h\x00\x86q\x00" * 60


@pytest.mark.parametrize(
    ("pickled", "reason"),
    [
        (REPEATED, "a tensor repeats its values"),
        (DOUBLED + b"h\x00\x93.", "its pickle is damaged"),
        (b"ccollections\nOrderedDict\nK\x05\x85R.", "its pickle is damaged"),
        (b"ccollections\nOrderedDict\n](K\x05e\x85R.", "its pickle is damaged"),
        (b"ccollections\nOrderedDict\n](K\x05K\x06\x86e\x85R.", "it is nested"),
    ],
)
def test_what_would_take_any_time_or_memory_is_refused(tmp_path: Path, pickled: bytes, reason: str) -> None:
    with pytest.raises(DpedtoolError, match=reason):
        read_tensors(archive_of(tmp_path / "a.pth", pickled), ["a"])


def test_an_archive_that_is_compressed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match="it is compressed"):
        read_tensors(archive_of(tmp_path / "a.pth", b"(" * 10**6 + b".", zipfile.ZIP_DEFLATED), ["a"])


def test_keys_of_values_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = old_file(tmp_path / "a.pth", b"}U\x01a" + OLD_TENSOR + b"s.", torch.arange(6.0))
    content = path.read_bytes()
    assert read_tensors(path, ["a"])["a"].shape == (2, 3)
    path.write_bytes(content.replace(pickle.dumps(["7"], 2), pickle.dumps([7], 2)))
    with pytest.raises(DpedtoolError, match="its pickle is damaged"):
        read_tensors(path, ["a"])


def old_file(path: Path, body: bytes, values: torch.Tensor) -> Path:
    """A file of torch 0.1 has other names and strings of Python 2; the pickle's instructions are written by hand."""
    system = pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {}}, 2)
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + system
    tail = pickle.dumps(["7"], 2) + struct.pack("<q", values.numel()) + values.numpy().tobytes()
    path.write_bytes(head + body + tail)
    return path


# The values "7", six floats; then a tensor of them, of 2 rows and 3 columns.
OLD_STORAGE = b"(U\x07storagectorch\nFloatStorage\nU\x017U\x03cpuK\x06NtQ"
OLD_TENSOR = b"ctorch._utils\n_rebuild_tensor\n(" + OLD_STORAGE + b"K\x00K\x02K\x03\x86K\x03K\x01\x86tR"


@pytest.mark.parametrize(
    "value",
    [
        OLD_TENSOR,
        # a Parameter: made empty, then given its data, gradient, and three flags
        b"ctorch.nn.parameter\nParameter\n)\x81(" + OLD_TENSOR + b"N\x88\x89Ntb",
        # a FloatTensor made likewise
        b"ctorch\nFloatTensor\n)\x81(" + OLD_STORAGE + b"K\x00K\x02K\x03\x86K\x03K\x01\x86tb",
    ],
)
def test_files_of_the_first_torch_are_read(tmp_path: Path, value: bytes) -> None:
    values = torch.arange(6.0)
    # Python 2 gave the items of an OrderedDict as lists of two.
    body = b"\x80\x02ccollections\nOrderedDict\n(](](U\x01w" + value + b"eetR."
    path = old_file(tmp_path / "a.pth", body, values)
    assert torch.equal(read_tensors(path, ["w"])["w"], values.view(2, 3))
