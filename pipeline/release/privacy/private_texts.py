"""Texts that tell of the machine or person that made them: folders of users, and whatever else is to stay secret."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection

_PATHS = r"""
    (?: (?:/export|/var)?/(?:home|Users)/[\w.@-]+     # Unix, macOS
      | (?:/mnt|/cygdrive)?/[a-z]/Users/[\w.@-]+      # Windows, as shells of Unix have it
      | [a-z]:[\\/]+(?:Users|Documents\ and\ Settings)[\\/]+[^\\/\s"'<>|:*?]+
      | /(?:Volumes|run/media|var/folders)/[\w.@-]+
      | /root/[\w.@-]+
    )
    """
_ANY_PATH = re.compile(_PATHS, re.IGNORECASE | re.VERBOSE)
_WHOLE_PATH = re.compile(r"(?<![\w.~-])" + _PATHS, re.IGNORECASE | re.VERBOSE)
"""One that is no part of another path or of an address."""
_HINTS = ("/home/", "users/", "users\\", "settings\\", "settings/", "/volumes/", "/media/", "/folders/", "/root/")
"""One of them is in every such path, in small letters."""
_LONG = 8
"""Characters from which on a secret is looked for within words too: what is shorter is found there by chance."""


def private_texts(text: str, secrets: Collection[str] = (), *, is_binary: bool = False) -> list[str]:
    """Return what a text tells of the machine or person that made it, as things to be named in a sentence.

    Parameters
    ----------
    text
        Any.
    secrets
        What must not be in it, capitals aside; those of less than 8 characters as words of their own.
    is_binary
        The text stands among bytes that are none, which may look like letters before it.

    """
    pattern = _ANY_PATH if is_binary else _WHOLE_PATH
    low = text.casefold()
    matches = pattern.finditer(text) if any(hint in low for hint in _HINTS) else ()
    # JSON doubles what Windows puts between folders.
    paths = {match[0].replace("\\\\", "\\") for match in matches}
    found = [secret for secret, folded in _folded(frozenset(secrets)) if folded in low and _is_there(folded, low)]
    return [f"the path {path}" for path in sorted(paths)] + [f"the secret {secret!r}" for secret in found]


@functools.lru_cache(maxsize=8)
def _folded(secrets: frozenset[str]) -> tuple[tuple[str, str], ...]:
    return tuple((secret, secret.casefold()) for secret in sorted(secrets) if secret)


def _is_there(secret: str, text: str) -> bool:
    if len(secret) >= _LONG:
        return True
    # Digits behind a point are those of a figure.
    before = r"(?<![\w.])" if secret.isdigit() else r"(?<![^\W_])"
    after = r"(?!\w|\.\d)" if secret.isdigit() else r"(?![^\W_])"
    return re.search(before + re.escape(secret) + after, text) is not None
