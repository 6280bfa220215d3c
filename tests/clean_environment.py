"""The environment of a program whose git and DVC know nobody and nothing of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def clean_environment(home: Path) -> Mapping[str, str]:
    """This process's environment, with a home of its own, a made-up person, and this interpreter's programs first."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DVC_"))}
    person = {
        f"GIT_{role}_{what}": "reader@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    return {
        **own,
        **person,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "XDG_CACHE_HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_SITE_CACHE_DIR": str(home / "site"),
        "DVC_NO_ANALYTICS": "1",
    }
