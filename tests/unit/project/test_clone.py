"""A clone has the same bytes whatever git is set to, because DVC compares the files of stages byte by byte."""

from __future__ import annotations

import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]


def git(*words: str | Path, folder: Path) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_a_clone_that_is_set_to_convert_line_ends_has_the_same_bytes(tmp_path: Path) -> None:
    git("init", "--quiet", tmp_path, folder=CHECKOUT)
    git("config", "core.autocrlf", "true", folder=tmp_path)
    names = [".gitattributes", "params.yaml", "dvc.yaml", "dataset/io.py", "docs/images/front.jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((CHECKOUT / name).read_bytes())
    git("add", *names, folder=tmp_path)
    for name in names:
        (tmp_path / name).unlink()
    git("checkout", "--quiet", ".", folder=tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in names} == {
        name: (CHECKOUT / name).read_bytes() for name in names
    }
