"""Digests of code: all that a stage's rows depend on is in them, and nothing else is."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from dpedtool.dataset.code_digest import (
    FOLDER,
    WITHOUT_EFFECT,
    closure,
    code_digest,
    describe_syntax,
    file_of,
)
from dpedtool.dataset.params import STRICT, AlignParams, PatchesParams, describe
from dpedtool.dataset.schema import Pair
from dpedtool.dataset.tables import write_rows

ROOTS = ("dataset", "pipeline", "training")
SOURCES = sorted(path for root in ROOTS for path in (FOLDER / root).rglob("*.py"))
ALIGN, PATCHES = "dpedtool.pipeline.align.stage", "dpedtool.pipeline.patches.stage"


def name_of(file: Path) -> str:
    parts = ("dpedtool", *file.relative_to(FOLDER).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


KEYED = [name_of(file) for file in SOURCES if "code_digest(__name__)" in file.read_text(encoding="utf-8")]
"""The stages whose results carry a digest of their code."""


def project(folder: Path, modules: Mapping[str, str]) -> Path:
    """A project of some modules, named below `dpedtool`."""
    for name, text in modules.items():
        file = folder.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
    return folder


def described(text: str) -> str:
    return describe_syntax(ast.parse(dedent(text)))


# What counts as another code

PLAIN = """
    def double(x):
        return 2 * x
    """


@pytest.mark.parametrize(
    "text",
    [
        '"""Doubles."""\ndef double(x):\n    return 2 * x\n',
        'def double(x):\n    """Return x twice."""\n    # As often as needed.\n    return 2*x\n',
        "def double(\n    x,\n):\n\n    return (2 * x)\n",
    ],
    ids=["docstring of a module", "docstring, comment", "layout"],
)
def test_words_and_layout_are_no_other_code(text: str) -> None:
    assert described(text) == described(PLAIN)


def test_a_text_below_an_attribute_is_no_other_code() -> None:
    assert described('LIMIT = 3\n"""In px."""\n') == described("LIMIT = 3\n")


@pytest.mark.parametrize(
    "text",
    [
        "def double(x):\n    return 3 * x\n",
        "def double(x):\n    return 2 * y\n",
        "def double(x):\n    return 2 + x\n",
        "def double(x):\n    return -2 * x\n",
        "def double(x=2):\n    return 2 * x\n",
        "def twice(x):\n    return 2 * x\n",
        "async def double(x):\n    return 2 * x\n",
        "def double(x):\n    2 * x\n",
        "def double(x):\n    return 2.0 * x\n",
    ],
)
def test_what_the_interpreter_does_is(text: str) -> None:
    assert described(text) != described(PLAIN)


def test_what_is_said_of_a_column_is_no_other_code_but_its_default_is() -> None:
    known = described('x: int | None = column("left", "px", default=None)')
    assert described('x: int | None = column("left column of the window", default=None)') == known
    assert described('x: int | None = column("left", "px", default=0)') != known
    assert described('x: int | None = other("left", "px", default=None)') != known


def test_a_text_that_is_used_counts() -> None:
    assert described("print('a')") != described("print('b')")


# What belongs to a stage


def test_the_closure_has_what_is_imported_in_any_way(tmp_path: Path) -> None:
    folder = project(
        tmp_path,
        {
            "pipeline.stage": """
                from typing import TYPE_CHECKING
                import numpy
                from dpedtool.dataset import plain, other as another
                import dpedtool.pipeline.near
                if TYPE_CHECKING:
                    from dpedtool.pipeline import for_types
                else:
                    from dpedtool.pipeline import otherwise
                def later():
                    try:
                        from dpedtool.pipeline.parts.late import work
                    except ImportError:
                        raise
                """,
            "dataset.plain": "from dpedtool.dataset.deep import A",
            "dataset.other": "",
            "dataset.deep": "A = 1",
            "dataset.never": "",
            "pipeline.near": "import dpedtool.pipeline.stage",
            "pipeline.for_types": "",
            "pipeline.otherwise": "",
            "pipeline.parts.__init__": "from dpedtool.dataset import in_package",
            "pipeline.parts.late": "def work(): ...",
            "dataset.in_package": "",
        },
    )
    assert [name.removeprefix("dpedtool.") for name in closure("dpedtool.pipeline.stage", folder)] == [
        *("dataset.deep", "dataset.in_package", "dataset.other", "dataset.plain"),
        *("pipeline.near", "pipeline.otherwise", "pipeline.parts", "pipeline.parts.late", "pipeline.stage"),
    ]


def test_only_what_is_imported_changes_a_digest(tmp_path: Path) -> None:
    modules = {"pipeline.a": "from dpedtool.dataset import b", "dataset.b": "B = 1", "dataset.c": "C = 1"}
    digests = [
        code_digest("dpedtool.pipeline.a", project(tmp_path / str(number), modules | changed))
        for number, changed in enumerate(
            [{}, {"dataset.c": "C = 2"}, {"dataset.b": "B = 2"}, {"dataset.b": "B = 1 # b"}]
        )
    ]
    assert digests[0] == digests[1] == digests[3] != digests[2]


def test_every_stage_that_takes_over_results_is_known() -> None:
    assert {ALIGN, PATCHES, "dpedtool.training.train.stage", "dpedtool.pipeline.release.build"} <= set(KEYED)
    assert "dpedtool.pipeline.measure.exposure" in closure(ALIGN)


def constants(tree: ast.Module) -> list[ast.Constant]:
    """All constants that the interpreter uses."""
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "column":
            texts |= {id(argument) for argument in node.args}
    return [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in texts]


COUNTED = sorted({name for stage in KEYED for name in closure(stage)} - set(WITHOUT_EFFECT))


@pytest.mark.parametrize("module", COUNTED)
def test_every_constant_of_a_module_is_in_its_syntax(module: str) -> None:
    tree = ast.parse(file_of(module).read_bytes())
    # All at once, each to a value of its own, since a tree takes long to describe.
    names = [f"constant {number} of {module}" for number, _ in enumerate(constants(tree))]
    for constant, name in zip(constants(tree), names, strict=True):
        constant.value = name
    text = describe_syntax(tree)
    assert not [name for name in names if repr(name) not in text]


def test_every_module_of_a_stage_is_in_its_digest(tmp_path: Path) -> None:
    """Each module is changed once, for the first stage that imports it: a digest reads a hundred files."""
    folder = tmp_path / "copy"
    for root in ROOTS:
        shutil.copytree(FOLDER / root, folder / root, ignore=shutil.ignore_patterns("__pycache__"))
    stage_of = {module: stage for stage in reversed(KEYED) for module in closure(stage, folder)}
    before = {stage: code_digest(stage, folder) for stage in KEYED}
    assert before == {stage: code_digest(stage) for stage in KEYED}
    for module, stage in stage_of.items():
        file = file_of(module, folder)
        text = file.read_bytes()
        file.write_bytes(text + b"\nADDED = 1\n")
        code_digest.cache_clear()
        assert (code_digest(stage, folder) == before[stage]) == (module in WITHOUT_EFFECT), module
        file.write_bytes(text)


# Rows of other code

WORK = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from dpedtool.dataset.params import AlignParams, PatchesParams
from dpedtool.dataset.schema import Alignment, Pair, Patch
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.align.stage import align
from dpedtool.pipeline.patches.stage import cut_patches

pairs, out = Path(sys.argv[1]), Path(sys.argv[2])
align(read_rows(Pair.table_in(pairs), Pair), out / "aligned", AlignParams(), images=False)
rows = read_rows(Alignment.table_in(out / "aligned"), Alignment)
cut_patches(rows, out / "patches", PatchesParams())
rows += read_rows(Patch.table_in(out / "patches"), Patch)
json.dump([asdict(row) for row in rows], sys.stdout, default=str)
"""
"""Aligns pairs and cuts their patches, and prints the rows."""


@pytest.fixture(scope="module")
def pairs_dir(pairs: list[Pair], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair that can be aligned, and one whose phone photo cannot be read."""
    folder = tmp_path_factory.mktemp("pairs")
    write_rows(Pair.table_in(folder), Pair, [row for row in pairs if row.pair_id in {"phone--a", "phone--d"}])
    return folder


def work(code: Path, pairs_dir: Path, out: Path) -> list[dict[str, object]]:
    """The rows that the code in a folder makes; paths are left out, which lie in other folders."""
    command = [sys.executable, "-c", WORK, pairs_dir, out]
    done = subprocess.run(command, cwd=code, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    return [{name: value for name, value in row.items() if not name.endswith(("shard", "_path"))} for row in rows]


def copied(folder: Path, replaced: Mapping[str, str]) -> Path:
    """A copy of the code, below one folder as where it is installed, some modules of it replaced."""
    for root in ROOTS:
        # With the bytecode, which is valid as long as a file has its time and size.
        shutil.copytree(FOLDER / root, folder / "dpedtool" / root)
    (folder / "dpedtool" / "__init__.py").touch()
    for module, text in replaced.items():
        file_of(module, folder / "dpedtool").write_text(dedent(text))
    return folder


def fixed_params() -> str:
    """The parameters as plain values: nothing of how they are read, checked or documented."""
    limits = {name: PatchesParams().limit(name) for name in STRICT}
    return f"""
        STRICT = {tuple(STRICT)!r}
        class AlignParams:
            def __init__(self): vars(self).update({describe(AlignParams())!r})
        class PatchesParams:
            def __init__(self): vars(self).update({describe(PatchesParams())!r})
            def limit(self, name): return {limits!r}[name]
        class PairParams: ...
        class ReleaseParams: ...
        def describe(params): return dict(vars(params))
        """


REPLACED: Mapping[str, Mapping[str, str]] = {
    "dpedtool.dataset.code_digest": {"dpedtool.dataset.code_digest": "def code_digest(name): return name"},
    "parameters, progress, names of files and clusters": {
        "dpedtool.dataset.params": fixed_params(),
        "dpedtool.dataset.demo_params": "",
        "dpedtool.dataset.train_params": "",
        "dpedtool.dataset.sections": "",
        "dpedtool.dataset.progress": "def track(items, label, total): return iter(items)",
        "dpedtool.dataset.printing": "as_it_is = printing_visibly = None",
        "dpedtool.dataset.publication": """
            from contextlib import nullcontext
            class Publication(nullcontext):
                def __enter__(self): return self
                def beside(self, path): return path
                def remove(self, path): pass
            def complete(folder): pass
            """,
        "dpedtool.dataset.sizes": "in_gb = None",
        "dpedtool.pipeline.cluster_facts": "check_scheduler = find_flaws = is_seen = None",
        "dpedtool.pipeline.waiting": """
            from contextlib import nullcontext
            class Patience: ...
            def name_of(item): raise NotImplementedError
            def saying(what): return nullcontext()
            """,
        "dpedtool.pipeline.local_cluster": "start = own_security = kill = None",
        "dpedtool.pipeline.memory": """
            Memory = Need = pair_need = None
            ALIGN = ALIGN_WITHOUT_DEPTH = PATCHES = None
            def memory_of(limit, need): return None
            """,
    },
    "dpedtool.pipeline.runner": {
        "dpedtool.pipeline.runner": """
            class Lost: ...
            def cool_down(): raise NotImplementedError
            def run(work, items, workers, **_):
                for item in items:
                    yield item, work(item)
            """,
    },
    "dpedtool.pipeline.resume": {
        "dpedtool.dataset.parts": "",
        "dpedtool.pipeline.resume": """
            class Finished:
                def __init__(self, table, row_type, others=()):
                    table.parent.mkdir(parents=True)
                    self.parts, self.rows, self.beside = table.parent / ".parts", {}, BESIDE
                def __enter__(self): return self
                def __exit__(self, *_): pass
                def get(self, key): return self.rows[key]
                def is_part(self, key): return True
                def aside(self, keys, row_type):
                    return {key: BESIDE[key, row_type] for key in keys if (key, row_type) in BESIDE}
                def clear(self): pass
            BESIDE = {}
            class Aside: ...
            def save_aside(parts, key, row): BESIDE[key, type(row)] = row
            def save_all_aside(parts, key, row_type, rows): raise NotImplementedError
            def work_off(items, work, when_lost, finished, **_):
                for key, item in items.items():
                    finished.rows[key] = work(item)
            """,
    },
}
"""What the modules without effect are replaced by. Those that still call each other are replaced apart."""


@pytest.fixture(scope="module")
def rows(pairs_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    folder = tmp_path_factory.mktemp("code")
    made = work(copied(folder, {}), pairs_dir, folder / "out")
    assert [row["status"] for row in made if "patch_id" not in row] == ["aligned", "failed"]
    assert sum("patch_id" in row for row in made) >= 6
    return made


def test_all_that_is_left_out_of_digests_is_replaced_below() -> None:
    assert {module for modules in REPLACED.values() for module in modules} == set(WITHOUT_EFFECT)


@pytest.mark.parametrize("modules", REPLACED)
def test_what_is_left_out_of_digests_changes_no_row(
    modules: str, rows: list[dict[str, object]], pairs_dir: Path, tmp_path: Path
) -> None:
    found = work(copied(tmp_path, REPLACED[modules]), pairs_dir, tmp_path / "out")
    if modules == "dpedtool.dataset.code_digest":
        found, rows = ([{**row, "key": None} for row in some] for some in (found, rows))
    assert found == rows


def test_rows_of_other_code_are_made_again(pairs_dir: Path, tmp_path: Path) -> None:
    """Where a px counts as burnt out decides which pairs are rejected."""
    code, out = copied(tmp_path, {}), tmp_path / "out"
    before = work(code, pairs_dir, out)
    exposure = file_of("dpedtool.pipeline.measure.exposure", code / "dpedtool")
    text = exposure.read_text()
    assert "BURNT_OUT, BLACK = 254, 1" in text
    exposure.write_text(text.replace("BURNT_OUT, BLACK = 254, 1", "BURNT_OUT, BLACK = 100, 99"))
    after = work(code, pairs_dir, out)
    assert [row["reason"] for row in before if "patch_id" not in row] == ["", "unreadable_photo"]
    assert [row["reason"] for row in after if "patch_id" not in row] == ["clipped_exposure", "unreadable_photo"]
