"""What new users do first: the documented commands one after another, and the mistakes that were seen."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from own_code import write_folder

from dpedtool.dataset.io import lock_folder
from dpedtool.dataset.params import Params
from dpedtool.pipeline.cli import COMMANDS
from dpedtool.pipeline.report.results import RunResults

SMALL = ("train.channels=4", "train.blocks=1", "train.iterations=2", "train.batch=2", "train.validate_every=1")
SETTINGS = {
    "train": [word for name in (*SMALL, "train.crop_px=64") for word in ("-S", name)],
    "split": ["-S", "split.test=0.34", "-S", "split.validation=0.2"],
    "evaluate": ["-S", "evaluate.photos=0"],
}
CHAIN = ("pair", "align", "patches", "split", "train", "evaluate", "enhance")


def example(name: str) -> list[str]:
    """The words of the first example in a command's help, without the program."""
    (command,) = (command for command in COMMANDS if command.name == name)
    return re.findall(r"^  dpedtool (.+)$", command.epilog, re.MULTILINE)[0].split()


@pytest.fixture(scope="module")
def done(rig, tmp_path_factory, dpedtool) -> Path:
    """A folder in which the examples of the commands' help were typed one after another."""
    folder = tmp_path_factory.mktemp("new")
    shutil.copytree(rig.phone, folder / "iphone")
    shutil.copytree(rig.dslr, folder / "canon")
    (folder / "photos").mkdir()
    shutil.copy(rig.photos("001")[0], folder / "photos")
    for name in CHAIN:
        words = [*example(name), *SETTINGS.get(name, [])]
        dpedtool(*words, cwd=folder)
    return folder


def test_the_examples_of_the_commands_follow_each_other(done):
    assert (done / "scores/metrics.json").is_file()
    assert (done / "enhanced/001.png").is_file()


def test_the_chain_works_with_any_names_of_folders(rig, tmp_path, dpedtool):
    shutil.copytree(rig.phone, tmp_path / "my phone (2)")
    shutil.copytree(rig.dslr, tmp_path / "the camera's")
    dpedtool("align", "my phone (2)", "the camera's", "-o", "out é", "--no-images", cwd=tmp_path)
    dpedtool("patches", "out é", "-o", "cut here/some name", cwd=tmp_path)
    dpedtool("split", "cut here", "-o", "sides", *SETTINGS["split"], cwd=tmp_path)
    dpedtool("train", "sides/some name.parquet", "-o", "net", *SETTINGS["train"], cwd=tmp_path)
    words = ["evaluate", "sides/some name.parquet", "--model", "net", "-o", "scores", *SETTINGS["evaluate"]]
    assert dpedtool(*words, cwd=tmp_path).out
    scores = pd.read_parquet(tmp_path / "scores/scores.parquet")
    assert len(scores)


def test_a_report_finds_results_wherever_the_commands_wrote_them(done, tmp_path, dpedtool):
    """The examples of the help write to folders that are not named as in dvc.yaml, such as aligned and scores."""
    told = dpedtool("report", done, "-o", tmp_path / "report", "--no-pictures", "--json").out
    assert '"pairs": 0' in told
    page = (tmp_path / "report/report.json").read_text()
    figures = json.loads(page)
    assert len(figures["pairs"]) == 6
    (phone,) = RunResults(done, Params()).phones
    assert (phone.name, phone.missing) == ("iphone", ())
    # One folder with the tables of a single command, too.
    dpedtool("report", done / "aligned", "-o", tmp_path / "alone", "--no-pictures")
    assert len(json.loads((tmp_path / "alone/report.json").read_text())["pairs"]) == 6


def test_a_report_on_a_folder_without_results_is_a_sentence_and_code_1(done, tmp_path, dpedtool):
    ended = dpedtool("report", done / "photos", "-o", tmp_path / "report", code=1)
    assert "holds no results of any stage (it holds 001.png): name the folder that" in ended.sentence


def test_a_folder_too_deep_or_too_shallow_is_answered_with_the_right_one(done, tmp_path, dpedtool):
    ended = dpedtool("split", "patches/iphone", "-o", tmp_path / "s", code=1, cwd=done)
    assert "did you mean patches?" in ended.sentence
    ended = dpedtool("train", "splits", "-o", tmp_path / "m", code=1, cwd=done)
    assert "did you mean splits/iphone.parquet?" in ended.sentence
    ended = dpedtool("evaluate", "splits", "--model", "models/iphone", "-o", tmp_path / "e", code=1, cwd=done)
    assert "did you mean splits/iphone.parquet?" in ended.sentence
    ended = dpedtool("patches", "pairs/iphone", "-o", tmp_path / "p", code=1, cwd=done)
    assert "run `dpedtool align` first" in ended.sentence


def test_a_folder_of_photos_that_has_moved_is_named_with_the_remedy(rig, tmp_path, dpedtool):
    photos = rig.copy(tmp_path / "photos", ["001", "002"])
    dpedtool("pair", photos.phone, photos.dslr, "-o", tmp_path / "pairs")
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    ended = dpedtool("align", tmp_path / "pairs", "-o", tmp_path / "out", "--workers", 1)
    assert "2 unreadable_photo" in ended.out
    assert "run `dpedtool pair` again" in ended.out
    # A folder of results that has moved alone points nowhere, too.
    (tmp_path / "deep/er").mkdir(parents=True)
    shutil.move(tmp_path / "pairs", tmp_path / "deep/er/pairs")
    ended = dpedtool("align", tmp_path / "deep/er/pairs", "-o", tmp_path / "out", "--workers", 1)
    assert "run `dpedtool pair` again" in ended.out


# Sessions


@pytest.fixture(scope="module")
def session(rig, tmp_path_factory, dpedtool) -> Path:
    """A session of a phone whose folder has blanks in its name, and of one that has no photos.

    Its folder has a network, a loss and a metric of its own, beside modules called like the project's packages.
    """
    pytest.importorskip("dvc", reason="DVC is not installed: install the extra `repro`")
    folder = tmp_path_factory.mktemp("session")
    shutil.copytree(rig.phone, folder / "captures/my phone")
    shutil.copytree(rig.dslr, folder / "captures/canon")
    dpedtool("init", folder / "s", "--captures", folder / "captures", "--reference", "canon", "--no-git")
    (folder / "captures/empty").mkdir()
    file = folder / "s/params.yaml"
    params = yaml.safe_load(file.read_text())
    assert params["captures"]["phones"] == ["my phone"]
    params["captures"]["phones"].append("empty")
    params["split"] |= {"test": 0.34, "validation": 0.2}
    params["train"] |= {"channels": 4, "blocks": 1, "iterations": 2, "batch": 2, "crop_px": 64, "validate_every": 1}
    params["train"] |= {"network": "own_net:UNet", "network_args": {"width": 5}}
    params["train"]["losses"] = [{"loss": "own_loss:edges", "weight": 0.5}, {"loss": "psnr", "weight": 1}]
    params["release"]["layouts"] = ["webdataset"]
    params["evaluate"]["metrics"] = ["own_metric:brightness", "gmsd"]
    write_folder(folder / "s")
    file.write_text(yaml.safe_dump(params))
    return folder / "s"


def test_one_phone_without_photos_stops_no_other_and_names_may_have_blanks(session, dpedtool):
    ended = dpedtool("run", cwd=session, timeout=500)
    assert "holds no photos (nothing)" in ended.out
    assert "The run goes on without them." in ended.out
    assert (session / "results/evaluations/my phone/metrics.json").is_file()
    assert (session / "results/report/report.html").is_file()
    assert list((session / "results/release").rglob("*my_phone*"))
    assert not list((session / "results/release").rglob("*my phone*"))
    ended = dpedtool("pair", session.parent / "captures/empty", session.parent / "captures/canon", "-o", "p", code=1)
    assert "holds no photos" in ended.sentence


def test_code_of_one_s_own_is_trained_and_trained_again_after_a_change(session, dpedtool):
    if not (session / "results/report/report.html").is_file():
        dpedtool("run", cwd=session, timeout=500)
    for phone, columns in (("my phone", "train_edges,train_psnr"), ("empty", "iteration")):
        card = json.loads((session / f"results/models/{phone}/model.json").read_text())
        assert card["network"] == {"network": "own_net:UNet", "args": {"width": 5}}
        assert "own_metric:brightness" in (session / f"results/evaluations/{phone}/metrics.json").read_text()
        assert columns in (session / f"results/models/{phone}/history.csv").read_text()
    digests = ("code-digests", "--params", "params.yaml", "-o", ".dpedtool/code")
    dpedtool(*digests, cwd=session)
    assert changed_stages(session) == set()
    with (session / "own_parts.py").open("a") as file:
        file.write("# another line\n")
    dpedtool(*digests, cwd=session)
    assert changed_stages(session) - {"code"} == {"train", "evaluate"}


def changed_stages(session: Path) -> set[str]:
    """The stages that DVC would run since something that they depend on has changed."""
    words = [sys.executable, "-m", "dvc", "status", "--json"]
    told = subprocess.run(words, cwd=session, capture_output=True, text=True, check=True).stdout
    return {name.partition("@")[0] for name, what in json.loads(told).items() if what != ["always changed"]}


def test_two_runs_at_once_are_told_in_our_words(session, dpedtool):
    (session / ".dpedtool/logs").mkdir(parents=True, exist_ok=True)
    handle = lock_folder(session / ".dpedtool/logs")
    try:
        sentence = dpedtool("run", code=1, cwd=session).sentence
    finally:
        os.close(handle)
    assert sentence == "Another `dpedtool run` is at work in this session: wait until it has ended, then run again."


@pytest.mark.parametrize(
    ("captures", "words"),
    [
        ({"phones": "my phone"}, "captures.phones must be a list, not 'my phone': write [my phone]."),
        ({"root": "captrues"}, "There is no folder captrues, which captures.root in params.yaml names."),
        ({"phones": ["my phnoe"]}, "has no folder my phnoe, which captures in params.yaml names: it holds canon, "),
        ({"phones": [" x"]}, "' x' cannot be a camera name"),
    ],
)
def test_parameters_and_folders_are_checked_before_dvc_runs(session, tmp_path, dpedtool, captures, words):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(session / name, tmp_path)
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params["captures"] |= captures
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    ended = dpedtool("run", cwd=tmp_path, code=2 if "phones" in captures and "phnoe" not in str(captures) else 1)
    assert words in ended.sentence


def test_a_split_of_too_few_scenes_says_what_is_needed(rig, tmp_path, dpedtool):
    photos = rig.copy(tmp_path / "photos", ["001", "002"])
    dpedtool("align", photos.phone, photos.dslr, "-o", tmp_path / "a", "--no-images", "--workers", 1)
    dpedtool("patches", tmp_path / "a", "-o", tmp_path / "p/phone", "--workers", 1)
    said = dpedtool("split", tmp_path / "p", "-o", tmp_path / "s").said
    assert any("Take at least 3 different scenes; 20 are enough to try." in line for line in said)
    assert any(re.search(r"phone has \d+ test patch.* fewer than 30 say little", line) for line in said)


def test_enhance_writes_nothing_among_the_photos_and_hangs_on_no_pipe(done, tmp_path, dpedtool):
    shutil.copytree(done / "photos", tmp_path / "photos")
    words = ["enhance", tmp_path / "photos", "--model", done / "models/iphone", "-o"]
    sentence = dpedtool(*words, tmp_path / "photos/enhanced", code=1).sentence
    assert sentence.startswith(f"The results would lie among the photos of {tmp_path / 'photos'}, where nothing is")
    os.mkfifo(tmp_path / "photos/002.JPG")
    ended = dpedtool(*words, tmp_path / "out", code=1)
    assert "it is not a file" in ended.err
    assert "Enhanced 1 of 2 photos" in ended.err
