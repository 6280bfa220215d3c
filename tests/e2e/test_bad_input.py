"""Bad input of every kind: one clear sentence or one row, never a crash, and the other pairs' results."""

import os
import resource
import socket

import cv2
import pandas as pd
import pytest

from dpedtool.dataset.photos.encoding import encode_image


@pytest.fixture(scope="module")
def mixed(rig, tmp_path_factory, dpedtool):
    """One good pair among bad ones, aligned; the folders have different shot counts."""
    folder = tmp_path_factory.mktemp("mixed")
    for camera in ("phone", "dslr"):
        (folder / camera).mkdir()
        jpeg = encode_image(cv2.imread(str(rig.folder / camera / "001.png")), ".jpg")
        for stem in ("good", "truncated", "text", "empty", "wrong"):
            (folder / camera / f"{stem}.jpg").write_bytes(jpeg)
    phone = folder / "phone"
    whole = (phone / "truncated.jpg").read_bytes()
    (phone / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (phone / "text.jpg").write_text("this is no photo\n")
    (phone / "empty.jpg").write_bytes(b"")
    (phone / "wrong.jpg").write_bytes(encode_image(cv2.imread(str(rig.phone / "002.png")), ".jpg"))
    (phone / "alone.jpg").write_bytes(whole)
    (phone / "notes.txt").write_text("left out\n")
    ended = dpedtool("align", phone, folder / "dslr", "-o", folder / "out", "--workers", 1)
    return folder, ended


# Photos


def test_bad_photos_are_rows_with_their_reason_and_the_others_have_results(mixed):
    folder, _ = mixed
    table = pd.read_parquet(folder / "out" / "alignments.parquet").set_index("scene_id")
    assert table["status"].to_dict() == {
        "empty": "failed",
        "good": "aligned",
        "text": "failed",
        "truncated": "failed",
        "wrong": "rejected",
    }
    assert (table.loc[["empty", "text", "truncated"], "reason"] == "unreadable_photo").all()
    assert table.loc["wrong", "reason"] in {"few_matches", "wrong_pair"}
    for name in ("empty", "text", "truncated"):
        assert f"{name}.jpg" in table.loc[name, "detail"]
    images = sorted(path.relative_to(folder / "out").as_posix() for path in (folder / "out").rglob("*.png"))
    assert images == ["dslr/phone--good.png", "phone/phone--good.png"]


def test_the_summary_names_each_of_them_once(mixed):
    folder, ended = mixed
    assert ended.said == [f"Left out of {folder / 'phone'}: 1 empty file (empty.jpg), 1 other file (.txt)."]
    assert "Aligned 1 of 5 pairs" in ended.out
    assert "1 photo without a mate (1 no_dslr_photo)" in ended.out
    for name in ("phone--empty", "phone--text", "phone--truncated", "phone--wrong", "phone--alone"):
        assert sum(line.startswith(f"  {name}: ") for line in ended.out.splitlines()) == 1
    assert "phone--good" not in ended.out


def test_different_shot_counts_are_rows_of_the_pairs_table(mixed):
    folder, _ = mixed
    pairs = pd.read_parquet(folder / "out" / "pairs.parquet").set_index("pair_id")
    assert len(pairs) == 6
    assert pairs.loc["phone--alone", "status"] == "unpaired"
    assert pairs.loc["phone--alone", "reason"] == "no_dslr_photo"
    assert "alone" in pairs.loc["phone--alone", "detail"]


def test_two_unrelated_photos_end_in_a_reason_and_code_1(rig, tmp_path, dpedtool):
    ended = dpedtool("align", rig.photos("002")[0], rig.photos("001")[1], "-o", tmp_path, code=1)
    assert "Aligned 0 of 1 pair." in ended.out
    assert "1 pair rejected (1 few_matches):" in ended.out
    assert "do the photos show the same scene?" in ended.out
    assert str(tmp_path / "alignments.parquet") in ended.sentence
    assert not list(tmp_path.rglob("*.png"))


# Arguments


@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_folder_is_named(rig, tmp_path, dpedtool, which):
    sources = [rig.phone, rig.dslr]
    sources[which] = tmp_path / "nowhere"
    ended = dpedtool("align", *sources, "-o", tmp_path / "out", code=1)
    assert f"There is no folder {tmp_path / 'nowhere'}" in ended.sentence
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_photo_is_named_not_the_one_that_is_there(rig, tmp_path, dpedtool, which):
    sources = list(rig.photos("001"))
    sources[which] = tmp_path / "nowhere.jpg"
    sentence = dpedtool("align", *sources, "-o", tmp_path / "out", code=1).sentence
    assert str(tmp_path / "nowhere.jpg") in sentence
    assert "001.png" not in sentence


def test_an_empty_folder_is_named(rig, tmp_path, dpedtool):
    (tmp_path / "empty").mkdir()
    sentence = dpedtool("align", tmp_path / "empty", rig.dslr, "-o", tmp_path / "out", code=1).sentence
    assert str(tmp_path / "empty") in sentence
    assert "holds no photos" in sentence


def test_a_folder_of_files_that_are_no_photos_says_which(rig, tmp_path, dpedtool):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "IMG_1.MOV").write_bytes(b"x")
    sentence = dpedtool("align", rig.phone, tmp_path / "films", "-o", tmp_path / "out", code=1).sentence
    assert ".mov" in sentence.lower()
    assert str(tmp_path / "films") in sentence


def test_a_photo_and_a_folder_are_refused(rig, tmp_path, dpedtool):
    sentence = dpedtool("align", rig.photos("001")[0], rig.dslr, "-o", tmp_path / "out", code=1).sentence
    assert "a photo and a folder" in sentence


def test_photos_that_share_neither_names_nor_times_are_refused(rig, tmp_path, dpedtool):
    photos = rig.copy(tmp_path / "photos", ["001"])
    photos.photos("001")[0].rename(photos.phone / "other.png")
    sentence = dpedtool("align", photos.phone, photos.dslr, "-o", tmp_path / "out", code=1).sentence
    assert "cannot be paired" in sentence
    assert "same name" in sentence


# Parameters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("align:\n  ratoi: 0.7\n", ["align.ratoi", "did you mean 'align.ratio'?"]),
        ("alain:\n  ratio: 0.7\n", ["'alain'", "did you mean 'align'?"]),
        ("align:\n  features: many\n", ["align.features", "a whole number", "'many'"]),
        ("align:\n  ratio: 1.7\n", ["align.ratio", "at most 1"]),
        ("align: [\n", ["not readable as YAML"]),
    ],
)
def test_a_params_file_that_is_wrong_is_refused_with_file_and_key(rig, tmp_path, dpedtool, text, expected):
    file = tmp_path / "my params.yaml"
    file.write_text(text)
    ended = dpedtool("align", *rig.photos("001"), "-o", tmp_path / "out", "--params", file, code=2)
    for part in [str(file), *expected]:
        assert part in ended.sentence
    assert not (tmp_path / "out").exists()


def test_a_missing_params_file_is_named(rig, tmp_path, dpedtool):
    file = tmp_path / "none.yaml"
    ended = dpedtool("align", *rig.photos("001"), "-o", tmp_path / "out", "--params", file, code=2)
    assert str(file) in ended.sentence


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("align.ratoi=0.7", "did you mean 'align.ratio'?"),
        ("alain.ratio=0.7", "did you mean 'align'?"),
        ("align.ratio=much", "align.ratio must be a number"),
        ("ratio", "section.key=value"),
    ],
)
def test_a_setting_that_is_wrong_is_refused(rig, tmp_path, dpedtool, setting, expected):
    ended = dpedtool("align", *rig.photos("001"), "-o", tmp_path / "out", "--set", setting, code=2)
    assert "--set" in ended.sentence
    assert expected in ended.sentence
    assert not (tmp_path / "out").exists()


# Names


def test_names_with_blanks_quotes_letters_and_commands_work_and_nothing_is_executed(rig, tmp_path, dpedtool):
    awkward = tmp_path / "a 'b' \"c\" ü 照片 $(touch executed) `touch executed` ; touch executed &"
    photos = rig.copy(awkward, ["001"])
    for photo in photos.photos("001"):
        photo.rename(photo.with_name("x 'y' é $(touch executed) [1];.png"))
    dpedtool("align", photos.phone, photos.dslr, "-o", awkward / "out", cwd=tmp_path)
    table = pd.read_parquet(awkward / "out" / "alignments.parquet")
    assert table["status"].tolist() == ["aligned"]
    pair_id = table["pair_id"][0]
    assert (awkward / "out" / "phone" / f"{pair_id}.png").is_file()
    assert dpedtool("map", awkward / "out", pair_id, stdin="10,10\n", cwd=tmp_path).out
    ended = dpedtool("patches", awkward / "out", "-o", awkward / "cut", "--workers", 1, cwd=tmp_path)
    assert not ended.out.startswith("Accepted 0 ")
    assert not list(tmp_path.rglob("executed"))


@pytest.mark.parametrize("name", ["~", "file:out", "s3:bucket", "-out"])
def test_an_output_folder_may_have_any_name(rig, tmp_path, dpedtool, name):
    dpedtool("align", *rig.photos("001"), "-o", name, "--no-images", cwd=tmp_path)
    assert (tmp_path / name / "alignments.parquet").is_file()
    assert dpedtool("map", "--", name, "phone--001", stdin="10,10\n", cwd=tmp_path).out


def test_a_name_that_is_not_utf8_stops_no_run(rig, tmp_path, dpedtool):
    """As in archives from old systems: a Latin-1 e with an acute accent."""
    photos = rig.copy(tmp_path / "photos", ["001", "002"])
    for photo in photos.photos("001"):
        photo.rename(os.fsdecode(os.fsencode(photo.parent) + b"/caf\xe9.png"))
    ended = dpedtool("align", photos.phone, photos.dslr, "-o", tmp_path / "out", "--workers", 1)
    assert "Aligned 1 of 1 pair" in ended.out
    assert "2 unusable_name" in ended.out
    assert r"caf\xe9.png" in ended.out


# Places that cannot be written


def test_a_file_in_place_of_the_output_folder_is_named(rig, tmp_path, dpedtool):
    (tmp_path / "out").write_text("mine\n")
    ended = dpedtool("align", *rig.photos("001"), "-o", tmp_path / "out", code=2)
    assert f"'{tmp_path / 'out'}' is a file" in ended.err
    assert (tmp_path / "out").read_text() == "mine\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_that_may_not_be_written_is_named(rig, tmp_path, dpedtool):
    (tmp_path / "out").mkdir(mode=0o500)
    sentence = dpedtool("align", *rig.photos("001"), "-o", tmp_path / "out", code=1).sentence
    assert str(tmp_path / "out") in sentence
    assert "Permission denied" in sentence


@pytest.mark.parametrize("workers", [1, 2])
def test_a_write_that_fails_is_one_sentence_that_names_the_place(rig, tmp_path, dpedtool, workers):
    """As on a full disk; the next run, with room again, completes it."""
    photos = rig.copy(tmp_path / "photos", ["001", "002"])
    arguments = ("align", photos.phone, photos.dslr, "-o", tmp_path / "out", "--workers", workers)
    sentence = dpedtool(*arguments, code=1, preexec_fn=at_most_50_kb_a_file).sentence
    assert str(tmp_path / "out") in sentence
    assert "File too large" in sentence
    assert not list((tmp_path / "out").rglob("*.png"))
    assert "Aligned 2 of 2 pairs" in dpedtool(*arguments).out


def at_most_50_kb_a_file() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))


# Surroundings


def test_a_busy_port_is_nobodys_concern(rig, tmp_path, dpedtool):
    """Two runs at once, or another program on Dask's usual port, give no warning."""
    photos = rig.copy(tmp_path / "photos", ["001", "002"])
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        except OSError:
            pass  # it is taken already, which is what the test wants
        ended = dpedtool("align", photos.phone, photos.dslr, "-o", tmp_path / "out", "--no-images", "--workers", 2)
    assert ended.said == []
