"""Time and memory of a command, and its versions, as `dpedtool --record FILE` writes them for reports of a run."""

from __future__ import annotations

from dataclasses import dataclass

from dpedtool.dataset.sidecars.json_objects import Sidecar


@dataclass(frozen=True, kw_only=True)
class CommandRecord(Sidecar):
    """One successful run of one command. Its file may have any name."""

    command: str
    """Its name: "split", or "release verify"."""
    wall_s: float | None
    """Time since its process began."""
    cpu_s: float | None
    """User and system time of its processes on this machine."""
    memory_mb: float | None
    """Peak of its largest process, in MB of resident memory."""
    processors: int | None
    """How many it could use."""
    finished: str
    """When the run ended, ISO 8601, UTC."""
    versions: dict[str, str]
    """Of Python and of packages, by name."""
    platform: str
    """System and machine, such as "Linux x86_64"."""
