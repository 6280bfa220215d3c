"""Free memory: that of the machine, or what a container's limit leaves."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from dpedtool.training import free_memory


@pytest.fixture
def groups(tmp_path: Path, monkeypatch) -> Path:
    """Return the folder of the process's own group, `inner` within `outer`, without limits."""
    own = tmp_path / "own"
    own.write_text("0::/outer/inner\n")
    inner = tmp_path / "groups" / "outer" / "inner"
    inner.mkdir(parents=True)
    monkeypatch.setattr(free_memory, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(free_memory, "_OWN_GROUP", own)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 10**10})())
    return inner


def limit(group: Path, most: str, used: int, cached: int = 0) -> None:
    (group / "memory.max").write_text(f"{most}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon {used - cached}\ninactive_file {cached}\nodd line\n")


def test_without_a_limit_it_is_the_machines(groups: Path) -> None:
    limit(groups, "max", 10)
    assert free_memory.free_memory() == 10**10


def test_a_limit_leaves_what_is_not_used_and_what_is_only_cached(groups: Path) -> None:
    limit(groups, "3000", 1000, cached=400)
    assert free_memory.free_memory() == 2400


def test_the_tightest_group_counts(groups: Path) -> None:
    limit(groups, "3000", 1000)
    limit(groups.parent, "3500", 3400)
    assert free_memory.free_memory() == 100


def test_more_used_than_allowed_leaves_nothing(groups: Path) -> None:
    limit(groups, "1000", 1200)
    assert free_memory.free_memory() == 0


@pytest.mark.parametrize("own", [None, "4:memory:/old\n", ""])
def test_systems_without_such_groups(groups: Path, own: str | None) -> None:
    limit(groups, "3000", 1000)
    free_memory._OWN_GROUP.unlink() if own is None else free_memory._OWN_GROUP.write_text(own)
    assert free_memory.free_memory() == 10**10


def test_of_this_machine() -> None:
    assert 0 < free_memory.free_memory() <= psutil.virtual_memory().total
