"""Enhancing photo files: names, bad photos among good ones, and the messages about them."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import photo_exif as known
import pytest
import torch
from photo_headers import jpeg_header, png_header
from PIL import Image as PillowImage
from rich.console import Console

from dpedtool.dataset import progress
from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.training.enhance import stage as photos
from dpedtool.training.enhance.memory import Plan
from dpedtool.training.enhance.stage import Existing, Output, check_results, enhance_photos, find_photos
from dpedtool.training.enhance.whole_photo import Settings, enhance_photo, plan
from dpedtool.training.networks.generators import Architecture, Generator

pytestmark = pytest.mark.usefixtures("one_thread")
ON_CPU = Settings(torch.device("cpu"), "float32")


@pytest.fixture(scope="module")
def model() -> Generator:
    torch.manual_seed(0)
    return Architecture(channels=4, blocks=1).build().eval()


@pytest.fixture
def photo(tmp_path: Path, texture) -> Path:
    return stored(tmp_path / "in" / "a.png", encode_image(texture(40, 60), ".png"))


def stored(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Results


@pytest.mark.parametrize("format_", ["png", "tiff"])
def test_a_result_is_what_the_network_makes_of_the_photo(
    tmp_path: Path, model: Generator, photo: Path, format_, capsys
) -> None:
    assert enhance_photos(model, [photo], ON_CPU, Output(tmp_path / "out", format_)) == (1, 1, 0)
    assert names(tmp_path / "out") == [f"a.{format_}"]
    expected = enhance_photo(model, cv2.imread(str(photo)), ON_CPU)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out" / f"a.{format_}")), expected)
    assert capsys.readouterr().err == ""


def test_a_photo_that_was_turned_is_upright_and_says_so(tmp_path: Path, model: Generator) -> None:
    source = stored(tmp_path / "a.jpg", known.photo_bytes("JPEG", known.full_exif(orientation=6)))
    enhance_photos(model, [source], ON_CPU, Output(tmp_path / "out"))
    with PillowImage.open(tmp_path / "out" / "a.png") as result:
        assert result.size == (40, 60)
        exif = result.getexif()
    assert exif[known.ORIENTATION] == 1
    assert exif[known.MODEL] == "Model 1"
    assert (exif.get_ifd(known.EXIF)[known.WIDTH], exif.get_ifd(known.EXIF)[known.HEIGHT]) == (40, 60)
    assert not exif.get_ifd(known.GPS)


def test_metadata_are_dropped_and_positions_kept_where_that_is_asked_for(tmp_path: Path, model: Generator) -> None:
    source = stored(tmp_path / "a.jpg", known.photo_bytes("JPEG", known.full_exif()))
    for folder, output in (
        ("without", Output(tmp_path / "without", metadata=False)),
        ("where", Output(tmp_path / "where", gps=True)),
    ):
        enhance_photos(model, [source], ON_CPU, output)
        with PillowImage.open(tmp_path / folder / "a.png") as result:
            exif = result.getexif()
            assert bool(exif) == bool(exif.get_ifd(known.GPS)) == (folder == "where")


@pytest.mark.parametrize(
    "pixels",
    [np.full((1, 1, 3), 90, np.uint8), np.full((30, 20), 90, np.uint8), np.full((30, 20, 4), 90, np.uint8)],
    ids=["one px", "grey", "transparent"],
)
def test_unusual_photos_have_a_result_in_colour(tmp_path: Path, model: Generator, pixels: np.ndarray) -> None:
    source = stored(tmp_path / "a.png", known.photo_bytes("PNG", None, pixels))
    assert enhance_photos(model, [source], ON_CPU, Output(tmp_path / "out")) == (1, 1, 0)
    result = cv2.imread(str(tmp_path / "out" / "a.png"), cv2.IMREAD_UNCHANGED)
    expected = enhance_photo(model, np.full((*pixels.shape[:2], 3), 90, np.uint8), ON_CPU)
    np.testing.assert_array_equal(result, expected)


def test_before_and_after_are_shown_in_one_picture(tmp_path: Path, model: Generator, photo: Path) -> None:
    enhance_photos(model, [photo], ON_CPU, Output(tmp_path / "out", "jpg", compare=True))
    assert names(tmp_path / "out") == ["a.compare.jpg", "a.jpg"]
    assert cv2.imread(str(tmp_path / "out" / "a.compare.jpg")).shape[1] > 2 * 60


def test_leftovers_are_cleared_away_and_nothing_else(tmp_path: Path, model: Generator, photo: Path) -> None:
    stored(tmp_path / "out" / ".x.dpedtool-part", b"half a file of a killed run")
    stored(tmp_path / "out" / "other.txt", b"mine")
    elsewhere = stored(tmp_path / "out" / "below" / ".x.dpedtool-part", b"of a run that writes there")
    enhance_photos(model, [photo], ON_CPU, Output(tmp_path / "out"))
    assert names(tmp_path / "out") == ["a.png", "below", "other.txt"]
    assert elsewhere.exists()


# Existing results


@pytest.fixture
def three(photo: Path) -> list[Path]:
    return [photo, *(stored(photo.with_name(name), photo.read_bytes()) for name in ("b.png", "c.png"))]


def test_what_is_there_is_refused_before_anything_runs(tmp_path: Path, model: Generator, three: list[Path]) -> None:
    mine = stored(tmp_path / "out" / "b.png", b"mine")
    (tmp_path / "out" / "c.png").symlink_to("nowhere")
    with pytest.raises(DpedtoolError) as refused:
        enhance_photos(model, three, ON_CPU, Output(tmp_path / "out"))
    assert str(refused.value).startswith(f"{mine} exists already (2 result files in all): ")
    assert "--existing skip" in str(refused.value)
    assert "--existing replace" in str(refused.value)
    assert names(tmp_path / "out") == ["b.png", "c.png"]
    assert mine.read_bytes() == b"mine"


def test_photos_whose_results_are_all_there_are_skipped(
    tmp_path: Path, model: Generator, three: list[Path], capsys
) -> None:
    out = tmp_path / "out"
    for name in ("a.png", "a.compare.jpg", "b.png"):
        stored(out / name, b"of an earlier run")
    three[0].write_bytes(b"no photo any more")
    output = Output(out, compare=True, existing="skip")
    assert enhance_photos(model, three, ON_CPU, output) == (2, 2, 1)
    assert names(out) == ["a.compare.jpg", "a.png", "b.compare.jpg", "b.png", "c.compare.jpg", "c.png"]
    earlier = [name for name in names(out) if (out / name).read_bytes() == b"of an earlier run"]
    assert earlier == ["a.compare.jpg", "a.png"]
    assert enhance_photos(model, three, ON_CPU, output) == (0, 0, 3)
    assert capsys.readouterr().err == ""


def test_what_is_there_is_replaced_where_that_is_asked_for(tmp_path: Path, model: Generator, photo: Path) -> None:
    stored(tmp_path / "out" / "a.png", b"an earlier result")
    assert enhance_photos(model, [photo], ON_CPU, Output(tmp_path / "out", existing="replace")) == (1, 1, 0)
    assert cv2.imread(str(tmp_path / "out" / "a.png")).shape == (40, 60, 3)


# Names


def test_folders_hold_photos_and_a_file_named_twice_is_one(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.png", "notes.txt"):
        stored(tmp_path / "in" / name, b"any")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    folder = tmp_path / "in"
    assert find_photos([folder / "b.jpg", folder, tmp_path / "link" / "b.jpg"]) == [folder / "b.jpg", folder / "a.png"]
    with pytest.raises(DpedtoolError, match="holds no photos"):
        find_photos([stored(tmp_path / "films" / "a.mov", b"any").parent])


@pytest.mark.parametrize(
    "others", [("a/IMG_1.jpg", "b/IMG_1.jpg"), ("a/IMG_1.JPG", "a/img_1.png"), ("a/\u00e9.jpg", "b/e\u0301.jpg")]
)
def test_two_results_of_one_name_are_refused_with_both_photos(tmp_path: Path, others: tuple[str, str]) -> None:
    first, second = (stored(tmp_path / name, b"any") for name in others)
    with pytest.raises(DpedtoolError) as refused:
        check_results([first, second], Output(tmp_path / "out"))
    assert f"{first} and {second} would both become" in str(refused.value)


def test_a_comparison_is_a_result_like_the_others(tmp_path: Path) -> None:
    pair = [stored(tmp_path / name, b"any") for name in ("a.compare.png", "a.png")]
    check_results(pair, Output(tmp_path / "out", "jpg"))
    check_results(pair, Output(tmp_path / "out", "png", compare=True))
    with pytest.raises(DpedtoolError, match=r"would both become .*a\.compare\.jpg"):
        check_results(pair, Output(tmp_path / "out", "jpg", compare=True))


@pytest.mark.parametrize("way", ["same folder", "linked folder", "linked photo", "linked result"])
@pytest.mark.parametrize("existing", ["refuse", "skip", "replace"])
def test_no_photo_is_replaced_by_a_result(
    tmp_path: Path, model: Generator, photo: Path, way: str, existing: Existing
) -> None:
    before, out, source = photo.read_bytes(), photo.parent, photo
    if way == "linked folder":
        out = tmp_path / "link"
        out.symlink_to(photo.parent)
    elif way == "linked photo":
        source = tmp_path / "a.jpg"
        source.symlink_to(photo)
    elif way == "linked result":
        out = tmp_path / "out"
        out.mkdir()
        (out / "a.png").symlink_to(photo)
    with pytest.raises(DpedtoolError, match="would replace the photo"):
        enhance_photos(model, [source], ON_CPU, Output(out, existing=existing))
    assert photo.read_bytes() == before


def test_a_second_run_into_the_folder_is_refused(tmp_path: Path, model: Generator, photo: Path, monkeypatch) -> None:
    output, refused = Output(tmp_path / "out", existing="replace"), []

    def again(*given: Any) -> Plan:
        with pytest.raises(DpedtoolError, match="Another run") as error:
            enhance_photos(model, [photo], ON_CPU, output)
        refused.append(error)
        return plan(*given)

    monkeypatch.setattr(photos, "plan", again)
    assert enhance_photos(model, [photo], ON_CPU, output) == (1, 1, 0)
    assert refused
    monkeypatch.undo()
    assert enhance_photos(model, [photo], ON_CPU, output) == (1, 1, 0)


# Photos that cannot be used


def bad_photos(folder: Path) -> dict[str, str]:
    """Write bad photos to a folder; return a part of the expected message by name."""
    whole = {kind: known.photo_bytes(kind, None) for kind in ("JPEG", "PNG", "TIFF")}
    stored(folder / "cut.jpg", whole["JPEG"][:-40])
    stored(folder / "half_png.png", whole["PNG"][: len(whole["PNG"]) // 2])
    stored(folder / "half_tiff.tif", whole["TIFF"][: len(whole["TIFF"]) // 2])
    stored(folder / "empty.jpg", b"")
    stored(folder / "text.jpg", b"this is no photo\n")
    stored(folder / "huge_png.png", png_header(60000, 60000))
    stored(folder / "huge_jpeg.jpg", jpeg_header(60000, 60000))
    return {
        "cut.jpg": "ends too early",
        "half_png.png": "not a complete",
        "half_tiff.tif": "not a complete",
        "empty.jpg": "the file is empty",
        "text.jpg": "not a complete",
        "huge_png.png": "megapixels",
        "huge_jpeg.jpg": "megapixels",
        "missing.jpg": "No such file",
    }


def test_bad_photos_are_one_sentence_each_and_stop_no_other(
    tmp_path: Path, model: Generator, photo: Path, capfd
) -> None:
    """The decoders print no other messages."""
    expected = bad_photos(tmp_path / "bad")
    bad = [tmp_path / "bad" / name for name in expected]
    assert enhance_photos(model, [*bad, photo], ON_CPU, Output(tmp_path / "out")) == (1, len(bad) + 1, 0)
    lines = capfd.readouterr().err.splitlines()
    for line, path, text in zip(lines, bad, expected.values(), strict=True):
        assert line.startswith(f"{path}: ")
        assert text in line
    assert names(tmp_path / "out") == ["a.png"]


def test_damage_within_a_jpeg_is_said_with_its_name(tmp_path: Path, model: Generator, capfd) -> None:
    content = bytearray(known.photo_bytes("JPEG", None))
    place = len(content) // 2
    content[place : place + 2] = b"\xff\xd0"
    source = stored(tmp_path / "a.jpg", bytes(content))
    # Nothing tells which rows are right.
    assert enhance_photos(model, [source], ON_CPU, Output(tmp_path / "out")) == (0, 1, 0)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"{source}: its JPEG data is damaged or ends too early")


def test_damage_whose_place_is_known_is_said_and_the_photo_is_enhanced(tmp_path: Path, model: Generator, capfd) -> None:
    content = known.photo_bytes("JPEG", None)
    place = content.index(b"\xff\xda") + 14
    place += (len(content) - place) // 2
    source = stored(tmp_path / "a.jpg", content[:place] + bytes(128) + content[place + 128 :])
    assert enhance_photos(model, [source], ON_CPU, Output(tmp_path / "out")) == (1, 1, 0)
    assert "its JPEG data is damaged from row" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "there was not enough memory: close other programs, or set a limit with --max-memory."),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), "there was not"),
        (torch.OutOfMemoryError("CUDA out of memory."), "the GPU ran out of memory: close other programs that use it"),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might"), "the GPU ran out of memory"),
    ],
)
def test_a_photo_for_which_the_memory_runs_out_is_one_sentence(
    tmp_path: Path, model: Generator, photo: Path, monkeypatch, capsys, error: Exception, said: str
) -> None:
    other = stored(tmp_path / "in" / "b.png", photo.read_bytes())

    def enhance(*given: Any) -> np.ndarray:
        if not failed:
            failed.append(error)
            raise error
        return given[1]

    failed: list[Exception] = []
    monkeypatch.setattr(photos, "enhance_photo", enhance)
    assert enhance_photos(model, [photo, other], ON_CPU, Output(tmp_path / "out")) == (1, 2, 0)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{photo}: {said}")
    assert names(tmp_path / "out") == ["b.png"]


def test_a_name_that_is_too_long_is_its_photos_fault_alone(
    tmp_path: Path, model: Generator, photo: Path, capsys
) -> None:
    long = photo.rename(photo.with_name(f"{'x' * 248}.png"))
    other = stored(tmp_path / "in" / "b.png", long.read_bytes())
    output = Output(tmp_path / "out", compare=True)
    assert enhance_photos(model, [long, other], ON_CPU, output) == (1, 2, 0)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{long}: the name of its result, {long.stem}.compare.jpg, is too long for ")
    assert names(tmp_path / "out") == ["b.compare.jpg", "b.png"]


def test_a_scratch_file_is_told_of(tmp_path: Path, model: Generator, photo: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(photos, "plan", lambda *given: replace(plan(*given), rows=7, scratch=12_345_678))
    settings = replace(ON_CPU, scratch=tmp_path)
    assert enhance_photos(model, [photo], settings, Output(tmp_path / "out")) == (1, 1, 0)
    assert capsys.readouterr().err == f"{photo}: 0.02 GB goes to a scratch file in {tmp_path}.\n"


def test_other_errors_are_no_photos_fault(tmp_path: Path, model: Generator, photo: Path, monkeypatch) -> None:
    def enhance(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(photos, "enhance_photo", enhance)
    with pytest.raises(RuntimeError, match="a bug"):
        enhance_photos(model, [photo], ON_CPU, Output(tmp_path / "out"))


def test_a_size_is_judged_before_the_photo_is_decoded(tmp_path: Path, model: Generator, monkeypatch, capsys) -> None:
    """The plan is made for a photo file with nothing but a header."""
    source = stored(tmp_path / "a.bmp", known.photo_bytes("BMP", None)[:60])
    asked = []

    def refuse(architecture: Architecture, size: tuple[int, int], settings: Settings) -> None:
        asked.append((architecture, size, settings))
        raise Rejection("too_little_memory", "60x40 px need at least 9.00 GB of memory.")

    monkeypatch.setattr(photos, "plan", refuse)
    assert enhance_photos(model, [source], ON_CPU, Output(tmp_path / "out")) == (0, 1, 0)
    assert asked == [(model.architecture, (60, 40), ON_CPU)]
    assert capsys.readouterr().err == f"{source}: 60x40 px need at least 9.00 GB of memory.\n"


def test_what_was_ignored_of_a_photo_is_said(tmp_path: Path, model: Generator, capsys) -> None:
    exif = b"Exif\0\0II*\0\xff\xff\xff\xff"
    source = stored(tmp_path / "a.jpg", known.photo_bytes("JPEG", exif))
    assert enhance_photos(model, [source], ON_CPU, Output(tmp_path / "out")) == (1, 1, 0)
    assert capsys.readouterr().err == f"{source}: its EXIF block is damaged and was left out.\n"
    enhance_photos(model, [source], ON_CPU, Output(tmp_path / "without", metadata=False))
    assert capsys.readouterr().err == ""


def test_a_result_that_cannot_be_written_stops_the_run_and_leaves_the_earlier_one(
    tmp_path: Path, model: Generator, photo: Path, monkeypatch
) -> None:
    result = stored(tmp_path / "out" / "a.png", b"an earlier result")

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left") as error:
        enhance_photos(model, [photo], ON_CPU, Output(tmp_path / "out", existing="replace"))
    assert error.value.filename == str(result)
    assert names(tmp_path / "out") == ["a.png"]
    assert result.read_bytes() == b"an earlier result"


# Progress


def test_progress_within_a_photo_is_told_in_lines(
    tmp_path: Path, model: Generator, photo: Path, monkeypatch, capsys
) -> None:
    def enhance(*given: Any) -> np.ndarray:
        _, image, _, _, tell = given
        tell(0.25)
        return image

    other = stored(tmp_path / "in" / "b.png", photo.read_bytes())
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    monkeypatch.setattr(photos, "enhance_photo", enhance)
    enhance_photos(model, [photo, other], ON_CPU, Output(tmp_path / "out"))
    lines = [line.rsplit(",", 1)[0] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "enhance: 0 of 2 and 25 %",
        "enhance: 1 of 2",
        "enhance: 1 of 2 and 25 %",
        "enhance: 2 of 2",
    ]


def test_on_a_terminal_a_bar_moves_within_a_photo(monkeypatch) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(progress, "Console", lambda **_: terminal)
    with progress.showing("enhance", 2) as reach:
        assert terminal.is_terminal
        for done in (0.5, 1, 1.5):
            reach(done)
    shown = terminal.file.getvalue()
    assert "enhance" in shown
    assert "1/2" in shown
