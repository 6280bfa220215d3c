"""Files of the contract: written whole or not at all, and digests of what they were made from."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import Any

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.places import Place, answering
from dpedtool.dataset.regular_files import open_regular, read_regular_text

_TEMPORARY = ".dpedtool-part"
PUBLISHING = ".dpedtool-publishing.json"
"""A list in a folder, which says what becomes of its temporary files: `dpedtool.dataset.publication` writes it."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; it replaces `path` when the block succeeds, and is removed otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name begins like that of the final file, so that what a kill leaves of one file can be found.
    handle, name = tempfile.mkstemp(prefix=_beginning(path), suffix=_TEMPORARY, dir=path.parent)
    # The lock says that the file is being written, until this process ends in whatever way. Where a file system has
    # no locks, nothing but the protection from a run at the same time is lost.
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files for the owner alone; the final file gets the permissions of any other file.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        # The user knows the file by its final name; the error of a failed write has no name.
        if error.filename in (None, name):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        os.close(handle)
        temporary.unlink(missing_ok=True)


def unfinished(path: Path) -> Path:
    """Return the name, next to `path`, of a file that is being written and will replace it."""
    return path.with_name(f".{path.name}{_TEMPORARY}")


def lock_folder(folder: Path) -> int:
    """Keep other processes from writing to a folder until the handle returned is closed, or this process ends.

    Raises
    ------
    DpedtoolError
        Another process has locked it.

    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise DpedtoolError(f"Another run is writing to {folder}: wait for it, or choose another folder.") from None
    return handle


def remove_leftovers(folder: Path, *, below: bool = True) -> None:
    """Remove the temporary files that a killed process has left in a folder and, with `below`, in its sub-folders."""
    for pattern in (f".*{_TEMPORARY}", *([f"*/.*{_TEMPORARY}"] if below else [])):
        _remove_dead(folder.glob(pattern))


def remove_leftovers_of(path: Path) -> None:
    """Remove the temporary files that killed processes have left of one file, and none that is being written."""
    _remove_dead(path.parent.glob(f"*{glob.escape(_beginning(path))}*{_TEMPORARY}"))


def remove_abandoned(out: Path) -> None:
    """Remove the temporary files that killed processes have left of results that are about to be written.

    Files that are being written stay, and so do those in folders that another process has locked, or whose results a
    killed process has begun to publish.

    Parameters
    ----------
    out
        A file, or a folder; it may be missing.

    """
    if not out.is_dir():
        remove_leftovers_of(out)
        return
    for folder in {file.parent for pattern in ("", "*/") for file in out.glob(f"{pattern}.*{_TEMPORARY}")}:
        try:
            lock = lock_folder(folder)
        except (DpedtoolError, OSError):
            continue  # another run is at work there, or nothing can be written there, which the command will find out
        try:
            remove_leftovers(folder, below=False)
        finally:
            os.close(lock)


def _beginning(path: Path) -> str:
    # Names have at most 255 bytes, and a character at most four.
    return f".{path.name[:50]}."


def _remove_dead(files: Iterable[Path]) -> None:
    for leftover in files:
        with contextlib.suppress(FileNotFoundError):  # another process has just finished or removed it
            if leftover.is_symlink() or not leftover.is_file() or (leftover.parent / PUBLISHING).exists():
                continue
            if not _is_being_written(leftover):
                leftover.unlink()


def _is_being_written(temporary: Path) -> bool:
    handle = os.open(temporary, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write JSON with sorted keys and two spaces, whole or not at all."""
    write_text(path, json.dumps(data, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    DpedtoolError
        The file is missing or does not hold a JSON object.

    """
    try:
        data = parse_json(read_regular_text(path))
    except OSError as error:
        raise DpedtoolError(f"{path} cannot be read ({error.strerror}): run the stage that writes it.") from None
    except ValueError as error:
        raise DpedtoolError(f"{path} is damaged ({error}): run the stage that writes it again.") from None
    if not isinstance(data, dict):
        raise DpedtoolError(f"{path} holds no JSON object: run the stage that writes it again.")
    return data


def parse_json(text: str) -> Any:
    """Return what a text in JSON says.

    Raises
    ------
    ValueError
        It is not JSON, or is nested too deeply.

    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def check_replaceable(path: Path, keys: Set[str], what: str) -> None:
    """Refuse a path where something other than JSON with these keys exists, so that a typing error replaces nothing.

    Raises
    ------
    DpedtoolError
        The path exists and is not a `what`, which is the name of the files that may be replaced.

    """
    if not path.exists():
        return
    try:
        is_ours = path.is_file() and keys <= read_json(path).keys()
    except DpedtoolError:
        is_ours = False
    if not is_ours:
        raise DpedtoolError(f"{path} exists, and is not a {what}: choose another name for the new one.")


def relative_path(path: Path, folder: Path) -> str:
    """Return how files in `folder` name `path`: relative, with forward slashes.

    Folders are resolved, since '..' leads out of the real place of a linked folder; a linked file keeps its own place.
    """
    return Path(os.path.relpath(path.parent.resolve() / path.name, folder.resolve())).as_posix()


def digest(data: Any) -> str:
    """Return the SHA-256, hex, of JSON-ready data, independent of the order of keys."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Place, most: int | None = None) -> str:
    """Return the SHA-256 of a file's content, hex.

    Parameters
    ----------
    path
        The file.
    most
        Most bytes that a file of this machine may have, so that one with holes does not take hours; None: any number.

    Raises
    ------
    OSError
        A file of this machine cannot be read, is not a regular file, or is larger.
    DpedtoolError
        A URL cannot be read.

    """
    with answering(path), open_regular(path, most) if isinstance(path, Path) else path.open("rb") as file:
        # Files behind URLs have readinto as well; their type does not say so.
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _umask() -> int:
    # The mask can only be read by setting it; stages write files from one thread.
    mask = os.umask(0)
    os.umask(mask)
    return mask
