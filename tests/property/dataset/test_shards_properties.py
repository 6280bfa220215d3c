"""What holds for any members of a shard."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dpedtool.dataset.shards import Extent, ShardWriter, read_extent

names = st.text("abcXYZ019_-.", min_size=1, max_size=100).filter(lambda name: name.strip("."))
members = st.lists(st.tuples(names, st.binary(max_size=1500)), max_size=8, unique_by=lambda member: member[0])


def write(path: Path, content: list[tuple[str, bytes]]) -> list[Extent]:
    with ShardWriter(path) as shard:
        return [shard.add(name, data) for name, data in content]


@given(members)
def test_every_member_is_read_back_by_its_extent_and_by_any_tar_reader(content: list[tuple[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tar"
        extents = write(path, content)
        assert [read_extent(path, extent) for extent in extents] == [data for _, data in content]
        with tarfile.open(path) as archive:
            found = [(member.name, archive.extractfile(member)) for member in archive]
            assert [(name, file.read() if file else None) for name, file in found] == content
            assert [member.offset_data for member in archive.getmembers()] == [extent.offset for extent in extents]


@given(members)
def test_equal_members_give_equal_bytes(content: list[tuple[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "a.tar", Path(folder) / "other-name.tar"
        write(first, content)
        write(second, content)
        assert first.read_bytes() == second.read_bytes()
