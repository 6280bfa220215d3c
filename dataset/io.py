"""Files of the contract: written whole or not at all, and digests of what they were made from."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.places import Place, answering
from dpedtool.dataset.regular_files import open_regular, read_regular_text

_TEMPORARY = ".dpedtool-part"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; it replaces `path` when the block succeeds, and is removed otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=_TEMPORARY, dir=path.parent)
    os.close(handle)
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
        for leftover in folder.glob(pattern):
            leftover.unlink(missing_ok=True)


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
