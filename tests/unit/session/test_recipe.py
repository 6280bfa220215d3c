"""The recipe of a session: what DVC watches, and when a digest of code changes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dpedtool.dataset import code_digest
from dpedtool.dataset.params import AlignParams, CapturesParams, PairParams, Params, ReleaseParams
from dpedtool.dataset.params_files import as_yaml, load_params
from dpedtool.dataset.train_params import LossTerm, TrainParams
from dpedtool.pipeline.records import versions
from dpedtool.pipeline.session import recipe
from dpedtool.pipeline.session.recipe import (
    CODE_FOLDER,
    MODULES,
    session_recipe,
    write_code_digests,
    write_file_digests,
)


def digests(folder: Path, params: Params | None = None) -> dict[str, str]:
    write_code_digests(folder, params or Params())
    return {stage: (folder / stage).read_text() for stage in MODULES}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the packages, which stands for what is installed."""
    copy = tmp_path / "installed"
    for name in ("dataset", "pipeline", "training"):
        shutil.copytree(code_digest.FOLDER / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(recipe, "FOLDER", copy)
    for name in ("closure", "file_of", "syntax_digest"):
        of = getattr(code_digest, name)
        monkeypatch.setattr(recipe, name, lambda module, of=of: of(module, copy))
    return copy


def changed(installed: Path, tmp_path: Path, file: str, old: str, new: str) -> set[str]:
    """The stages whose digest another text of a file changes."""
    before = digests(tmp_path / "before")
    text = (installed / file).read_text()
    assert old in text
    (installed / file).write_text(text.replace(old, new))
    after = digests(tmp_path / "after")
    return {stage for stage in MODULES if before[stage] != after[stage]}


def test_a_change_of_what_one_stage_imports_is_that_stage_s(installed: Path, tmp_path: Path) -> None:
    assert changed(installed, tmp_path, "pipeline/patches/windows.py", "\n\n\n", "\n\nADDED = 1\n\n\n") == {"patches"}


def test_a_change_of_a_default_is_one_of_every_stage(installed: Path, tmp_path: Path) -> None:
    # DVC sees the parameters of params.yaml alone. The stage that makes the demo's photos has its own module of them.
    stages = changed(installed, tmp_path, "dataset/params.py", "ratio: float = param(", "ratio: float = param(0 +")
    assert stages == set(MODULES) - {"captures"}


def test_a_change_of_a_default_of_the_demo_is_one_of_its_photos(installed: Path, tmp_path: Path) -> None:
    name = "missing: float = param(0"
    assert "captures" in changed(installed, tmp_path, "dataset/demo_params.py", name, f"{name} + 0")


def test_a_change_of_words_is_one_of_none(installed: Path, tmp_path: Path) -> None:
    assert changed(installed, tmp_path, "pipeline/align/stage.py", "\n\n\n", "\n\n\n# words\n") == set()


def test_a_change_of_a_template_counts(installed: Path, tmp_path: Path) -> None:
    assert changed(installed, tmp_path, "pipeline/report/templates/style.css", "button", "button ") == {"report"}


def test_a_file_that_the_parameters_name_counts_for_its_stage(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("phone,dslr\n")
    params = Params(pair=PairParams(csv=str(tmp_path / "pairs.csv")))
    before = digests(tmp_path / "before", params)
    (tmp_path / "pairs.csv").write_text("phone,dslr\na,b\n")
    after = digests(tmp_path / "after", params)
    assert {stage for stage in MODULES if before[stage] != after[stage]} == {"pair"}


def of_phones(pair: PairParams) -> Params:
    return Params(captures=CapturesParams(phones=("a", "b")), pair=pair)


NAMED = {
    "pair": ("pairs-a.csv", lambda name: of_phones(PairParams(csv=f"{name.removesuffix('a.csv')}{{phone}}.csv"))),
    "train": ("start.safetensors", lambda name: Params(train=TrainParams(start=name))),
    "release": ("mine.txt", lambda name: Params(release=ReleaseParams(licence_file=name))),
}  # fmt: skip


@pytest.mark.parametrize("stage", NAMED)
@pytest.mark.parametrize("write", [write_code_digests, write_file_digests])
def test_every_file_that_parameters_name_counts_in_sessions_and_in_the_checkout(
    tmp_path: Path, stage: str, write: Callable[[Path, Params], None]
) -> None:
    name, params_of = NAMED[stage]
    params = params_of(str(tmp_path / name))

    def written() -> dict[str, tuple[int, str]]:
        (tmp_path / "out").mkdir(exist_ok=True)
        write(tmp_path / "out", params)
        return {path.name: (path.stat().st_mtime_ns, path.read_text()) for path in (tmp_path / "out").iterdir()}

    (tmp_path / name).write_text("one")
    before = written()
    # What has not changed is not written again.
    assert written() == before
    (tmp_path / name).write_text("two")
    after = written()
    assert {name for name in before if before[name] != after[name]} == {stage}


def test_a_function_of_the_user_s_own_counts_for_its_stage(tmp_path: Path) -> None:
    (tmp_path / "own_flow.py").write_text("def flow(a, b): return 1\n")
    params = Params(align=AlignParams(flow=f"{tmp_path}:own_flow:flow"))
    before = digests(tmp_path / "before", params)
    (tmp_path / "own_flow.py").write_text("def flow(a, b): return 2\n")
    after = digests(tmp_path / "after", params)
    assert {stage for stage in MODULES if before[stage] != after[stage]} == {"align"}


@pytest.mark.parametrize(
    ("train", "stages"),
    [
        (lambda name: TrainParams(network=f"{name}:Net"), {"train", "evaluate"}),
        (lambda name: TrainParams(losses=(LossTerm(loss=f"{name}:loss"),)), {"train", "evaluate"}),
    ],
)
def test_a_network_and_a_loss_count_for_what_uses_the_weights(
    tmp_path: Path, train: Callable[[str], TrainParams], stages: set[str]
) -> None:
    (tmp_path / "own_code.py").write_text("one = 1\n")
    params = Params(train=train(f"{tmp_path}:own_code"))
    before = digests(tmp_path / "before", params)
    (tmp_path / "own_code.py").write_text("one = 2\n")
    after = digests(tmp_path / "after", params)
    assert {stage for stage in MODULES if before[stage] != after[stage]} == stages


def test_a_function_in_a_list_counts_for_its_stage(tmp_path: Path) -> None:
    (tmp_path / "own_metric.py").write_text("def metric(a, b): return 1\n")
    (tmp_path / "params.yaml").write_text("evaluate: {metrics: [gmsd, own_metric:metric]}\n")
    params = load_params(tmp_path / "params.yaml")
    assert params.evaluate.metrics == ("gmsd", f"{tmp_path}:own_metric:metric")
    assert '["gmsd", "own_metric:metric"]' in as_yaml(params)
    before = digests(tmp_path / "before", params)
    (tmp_path / "own_metric.py").write_text("def metric(a, b): return 2\n")
    after = digests(tmp_path / "after", params)
    assert {stage for stage in MODULES if before[stage] != after[stage]} == {"evaluate"}


def test_the_captures_do_not_depend_on_what_they_make(tmp_path: Path) -> None:
    params = Params(captures=CapturesParams(root=str(tmp_path / "captures")))
    before = digests(tmp_path / "before", params)
    (tmp_path / "captures").mkdir()
    (tmp_path / "captures" / "truth.json").write_text("{}")
    assert digests(tmp_path / "after", params) == before


def test_another_opencv_counts_and_another_torch_for_the_network_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package, stages in (("opencv", set(MODULES)), ("torch", {"train", "evaluate"})):
        before = digests(tmp_path / "before")
        with monkeypatch.context() as patch:
            patch.setattr(recipe, "versions", lambda package=package: {**versions(), package: "other"})
            after = digests(tmp_path / "after")
        assert {stage for stage in MODULES if before[stage] != after[stage]} == stages


COMMANDS = {
    "captures": "simulate", "pair": "pair", "align": "align", "patches": "patches", "split": "split", "train": "train",
    "evaluate": "evaluate", "report": "report", "release": "release",
}  # fmt: skip
# Modules of ways in which the recipe does not call these commands.
OTHER_WAYS = {
    "align": {"pipeline.pair.intake", "pipeline.align.overlay"},
    "split": {"pipeline.foreign.dped_layout", "pipeline.split.samples_alone"},
    "train": {"pipeline.split.before_training"},
    "evaluate": {
        "training.evaluate.comparison",
        "pipeline.records",
        "pipeline.release.whole_alignments",
        "pipeline.release.whole_pairs",
    },
    "release": {"pipeline.release.changes", "pipeline.release.importing.layout"},
}


@pytest.mark.parametrize("stage", MODULES)
def test_the_digest_of_a_stage_covers_what_its_command_imports(stage: str) -> None:
    command = f"dpedtool.pipeline.commands.{COMMANDS[stage]}"
    called = {
        name
        for name in code_digest.imported(command)
        if code_digest.file_of(name).name != "__init__.py"
        and not name.startswith(("dpedtool.dataset", "dpedtool.pipeline.commands", "dpedtool.pipeline.runner"))
    }
    covered = {name for module in MODULES[stage] for name in code_digest.closure(module)}
    assert called - covered <= {f"dpedtool.{name}" for name in OTHER_WAYS.get(stage, ())}


def test_every_stage_but_the_captures_depends_on_its_digest() -> None:
    files = session_recipe(is_demo=True)
    stages = yaml.safe_load(files["dvc.yaml"])["stages"] | yaml.safe_load(files["demo/dvc.yaml"])["stages"]
    written = {path for out in stages.pop("code")["outs"] for path in out}
    assert set(stages) == set(MODULES)
    for name, stage in stages.items():
        assert [dep for dep in stage["deps"] if dep.startswith(CODE_FOLDER)] == [f"{CODE_FOLDER}/{name}"]
    assert written == {f"{CODE_FOLDER}/{name}" for name in MODULES}


def test_a_session_of_one_s_own_has_no_demo() -> None:
    files = session_recipe(is_demo=False)
    assert list(files) == ["dvc.yaml"]
    assert "demo" not in files["dvc.yaml"]
