"""How much memory is free, on the machine and in the container that this process may run in."""

from __future__ import annotations

from pathlib import Path

import psutil

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


def free_memory() -> int:
    """Return how many bytes this process could allocate in addition to what it has.

    This is the smallest of the machine's available memory and what the limits of the process's control groups leave,
    such as a container's limit (Linux, cgroup v2). Cached files of a group count as free.
    """
    return min([int(psutil.virtual_memory().available), *_left_in_groups()])


def _left_in_groups() -> list[int]:
    """Return how many bytes each control group with a limit leaves, innermost group first."""
    group = _own_group()
    if group is None:
        return []
    folders = [folder for folder in (group, *group.parents) if folder.is_relative_to(_GROUPS)]
    return [left for folder in folders if (left := _left_in(folder)) is not None]


def _own_group() -> Path | None:
    """Return the folder of the process's own group; None without cgroup v2."""
    try:
        lines = _OWN_GROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    names = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    return _GROUPS / names[0] if names else None


def _left_in(folder: Path) -> int | None:
    """Return how many bytes a group's limit leaves; None without a limit or readable figures."""
    try:
        limit = (folder / "memory.max").read_text(encoding="utf-8").strip()
        used = int((folder / "memory.current").read_text(encoding="utf-8"))
        lines = (folder / "memory.stat").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    if not limit.isdecimal():
        return None
    cached = {name: int(value) for name, _, value in (line.partition(" ") for line in lines) if value.isdecimal()}
    return max(0, int(limit) - used + cached.get("inactive_file", 0))
