r"""Finds texts that reveal the machine or person that made them: absolute paths and given secrets.

Absolute paths are findings only where a path can begin. Parts of addresses, relative paths, fractions, dates and words
such as and/or are not findings:

    /home/NAME, /Users/NAME, /scratch/NAME          folders of people and disks, with two parts or more
    /a/b/c                                          other paths of three parts, except programs (/usr/bin/env), folders
                                                    of a release (/parquet/a/b), and /path/to/a
    ~NAME/a, C:\a\b, \\server\share, file://a       also addresses of files with ssh, sftp, smb, nfs, afp and rsync

Login names (`Login`) and names of machines (`Host`) are searched for only in certain places, as both are often ordinary
words: chang, camera, pixel.
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
"""Where a path can begin: at the beginning of the text, or after a sign that can stand before a word."""
# Signs may be escaped, as in Markdown.
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
"""Every such path contains one of them, in small letters."""
_HINTS = re.compile(rf"{_BEGIN}(?:/|\\|~|[A-Za-z]:[\\/])|://|/(?i:home|users|root|volumes|run|var|mnt|cygdrive|[a-z])/")
"""Every path contains one of them."""
_LONG = 8
"""Secrets of so many characters or more are also searched for within words. Shorter ones occur there by chance."""


@dataclass(frozen=True)
class Login:
    r"""The login name of a user on a machine.

    It is searched for as a part of absolute paths (/data/NAME, C:\NAME\a), below `home` and `Users` in any path, and in
    ~NAME.
    """

    name: str

    def __str__(self) -> str:
        """Return its description in findings."""
        return f"login name {self.name!r}"

    def pattern(self) -> str:
        """Return a regular expression for text in small letters."""
        name = rf"{re.escape(self.name.casefold())}(?![\w-])"
        path = rf"{_BEGIN}(?:[a-z]:)?(?:/|\\+)(?:{_PART}[\\/]+{name}|{name}[\\/]+\w)"
        return rf"{path}|(?<![\w/-])(?:home|users)[\\/]+{name}|(?<![\w/])~{name}"


@dataclass(frozen=True)
class Host:
    """The name of a machine, or of a login on one: NAME@HOST.

    It is searched for as a whole word of letters, digits, points and hyphens, with or without a domain after it.
    """

    name: str

    def __str__(self) -> str:
        """Return its description in findings."""
        return f"name {self.name!r} of this machine"

    def pattern(self) -> str:
        """Return a regular expression for text in small letters."""
        return rf"(?<![\w.-]){re.escape(self.name.casefold())}(?![\w-])"


Secret = str | Login | Host
"""A text is searched for anywhere, but one of fewer than 8 characters only as a separate word."""


def private_texts(text: str, secrets: Collection[Secret] = (), *, is_binary: bool = False) -> list[str]:
    """Return what a text reveals about the machine or person that made it, as phrases for a sentence.

    Parameters
    ----------
    text
        Any text.
    secrets
        What must not be in it, ignoring case.
    is_binary
        The text is in the middle of binary data, which may look like letters. Only paths of people's folders are
        searched for, as random bytes can look like other paths.

    """
    low = text.casefold()
    # JSON doubles the backslashes of Windows.
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
    """A secret, prepared for the search."""

    shown: str
    hint: str
    """Every text with the secret contains this."""
    pattern: re.Pattern[str] | None
    """Pattern that the secret must match; None if the hint is enough."""

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
    # Digits after a point are part of a decimal number.
    before = r"(?<![\w.])" if secret.isdigit() else r"(?<![^\W_])"
    after = r"(?!\w|\.\d)" if secret.isdigit() else r"(?![^\W_])"
    return re.compile(before + re.escape(secret) + after)


def is_said(secret: Secret, texts: Collection[str]) -> bool:
    """Return whether any of the texts contains a secret."""
    known = _ready(secret)
    return any(known.hint in text.casefold() and known.is_in(text.casefold()) for text in texts)
