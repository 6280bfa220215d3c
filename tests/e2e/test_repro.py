"""The whole pipeline under DVC, in a copy of the checkout: from simulated photos to the report, and what follows."""

import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from clean_environment import clean_environment
from one_processor import one_processor

from dpedtool.dataset.photos.decoding import decode_photo
from dpedtool.dataset.sidecars.verdict import Verdict
from dpedtool.pipeline.split.verification import is_current

CHECKOUT = Path(__file__).resolve().parents[2]
PHONES = ("phone-a", "phone-b")
STAGES = ("pairs", "aligned", "patches", "splits", "models", "evaluations", "release", "report")


class Copy:
    """A copy of the checkout in a git repository of its own, with its own DVC cache."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self.results = folder, folder / "results"
        self._environment = clean_environment(home)

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        with one_processor():
            done = subprocess.run(
                words,
                cwd=self.folder,
                env=self._environment,
                capture_output=True,
                text=True,
                timeout=400,
                check=False,
            )
        assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments).stdout

    def dvc(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = self.run(sys.executable, "-m", "dvc", *arguments, code=code)
        assert "Traceback" not in done.stderr + done.stdout
        return done

    def repro(self) -> list[str]:
        """Reproduce, and return the stages that ran."""
        return re.findall(r"Running stage '([^']+)'", self.dvc("repro").stdout)

    def change(self, **sections: dict) -> None:
        """Set parameters in params.yaml."""
        file = self.folder / "params.yaml"
        params = yaml.safe_load(file.read_text())
        for section, values in sections.items():
            params.setdefault(section, {}).update(values)
        file.write_text(yaml.safe_dump(params))

    def state(self) -> dict[str, tuple[int, int]]:
        """Time and size of every file outside the tools' own folders."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.folder)): (path.stat().st_mtime_ns, path.stat().st_size)
            for path in files
            if not {".git", ".dvc"} & set(path.relative_to(self.folder).parts)
        }


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Copy:
    """The checkout with tiny parameters, committed; nothing has run yet."""
    if importlib.util.find_spec("dvc") is None:
        pytest.skip("DVC is not installed: install the extra `repro`")
    listing = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    if listing.returncode != 0:
        pytest.skip(f"{CHECKOUT} is no git checkout, so it cannot be told which files belong to it")
    folder = tmp_path_factory.mktemp("checkout")
    for name in filter(None, listing.stdout.split("\0")):
        if (CHECKOUT / name).is_file() and not name.endswith("dvc.lock"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(CHECKOUT / name, folder / name)
    copy = Copy(folder, tmp_path_factory.mktemp("home"))
    copy.change(
        captures={"phones": list(PHONES)},
        demo={"scenes": 4},
        train={"iterations": 4, "channels": 4, "blocks": 1, "batch": 2, "validate_every": 2},
    )
    copy.git("init", "-q")
    copy.git("add", "-A")
    copy.git("commit", "-qm", "copy")
    return copy


@pytest.fixture(scope="module")
def done(copy) -> Copy:
    """The same after `dvc repro`."""
    stages = copy.repro()
    assert [name for name in stages if name.endswith("captures")]
    matrix = {f"{stage}@{phone}" for stage in ("pair", "align", "patches", "train", "evaluate") for phone in PHONES}
    assert matrix | {"split", "release", "report"} <= set(stages)
    return copy


def tables(copy: Copy, stage: str, name: str) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(copy.results / stage / phone / name) for phone in PHONES], ignore_index=True)


def splits(copy: Copy) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(copy.results / "splits" / f"{phone}.parquet") for phone in PHONES])


# What it leaves


def test_every_stage_has_results_and_nothing_unfinished(done):
    for stage in STAGES:
        assert any((done.results / stage).iterdir()), stage
    hidden = [name for name in done.state() if any(part.startswith(".") for part in Path(name).parts[1:])]
    assert hidden == []


def test_every_stage_leaves_a_record_of_what_it_took(done):
    matrix = {f"{stage}.{phone}" for stage in ("pair", "align", "patches", "train", "evaluate") for phone in PHONES}
    records = {path.stem: json.loads(path.read_text()) for path in (done.results / "records").iterdir()}
    assert set(records) == matrix | {"split", "verify"}
    commands = {name: name.partition(".")[0] for name in matrix} | {"split": "split", "verify": "split"}
    assert {name: record["command"] for name, record in records.items()} == commands
    assert all(record["cpu_s"] > 0 < record["wall_s"] for record in records.values())


def test_the_proof_is_kept_and_is_of_the_tables_that_are_there(done):
    verdict = Verdict.read(done.results / "splits" / "verdict.json")
    assert verdict.is_proof
    assert verdict.faults == []
    assert is_current(done.results / "splits", verdict)


def test_the_report_is_there_and_says_that_the_photos_are_simulated(done):
    page = (done.results / "report" / "report.html").read_text(encoding="utf-8")
    assert "simulated" in page.lower()
    for phone in PHONES:
        assert phone in page
    # One file that needs no other, and no network.
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)


def test_every_photo_has_a_row_in_the_pairs_and_every_pair_in_the_alignments(done):
    pairs = tables(done, "pairs", "pairs.parquet")
    for phone in PHONES:
        mine = pairs[pairs["phone"] == phone]
        for camera, column in ((phone, "phone_path"), ("dslr", "dslr_path")):
            photos = {path.parts[-3:] for path in (done.folder / "demo" / "captures").glob(f"day-*/{camera}/*")}
            # The DSLR has one photo of a burst.
            assert {Path(name).parts[-3:] for name in mine[column].dropna()} == photos
            assert column == "dslr_path" or len(mine[column].dropna()) == len(photos)
    assert pairs["pair_id"].is_unique
    alignments = tables(done, "aligned", "alignments.parquet")
    assert set(alignments["pair_id"]) == set(pairs.loc[pairs["status"] == "paired", "pair_id"])
    assert (alignments["status"] == "aligned").all()


def test_every_window_of_every_aligned_pair_has_a_row(done):
    patches = tables(done, "patches", "patches.parquet")
    assert patches["patch_id"].is_unique
    alignments = tables(done, "aligned", "alignments.parquet").set_index("pair_id")
    alignments = alignments[alignments["role"] == "base"]
    expected = (alignments["crop_width"] // 100) * (alignments["crop_height"] // 100)
    assert patches.groupby("pair_id").size().to_dict() == expected.to_dict()
    rejected = patches[patches["status"] == "rejected"]
    assert (rejected["reason"] != "").all()
    assert set(patches.loc[patches["status"] == "accepted", "proved_by"]) == {"window", "pair"}
    # Noise may explain a lower correlation.
    alone = patches[patches["proved_by"] == "window"]
    assert (alone[["ncc", "ncc_without_noise"]].max(axis=1) >= 0.9).all()


def test_every_accepted_patch_is_in_exactly_one_split_and_no_scene_in_two(done):
    patches, samples = tables(done, "patches", "patches.parquet"), splits(done)
    assert sorted(samples["patch_id"]) == sorted(patches.loc[patches["status"] == "accepted", "patch_id"])
    assert set(samples["split"]) == {"train", "validation", "test"}
    assert all(len(set(found)) == 1 for _, found in samples.groupby("scene_id")["split"])


def test_the_shards_hold_exactly_the_accepted_patches(done):
    patches = tables(done, "patches", "patches.parquet")
    accepted = set(patches.loc[patches["status"] == "accepted", "patch_id"])
    for phone in PHONES:
        members = []
        for shard in sorted((done.results / "patches" / phone).glob("*.tar")):
            with tarfile.open(shard) as tar:
                members += tar.getnames()
        mine = {patch_id for patch_id in accepted if patch_id.startswith(phone)}
        assert sorted(members) == sorted(f"{patch_id}.{side}.png" for patch_id in mine for side in ("phone", "dslr"))


def test_the_bytes_that_a_sample_names_are_its_patch(done):
    for phone in PHONES:
        folder = done.results / "splits"
        for _, row in pd.read_parquet(folder / f"{phone}.parquet").iloc[::9].iterrows():
            content = (folder / row["shard"]).read_bytes()
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                for side in ("phone", "dslr"):
                    start, length = row[f"{side}_offset"], row[f"{side}_bytes"]
                    member = tar.extractfile(f"{row['patch_id']}.{side}.png")
                    assert content[start : start + length] == member.read()


def test_a_phone_patch_is_cut_from_the_photo_untouched(done):
    patches = tables(done, "patches", "patches.parquet")
    alignments = tables(done, "aligned", "alignments.parquet").set_index("pair_id")
    for _, row in patches[patches["status"] == "accepted"].iloc[::20].iterrows():
        photo_path = done.results / "aligned" / row["phone"] / alignments.loc[row["pair_id"], "phone_path"]
        photo = cv2.imread(str(photo_path))  # OpenCV turns photos upright by itself
        shard = (done.results / "patches" / row["phone"] / row["shard"]).read_bytes()
        start = int(row["phone_offset"])
        patch = decode_photo(shard[start : start + int(row["phone_bytes"])], photo_path)
        x, y, size = int(row["x"]), int(row["y"]), int(row["size"])
        np.testing.assert_array_equal(patch, photo[y : y + size, x : x + size])


def test_the_scores_are_those_of_the_test_patches(done):
    samples = splits(done)
    for phone in PHONES:
        folder = done.results / "evaluations" / phone
        scores = pd.read_parquet(folder / "scores.parquet")
        wanted = samples[(samples["split"] == "test") & (samples["phone"] == phone)]
        assert sorted(scores["patch_id"]) == sorted(wanted["patch_id"])
        metrics = json.loads((folder / "metrics.json").read_text())["image"]
        assert metrics["pairs"] == len(scores)
        assert metrics["psnr_before_db"] == pytest.approx(scores["psnr_before"].mean(), abs=0.01)


def test_the_examples_are_of_the_test_and_of_a_whole_photo(done):
    samples = splits(done).set_index("patch_id")
    for phone in PHONES:
        folder = done.results / "evaluations" / phone
        listed = json.loads((folder / "examples.json").read_text())
        assert {samples.loc[each["patch_id"], "split"] for each in listed["patches"]} == {"test"}
        assert {each["why"] for each in listed["patches"]} == {"spread", "worst"}
        (photo,) = listed["photos"]
        assert photo["note"] == ""
        _, session, name = photo["pair_id"].split("--")
        captured = done.folder / "demo" / "captures" / session / phone / f"{name}.jpg"
        original = decode_photo(captured.read_bytes(), captured)
        assert (photo["height"], photo["width"]) == original.shape[:2]
        detail = photo["detail"]
        rows, columns = (
            slice(detail[at], detail[at] + detail[length]) for at, length in (("y", "height"), ("x", "width"))
        )
        np.testing.assert_array_equal(cv2.imread(str(folder / "examples" / detail["phone"])), original[rows, columns])


# What DVC says of it


def test_git_sees_no_data(done):
    untracked = [line[3:] for line in done.git("status", "--porcelain", "--untracked-files=all").splitlines()]
    assert set(untracked) == {"dvc.lock", "demo/dvc.lock"}


def test_a_second_run_changes_nothing_and_says_so(done):
    before, lock = done.state(), (done.folder / "dvc.lock").read_bytes()
    # This stage alone looks each time which files the parameters name, and writes nothing where they are the same.
    assert done.repro() == ["files"]
    # DVC writes its lock again.
    assert {name: state for name, state in done.state().items() if name != "dvc.lock"} == {
        name: state for name, state in before.items() if name != "dvc.lock"
    }
    assert (done.folder / "dvc.lock").read_bytes() == lock


def test_another_text_of_the_licence_makes_the_release_again_and_nothing_else(done):
    licence = done.folder / "demo" / "LICENCE.txt"
    licence.write_text(f"{licence.read_text()}\nAnd one more line.\n")
    assert set(done.repro()) == {"files", "release"}
    assert (done.results / "release" / "LICENSE").read_text() == licence.read_text()


def test_every_pair_has_its_times(done):
    alignments, timings = (tables(done, "aligned", f"{name}.parquet") for name in ("alignments", "timings"))
    assert timings[["pair_id", "key"]].equals(alignments[["pair_id", "key"]])
    assert (timings["total_s"] > 0).all()


def test_metrics_and_plots_are_shown(done):
    metrics = json.loads(done.dvc("metrics", "show", "--json").stdout)[""]["data"]
    assert set(metrics) == {f"results/evaluations/{phone}/metrics.json" for phone in PHONES}
    assert all(found["data"]["image"]["psnr_after_db"] > 0 for found in metrics.values())
    before = done.git("status", "--porcelain")
    done.dvc("plots", "show")
    page = (done.folder / "dvc_plots" / "index.html").read_text()
    assert "validation_psnr_db" in page
    assert done.git("status", "--porcelain") == before


# What follows: each changes the copy, in the order of the file


def test_a_change_of_the_threshold_alone_leaves_pairs_and_alignments_as_they_are(done):
    accepted = (tables(done, "patches", "patches.parquet")["status"] == "accepted").sum()
    aligned = {name: state for name, state in done.state().items() if name.startswith("results/aligned/")}
    assert len(aligned) == 2 * len(PHONES)
    done.change(patches={"min_ncc": 0.95})
    ran = done.repro()
    assert {f"patches@{phone}" for phone in PHONES} | {"split", "report"} <= set(ran)
    assert not [stage for stage in ran if stage.startswith(("captures", "demo", "pair@", "align@"))]
    assert aligned.items() <= done.state().items()
    patches = tables(done, "patches", "patches.parquet")
    alone = patches[patches["proved_by"] == "window"]
    assert (alone[["ncc", "ncc_without_noise"]].max(axis=1) >= 0.95).all()
    assert (patches["status"] == "accepted").sum() < accepted


def test_an_experiment_trains_longer_and_runs_nothing_before(done):
    done.git("add", "-A")
    done.git("commit", "-qm", "results")
    said = done.dvc("exp", "run", "-S", "train.iterations=6").stdout
    ran = re.findall(r"Running stage '([^']+)'", said)
    assert set(ran) == {f"{stage}@{phone}" for stage in ("train", "evaluate") for phone in PHONES} | {"files", "report"}
    history = pd.read_csv(done.results / "models" / "phone-a" / "history.csv")
    assert history["iteration"].max() == 6
    shown = json.loads(done.dvc("exp", "show", "--json").stdout)
    assert len(shown) >= 2


def test_own_photos_in_another_place_under_other_names(done, rig):
    """The photos lie outside the copy, the cameras are called otherwise, and one phone has a bad photo."""
    own = done.folder.parent / "my photos"
    photos = rig.copy(own, ["001", "002", "003", "004"])
    photos.phone.rename(own / "pixel_8")
    photos.dslr.rename(own / "Nikon.Z6")
    (own / "pixel_8" / "004.png").write_text("no photo")
    done.change(captures={"root": str(own), "reference": "Nikon.Z6", "phones": ["pixel_8"], "sessions": []})
    ran = done.repro()
    assert not [stage for stage in ran if "captures" in stage or "phone-a" in stage]
    table = pd.read_parquet(done.results / "aligned" / "pixel_8" / "alignments.parquet").set_index("scene_id")
    assert table["status"].to_dict() == {"001": "aligned", "002": "aligned", "003": "aligned", "004": "failed"}
    page = (done.results / "report" / "report.html").read_text(encoding="utf-8")
    assert "pixel_8" in page
    assert "phone-a" not in page
    assert "simulated" not in page.lower()
    assert all((own / camera).is_dir() for camera in ("pixel_8", "Nikon.Z6"))


def test_a_camera_that_is_not_there_is_one_sentence(done, rig, tmp_path):
    rig.copy(tmp_path / "own", ["001"])
    done.change(captures={"root": str(tmp_path / "own"), "reference": "dslr", "phones": ["fone"], "sessions": []})
    words = done.run("dpedtool", "pair", "--params", "params.yaml", "--phone", "fone", "-o", "out", code=1).stderr
    assert len(words.splitlines()) == 1
    for part in (str(tmp_path / "own"), "fone", "dslr, phone", "captures.phones"):
        assert part in words
    assert "fone" in done.dvc("repro", code=255).stderr
