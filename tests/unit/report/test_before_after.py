"""What the report shows about a network: the examples of stage evaluate, or why there are none."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from report_rig import render_part
from split_rig import frame

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import file_sha256, write_json
from dpedtool.dataset.params import CapturesParams, EvaluateParams, Params
from dpedtool.dataset.photos.encoding import save_image
from dpedtool.dataset.schema import Frame, Pair
from dpedtool.dataset.tables import write_rows
from dpedtool.pipeline.report.before_after import PhoneNetwork, network_examples
from dpedtool.pipeline.report.results import RunResults
from dpedtool.training.evaluate.stage import evaluate
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.weights.checkpoint import load_model, save_model

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def results(tmp_path: Path, make_samples, texture) -> Path:
    """A network evaluated on six test patches, one of them with a photo."""
    results = tmp_path / "results"
    model = Architecture(channels=2, blocks=0).build()
    initialise(model, torch.Generator().manual_seed(0))
    save_model(results / "models" / "a", model, {})
    table = make_samples(results / "patches" / "a", {"test": 6})
    photo = tmp_path / "photo.png"
    save_image(photo, texture(100, 2000))
    frames = [
        frame(f"test-{index}", pair_id=f"test-{index}", phone_path=photo, phone_sha256=file_sha256(photo))
        for index in range(6)
    ]
    write_rows(Frame.table_in(table.parent), Frame, frames)
    score(results)
    return results


def score(results: Path) -> None:
    params = EvaluateParams(device="cpu", pictures=2)
    evaluate(results / "patches/a/samples.parquet", results / "models/a", results / "evaluations/a", params)


def shown(results: Path) -> PhoneNetwork:
    run = RunResults(results, Params(captures=CapturesParams(phones=("a",))))
    (phone,) = network_examples(run)
    return phone


def page(phones: Sequence[PhoneNetwork]) -> str:
    return render_part("network.html", network=phones)


def change(results: Path, name: str, changing: Callable[[dict[str, Any]], Any]) -> None:
    path = results / "evaluations/a" / name
    data = json.loads(path.read_text())
    changing(data)
    write_json(path, data)


def test_the_page_shows_the_files_and_figures_of_the_examples(results: Path) -> None:
    listed = json.loads((results / "evaluations/a/examples.json").read_text())
    phone = shown(results)
    patches = {patch.patch_id: patch for patch in (*phone.spread, *phone.worst)}
    assert sorted(patches) == [each["patch_id"] for each in listed["patches"]]
    for each in listed["patches"]:
        patch = patches[each["patch_id"]]
        assert patch.is_worst == (each["why"] == "worst")
        assert (patch.psnr_before_db, patch.psnr_after_db) == (each["psnr_before_db"], each["psnr_after_db"])
        for side in ("phone", "network", "dslr"):
            content = (results / "evaluations/a/examples" / each[side]).read_bytes()
            assert getattr(patch, side).src == f"data:image/png;base64,{base64.b64encode(content).decode()}"
    text = page([phone])
    for patch in patches.values():
        assert f"Phone: PSNR {patch.psnr_before_db:.2f} dB" in text
        gain = patch.psnr_after_db - patch.psnr_before_db
        assert f"Network: PSNR {patch.psnr_after_db:.2f} dB ({gain:+.2f})" in text
    assert text.count('width="120" height="120"') == 3 * len(patches)


def test_the_summary_has_the_means_of_the_metrics(results: Path) -> None:
    image = json.loads((results / "evaluations/a/metrics.json").read_text())["image"]
    summary = shown(results).summary
    assert f"PSNR {image['psnr_before_db']:.2f} dB to {image['psnr_after_db']:.2f} dB" in summary
    assert f"MS-SSIM {image['ms_ssim_before']:.4f} to {image['ms_ssim_after']:.4f}" in summary
    assert summary.startswith("The mean of 6 test patches")


def test_a_whole_photo_and_a_detail_are_there_to_be_compared(results: Path) -> None:
    text = page([shown(results)])
    compared = re.findall(r"<div data-compare>(.*?)</div>", text, re.DOTALL)
    assert [re.findall(r'data-name="(\w+)"', each) for each in compared] == [["phone", "network"]] * 2
    assert 'width="1600" height="80"' in compared[0]
    assert 'width="400" height="100"' in compared[1]
    assert all(len(re.findall(r'alt="[^"]+, (?:untouched|after the network)"', each)) == 2 for each in compared)
    assert "The whole photo, 2000x100 px, shown at 1600x80 px." in text


def test_the_worst_come_worst_first(results: Path) -> None:
    def losing(data: dict[str, Any]) -> None:
        for each, after in zip(data["patches"], (30.0, 20.0, None), strict=False):
            each.update(why="worst", psnr_before_db=25.0, psnr_after_db=after)

    change(results, "examples.json", losing)
    gains = [patch.gain_db for patch in shown(results).worst]
    assert gains[:2] == [-5, 5]
    assert gains[-1] == math.inf
    text = page([shown(results)])
    assert "Network: PSNR 20.00 dB (-5.00)<" in text
    assert "Network: PSNR infinite<" in text


def test_pairs_are_linked_where_they_are_known(results: Path) -> None:
    assert "#pair=" not in page([shown(results)])
    write_rows(Pair.table_in(results / "pairs" / "a"), Pair, [])
    assert re.search(r'<a href="#pair=(test-\d)">\1</a>', page([shown(results)]))


def test_an_untrained_network_is_called_so(results: Path) -> None:
    save_model(results / "models/a", load_model(results / "models/a"), {"trained": False})
    score(results)
    phone = shown(results)
    assert phone.summary.startswith("The network is untrained")
    text = page([phone])
    assert "Untrained network: PSNR" in text
    assert 'data-name="untrained network"' in text


def test_what_is_not_there_is_said_in_words(results: Path) -> None:
    change(results, "metrics.json", lambda data: data["image"].update(pairs=0))
    assert "no test patches" in shown(results).note
    (results / "evaluations/a/examples.json").unlink()
    assert "run `dpedtool evaluate` again" in shown(results).note
    (results / "evaluations/a/metrics.json").unlink()
    phone = shown(results)
    assert phone.note == "The network has no scores: the stage evaluate has not run."
    assert f'<p class="note">{phone.note}</p>' in page([phone])
    assert "There is no phone" in page([])


def test_a_photo_that_was_not_shown_says_why(results: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.png").unlink()
    score(results)
    (photo,) = shown(results).photos
    assert photo.comparisons == ()
    assert '<p class="note">' in page([shown(results)])
    assert "photo.png: No such file" in page([shown(results)])
    assert str(tmp_path) not in page([shown(results)])


def test_notes_and_names_are_only_text(results: Path) -> None:
    def hostile(data: dict[str, Any]) -> None:
        data["photos"][0].update(note=HOSTILE, pair_id=HOSTILE)
        data["patches"][0].update(patch_id=f'"{HOSTILE}', pair_id=HOSTILE)

    change(results, "examples.json", hostile)
    text = page([replace(shown(results), has_pairs=has_pairs, name=HOSTILE) for has_pairs in (True, False)])
    assert HOSTILE not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text


def test_a_file_that_the_list_names_and_that_is_gone_names_itself(results: Path) -> None:
    listed = json.loads((results / "evaluations/a/examples.json").read_text())
    for name in (listed["patches"][0]["network"], listed["photos"][0]["detail"]["phone"]):
        path = results / "evaluations/a/examples" / name
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(DpedtoolError, match=f"{re.escape(name)} cannot be read .*dpedtool evaluate"):
            shown(results)
        path.write_bytes(content)
    assert shown(results).photos


DAMAGES: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "no patches": ("examples.json", lambda data: data.pop("patches")),
    "a text": ("examples.json", lambda data: data.update(photos="none")),
    "no size": ("examples.json", lambda data: data["patches"][0].update(width="wide")),
    "no figure": ("examples.json", lambda data: data["patches"][0].update(psnr_after_db="high")),
    "another folder's file": ("examples.json", lambda data: data["patches"][0].update(phone="../scores.parquet")),
    "no protocol": ("metrics.json", lambda data: data.pop("image")),
    "no score": ("metrics.json", lambda data: data["image"].update(ms_ssim_after=None)),
}


def test_an_example_that_is_no_picture_is_not_put_into_the_page(results: Path) -> None:
    path = next((results / "evaluations/a/examples").glob("*.network.png"))
    path.write_text("<svg onload=alert(1)/>")
    with pytest.raises(
        DpedtoolError, match=r"examples.json is not as this version writes it \(it is neither PNG nor JPEG"
    ):
        shown(results)


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_names_itself(results: Path, name: str) -> None:
    file, damaging = DAMAGES[name]
    change(results, file, damaging)
    with pytest.raises(DpedtoolError, match=rf"{file} is not as this version writes it .*: run its stage again"):
        shown(results)


def test_a_picture_behind_a_link_that_leads_out_is_not_embedded(results: Path) -> None:
    picture = next((results / "evaluations/a/examples").glob("*.png"))
    secret = picture.rename(results.parent / "secret.png")
    picture.symlink_to(secret)
    with pytest.raises(DpedtoolError, match=rf"{picture.name} cannot be read .it leads out of"):
        shown(results)


def test_a_picture_in_the_cache_of_dvc_is_embedded(results: Path) -> None:
    before = shown(results)
    picture = next((results / "evaluations/a/examples").glob("*.png"))
    cached = results.parent / ".dvc/cache/files/md5" / "0a" / ("1" * 30)
    cached.parent.mkdir(parents=True)
    picture.rename(cached)
    picture.symlink_to(cached)
    assert shown(results) == before
