"""Runs the pieces of code in a release's card unchanged."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

EVERY = ("pyarrow", "datasets", "webdataset", "mlcroissant", "torch")
"""Packages that the pieces of a card need, in their order, for a release with all layouts."""
RUN = """
import os, sys, warnings
import numpy as np

def pixels(image):
    found = np.asarray(image, dtype=float)
    return np.transpose(found, (1, 2, 0)) * 255 if found.shape[0] == 3 else found

out = os.path.abspath(sys.argv[1])
for path in sys.argv[2:]:
    release, name = path.split("/")
    os.chdir(os.path.join(out, release))
    with open(os.path.join(out, path + ".txt")) as file:
        known = {"__name__": "__main__"}
        exec(compile(file.read(), path, "exec"), known)
    images = {side: pixels(known[side]) for side in ("phone", "dslr")}
    np.savez(os.path.join(out, path + ".npz"), count=known["count"], **images)
"""
"""Runs pieces of code in the folders of their releases, in one process, as imports take longer than loading."""


def pieces(release: Path, kinds: Sequence[str] = EVERY) -> dict[str, str]:
    """The pieces of code of a card by what they need."""
    found = re.findall(r"^```python\n(.*?)^```$", (release / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(found) == len(kinds)
    return dict(zip(kinds, found, strict=True))


def run_pieces(home: Path, names: Sequence[str]) -> None:
    """Run `home/<release>/<kind>.txt` in its release; what it has in the end is saved as `home/<release>/<kind>.npz`.

    Parameters
    ----------
    home
        Folder of the releases.
    names
        `<release>/<kind>` of each piece.

    """
    caches = {"HF_HOME": "hub", "HF_DATASETS_CACHE": "hub/datasets", "CROISSANT_CACHE": "croissant", "HOME": "home"}
    environment = os.environ | {name: str(home / "caches" / folder) for name, folder in caches.items()}
    environment |= {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(home), *names], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "gnoring" not in done.stderr
