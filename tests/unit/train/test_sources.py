"""The pairs for training: two folders, with some pairs held out independently of their order."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.train.sources import Source, from_folders, from_table
from dpedtool.training.train.stage import HELD_OUT, train


@pytest.fixture
def folders(tmp_path: Path, texture) -> tuple[Path, Path]:
    for camera in ("phone", "dslr"):
        (tmp_path / camera).mkdir()
        for number in range(10):
            (tmp_path / camera / f"{number}.png").write_bytes(encode_image(texture(40, 40, number), ".png"))
    return tmp_path / "phone", tmp_path / "dslr"


def sides(source: Source) -> tuple[list[str], list[str]]:
    return source.training.names(), source.validation.names()


def test_two_folders_are_divided_by_share_and_seed(folders: tuple[Path, Path]) -> None:
    training, validation = sides(from_folders(*folders, None, TrainParams(held_out=0.3)))
    assert (len(training), len(validation)) == (7, 3)
    assert sorted(training + validation) == [f"{number}.png" for number in range(10)]
    others = [sides(from_folders(*folders, None, TrainParams(held_out=0.3, seed=seed)))[1] for seed in range(1, 5)]
    assert any(other != validation for other in others)
    assert sides(from_folders(*folders, None, TrainParams(held_out=0.0)))[1] == []


def test_a_list_names_the_pairs_to_take(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("7.png\n3\n\n 5.png \n")
    training, validation = sides(from_folders(*folders, tmp_path / "names.txt", TrainParams(held_out=0.4)))
    assert sorted(training + validation) == ["3.png", "5.png", "7.png"]
    assert len(validation) == 1


def test_a_pair_that_is_listed_twice_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("7.png\n3\n7\n")
    with pytest.raises(DpedtoolError, match=r"^7 is listed twice and .*: list it once\.$"):
        from_folders(*folders, tmp_path / "names.txt", TrainParams())


def test_the_digest_changes_with_the_sides(folders: tuple[Path, Path], tmp_path: Path, make_samples) -> None:
    one = from_folders(*folders, None, TrainParams(held_out=0.3)).digest()
    assert from_folders(*folders, None, TrainParams(held_out=0.3)).digest() == one
    assert from_folders(*folders, None, TrainParams(held_out=0.2)).digest() != one
    table = make_samples(tmp_path / "samples", {"train": 2, "validation": 1})
    assert len({one, from_table(table).digest()}) == 2


def test_what_was_held_out_is_listed_beside_the_model(folders: tuple[Path, Path], tmp_path: Path) -> None:
    params = TrainParams(held_out=0.3, channels=3, blocks=0, iterations=1, batch=1, crop_px=32, device="cpu")
    source = from_folders(*folders, None, params)
    train(source, tmp_path / "model", params)
    listed = (tmp_path / "model" / HELD_OUT).read_text(encoding="utf-8").split()
    assert listed == source.validation.names()
    assert len(listed) == 3
