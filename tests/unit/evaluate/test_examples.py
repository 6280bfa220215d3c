"""Examples of a network's work: the patches and photos shown, their files, and the notes about missing photos."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from split_rig import frame

import dpedtool.training.enhance.memory
import dpedtool.training.evaluate.examples
import dpedtool.training.evaluate.stage
from dpedtool.dataset.io import file_sha256
from dpedtool.dataset.names import drawn
from dpedtool.dataset.params import EvaluateParams
from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.photos.encoding import save_image
from dpedtool.dataset.schema import Frame
from dpedtool.dataset.tables import write_rows
from dpedtool.training.data import PatchPairs
from dpedtool.training.enhance.whole_photo import Settings, enhance_photo
from dpedtool.training.evaluate.examples import SHOWN_PX, choose_patches
from dpedtool.training.evaluate.stage import evaluate
from dpedtool.training.metrics import Measures
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.precision import choose_precision
from dpedtool.training.weights.checkpoint import load_model, save_model

PHOTO_PX = (500, 360)
ONE_SIDE = ("phone", "network")


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = Architecture(channels=4, blocks=1).build()
    initialise(model, torch.Generator().manual_seed(0))
    model.tail.bias.data += 0.3
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, model, {})
    return folder


@pytest.fixture
def table(tmp_path: Path, make_samples, texture) -> Path:
    """Samples of five test patches, each from a separate photo; the photos are listed next to them."""
    table = make_samples(tmp_path / "patches", {"train": 1, "test": 5})
    write_frames(tmp_path / "patches", texture, PHOTO_PX)
    return table


def write_frames(folder: Path, texture: Callable[..., np.ndarray], size: tuple[int, int]) -> None:
    frames = []
    for index in range(5):
        path = folder / f"test-{index}.png"
        save_image(path, texture(size[1], size[0], seed=90 + index))
        frames.append(frame(path.stem, pair_id=path.stem, phone_path=path, phone_sha256=file_sha256(path)))
    write_rows(Frame.table_in(folder), Frame, frames)


def names_in(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "examples").iterdir())


def run(table: Path, model_dir: Path, out: Path, **params: Any) -> dict[str, Any]:
    evaluate(table, model_dir, out, EvaluateParams(device="cpu", **params))
    found: dict[str, Any] = json.loads((out / "examples.json").read_text())
    named = [each[side] for each in found["patches"] for side in ("phone", "network", "dslr")]
    parts = [photo[part] for photo in found["photos"] for part in ("whole", "detail") if photo[part]]
    named += [part[side] for part in parts for side in ONE_SIDE]
    assert names_in(out) == sorted(named)
    return found


def measures(psnr_db: list[float]) -> Measures:
    errors = torch.tensor([0.0 if math.isinf(each) else 10 ** (-each / 10) for each in psnr_db], dtype=torch.float64)
    return Measures(squared_error=errors, ssim_terms=torch.ones(5, len(errors)).double(), ssim=torch.ones(len(errors)))


def test_the_worst_are_those_that_gain_least_beside_the_untouched_phone() -> None:
    """The gains are 5, -1, 0, -1, no gain since both are perfect, and a loss of a perfect patch."""
    before, after = measures([20, 21, 22, 31, math.inf, math.inf]), measures([25, 20, 22, 30, math.inf, 60])
    assert choose_patches([0], before, after, 1) == {0: "spread", 5: "worst"}
    assert choose_patches([0, 3], before, after, 2) == {0: "spread", 1: "worst", 3: "spread", 5: "worst"}
    assert choose_patches([0, 3], before, after, 3) == {0: "spread", 1: "worst", 3: "worst", 5: "worst"}
    assert choose_patches([], measures([]), measures([]), 3) == {}


def test_patches_are_shown_as_phone_network_and_dslr(tmp_path: Path, table: Path, model_dir: Path) -> None:
    out = tmp_path / "out"
    patches = run(table, model_dir, out, pictures=2, photos=0)["patches"]
    read = PatchPairs(table, "test").read(range(5))
    with torch.inference_mode():
        outputs = load_model(model_dir)(read.phone).clamp(0, 1)
    shown = {each["patch_id"]: each for each in patches}
    assert list(shown) == sorted(shown)
    assert {"test-0", "test-4"} <= set(shown)
    assert [each["why"] for each in patches].count("worst") == 1
    for name, each in shown.items():
        index = int(name[-1])
        phone, network, dslr = (load_photo(out / "examples" / each[side]) for side in ("phone", "network", "dslr"))
        assert (each["width"], each["height"]) == phone.shape[1::-1] == (40, 40)
        for image, expected in ((phone, read.phone), (network, outputs), (dslr, read.dslr)):
            rgb = (expected[index] * 255).permute(1, 2, 0).numpy()
            np.testing.assert_allclose(image[..., ::-1], rgb, atol=0.51)


def test_the_figures_of_a_patch_are_those_of_its_row(tmp_path: Path, table: Path, model_dir: Path) -> None:
    found = run(table, model_dir, tmp_path / "out", pictures=5, photos=0)["patches"]
    rows = pd.read_parquet(tmp_path / "out" / "scores.parquet").set_index("patch_id")
    gains = rows["psnr_after"] - rows["psnr_before"]
    assert sorted(each["patch_id"] for each in found if each["why"] == "worst") == sorted(gains.nsmallest(2).index)
    for each in found:
        row = rows.loc[each["patch_id"]]
        assert each["psnr_before_db"] == pytest.approx(row["psnr_before"])
        assert each["psnr_after_db"] == pytest.approx(row["psnr_after"])
        assert each["ms_ssim_before"] == pytest.approx(row["ms_ssim_before"])
        assert each["ms_ssim_after"] == pytest.approx(row["ms_ssim_after"])


def test_whole_photos_are_what_enhance_makes_of_them(tmp_path: Path, table: Path, model_dir: Path) -> None:
    out = tmp_path / "out"
    photos = run(table, model_dir, out, photos=2)["photos"]
    assert [photo["pair_id"] for photo in photos] == drawn((f"test-{index}" for index in range(5)), 2)
    device = torch.device("cpu")
    settings = Settings(device, choose_precision("auto", device))
    for photo in photos:
        assert (photo["width"], photo["height"], photo["note"]) == (*PHOTO_PX, "")
        before = load_photo(table.parent / f"{photo['pair_id']}.png")
        after = enhance_photo(load_model(model_dir), before, settings)
        assert np.abs(after.astype(int) - before).mean() > 15
        whole, detail = photo["whole"], photo["detail"]
        assert (whole["width"], whole["height"]) == PHOTO_PX
        assert (detail["width"], detail["height"]) == (400, 300)
        for side, image in (("phone", before), ("network", after)):
            in_jpeg = load_photo(out / "examples" / whole[side]).astype(int)
            assert np.abs(in_jpeg - image).mean() < 5
            part = image[detail["y"] : detail["y"] + 300, detail["x"] : detail["x"] + 400]
            np.testing.assert_array_equal(load_photo(out / "examples" / detail[side]), part)


@pytest.mark.parametrize("size", [(2000, 100), (100, 2000)])
def test_a_large_photo_is_shown_small_and_its_detail_as_it_is(
    tmp_path: Path, table: Path, model_dir: Path, texture, size: tuple[int, int]
) -> None:
    write_frames(table.parent, texture, size)
    (photo,) = run(table, model_dir, tmp_path / "out")["photos"]
    small = load_photo(tmp_path / "out" / "examples" / photo["whole"]["network"])
    assert small.shape[1::-1] == (photo["whole"]["width"], photo["whole"]["height"])
    assert sorted(small.shape[:2]) == [SHOWN_PX * 100 // 2000, SHOWN_PX]
    detail = load_photo(tmp_path / "out" / "examples" / photo["detail"]["phone"])
    assert detail.shape[1::-1] == (min(400, size[0]), min(300, size[1]))


def test_equal_inputs_give_equal_bytes(tmp_path: Path, table: Path, model_dir: Path) -> None:
    def content(out: Path) -> dict[str, bytes]:
        run(table, model_dir, out, photos=2)
        return {path.name: path.read_bytes() for path in [*(out / "examples").iterdir(), out / "examples.json"]}

    assert content(tmp_path / "one") == content(tmp_path / "other")


def test_examples_of_an_earlier_run_are_removed_and_nothing_else(tmp_path: Path, table: Path, model_dir: Path) -> None:
    out = tmp_path / "out"
    run(table, model_dir, out, pictures=5, photos=3)
    many = len(names_in(out))
    run(table, model_dir, out, pictures=1, photos=1)
    assert len(names_in(out)) < many
    (out / "examples" / "notes.txt").write_text("mine")
    evaluate(table, model_dir, out, EvaluateParams(device="cpu", photos=0))
    assert (out / "examples" / "notes.txt").read_text() == "mine"
    assert not list((out / "examples").glob("*.jpg"))


def gone(path: Path) -> None:
    path.unlink()


def changed(path: Path) -> None:
    save_image(path, np.zeros((40, 40, 3), np.uint8))


@pytest.mark.parametrize(("spoil", "words"), [(gone, "No such file"), (changed, "is not the photo that was paired")])
def test_a_photo_that_cannot_be_used_is_a_note(
    tmp_path: Path, table: Path, model_dir: Path, spoil: Callable[[Path], None], words: str
) -> None:
    first, second = drawn((f"test-{index}" for index in range(5)), 2)
    spoil(table.parent / f"{first}.png")
    photos = run(table, model_dir, tmp_path / "out", photos=2)["photos"]
    assert [photo["pair_id"] for photo in photos] == [first, second]
    assert words in photos[0]["note"]
    assert f"{first}.png" in photos[0]["note"]
    assert photos[0]["whole"] is photos[0]["detail"] is photos[0]["width"] is None
    assert photos[1]["note"] == ""
    assert photos[1]["whole"]


def test_a_photo_that_does_not_fit_into_the_memory_is_a_note(
    tmp_path: Path, table: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dpedtool.training.enhance.memory, "free_memory", lambda: 10**6)
    (photo,) = run(table, model_dir, tmp_path / "out")["photos"]
    assert photo["note"].startswith("500x360 px need at least ")
    assert photo["note"].endswith("is free: close other programs.")
    assert (tmp_path / "out" / "metrics.json").is_file()


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError()])
def test_memory_that_runs_out_over_a_photo_is_a_note(
    tmp_path: Path, table: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(dpedtool.training.evaluate.examples, "enhance_photo", full)
    (photo,) = run(table, model_dir, tmp_path / "out")["photos"]
    assert "needs too much memory: close other programs" in photo["note"]
    monkeypatch.setattr(dpedtool.training.evaluate.examples, "enhance_photo", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(table, model_dir, tmp_path / "out")


def test_an_imported_set_has_patches_alone(tmp_path: Path, table: Path, model_dir: Path) -> None:
    Frame.table_in(table.parent).unlink()
    found = run(table, model_dir, tmp_path / "out")
    assert len(found["patches"]) == 5
    (photo,) = found["photos"]
    assert "Imported data sets have no such table" in photo["note"]


def test_without_test_patches_the_lists_are_empty_and_the_folder_is_there(
    tmp_path: Path, make_samples, model_dir: Path
) -> None:
    table = make_samples(tmp_path / "patches", {"train": 1})
    assert run(table, model_dir, tmp_path / "out") == {"patches": [], "photos": []}
    assert (tmp_path / "out" / "examples").is_dir()


def test_an_evaluation_that_fails_leaves_no_list_of_files_that_are_gone(
    tmp_path: Path, table: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(table, model_dir, out)

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(dpedtool.training.evaluate.examples, "enhance_photo", full)
    with pytest.raises(OSError, match="disk full"):
        run(table, model_dir, out)
    assert not (out / "examples.json").exists()


@pytest.mark.parametrize(("most", "count"), [(0, 0), (2, 2), (9, 5), (None, 5)])
def test_a_sample_by_digest_depends_neither_on_order_nor_on_what_was_not_drawn(most: int | None, count: int) -> None:
    names = ["e", "b", "d", "a", "c"]
    found = drawn(names, most)
    assert found == drawn(sorted(names), most) == sorted(found)
    assert len(found) == count
    assert drawn(found, most) == found
