"""`dpedtool map`: points of the phone photo to points of the DSLR photo, against the truth of simulated photos."""

import itertools
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dpedtool.pipeline.rig import load_truth

GRID = np.array([(x, y) for y in range(10, 270, 40) for x in range(10, 360, 40)], float)


def lines(points: np.ndarray) -> str:
    return "".join(f"{x:g},{y:g}\n" for x, y in points)


def points(text: str) -> np.ndarray:
    return np.array([[float(part) for part in line.split(",")] for line in text.splitlines()])


DEMO = ("-S", "demo.scenes=2", "-S", "demo.missing=0", "-S", "demo.moving_object=false")


@pytest.fixture(scope="module")
def demo(tmp_path_factory, dpedtool) -> Path:
    """The demo's cameras with all their faults, two scenes; phone-b aligned, whose photos are stored on their side."""
    folder = tmp_path_factory.mktemp("demo")
    dpedtool("simulate", "-o", "captures", *DEMO, cwd=folder)
    for phone in ("phone-a", "phone-b"):
        dpedtool("align", f"captures/{phone}", "captures/dslr", "-o", phone, "--no-images", "--workers", 1, cwd=folder)
    return folder


@pytest.mark.parametrize("scene", ["001", "004"])
def test_points_lie_where_the_truth_says(rig, aligned, dpedtool, scene):
    ended = dpedtool("map", aligned, f"phone--{scene}", stdin=lines(GRID))
    expected = rig.truths[scene].dslr_from_phone(GRID)
    seen = np.isfinite(expected).all(axis=1)
    assert seen.sum() > 50
    distances = np.linalg.norm(points(ended.out) - expected, axis=1)[seen]
    assert distances.max() < 0.15
    assert ended.said == []


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("phone", ["phone-a", "phone-b"])
def test_points_lie_where_the_truth_says_though_lenses_distort(demo, dpedtool, phone, number):
    """No homography follows the demo's lens distortion; the field beyond it does, into the corners."""
    truths = load_truth(demo / "captures" / "truth.json")
    photo = sorted((demo / "captures" / phone).iterdir())[number]
    truth = truths[phone, photo.name]
    x, y = np.meshgrid(np.linspace(5, truth.phone.width - 6, 12), np.linspace(5, truth.phone.height - 6, 10))
    grid = np.column_stack([x.ravel(), y.ravel()]).round()
    found = points(dpedtool("map", demo / phone, f"{phone}--{photo.stem}", stdin=lines(grid)).out)
    scale = pd.read_parquet(demo / phone / "alignments.parquet")["scale"].max()
    distances = np.linalg.norm(found - truth.dslr_from_phone(grid), axis=1) / scale  # px of the phone
    assert np.isfinite(distances).sum() > 80
    assert np.nanmedian(distances) < 0.05
    assert np.nanmax(distances) < 0.2


def test_one_line_a_point_whatever_the_line_ends(aligned, dpedtool):
    plain = dpedtool("map", aligned, "phone--001", stdin="100,200\n0,0\n7.25,8.5\n")
    assert len(plain.out.splitlines()) == 3
    other = dpedtool("map", aligned, "phone--001", stdin="\r\n100,200\r\n\r\n  0 , 0 \r\n\n7.25,8.5")
    assert other.out == plain.out


def test_no_points_give_no_lines(aligned, dpedtool):
    assert dpedtool("map", aligned, "phone--001", stdin="").out == ""


@pytest.mark.parametrize("line", ["100;200", "1,2,3", "1", "x,y", "1,", "nan,1", "1,inf"])
def test_a_line_that_is_no_point_is_named_by_its_number(aligned, dpedtool, line):
    ended = dpedtool("map", aligned, "phone--001", stdin=f"1,2\n\n{line}\n3,4\n", code=1)
    assert "Line 3" in ended.sentence
    assert line in ended.sentence
    assert "x,y" in ended.sentence
    assert len(ended.out.splitlines()) == 1


def test_an_unknown_pair_suggests_the_nearest(aligned, dpedtool):
    assert "did you mean phone--003?" in dpedtool("map", aligned, "fone--003", stdin="1,2\n", code=1).sentence
    assert "phone--001" in dpedtool("map", aligned, "001", stdin="1,2\n", code=1).sentence


def test_a_pair_that_was_not_aligned_says_why(rig, tmp_path, dpedtool):
    photos = rig.copy(tmp_path / "photos", ["001", "002"])
    photos.photos("002")[0].write_text("no photo")
    dpedtool("align", photos.phone, photos.dslr, "-o", tmp_path / "out", "--workers", 1)
    sentence = dpedtool("map", tmp_path / "out", "phone--002", stdin="1,2\n", code=1).sentence
    assert "phone--002" in sentence
    assert "unreadable_photo" in sentence
    assert "002.png" in sentence


def test_a_folder_without_results_says_what_to_run(tmp_path, dpedtool):
    sentence = dpedtool("map", tmp_path, "phone--001", stdin="1,2\n", code=1).sentence
    assert str(tmp_path / "alignments.parquet") in sentence


def test_a_damaged_table_is_named(tmp_path, aligned, dpedtool):
    whole = (aligned / "alignments.parquet").read_bytes()
    (tmp_path / "alignments.parquet").write_bytes(whole[: len(whole) // 2])
    assert str(tmp_path / "alignments.parquet") in dpedtool("map", tmp_path, "phone--001", code=1).sentence


# Streams that end early


def test_a_closed_input_is_no_crash(aligned, command):
    done = shell('"$@" <&-', [*command, "map", str(aligned), "phone--001"])
    assert done.stdout == ""
    # Closed is either empty or an error in one sentence.
    assert (done.returncode, done.stderr) == (0, "") or re.fullmatch(r"Error: [^\n]*input[^\n]*\n", done.stderr)


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path, aligned, command):
    (tmp_path / "points").write_text("100,200\n" * 100_000)
    script = f'set -o pipefail; "$@" < {tmp_path / "points"} | head -n 1'
    done = shell(script, [*command, "map", str(aligned), "phone--001"])
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_a_reader_that_has_seen_enough_ends_an_endless_input(aligned, command):
    done = shell('set -o pipefail; yes 100,200 | "$@" | head -n 1', [*command, "map", str(aligned), "phone--001"])
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_a_full_disk_behind_the_output_is_one_sentence(aligned, command):
    done = shell('printf "1,2\\n" | "$@" > /dev/full', [*command, "map", str(aligned), "phone--001"])
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "The disk is full." in done.stderr


def shell(script: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script, *itertools.chain(["bash"], arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
