"""Set up a session: its parameters, its recipe, git and DVC."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import replacing
from dpedtool.dataset.params import CapturesParams
from dpedtool.dataset.photos.listing import search_folder
from dpedtool.dataset.places import printable
from dpedtool.dataset.sections import CAMERA_NAME
from dpedtool.pipeline.session.recipe import render, session_recipe

DEMO = CapturesParams(
    root="demo/captures", reference="dslr", phones=("phone-a", "phone-b"), sessions=("day-1", "day-2")
)
"""The demo's captures, which a stage of its recipe makes."""

LICENCE = "LICENCE.txt"

_OF_CARD = r"DCIM|Camera|\d{3}[A-Z0-9_]{5}"
"""Folders of photos on a card or a phone (DCF 2.0, 3.2.2)."""


@dataclass(frozen=True)
class Session:
    """A session that has been set up."""

    folder: Path
    captures: CapturesParams
    files: tuple[str, ...]
    """What was written, relative to the folder."""


def find_captures(root: Path, references: Sequence[str] = ()) -> CapturesParams:
    """Recognise the cameras of a folder of captures: each sub-folder that holds photos is one.

    If no sub-folder holds photos, but sub-folders of these do, it is a folder of sessions: each of the first kind is a
    session, and each of the second kind a camera. If the DSLR's folder holds photos in sub-folders only, as a card does
    in DCIM/100CANON, the photos in the sub-folders of all cameras belong to them.

    Parameters
    ----------
    root
        The folder that holds one folder a camera, or one folder a session with these in it.
    references
        The DSLR's folder, and after it those of further references; may be empty where the DSLR's folder's own name
        says so (dslr).

    Raises
    ------
    DpedtoolError
        There is no such folder, it holds no camera's folder, the DSLR's is not there or is the only one, it mixes
        cameras and sessions, or a folder has a name that cannot be a camera's or a session's.

    """
    if not root.is_dir():
        raise DpedtoolError(f"There is no folder {printable(root)}: name the folder that holds the cameras' folders.")
    reference, further = (references[0], references[1:]) if references else (None, ())
    cameras, sessions = _cameras_in(root), _sessions_in(root)
    recursive = False
    if nested := _nested(root, reference or "dslr"):
        cameras, sessions, recursive = *nested, True
    if cameras and sessions:
        raise DpedtoolError(
            f"{printable(root)} holds folders of cameras ({_listed(cameras)}) and folders of sessions "
            f"({_listed(sessions)}): put the cameras' folders into the folder of a session too, or name by --reference "
            "the DSLR's folder, if all of them are cameras whose photos are in sub-folders."
        )
    if not cameras and not sessions:
        raise DpedtoolError(
            f"{printable(root)} has no sub-folder with photos: put each camera's photos into a folder of its own there."
        )
    inside = _holders_below if recursive else _cameras_in
    by_session = {name: inside(root / name) for name in sessions} or {"": cameras}
    cameras = sorted({camera for found in by_session.values() for camera in found})
    reference = reference or ("dslr" if "dslr" in cameras else None)
    if reference is None:
        raise DpedtoolError(f"Name the DSLR's folder by --reference: {printable(root)} holds {_listed(cameras)}.")
    for session, found in by_session.items():
        if reference not in found:
            raise DpedtoolError(
                f"{printable(root / session)} has no folder {reference} with photos: it holds {_listed(found)}."
            )
    if lost := [name for name in further if name not in cameras]:
        raise DpedtoolError(
            f"{printable(root)} has no folder {', '.join(lost)} with photos, which --reference names: it "
            f"holds {_listed(cameras)}."
        )
    phones = tuple(name for name in cameras if name not in (reference, *further))
    if not phones:
        dslrs = " and ".join((reference, *further))
        raise DpedtoolError(f"{printable(root)} holds photos of {dslrs} alone: put a phone's photos beside it.")
    for name in (*cameras, *sessions):
        if not re.fullmatch(CAMERA_NAME, name):
            raise DpedtoolError(
                f"The folder {printable(Path(name))} has a name that cannot be a camera's or a session's: use letters, "
                "digits, dot, dash, underscore and blanks inside, and begin with a letter or a digit."
            )
    return CapturesParams(
        root=str(root),
        reference=reference,
        references=tuple(further),
        phones=phones,
        sessions=tuple(sessions),
        recursive=recursive,
    )


def _nested(root: Path, reference: str) -> tuple[list[str], list[str]] | None:
    """Return cameras and sessions where the photos of some camera are in sub-folders only, such as DCIM/100CANON.

    None where they are not. A folder of cameras is told from one of sessions by that of the DSLR.
    """
    found = _holders_below(root)
    if reference in found:
        nested = [name for name in found if not _is_camera(root / name)]
        # Beside cameras whose photos lie in their own folders, any other folder of folders may be something else.
        is_sure = len(nested) == len(found) or all(_is_card(root / name) for name in nested)
        return (found, []) if nested and is_sure else None
    cameras = [root / session / name for session in found for name in _holders_below(root / session)]
    is_nested = any(camera.name == reference for camera in cameras) and any(not _is_camera(one) for one in cameras)
    return ([], found) if is_nested else None


def _is_card(folder: Path) -> bool:
    """Whether the sub-folders with photos have names as cameras give them."""
    return all(re.fullmatch(_OF_CARD, name) for name in _holders_below(folder))


def _holders_below(folder: Path) -> list[str]:
    """Name the sub-folders that hold photos, themselves or further below."""
    return sorted(path.name for path in folder.iterdir() if _is_camera(path, recursive=True))


def _cameras_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if _is_camera(path))


def _sessions_in(root: Path) -> list[str]:
    """Name the sub-folders that hold no photos themselves, but folders with photos."""
    folders = (path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(path.name for path in folders if not _is_camera(path) and _cameras_in(path))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(printable(Path(name)) for name in names) or "no such folder"


def _is_camera(folder: Path, *, recursive: bool = False) -> bool:
    if folder.name.startswith(".") or not folder.is_dir():
        return False
    try:
        return bool(search_folder(folder, recursive=recursive).photos)
    except DpedtoolError:
        return False


def set_up(folder: Path, captures: CapturesParams, *, is_demo: bool = False, with_dvc: bool, with_git: bool) -> Session:
    """Write the files of a session and set up git and DVC there.

    Parameters
    ----------
    folder
        The session's folder, which is made; it may exist if it has none of the files yet.
    captures
        The cameras.
    is_demo
        Whether a stage of the recipe makes the photos; `captures` is `DEMO` then.
    with_dvc, with_git
        Whether to set these up. A folder that lies in a git repository already gets no other one.

    Raises
    ------
    DpedtoolError
        The folder has files of a session, or git or DVC is not installed or cannot be set up.

    """
    if not is_demo and folder.resolve().is_relative_to(Path(captures.root).resolve()):
        raise DpedtoolError(
            f"The session would lie among the photos of {captures.root}, where nothing is written: choose a folder "
            "outside of it."
        )
    files = _files(folder, captures, is_demo=is_demo)
    if there := [name for name in files if (folder / name).exists()]:
        raise DpedtoolError(
            f"{printable(folder)} already has {', '.join(there)}: choose another folder for the session, or edit these."
        )
    if with_dvc and importlib.util.find_spec("dvc") is None:
        raise DpedtoolError("DVC is not installed: pip install dvc, or use --no-dvc.")
    if with_git and shutil.which("git") is None:
        raise DpedtoolError("git is not installed: install it, or use --no-git.")
    try:
        for name, text in files.items():
            with replacing(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        if with_git and not _is_in_git(folder):
            _call(["git", "init", "--quiet"], folder)
        if with_dvc and not (folder / ".dvc").is_dir():
            _set_up_dvc(folder, in_git=with_git or _is_in_git(folder))
    except (DpedtoolError, OSError):
        # So that the same command works once the cause is gone.
        for name in files:
            (folder / name).unlink(missing_ok=True)
        raise
    return Session(folder, captures, tuple(files))


def _files(folder: Path, captures: CapturesParams, *, is_demo: bool) -> dict[str, str]:
    values = {
        "root": json.dumps(_root(folder, captures.root, is_demo=is_demo), ensure_ascii=False),
        "reference": captures.reference,
        "references": captures.references,
        "phones": captures.phones,
        "sessions": captures.sessions,
        "recursive": captures.recursive,
        "title": _name(folder),
        "is_demo": is_demo,
        "licence_file": LICENCE,
    }
    return {
        "params.yaml": render("params.yaml", **values),
        ".gitignore": render("gitignore", **values),
        ".gitattributes": render("gitattributes"),
        "README.md": render("README.md", **values),
        LICENCE: render(LICENCE),
        **session_recipe(is_demo=is_demo),
    }


def _root(folder: Path, root: str, *, is_demo: bool) -> str:
    """A path below the session is written relative to it, so that the session can be moved; others are absolute."""
    if is_demo:
        return root
    place, session = Path(root).resolve(), folder.resolve()
    return place.relative_to(session).as_posix() if place.is_relative_to(session) else str(place)


def _name(folder: Path) -> str:
    """Name the data set as its folder is named, as far as that may be a name."""
    return re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "tripod-pairs"


def _is_in_git(folder: Path) -> bool:
    command = ["git", "rev-parse", "--is-inside-work-tree"]
    return shutil.which("git") is not None and _ask(command, folder).returncode == 0


def _set_up_dvc(folder: Path, *, in_git: bool) -> None:
    how = [] if in_git and (folder / ".git").exists() else ["--subdir"] if in_git else ["--no-scm"]
    dvc = [sys.executable, "-m", "dvc"]
    _call([*dvc, "init", "--quiet", *how], folder)
    # DVC reports how it is used unless told not to, and looks for new versions of itself.
    for setting in ("core.analytics", "core.check_update"):
        _call([*dvc, "config", setting, "false"], folder)


def _call(command: Sequence[str], folder: Path) -> None:
    done = _ask(command, folder)
    if done.returncode:
        what = " ".join(command[-3:] if command[0] == sys.executable else command)
        raise DpedtoolError(f"`{what}` failed in {printable(folder)}: {' '.join((done.stderr or done.stdout).split())}")


def _ask(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
