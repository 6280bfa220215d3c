"""Check whether two versions of the code give the same results: compare all files in two folders from `dvc repro`.

    python -m benchmarks.same_results BEFORE AFTER

Files are compared byte for byte. Only parts that must differ between runs, or between versions of the code, are left
out: see `LEFT_OUT` and `_without`. The exit code is 1 if anything else differs.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

LEFT_OUT: Mapping[str, str] = {
    r"records/.*": "the time that commands took",
    r"aligned/[^/]+/timings\.parquet": "the time that pairs took",
    r"report/.*": "it shows the time that commands took, and its pictures contain keys",
}
"""Files that differ from run to run, by their path, and why."""
KEY = "key"
"""The column or field that holds the digest of the code."""
SUMS = re.compile(r"\b[0-9a-f]{64}\b")


def main() -> None:
    """Compare the two folders that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    differences = list(compare(options.before, options.after, counts))
    for line in differences:
        print(line)
    print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    sys.exit(1 if differences else 0)


def compare(before: Path, after: Path, counts: Counter[str]) -> Iterator[str]:
    """Yield a line for each file that differs, or that only one folder has; count the others."""
    for name in sorted({*_files(before), *_files(after)}):
        if any(re.fullmatch(pattern, name) for pattern in LEFT_OUT):
            counts["left out"] += 1
        elif not ((before / name).is_file() and (after / name).is_file()):
            yield f"{name}: only in {'AFTER' if (after / name).is_file() else 'BEFORE'}"
        elif (before / name).read_bytes() == (after / name).read_bytes():
            counts["equal byte for byte"] += 1
        elif (without := _without(name)) and without(before / name) == without(after / name):
            counts["equal except for keys and checksums of files with keys"] += 1
        else:
            yield f"{name}: differs"


def _files(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _without(name: str) -> Callable[[Path], Any] | None:
    """Return the function that reads a file without its digests of code; None if it has no such digests."""
    if name.endswith(".parquet"):
        return _table
    if name.endswith("model.json"):
        return _fields
    if re.fullmatch(r"splits/verdict\.json|release/(SHA256SUMS|release\.json|croissant\.json|README\.md)", name):
        # These files hold checksums of tables that contain keys.
        return lambda file: SUMS.sub("", file.read_text(encoding="utf-8"))
    return None


def _table(file: Path) -> tuple[Any, Any]:
    table = pq.read_table(file)
    kept = table.select([name for name in table.column_names if name != KEY])
    return kept.schema, kept.to_pylist()


def _fields(file: Path) -> Any:
    def without_key(data: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in data.items() if name != KEY}

    return json.loads(file.read_text(encoding="utf-8"), object_hook=without_key)


if __name__ == "__main__":
    main()
