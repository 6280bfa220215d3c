"""Every command and every line of Python that README.md and docs/ show is run, in the order of its page."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from markdown_blocks import Block, blocks_of, indented_code
from one_processor import one_processor

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# What others than console and python hold is looked at, but not run.
RUN, SHOWN, SPHINX = {"console", "python"}, {"text", "yaml", "csv"}, {"{toctree}", "{eval-rst}"}
PROGRAM = re.compile(r"^\s*(\$ |(dpedtool|dvc|git|make|pip|python|torchrun|tar|huggingface-cli) )", re.MULTILINE)
# A session that the page sets up gets parameters as small as those of the prepared one, and one phone.
SMALL = {
    "captures": {"phones": ["iphone"]},
    "split": {"test": 0.3, "validation": 0.2},
    "train": {"channels": 4, "blocks": 1, "iterations": 4, "batch": 2, "crop_px": 64, "validate_every": 2},
    "evaluate": {"pictures": 2, "photos": 0},
}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_of_a_kind_that_is_run_or_is_no_command(page: Path) -> None:
    for block in blocks_of(page):
        assert block.language in RUN | SHOWN | SPHINX, f"{block.place}: {block.language or 'no language'}"
        if block.language == "console":
            assert block.commands, f"{block.place} has no line that begins with a prompt"
        elif block.language in SHOWN:
            assert not PROGRAM.search(block.text), f"{block.place} shows a command that is not run"
    assert not list(indented_code(page)), "indented code is not run: use a fence"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    for block in blocks_of(page):
        if block.not_run is not None:
            assert block.language in RUN, block.place
            assert len(block.not_run.split()) >= 3, f"{block.place}: give a reason"


def test_most_blocks_are_run() -> None:
    commands = [block for block in all_blocks() if block.language in RUN]
    assert sum(block.not_run is None for block in commands) > len(commands) / 2


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(b.language in RUN for b in blocks_of(page))], ids=name_of
)
def test_what_a_page_shows_runs(
    page: Path, prepared: Path, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "session"
    shutil.copytree(prepared, folder)
    names: dict[str, object] = {}
    for block in blocks_of(page):
        if block.language not in RUN or block.not_run is not None:
            continue
        if block.small_run is not None:
            make_small(folder / block.small_run / "params.yaml")
        if block.saved_as is not None:
            (folder / block.saved_as).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            monkeypatch.chdir(folder)
            # As in an interpreter that is started there.
            monkeypatch.syspath_prepend("")
            exec(compile(block.text, block.place, "exec"), names)  # noqa: S102 - our own pages
        else:
            folder = run_commands(block, folder, environment, tmp_path / "last_folder")


def run_commands(block: Block, folder: Path, environment: dict[str, str], last_folder: Path) -> Path:
    """Run a block as a reader would, and return the folder in which the next one goes on."""
    script = f"set -e -o pipefail\n{block.commands}\npwd >{shlex.quote(str(last_folder))}"
    with one_processor():
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, (
        f"{block.place} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
    )
    return Path(last_folder.read_text(encoding="utf-8").strip())


def make_small(file: Path) -> None:
    """Make the parameters of a session small."""
    params = yaml.safe_load(file.read_text(encoding="utf-8"))
    for section, values in SMALL.items():
        params[section].update(values)
    file.write_text(yaml.safe_dump(params), encoding="utf-8")
