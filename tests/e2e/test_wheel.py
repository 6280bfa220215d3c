"""The package as others install it: whole, and out of the way of a user's own modules."""

from __future__ import annotations

import os
import re
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDERS = ("dataset", "pipeline", "training")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the checkout: a build leaves files beside the code."""
    copy, out = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    files = ["pyproject.toml", "setup.py", "README.md", "LICENSE", "dpedtool", *FOLDERS]
    tracked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *files]
    names = subprocess.run(tracked, cwd=CHECKOUT, capture_output=True, check=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((CHECKOUT / name).read_bytes())
    # As pip and uv call it, of which a .venv need not have either.
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, out], cwd=copy, check=True, capture_output=True)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the wheel, and the packages of this one but the checkout."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    # What a .pth file names is searched, but .pth files in it, such as that of the checkout, are not read.
    borrowed = [*site.getsitepackages(), *(path for path in sys.path if path.endswith("site-packages"))]
    (packages / "borrowed.pth").write_text("\n".join(dict.fromkeys(borrowed)))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    python = folder / "bin" / "python"
    # Without the usual guard: a script of a user has none, and works.
    program = folder / "bin" / "dpedtool"
    program.write_text(f"#!{python}\nfrom dpedtool.pipeline.cli import main\n\nmain()\n")
    program.chmod(0o755)
    return python


@pytest.fixture
def work_folder(tmp_path: Path) -> Path:
    """A researcher's folder, which has modules of the names of ours."""
    for name in FOLDERS:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the user was imported')\n")
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "__init__.py").write_text("raise SystemExit('training/ of the user was imported')\n")
    return tmp_path


def run(python: Path, folder: Path, *arguments: str | Path, **environment: str) -> str:
    # The path of this run of the tests, which has the checkout, is not that of the environment.
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(word) for word in (python, *arguments)]
    done = subprocess.run(
        command, cwd=folder, env=clean | environment, capture_output=True, check=False, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_wheel_has_all_files_of_the_packages_and_no_other(wheel: Path) -> None:
    tracked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "dpedtool", *FOLDERS]
    files = subprocess.run(tracked, cwd=CHECKOUT, capture_output=True, check=True, text=True).stdout.split("\0")
    wanted = {name if name.startswith("dpedtool/") else f"dpedtool/{name}" for name in filter(None, files)}
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == wanted


@pytest.mark.parametrize("path", ["", "."])
def test_a_user_s_own_modules_are_in_nobody_s_way(python: Path, work_folder: Path, captures: Path, path: str) -> None:
    options = {"PYTHONPATH": path} if path else {}
    where = run(python, work_folder, "-c", "import dpedtool.pipeline.cli as cli; print(cli.__file__)", **options)
    assert Path(where.strip()).is_relative_to(python.parents[1])
    folders = captures / "phone", captures / "dslr"
    said = run(python, work_folder, "-m", "dpedtool", "align", *folders, "-o", "out", "--workers", "2", **options)
    assert "Aligned 3 of 4 pairs" in said
    assert "preset: " in run(python, work_folder, "-m", "dpedtool", "params", "-S", "train.preset=paper", **options)


EVERY_MODULE = """
import pkgutil, sys
import dpedtool
for found in pkgutil.walk_packages(dpedtool.__path__, "dpedtool."):
    if found.name != "dpedtool.__main__":
        __import__(found.name)
from click.testing import CliRunner
from dpedtool.pipeline.cli import COMMANDS, main
for command in COMMANDS:
    assert CliRunner().invoke(main, [command.name, "--help"]).exit_code == 0, command.name
assert not {"dataset", "pipeline", "training"} & sys.modules.keys()
phone, dslr = dpedtool.example_photos()
print(len(COMMANDS), "commands,", dpedtool.align(phone, dslr))
"""
"""Imports all that commands import, asks every command, and aligns as a notebook does, from the folder's own path."""


def test_no_command_module_or_notebook_imports_a_user_s_own(python: Path, work_folder: Path) -> None:
    said = run(python, work_folder, "-c", EVERY_MODULE, PYTHONPATH=".")
    assert re.search(r"^\d\d commands, ", said, re.MULTILINE)


def test_torchrun_trains_where_a_user_has_modules_of_our_names(python: Path, work_folder: Path, make_samples) -> None:
    table = make_samples(work_folder / "samples", {"train": 4})
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "dpedtool"]
    small = {**SMALL["train"], "crop_px": 32, "device": "cpu"}
    settings = [word for name, value in small.items() for word in ("-S", f"train.{name}={value}")]
    said = run(python, work_folder, *torchrun, "train", table, "-o", "model", *settings, PYTHONPATH=".")
    assert "Kept the weights after 4 of 4 iterations" in said


# A session without a checkout

SMALL = {
    "captures": {"phones": ["phone-a"]},
    "demo": {"scenes": 4},
    "train": {"iterations": 4, "channels": 4, "blocks": 1, "batch": 2, "validate_every": 2},
}


@pytest.fixture(scope="module")
def session(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo, set up by the installed package and made small."""
    pytest.importorskip("dvc", reason="DVC is not installed: install the extra `repro`")
    folder = tmp_path_factory.mktemp("sessions") / "demo"
    said = dpedtool(python, folder.parent, "init", "demo", "--demo")
    assert "Next: cd demo && dpedtool run" in said
    params = yaml.safe_load((folder / "params.yaml").read_text())
    for section, values in SMALL.items():
        params[section].update(values)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return folder


def dpedtool(python: Path, folder: Path, *arguments: str) -> str:
    """Run the command that a user types: the recipe calls it by this name as well."""
    return run(python.parent / "dpedtool", folder, *arguments, **places(python))


def places(python: Path) -> dict[str, str]:
    """The environment of the installed command, with a home of its own."""
    home = python.parents[1] / "home"
    home.mkdir(exist_ok=True)
    names = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "DVC_SITE_CACHE_DIR")
    return {name: str(home) for name in names} | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}


def stages_of(said: str) -> list[str]:
    return re.findall(r"^Stage \d+ of \d+, ([a-z, -]+?)(?::|$)", said, re.MULTILINE)


def test_a_session_runs_and_an_update_runs_again_what_it_changes(python: Path, session: Path) -> None:
    said = dpedtool(python, session, "run")
    each = ["pair, phone-a", "align, phone-a", "patches, phone-a", "split", "train, phone-a", "evaluate, phone-a"]
    assert stages_of(said) == ["code", "captures", *each, "report", "release"]
    assert "Stage 10 of 10, release" in said
    page = session / "results" / "report" / "report.html"
    assert page.as_uri() in said
    assert page.is_file()
    assert len(list((session / ".dpedtool" / "logs").iterdir())) == 1
    # Nothing has changed; the stage `code` looks each time.
    assert stages_of(dpedtool(python, session, "run")) == ["code"]
    (evaluation,) = python.parents[1].glob("lib/python*/site-packages/dpedtool/training/evaluate/stage.py")
    evaluation.write_text(evaluation.read_text() + "\n# other words\n")
    assert stages_of(dpedtool(python, session, "run")) == ["code"]
    evaluation.write_text(evaluation.read_text() + "\nADDED = 1\n")
    assert stages_of(dpedtool(python, session, "run")) == ["code", "evaluate, phone-a", "report"]
    # DVC works by itself as well.
    alone = run(python, session, "-m", "dvc", "repro", **places(python))
    assert re.findall(r"Running stage '(.+)'", alone) == ["code"]
