"""Tar shards: what was added is read back, by us and by any tar reader."""

from __future__ import annotations

import signal
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dpedtool.dataset.shards import Extent, ShardWriter, member_name, open_tar, read_extent


def test_the_first_member_begins_behind_its_header(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "a.tar") as shard:
        assert shard.add("a.phone.png", b"abc") == Extent(512, 3)
        # 512 header, 512 for the content's block, 512 header
        assert shard.add("a.dslr.png", b"x" * 513) == Extent(1536, 513)
        assert shard.add("b.phone.png", b"") == Extent(3072, 0)


def test_members_have_no_owner_and_no_time(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "a.tar") as shard:
        shard.add("a", b"abc")
    with tarfile.open(tmp_path / "a.tar") as archive:
        (member,) = archive.getmembers()
    assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
    assert member.mode == 0o644
    assert member.isfile()


def test_a_name_of_100_bytes_has_a_header_of_one_block(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "a.tar") as shard:
        extent = shard.add("n" * 100, b"content")
    assert read_extent(tmp_path / "a.tar", extent) == b"content"


def test_a_longer_name_is_refused_rather_than_misplaced(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "a.tar") as shard, pytest.raises(ValueError, match="too long"):
        shard.add("n" * 101, b"content")


def test_a_shard_that_ends_too_early_is_an_error(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "a.tar") as shard:
        extent = shard.add("a", b"x" * 2000)
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:1000])
    with pytest.raises(OSError, match="ends before byte 2512"):
        read_extent(tmp_path / "a.tar", extent)


def test_a_missing_shard_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_extent(tmp_path / "none.tar", Extent(512, 3))


def test_what_was_added_before_an_error_is_a_whole_archive(tmp_path: Path) -> None:
    def fail() -> None:
        with ShardWriter(tmp_path / "a.tar") as shard:
            shard.add("a", b"abc")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert archive.getnames() == ["a"]


def test_a_member_is_named_by_where_its_content_lies(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with ShardWriter(path) as shard:
        extents = [shard.add(name, b"content") for name in ("a.phone.png", "a.dslr.png")]
    assert [member_name(path, extent) for extent in extents] == ["a.phone.png", "a.dslr.png"]
    assert [member_name(path, Extent(offset, 7)) for offset in (0, 100, 513, 1024)] == [""] * 4
    with pytest.raises(OSError, match="ends before"):
        member_name(path, Extent(10**6, 7))


@pytest.fixture
def no_hanging() -> Iterator[None]:
    def fail(*_: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def header(name: str, kind: bytes = tarfile.REGTYPE, size: bytes = b"0" * 11 + b"\0") -> bytes:
    """A header with a size that `tarfile` would not write."""
    member = tarfile.TarInfo(name)
    member.type = kind
    head = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    head[124:136] = size
    head[148:156] = b"%06o\0 " % sum(head[:148] + b" " * 8 + head[156:512])
    return bytes(head)


def number(value: int) -> bytes:
    """A number in base 256, as GNU tar writes those that eight digits do not hold."""
    return (value + (256**12 if value < 0 else 128 * 256**11)).to_bytes(12, "big")


def with_notes(*notes: bytes) -> bytes:
    """A member behind a header of the format pax, whose records begin with their length of two digits."""
    note = b"".join(b"%d %s\n" % (len(note) + 4, note) for note in notes)
    padded = note + bytes(-len(note) % 512)
    return header("x", tarfile.XHDTYPE, b"%011o\0" % len(note)) + padded + header("a")


HARMFUL = {
    "a size below 0": lambda: header("a") + header("b", size=number(-512)) + bytes(1024),
    "a size below 0 in a note": lambda: with_notes(b"size=-1024"),
    "a note of gigabytes": lambda: header("x", tarfile.XHDTYPE, number(2**33)),
    "a name of gigabytes": lambda: header("x", tarfile.GNUTYPE_LONGNAME, number(2**33)),
}


@pytest.mark.usefixtures("no_hanging")
@pytest.mark.parametrize("harm", HARMFUL)
def test_an_archive_made_to_do_harm_is_damaged(tmp_path: Path, harm: str) -> None:
    make: Callable[[], bytes] = HARMFUL[harm]
    path = tmp_path / "a.tar"
    path.write_bytes(make())
    with path.open("ab") as file:
        file.truncate(2**34)
    with pytest.raises(tarfile.ReadError), open_tar(path) as shard:
        shard.getmembers()
