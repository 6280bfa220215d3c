"""A reader that leaves early, as `head` does, costs no results."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest


@pytest.mark.parametrize("both", [False, True], ids=["output alone", "errors as well"])
def test_what_is_read_by_head_is_finished(rig, tmp_path: Path, command: list[str], both: bool) -> None:
    words = [
        *command,
        "align",
        rig.phone,
        rig.dslr,
        "-o",
        tmp_path / "out",
        "--no-images",
        "--workers",
        "1",
        "--verbose",
    ]
    process = subprocess.Popen(
        list(map(str, words)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if both else subprocess.DEVNULL,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    table = pd.read_parquet(tmp_path / "out" / "alignments.parquet")
    assert len(table) == len(list(rig.phone.iterdir()))


def test_a_closed_reader_of_json_costs_no_patches(rig, tmp_path: Path, command: list[str]) -> None:
    aligned = [*command, "align", rig.phone, rig.dslr, "-o", tmp_path / "out", "--no-images", "--workers", "1", "-q"]
    subprocess.run(list(map(str, aligned)), check=True, capture_output=True)
    words = [*command, "patches", tmp_path / "out", "-o", tmp_path / "patches", "--json", "-S", "patches.size_px=40"]
    with subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.close()
    assert process.returncode == 0
    assert json.loads((tmp_path / "patches" / "selection.json").read_text())["windows"] > 0
