"""Records of commands as JSON: time, memory and versions of the packages; a report on a run reads them."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import resource
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil

from dpedtool.dataset.io import remove_leftovers_of, replacing
from dpedtool.dataset.sidecars.command_record import CommandRecord
from dpedtool.pipeline.runner import cool_down, default_workers

PACKAGES = {
    "dpedtool": ("dpedtool",),
    "numpy": ("numpy",),
    "opencv": ("opencv-contrib-python", "opencv-contrib-python-headless", "opencv-python", "opencv-python-headless"),
    "torch": ("torch",),
    "dask": ("dask",),
    "pandas": ("pandas",),
}
"""The packages whose versions a record holds, each with the names under which it may be installed."""
_WHAT = "record of a command"


def make_room(file: Path) -> None:
    """Remove an earlier record, so that a run that fails has none, and check that a new one can be written.

    Raises
    ------
    DpedtoolError
        The file is not a record.
    OSError
        The file cannot be written; this is found before hours of work, and not after them.

    """
    if _is_first():
        CommandRecord.check_replaceable(file, _WHAT)
        remove_leftovers_of(file)
        with replacing(file) as trial:
            trial.write_text("{}", encoding="utf-8")
        file.unlink()


@contextlib.contextmanager
def recording(file: Path | None, command: str) -> Iterator[None]:
    """Write a record when the block ends without an exception; without a file do nothing.

    `wall_s` is the time since this process began. `cpu_s` is the user and system time of this process and of the
    processes that it started and that have ended, including local workers. It does not include the processors of a
    cluster or other processes of torchrun. `memory_mb` is the peak of the largest process, in MB of resident memory.

    Parameters
    ----------
    file
        Where to write it; only the first process of torchrun does.
    command
        Name of the command.

    Raises
    ------
    DpedtoolError
        The command itself has written something else there.

    """
    if file is None or not _is_first():
        yield
        return
    yield
    CommandRecord.check_replaceable(file, _WHAT)
    # The system counts the time and memory of children only once this process has waited for them.
    cool_down()
    record = CommandRecord(
        command=command,
        wall_s=round(_age_s(), 2),
        cpu_s=round(_cpu_s(), 2),
        memory_mb=round(memory_bytes() / 1e6),
        processors=default_workers(),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(),
        platform=f"{platform.system()} {platform.machine()}",
    )
    record.write(file)


def _is_first() -> bool:
    """Whether this is the process that writes; torchrun numbers those that it starts, and they run the same command."""
    return os.environ.get("RANK", "0") == "0"


def _age_s() -> float:
    """Return how long ago this process began."""
    stat = Path("/proc/self/stat")
    if not stat.is_file():
        return time.time() - float(psutil.Process().create_time())
    # proc(5): field 22 is the start in ticks since the system's start; field 2 is a name, which may hold anything.
    # psutil has the system's start only in whole seconds.
    fields = stat.read_text().rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _used() -> list[resource.struct_rusage]:
    return [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]


def _cpu_s() -> float:
    return sum(used.ru_utime + used.ru_stime for used in _used())


def memory_bytes() -> int:
    """Return the peak of the largest process."""
    own, children = (used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) for used in _used())
    status = Path("/proc/self/status")
    # On Linux, the peak of getrusage begins with the peak of the process that started this one.
    found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE) if status.is_file() else None
    return max(int(found[1]) * 1024 if found else own, children)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results may depend on."""
    found = {"python": platform.python_version()}
    for name, distributions in PACKAGES.items():
        for distribution in distributions:
            with contextlib.suppress(metadata.PackageNotFoundError):
                found.setdefault(name, metadata.version(distribution))
    return found
