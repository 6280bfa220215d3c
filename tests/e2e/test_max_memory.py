"""The memory of a run: `--max-memory` bounds it, changes no result, and an error names the least that would do."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import cv2
import numpy as np

from benchmarks.usage import measure
from dpedtool.dataset.schema import Alignment
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.commands.options import MAX_MEMORY
from dpedtool.pipeline.memory import ALIGN, ALIGN_WITHOUT_DEPTH, MAIN, PATCHES, Need, pair_need

LEAST = re.compile(r"The pair \S+ \(photos of \S+ and \S+ megapixels\) needs at least (\d+\.\d\d) GB of memory, but ")


def least_of(sentence: str) -> float:
    """The least memory that an error names, in GB."""
    found = LEAST.match(sentence)
    assert found, sentence
    return float(found[1])


def test_the_least_that_is_named_is_the_least_and_changes_no_row(rig, tmp_path, dpedtool, aligned, content) -> None:
    words = ("align", rig.phone, rig.dslr, "--workers", "2", "-o")
    said = dpedtool(*words, tmp_path / "out", "--max-memory", "100MB", code=1).said[-1].removeprefix("Error: ")
    assert said.endswith("but --max-memory allows 0.10 GB: set that much or more.")
    least = least_of(said)
    dpedtool(*words, tmp_path / "out", "--max-memory", f"{least - 0.01:.2f}GB", code=1)
    ended = dpedtool(*words, tmp_path / "out", "--max-memory", f"{least:.2f} GB")
    assert f"align: {least:.2f} GB of memory are enough for 1 of 2 processes." in ended.said
    # Times and folders differ from run to run.
    rows, others = (read_rows(Alignment.table_in(folder), Alignment) for folder in (tmp_path / "out", aligned))
    assert rows == others
    images = {name: of for name, of in content(aligned).items() if name.endswith(".png")}
    assert {name: of for name, of in content(tmp_path / "out").items() if name.endswith(".png")} == images
    # What is finished needs no memory, whatever the limit is.
    again = dpedtool(*words, tmp_path / "out", "--max-memory", "1MB")
    assert any("were done by an earlier run" in line for line in again.said)


def test_every_stage_refuses_what_does_not_fit(aligned, tmp_path, dpedtool) -> None:
    said = dpedtool("patches", aligned, "-o", tmp_path / "patches", "--max-memory", "100MB", code=1).sentence
    assert 0.25 < least_of(said) < 0.5
    said = dpedtool("report", aligned, "-o", tmp_path / "report", "--max-memory", "100MB", code=1).sentence
    assert 0.25 < least_of(said) < 0.5


def test_the_limit_may_stand_in_a_params_file_or_in_the_environment(rig, tmp_path, dpedtool) -> None:
    (tmp_path / "params.yaml").write_text("flags: {align: {max_memory: 100MB}}\n")
    words = ("align", *rig.photos("003"), "-o", tmp_path / "out")
    asked = dpedtool(*words, "--params", tmp_path / "params.yaml", code=1).sentence
    assert asked == dpedtool(*words, code=1, env={**os.environ, MAX_MEMORY: "100MB"}).sentence
    assert least_of(asked) < 1


def test_a_limit_for_this_machine_does_not_go_with_a_cluster(rig, tmp_path, dpedtool) -> None:
    words = ("align", *rig.photos("003"), "-o", tmp_path / "out", "--scheduler", "tcp://127.0.0.1:1")
    said = dpedtool(*words, "--max-memory", "3GB", code=2).err
    assert "--max-memory is for the processes of this machine" in " ".join(said.split())


def scene(folder: Path, phone: tuple[int, int], dslr: tuple[int, int], depth_px: float) -> None:
    """A pair of photos of a texture, (width, height) each; parts of the phone's are displaced as depth does it."""
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (dslr[1] // 12, dslr[0] // 12, 3)).astype(np.uint8)
    seen = cv2.resize(small, dslr, interpolation=cv2.INTER_CUBIC)
    near = cv2.resize((random.random((6, 8)) > 0.6).astype(np.float32), phone)
    x, y = np.meshgrid(*(np.arange(length, dtype=np.float32) for length in phone))
    step = dslr[0] / phone[0] / 1.15
    margin = 0.06 * dslr[0]
    shift = np.clip((near - 0.35) * 3, 0, 1) * np.float32(depth_px)
    maps = ((axis * step + margin).astype(np.float32) for axis in (x + shift, y))
    blurred = cv2.GaussianBlur(seen, (0, 0), 0.4 * step)
    taken = cv2.remap(blurred, *maps, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    for name, image in (("phone.jpg", taken), ("dslr.jpg", seen)):
        cv2.imwrite(str(folder / name), image)


def suffices(words: list[str | Path], need: Need) -> None:
    """Run a command that works on one pair, and compare its peak with the least memory that would be named."""
    done = measure([sys.executable, "-m", "dpedtool", *words, "--workers", "1"])
    assert done.code == 0, done.said
    assert done.peak_bytes < MAIN + need.size


def test_what_a_small_pair_with_depth_needs_is_an_upper_bound(tmp_path: Path) -> None:
    scene(tmp_path, (1152, 864), (1416, 1062), 14)
    photos, out = (tmp_path / "phone.jpg", tmp_path / "dslr.jpg"), tmp_path / "aligned"
    suffices(["align", *photos, "-o", out, "--no-images"], pair_need(ALIGN, "", *photos))
    assert [row.model for row in read_rows(Alignment.table_in(out), Alignment)] == ["local"]


def test_what_a_middle_pair_needs_is_an_upper_bound(tmp_path: Path) -> None:
    scene(tmp_path, (2000, 1500), (4000, 3000), 0)
    photos, out = (tmp_path / "phone.jpg", tmp_path / "dslr.jpg"), tmp_path / "aligned"
    suffices(["align", *photos, "-o", out, "--no-images"], pair_need(ALIGN_WITHOUT_DEPTH, "", *photos))
    suffices(["patches", out, "-o", tmp_path / "patches"], pair_need(PATCHES, "", *photos))
    assert [row.status for row in read_rows(Alignment.table_in(out), Alignment)] == ["aligned"]
