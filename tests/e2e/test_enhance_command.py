"""The command enhance: photos to files, options that are wrong, a full disk and an interruption."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import photo_exif as known
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image as PillowImage

from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.pipeline.cli import main
from dpedtool.training.enhance.whole_photo import Settings, enhance_photo
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.weights.checkpoint import load_model, save_model


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_model(path, Architecture(channels=4, blocks=1).build(), {})
    return path


@pytest.fixture
def photos(tmp_path: Path, texture) -> Path:
    """A folder of two photos, the first with everything in its EXIF block."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(known.photo_bytes("JPEG", known.full_exif()))
    (tmp_path / "in" / "b.png").write_bytes(encode_image(texture(50, 70), ".png"))
    return tmp_path / "in"


def run(*arguments: object, code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["enhance", *map(str, arguments)])
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_the_mean_of_all_turns_is_written_if_it_is_asked_for(tmp_path: Path, photos: Path, weights: Path) -> None:
    out, photo = tmp_path / "out", photos / "b.png"
    run(photo, "-o", out, "--weights", weights, "--precision", "float32", "--self-ensemble")
    model = load_model(weights)
    settings = Settings(torch.device("cpu"), "float32", self_ensemble=True)
    expected = enhance_photo(model, cv2.imread(str(photo)), settings)
    np.testing.assert_array_equal(cv2.imread(str(out / "b.png")), expected)
    assert (expected != enhance_photo(model, cv2.imread(str(photo)), replace(settings, self_ensemble=False))).any()


def test_a_folder_of_photos_and_a_bad_one(tmp_path: Path, photos: Path, weights: Path, dpedtool) -> None:
    (photos / "text.jpg").write_text("no photo")
    out = tmp_path / "out"
    ended = dpedtool("enhance", photos, "-o", out, "--weights", weights, "--precision", "float32", code=1)
    assert ended.out == ""
    assumed = f"{photos / 'a.jpg'}: its EXIF block calls its colours uncalibrated, and they are taken as sRGB."
    assert ended.said == [
        assumed,
        f"{photos / 'text.jpg'}: it is not a complete JPEG, PNG, TIFF or HEIC file.",
        "Error: Enhanced 2 of 3 photos: see above for the others.",
    ]
    (photos / "text.jpg").unlink()
    again = ("enhance", photos, "-o", out, "--weights", weights, "--precision", "float32", "--compare")
    assert f"{out / 'a.png'} exists already (2 result files in all)" in dpedtool(*again, code=1).sentence
    ended = dpedtool(*again, "--existing", "replace")
    assert (ended.out, ended.said) == (f"2 photos in {out}.\n", [assumed])
    assert sorted(path.name for path in out.iterdir()) == ["a.compare.jpg", "a.png", "b.compare.jpg", "b.png"]
    with PillowImage.open(out / "a.png") as result:
        assert result.getexif()[known.MODEL] == "Model 1"
        assert not result.getexif().get_ifd(known.GPS)


def test_results_are_the_networks_in_the_format_asked_for(tmp_path: Path, photos: Path, weights: Path) -> None:
    from dpedtool.training.weights.checkpoint import load_model

    options = ["--weights", weights, "--device", "cpu", "--precision", "float32", "--max-memory", "50GB"]
    done = run(photos / "b.png", "-o", tmp_path / "out", "--format", "tiff", "--no-scratch", *options)
    assert done.stdout == f"1 photo in {tmp_path / 'out'}.\n"
    expected = enhance_photo(
        load_model(weights), cv2.imread(str(photos / "b.png")), Settings(torch.device("cpu"), "float32")
    )
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out" / "b.tiff")), expected)
    sizes = []
    options += ["--existing", "replace"]
    for quality in (50, 90):
        run(photos, "-o", tmp_path, "--format", "jpg", "--quality", quality, "--metadata", "drop", *options)
        sizes.append((tmp_path / "b.jpg").stat().st_size)
        with PillowImage.open(tmp_path / "a.jpg") as result:
            assert not result.getexif()
    assert sizes[0] < sizes[1]


def test_photos_may_be_urls_and_have_any_name(tmp_path: Path, photos: Path, weights: Path, dpedtool) -> None:
    archive = shutil.make_archive(str(tmp_path / "photos"), "zip", photos)
    odd = Path(os.fsdecode(os.fsencode(photos) + b"/caf\xe9 $(x) [red].jpg"))
    shutil.copy(photos / "a.jpg", odd)
    out = tmp_path / "out"
    ended = dpedtool("enhance", f"zip://b.png::{archive}", odd, "-o", out, "--weights", weights)
    assert ended.out == f"2 photos in {out}.\n"
    assert {path.name for path in out.iterdir()} == {"b.png", f"{odd.stem}.png"}


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--gps", "--metadata", "drop"], 2, "--gps keeps the position, and --metadata drop drops all"),
        (["--quality", "90"], 2, "--quality is for --format jpg"),
        (["--no-scratch", "--scratch", "."], 2, "--scratch and --no-scratch exclude each other"),
        (["--max-memory", "3"], 2, "'3' is not a size: write a number with its unit, as in 800MB, 3GB or 2.5GiB."),
        (["--max-memory", "lots"], 2, "'lots' is not a size"),
        (["--max-memory", "0GB"], 2, "'0GB' is not a size that a memory has."),
        (["--max-memory", "-3GB"], 2, "'-3GB' is not a size"),
        (["--scratch", "nowhere"], 2, "'nowhere' does not exist"),
        (["--device", "cuda"], 1, "device is cuda, but torch finds no usable GPU here"),
    ],
)
def test_options_that_are_wrong_are_refused_before_any_photo(
    tmp_path: Path, photos: Path, weights: Path, options: list[str], code: int, said: str
) -> None:
    if "cuda" in options and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = run(photos, "-o", tmp_path / "out", "--weights", weights, *options, code=code)
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "size"),
    [("3GB", 3 * 10**9), ("800 mb", 8 * 10**8), ("2.5GiB", 5 * 2**29), ("512kib", 2**19), ("7B", 7), ("0.1kB", 100)],
)
def test_sizes_are_read_with_their_units(text: str, size: int) -> None:
    from dpedtool.pipeline.commands.options import SIZE

    assert SIZE.convert(text, None, None) == size


def test_what_is_wrong_with_all_is_one_sentence(tmp_path: Path, photos: Path, weights: Path) -> None:
    out = ["-o", tmp_path / "out", "--weights"]
    assert "wrote, or a file X.safetensors" in run(photos, *out, tmp_path / "none.safetensors", code=1).stderr
    other = shutil.copytree(photos, tmp_path / "other")
    assert f"{photos / 'a.jpg'} and {other / 'a.jpg'} would both" in run(photos, other, *out, weights, code=1).stderr
    assert not (tmp_path / "out").exists()
    said = run(photos, "-o", photos, "--weights", weights, code=1).stderr
    assert f"The results would lie among the photos of {photos}" in said


def test_too_little_memory_names_the_photo_and_what_would_do(tmp_path: Path, photos: Path, weights: Path) -> None:
    done = run(photos / "b.png", "-o", tmp_path / "out", "--weights", weights, "--max-memory", "1MB", code=1)
    line, last = done.stderr.splitlines()
    assert line.startswith(f"{photos / 'b.png'}: 70x50 px need at least ")
    assert "--max-memory" in line
    assert last == "Error: Enhanced 0 of 1 photos: see above for the others."


def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(
    tmp_path: Path, photos: Path, weights: Path, dpedtool
) -> None:
    arguments = ("enhance", photos, "-o", tmp_path / "out", "--weights", weights)
    # Before it stands what was assumed about the colours of a photo.
    _, sentence = dpedtool(*arguments, code=1, preexec_fn=at_most_2_kb_a_file).said
    assert str(tmp_path / "out" / "a.png") in sentence
    assert "File too large" in sentence
    assert "fix this, and run the same command with --existing skip to continue" in sentence
    assert list((tmp_path / "out").iterdir()) == []


def at_most_2_kb_a_file() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


def test_what_is_there_is_counted_beside_what_was_made(tmp_path: Path, photos: Path, weights: Path) -> None:
    out = tmp_path / "out"
    run(photos / "a.jpg", "-o", out, "--weights", weights)
    skipping = (photos, "-o", out, "--weights", weights, "--existing", "skip")
    (photos / "b.png").rename(photos / "c.png")
    assert run(*skipping).stdout == f"1 photo in {out}, 1 was there already.\n"
    assert run(*skipping).stdout == f"0 photos in {out}, 2 were there already.\n"
    (photos / "text.jpg").write_text("no photo")
    assert "Enhanced 0 of 1 photos, 2 were there already: see above" in run(*skipping, code=1).stderr


def test_an_interrupted_run_goes_on(tmp_path: Path, weights: Path, texture, command) -> None:
    (tmp_path / "in").mkdir()
    photo = encode_image(texture(400, 600), ".png")
    for number in range(100):
        (tmp_path / "in" / f"{number:03}.png").write_bytes(photo)
    out = tmp_path / "out"
    words = [*command, "enhance", str(tmp_path / "in"), "-o", str(out), "--weights", str(weights)]
    with subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=hear_interrupts
    ) as process:
        deadline = time.monotonic() + 60
        while not (out / "000.png").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    last = said.splitlines()[-1]
    assert last.startswith(f"Error: Interrupted. What was finished is in {out}: run the same command with --existing ")
    assert "Traceback" not in said
    finished = sorted(out.iterdir())
    assert 0 < len(finished) < 100
    assert all(cv2.imread(str(path)).shape == (400, 600, 3) for path in finished)
    assert all(path.suffix == ".png" and not path.name.startswith(".") for path in finished)
    before = {path: path.stat().st_mtime_ns for path in finished}
    for number in range(len(finished) + 2, 100):
        (tmp_path / "in" / f"{number:03}.png").unlink()
    more, there = min(2, 100 - len(finished)), len(finished)
    done = run(tmp_path / "in", "-o", out, "--weights", weights, "--existing", "skip")
    assert done.stdout.startswith(f"{more} photo")
    assert f"in {out}, {there} w" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in finished} == before
    assert len(list(out.iterdir())) == there + more


def hear_interrupts() -> None:
    """A shell lets its background jobs, and all that they start, ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
