"""Files of one folder that replace earlier ones together, so that a kill or a full disk loses neither.

All new files are written beside the earlier ones and reach the disk. Then a list of what is to be renamed and removed
is written, and followed. A run that is killed before that leaves the earlier files as they were. One that is killed
while it follows the list leaves the list, and the next run follows it to its end.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import PUBLISHING, read_json, unfinished, write_json

_TABLES = ".parquet"


class Publication:
    """New files of a folder. Use it in a `with` block: they replace the earlier files when the block succeeds.

    Otherwise they are removed, and the earlier files stay as they were.

    Parameters
    ----------
    folder
        The folder. No other process may publish there meanwhile.

    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._new: list[str] = []
        self._old: list[str] = []
        self._hidden: list[Path] = []

    def __enter__(self) -> Publication:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            # Where there is a list, the next run needs the files that it names.
            if not (self._folder / PUBLISHING).exists():
                for name in self._new:
                    unfinished(self._folder / name).unlink(missing_ok=True)

    def beside(self, path: Path) -> Path:
        """Return the name under which a new file of the folder is to be written."""
        self._new.append(path.name)
        return unfinished(path)

    def remove(self, path: Path) -> None:
        """Remove an earlier file of the folder when the new files replace it."""
        self._old.append(path.name)

    def hide(self, path: Path) -> None:
        """Remove a file of another folder just before, because it would not fit the new files."""
        self._hidden.append(path)

    def _publish(self) -> None:
        for name in self._new:
            _reach_disk(unfinished(self._folder / name))
        for path in self._hidden:
            path.unlink(missing_ok=True)
        # Tables come last, because they name places in the other files.
        names = sorted(self._new, key=lambda name: name.endswith(_TABLES))
        write_json(self._folder / PUBLISHING, {"new": names, "old": [name for name in self._old if name not in names]})
        _reach_disk(self._folder / PUBLISHING)
        _reach_disk(self._folder)
        complete(self._folder)


def complete(folder: Path) -> None:
    """Follow the list that a killed run has left in a folder, if there is one.

    Raises
    ------
    DpedtoolError
        The list is damaged.

    """
    if not (folder / PUBLISHING).is_file():
        return
    new, old = _read(folder / PUBLISHING)
    waiting = [name for name in new if unfinished(folder / name).exists()]
    others = [*old, *(name for name in waiting if not name.endswith(_TABLES))]
    if any((folder / name).exists() for name in others):
        # Until the new tables have their names, the earlier ones would name bytes that have moved.
        old = [*(name for name in waiting if name.endswith(_TABLES)), *old]
    for name in old:
        (folder / name).unlink(missing_ok=True)
    for name in waiting:
        unfinished(folder / name).replace(folder / name)
    _reach_disk(folder)
    (folder / PUBLISHING).unlink()


def _read(file: Path) -> tuple[Sequence[str], Sequence[str]]:
    try:
        told = read_json(file)
    except DpedtoolError:
        told = {}
    lists = [told.get(name) for name in ("new", "old")]
    names = [name for found in lists if isinstance(found, list) for name in found]
    if not all(isinstance(found, list) for found in lists) or not all(
        isinstance(name, str) and Path(name).name == name for name in names
    ):
        raise DpedtoolError(f"{file} is not a list that dpedtool wrote: delete it, and run the same command again.")
    return told["new"], told["old"]


def _reach_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk; only then is it known that they fit on it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(handle)
