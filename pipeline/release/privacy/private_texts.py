r"""Texts that tell of the machine or person that made them: absolute paths, and whatever else is to stay secret.

Absolute paths are findings where they begin as such, so that those within addresses, relative paths, fractions, dates
and words such as and/or are none:

    /home/NAME, /Users/NAME, /scratch/NAME...       folders of people and disks, from two parts on
    /a/b/c                                          any other of three parts, but programs (/usr/bin/env), the folders
                                                    of a release (/parquet/...), and /path/to/...
    ~NAME/..., C:\a\b, \\server\share, file://...   and the other addresses of files: ssh, sftp, smb, nfs, afp, rsync

A login name is looked for in places of its own (`Login`), and so is the name of a machine (`Host`), as both are
often words that texts have anyway: chang, camera, pixel.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from dataclasses import dataclass

_HOMES = r"""
    (?: (?:/export|/var|/cluster|/net)?/(?:home|Users)/[\w.@-]+     # Unix, macOS
      | (?:/mnt|/cygdrive)?/[a-z]/Users/[\w.@-]+      # Windows, as shells of Unix have it
      | [a-z]:[\\/]+(?:Users|Documents\ and\ Settings)[\\/]+[^\\/\s"'<>|:*?]+
      | /(?:Volumes|run/media|var/folders)/[\w.@-]+
      | /root/[\w.@-]+
    )
    """
_ANY_HOME = re.compile(_HOMES, re.IGNORECASE | re.VERBOSE)
_BEGIN = r"""(?<![^\s"'`(\[{<=,;:|])"""
"""Where a path can begin: at first, or behind what stands before a word."""
# Letters may be escaped, as Markdown does.
_PART = r"(?:[\w.@+,~%=-]|\\[_*#~+.$!&-])+"
_OTHERS = rf"""
    {_BEGIN}(?:
        /(?:scratch|data\d*|work|mnt|media|net|nfs|nas|srv|storage|lustre|gpfs|volume\d*|share[ds]?|u|users?)(?:/{_PART}){{1,3}}
      | (?!/(?:usr/(?:s?bin|lib|share)|s?bin|dev|proc|path/to|dped|webdataset|parquet|examples)/)
        /(?=[\w.])(?!\d){_PART}/{_PART}/{_PART}
      | \\?~[a-z_][\w.-]{{2,}}/
      | [a-z]:[\\/]{{1,2}}(?![\\/\s])[^\\/"'`<>|:*?\r\n\t]+[\\/]{{1,2}}[^\\/\s"'`<>|:*?]+
      | \\{{2,4}}[a-z0-9][\w.-]*\\{{1,2}}[\w.$-][^\\/\s"'`<>|:*?]+
    )
  | \b(?:file|ssh|sftp|smb|nfs|afp|rsync)://[^\s"'`<>|)]{{2,}}
    """
_PATH = re.compile(rf"(?<![\w.~-]){_HOMES}|{_OTHERS}", re.IGNORECASE | re.VERBOSE)
_HOME_HINTS = ("/home/", "users/", "users\\", "settings\\", "settings/", "/volumes/", "/media/", "/folders/", "/root/")
"""One of them is in every such path, in small letters."""
_HINTS = re.compile(rf"{_BEGIN}(?:/|\\|~|[A-Za-z]:[\\/])|://|/(?i:home|users|root|volumes|run|var|mnt|cygdrive|[a-z])/")
"""One of them is in every path."""
_LONG = 8
"""Characters from which on a secret is looked for within words too: what is shorter is found there by chance."""


@dataclass(frozen=True)
class Login:
    r"""The name by which a user is known to a machine.

    Looked for as a part of absolute paths (/data/NAME, C:\NAME\a), below `home` and `Users` of any path, and in ~NAME.
    """

    name: str

    def __str__(self) -> str:
        """Return what it is called in findings."""
        return f"login name {self.name!r}"

    def pattern(self) -> str:
        """Return a regular expression for small letters."""
        name = rf"{re.escape(self.name.casefold())}(?![\w-])"
        path = rf"{_BEGIN}(?:[a-z]:)?(?:/|\\+)(?:{_PART}[\\/]+{name}|{name}[\\/]+\w)"
        return rf"{path}|(?<![\w/-])(?:home|users)[\\/]+{name}|(?<![\w/])~{name}"


@dataclass(frozen=True)
class Host:
    """The name of a machine, or of a login on one: NAME@HOST.

    Looked for as a whole word of letters, digits, points and hyphens, with or without a domain behind it.
    """

    name: str

    def __str__(self) -> str:
        """Return what it is called in findings."""
        return f"name {self.name!r} of this machine"

    def pattern(self) -> str:
        """Return a regular expression for small letters."""
        return rf"(?<![\w.-]){re.escape(self.name.casefold())}(?![\w-])"


Secret = str | Login | Host
"""A text is looked for anywhere, one of less than 8 characters as a word of its own."""


def private_texts(text: str, secrets: Collection[Secret] = (), *, is_binary: bool = False) -> list[str]:
    """Return what a text tells of the machine or person that made it, as things to be named in a sentence.

    Parameters
    ----------
    text
        Any.
    secrets
        What must not be in it, capitals aside.
    is_binary
        The text stands among bytes that are none, which may look like letters before it; of paths those of people's
        folders alone are looked for, as bytes look like others by chance.

    """
    low = text.casefold()
    # JSON doubles what Windows puts between folders.
    paths = {match.replace("\\\\", "\\") for match in _paths(text, low, is_binary=is_binary)}
    found = [known.shown for known in _known(frozenset(secrets)) if known.hint in low and known.is_in(low)]
    return [f"the path {path}" for path in sorted(paths)] + [f"the {shown}" for shown in found]


def _paths(text: str, low: str, *, is_binary: bool) -> list[str]:
    if is_binary:
        is_hinted = any(hint in low for hint in _HOME_HINTS)
    else:
        is_hinted = ("/" in text or "\\" in text) and _HINTS.search(text) is not None
    pattern = _ANY_HOME if is_binary else _PATH
    return [match[0] for match in pattern.finditer(text)] if is_hinted else []


@dataclass(frozen=True)
class _Known:
    """A secret, ready to be looked for."""

    shown: str
    hint: str
    """In every text that the secret is in."""
    pattern: re.Pattern[str] | None
    """Which the secret must match; None where the hint is enough."""

    def is_in(self, low: str) -> bool:
        return self.pattern is None or self.pattern.search(low) is not None


@functools.lru_cache(maxsize=8)
def _known(secrets: frozenset[Secret]) -> tuple[_Known, ...]:
    return tuple(sorted((_ready(secret) for secret in secrets if secret), key=lambda known: known.shown))


def _ready(secret: Secret) -> _Known:
    if isinstance(secret, str):
        return _Known(f"secret {secret!r}", secret.casefold(), _as_word(secret.casefold()))
    return _Known(str(secret), secret.name.casefold(), re.compile(secret.pattern()))


def _as_word(secret: str) -> re.Pattern[str] | None:
    if len(secret) >= _LONG:
        return None
    # Digits behind a point are those of a figure.
    before = r"(?<![\w.])" if secret.isdigit() else r"(?<![^\W_])"
    after = r"(?!\w|\.\d)" if secret.isdigit() else r"(?![^\W_])"
    return re.compile(before + re.escape(secret) + after)


def is_said(secret: Secret, texts: Collection[str]) -> bool:
    """Whether any of the texts holds a secret."""
    known = _ready(secret)
    return any(known.hint in text.casefold() and known.is_in(text.casefold()) for text in texts)
