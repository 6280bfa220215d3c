"""Releases at DPED's size: time and memory for building and verifying a release, for each layout.

    python -m benchmarks.release            # make bench-release: 160 000 pairs, about 30 GB of disk
    python -m benchmarks.release --quick    # a quick try with 2000 pairs

The benchmark prints a Markdown table and writes it to release.md next to this file, and the figures to release.json.
The patches are simulated, have 100 px and are all different.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.output import FOLDER, fresh, leave, say, versions
from benchmarks.releasable import write_split
from benchmarks.table import markdown
from benchmarks.usage import Usage, watch

LAYOUTS = (("dped",), ("webdataset",), ("parquet",), ("dped", "webdataset", "parquet"))


@dataclass(frozen=True)
class Step:
    """One command on one release."""

    layouts: tuple[str, ...]
    command: str
    files: int
    bytes: int
    pairs: int
    wall_s: float
    cpu_s: float
    peak_bytes: int
    """Peak memory of the largest process."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.quick:
        options.pairs = 2000
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        say(f"making {options.pairs} pairs of patches")
        splits = write_split(Path(folder), options.pairs, f".{options.format}")
        rows = [row for layouts in LAYOUTS for row in _steps(splits, Path(folder) / "release", layouts, options.pairs)]
    leave(options.out, "release", as_markdown(rows, options), [dataclasses.asdict(row) for row in rows])


def as_markdown(rows: Sequence[Step], options: argparse.Namespace) -> str:
    """Return the table, and what its columns mean."""
    head = f"# Releases\n\n{versions()} {options.pairs} pairs of 100 px, cut as {options.format.upper()}.\n\n{_MEANING}"
    return head + markdown(_COLUMNS, [_cells(row) for row in rows]) + "\n"


_MEANING = """\
The commands are run as a user runs them, with as many processes as processors. `files/s` counts the files of the
release, and `pairs/s` the pairs of patches; `memory` is the peak of the largest process. After all files are written,
building reads each file once more, for its checksum and to search it for private data. Verifying reads, decodes and
compares every image. Thumbnails are left out, and with them the search for near-duplicates, whose cost is given in the
README. Each command was run once.

"""
_COLUMNS = ("layouts", "command", "files", "size", "wall s", "CPU-s", "files/s", "pairs/s", "memory")


def _cells(row: Step) -> list[str]:
    return [
        *(", ".join(row.layouts), row.command, str(row.files), f"{row.bytes / 1e9:.2f} GB"),
        *(f"{row.wall_s:.0f}", f"{row.cpu_s:.0f}", f"{row.files / row.wall_s:.0f}", f"{row.pairs / row.wall_s:.0f}"),
        f"{row.peak_bytes / 1e9:.2f} GB",
    ]


def _steps(splits: Path, out: Path, layouts: tuple[str, ...], pairs: int) -> list[Step]:
    program: list[str | Path] = [sys.executable, "-m", "dpedtool", "release"]
    said = ["-S", "release.name=bench", "-S", "release.licence=CC0-1.0", "-S", "release.thumbnails=false"]
    chosen = ["-S", f"release.layouts={json.dumps(layouts)}"]
    fresh(out)
    commands: dict[str, list[str | Path]] = {
        "build": [*program, "build", splits, "-o", out, *said, *chosen],
        "verify": [*program, "verify", out],
    }
    found: list[tuple[str, Usage]] = []
    for name, command in commands.items():
        say(f"{', '.join(layouts)}: {name}")
        usage = watch(command)
        if usage.code:
            sys.exit(f"{name} failed:\n{usage.said}")
        found.append((name, usage))
    sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    return [
        Step(layouts, name, len(sizes), sum(sizes), pairs, usage.wall_s, usage.cpu_s, usage.peak_bytes)
        for name, usage in found
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.release", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--pairs", type=int, default=160_000, help="pairs of patches; DPED has this many of its iPhone")
    parser.add_argument("--format", choices=["png", "jpg"], default="png", help="file format of the patches")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="folder for releases, which are removed afterwards")
    parser.add_argument("--quick", action="store_true", help="2000 pairs; do not quote the figures")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="folder of the results")
    return parser


if __name__ == "__main__":
    main()
