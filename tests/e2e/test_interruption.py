"""Ctrl-C and kills in the middle of the work: the next run completes it, as if nothing had happened."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from dpedtool.dataset.io import replacing

pytestmark = pytest.mark.usefixtures("heard_interrupts")


@pytest.fixture(scope="module")
def cut(rig, aligned, dpedtool) -> Path:
    """The patches of the aligned photos, cut without interruption."""
    dpedtool("patches", aligned, "-o", rig.folder / "cut", "--workers", 1)
    return rig.folder / "cut"


# Python imports a module of this name, wherever the path has one, before anything else.
STOPS_AFTER_AN_ITEM = dedent("""
    import os, signal
    from pathlib import Path

    real = os.replace

    def replace(source, target):
        real(source, target)
        path = Path(target)
        # A finished item has a table, beside which lie rows of other tables.
        if path.parent.name == ".parts" and path.suffix == ".json" and path.name.count(".") == 1:
            os.replace = real
            os.killpg(0, signal.SIGSTOP)

    os.replace = replace
""")


@pytest.fixture
def stopped(command, tmp_path) -> Callable[..., Iterator[subprocess.Popen]]:
    """Start a command, and freeze its process group right after it has finished an item, so that more is to be done.

    To interrupt it from outside when a file appears would come too late where the machine is busy.
    """
    (tmp_path / "sitecustomize.py").write_text(STOPS_AFTER_AN_ITEM)

    @contextmanager
    def start(*arguments) -> Iterator[subprocess.Popen]:
        # Under nohup, programs inherit that HUP is ignored.
        words = ["env", "--default-signal=INT,TERM,HUP", f"PYTHONPATH={tmp_path}", *command, *map(str, arguments)]
        with subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            deadline = time.monotonic() + 60
            while not is_frozen(process.pid):
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    return start


def is_frozen(pid: int) -> bool:
    """Whether a process has been stopped; the state is the first word behind the name, which is in brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.fixture
def interrupted(stopped):
    """Start a command, and send its whole process group a signal when one item is finished."""

    def run(*arguments, out: Path, by: signal.Signals) -> tuple[int, str]:
        with stopped(*arguments, "-o", out) as process:
            os.killpg(process.pid, by)
            os.killpg(process.pid, signal.SIGCONT)
            _, err = process.communicate(timeout=60)
            return process.returncode, err

    return run


@pytest.mark.parametrize(("workers", "by"), [(1, signal.SIGINT), (2, signal.SIGINT), (1, signal.SIGKILL)])
def test_an_interrupted_align_is_completed_by_the_next_run(
    rig, aligned, interrupted, dpedtool, content, times, workers, by
):
    out = rig.folder / f"aligned_after_{by.name}_{workers}"
    arguments = ("align", rig.phone, rig.dslr, "--workers", workers)
    code, err = interrupted(*arguments, out=out, by=by)
    check_farewell(code, err, by)
    assert not (out / "alignments.parquet").exists()
    begun = times(out)
    dpedtool(*arguments, "-o", out)
    assert timeless(content(out)) == timeless(content(aligned))
    assert "timings.parquet" in content(out)
    # What was finished was not done again.
    assert any(name.endswith(".png") and times(out)[name] == begun[name] for name in begun)


@pytest.mark.parametrize(("workers", "by"), [(1, signal.SIGKILL), (2, signal.SIGINT)])
def test_interrupted_patches_are_completed_by_the_next_run(
    rig, aligned, cut, interrupted, dpedtool, content, workers, by
):
    out = rig.folder / f"cut_after_{by.name}_{workers}"
    arguments = ("patches", aligned, "--workers", workers)
    code, err = interrupted(*arguments, out=out, by=by)
    check_farewell(code, err, by)
    assert not (out / "patches.parquet").exists()
    dpedtool(*arguments, "-o", out)
    assert content(out) == content(cut)


@pytest.mark.parametrize(
    ("by", "to", "words"),
    [
        (signal.SIGTERM, "the command", "Stopped by another program (signal TERM)."),
        (signal.SIGHUP, "the group", "Stopped, because the terminal was closed (signal HUP)."),
        (signal.SIGINT, "the group", "Interrupted."),
    ],
)
def test_every_wish_to_stop_is_followed_once_and_answered_in_a_sentence(rig, stopped, tmp_path, by, to, words):
    """The wish comes three times within a second, as of people who press Ctrl-C again."""
    arguments = ("align", rig.phone, rig.dslr, "-o", tmp_path / "out", "--workers", 2, "--no-images")
    with stopped(*arguments) as process:
        for _ in range(3):
            if process.poll() is None:
                (os.killpg if to == "the group" else os.kill)(process.pid, by)
                os.killpg(process.pid, signal.SIGCONT)
                time.sleep(0.3)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + by
    said = [line for line in err.splitlines() if " of " not in line]
    assert said == [f"Error: {words} What was finished is kept: run the same command to continue."]


def timeless(files: dict[str, bytes]) -> dict[str, bytes]:
    """All but how long the pairs took, which no two runs share."""
    return {name: content for name, content in files.items() if name != "timings.parquet"}


def check_farewell(code: int, err: str, by: signal.Signals) -> None:
    """Ctrl-C is answered in a line or two; a kill cannot be answered."""
    assert code != 0
    if by == signal.SIGINT:
        assert "Traceback" not in err
        assert len([line for line in err.splitlines() if line.strip() and " of " not in line]) <= 2


@pytest.mark.parametrize(
    "name", ["alignments.parquet", "timings.parquet", "phone/phone--001.png", "dslr/phone--001.png"]
)
def test_a_file_half_written_when_the_process_was_killed_is_cleared_away(rig, aligned, dpedtool, content, name):
    out = rig.folder / f"half_{Path(name).name}_{name.split('/')[0]}"
    shutil.copytree(aligned, out)
    leave_half_written(out / name)
    dpedtool("align", rig.phone, rig.dslr, "-o", out, "--workers", 1)
    assert set(content(out)) == set(content(aligned))


@pytest.mark.parametrize("name", ["patches.parquet"])
def test_a_table_of_patches_half_written_is_cleared_away(rig, aligned, cut, dpedtool, content, name):
    out = rig.folder / "half_cut"
    shutil.copytree(cut, out)
    leave_half_written(out / name)
    dpedtool("patches", aligned, "-o", out, "--workers", 1)
    assert content(out) == content(cut)


def leave_half_written(path: Path) -> None:
    """Leave the temporary file that a process leaves which is killed while it writes `path`."""
    with replacing(path) as temporary:
        temporary.write_bytes(path.read_bytes())
        half = temporary.read_bytes()[:1000]
    temporary.write_bytes(half)


@pytest.mark.parametrize("damage", ["missing", "cut short", "table cut short"])
def test_damaged_shards_are_made_anew(rig, aligned, cut, dpedtool, content, damage):
    out = rig.folder / f"damaged_{damage.replace(' ', '_')}"
    shutil.copytree(cut, out)
    file = out / ("patches.parquet" if damage == "table cut short" else "patches-00000.tar")
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    dpedtool("patches", aligned, "-o", out, "--workers", 1)
    assert content(out) == content(cut)
