"""The DSLR's full-size test photos beside the phone's: the same grid, what is left out, and what verify finds."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PillowImage
from release_damage import edit_json, faults, renew, set_in
from whole_rig import CROP, PHONE, write_release, write_session

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import read_json
from dpedtool.dataset.params import ReleaseParams
from dpedtool.dataset.places import as_place
from dpedtool.dataset.schema import Alignment, Photo
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline import memory
from dpedtool.pipeline.cli import main
from dpedtool.pipeline.geometry.aligned import aligned_images
from dpedtool.pipeline.release import whole_photos
from dpedtool.pipeline.release.build import build_release
from dpedtool.pipeline.release.description import CARD, RELEASE
from dpedtool.pipeline.release.whole_photos import choose, photo_need

PARAMS = ReleaseParams(name="pairs", licence="CC-BY-4.0", layouts=("dped",), examples=1)


@pytest.fixture(scope="module", params=[".png", ".jpg"])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_session(tmp_path_factory.mktemp("session"), request.param)


@pytest.fixture(scope="module")
def released(session: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_release(session, tmp_path_factory.mktemp("out"), PARAMS)


@pytest.fixture
def release(released: Path, tmp_path: Path) -> Path:
    return shutil.copytree(released, tmp_path / "release")


@pytest.fixture
def own(session: Path, tmp_path: Path) -> Path:
    """A session that a test may change: photos and tables are at their old places where it does not."""
    return shutil.copytree(session / "aligned", tmp_path / "aligned")


def photos_of(release: Path) -> list[dict[str, Any]]:
    photos: list[dict[str, Any]] = read_json(release / RELEASE)["photos"]
    return photos


def test_the_dslr_s_photo_is_on_the_grid_of_the_phone_s(session: Path, released: Path) -> None:
    rows = {row.pair_id: row for row in read_rows(Alignment.table_in(session / "aligned/a"), Alignment)}
    tested = {row.pair_id for row in read_rows(Photo.table_in(session / "splits"), Photo) if row.split == "test"}
    photos = photos_of(released)
    assert {photo["pair_id"] for photo in photos} == tested
    assert tested
    for photo in photos:
        row, dslr = rows[photo["pair_id"]], photo["dslr"]
        assert Path(dslr["file"]).parent.as_posix() == "dped/a/test_data/full_size_test_images_canon"
        assert Path(dslr["file"]).name == Path(photo["file"]).name
        phone, target = (cv2.imread(str(released / name)) for name in (photo["file"], dslr["file"]))
        assert phone is not None
        assert target is not None
        assert phone.shape == target.shape == (PHONE[1], PHONE[0], 3)
        x, y, width, height = (dslr[f"crop_{side}"] for side in ("x", "y", "width", "height"))
        assert (x, y, width, height) == CROP
        wanted = np.zeros_like(target)
        wanted[y : y + height, x : x + width] = aligned_images(row)[1]
        error = np.abs(target.astype(int) - wanted)
        is_exact = dslr["file"].endswith(".png")
        assert error.max() == 0 if is_exact else error[y + 8 : y + height - 8, x + 8 : x + width - 8].mean() < 2
        # The phone's photo shows the same at the same place.
        at_place, moved = (
            np.abs(target.astype(int) - np.roll(phone, shift, axis=1))[y : y + height, x : x + width].mean()
            for shift in (0, 1)
        )
        assert 2 * at_place < moved
        assert bytes.fromhex(dslr["mask"]) == row.mask
        assert (dslr["mask_cell_px"], dslr["masked"]) == (row.mask_cell_px, row.masked)


def test_it_verifies_and_holds_nothing_private(released: Path) -> None:
    assert faults(released) == []
    for photo in photos_of(released):
        content = (released / photo["dslr"]["file"]).read_bytes()
        assert not any(mark in content for mark in (b"SN-87654321", b"Jane Roe", b"Exif"))


def test_a_jpeg_keeps_the_colour_of_each_px(released: Path) -> None:
    for photo in photos_of(released):
        with PillowImage.open(released / photo["dslr"]["file"]) as image:
            if image.format == "JPEG":
                assert [component[1:3] for component in image.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]


def test_the_card_says_what_the_dslr_s_photos_hold(released: Path) -> None:
    text = (released / CARD).read_text()
    assert r"| dped/PHONE/test\_data/full\_size\_test\_images\_canon/N.jpg |" in text
    x, y, width, height = CROP
    assert f"| {x}, {y}, {width} x {height} | 8.3 % |" in text
    (piece,) = [
        each for each in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) if "def usable" in each
    ]
    known: dict[str, Any] = {}
    exec(piece.partition("\n\nfor photo")[0], known)  # noqa: S102 - it is the card's own code
    for photo in photos_of(released):
        usable = known["usable"](photo["dslr"])
        assert usable.shape == (height, width)
        assert not usable[:16, 16:32].any()
        assert usable.sum() == usable.size - 16 * 16


@pytest.mark.parametrize("session", [".png"], indirect=True)
def test_without_alignments_the_phone_s_photos_are_alone(session: Path, tmp_path: Path) -> None:
    build_release(session / "splits", tmp_path / "release", PARAMS)
    assert photos_of(tmp_path / "release")
    assert not [photo for photo in photos_of(tmp_path / "release") if "dslr" in photo]
    assert faults(tmp_path / "release") == []
    assert "images\\_canon" not in (tmp_path / "release" / CARD).read_text()


@pytest.mark.parametrize("session", [".png"], indirect=True)
def test_a_photo_of_the_dslr_that_is_gone_is_left_out_and_said(session: Path, own: Path, tmp_path: Path) -> None:
    table = Alignment.table_in(own / "a")
    tested = {row.pair_id for row in read_rows(Photo.table_in(session / "splits"), Photo) if row.split == "test"}
    gone = min(tested)
    rows = list(read_rows(Alignment.table_in(session / "aligned/a"), Alignment))
    write_rows(
        table,
        Alignment,
        [replace(row, dslr_path=tmp_path / "gone.jpg") if row.pair_id == gone else row for row in rows],
    )
    built = build_release(session / "splits", tmp_path / "release", PARAMS, aligned=own)
    assert len(built.notes) == 1
    assert built.notes[0].startswith(f"The DSLR's full-size photo of {gone} is left out: ")
    assert {photo["pair_id"]: "dslr" in photo for photo in photos_of(tmp_path / "release")} == {
        name: name != gone for name in tested
    }
    assert faults(tmp_path / "release") == []


@pytest.mark.parametrize("session", [".png"], indirect=True)
def test_memory_counts_both_photos(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"a": memory.Photo(10**7, memory.JPEG_DECODING), "dslr": memory.Photo(10**8, memory.JPEG_DECODING)}
    monkeypatch.setattr(whole_photos, "read_header", lambda path: headers[path.parent.name])
    photos = [row for row in read_rows(Photo.table_in(session / "splits"), Photo) if row.split == "test"]
    rows = {row.pair_id: row for row in read_rows(Alignment.table_in(session / "aligned/a"), Alignment)}
    alone, both = (photo_need(choose(photos, PARAMS, known)[0]).size for known in (None, rows))
    assert alone < 3 * 10**8 + memory.ITEM
    assert both > 14 * 10**8


@pytest.mark.parametrize("session", [".png"], indirect=True)
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            lambda row: {"pair_id": f"{row.pair_id}-other"},
            r"a-s\d+ is in the split, but not among the aligned pairs: name",
        ),
        (
            lambda row: {"dslr_sha256": row.phone_sha256},
            r"The alignment of a-s\d+ is about other photos than the split: run `dpedtool patches`",
        ),
    ],
)
def test_alignments_of_other_photos_are_refused(
    session: Path, own: Path, tmp_path: Path, changes: Callable[[Alignment], dict[str, Any]], sentence: str
) -> None:
    rows = list(read_rows(Alignment.table_in(session / "aligned/a"), Alignment))
    write_rows(Alignment.table_in(own / "a"), Alignment, [replace(row, **changes(row)) for row in rows])
    with pytest.raises(DpedtoolError, match=sentence):
        build_release(session / "splits", tmp_path / "release", PARAMS, aligned=own)
    assert not (tmp_path / "release").exists()


@pytest.mark.parametrize("session", [".png"], indirect=True)
def test_the_command_reads_no_photos_from_urls_that_a_table_of_alignments_names(
    session: Path, own: Path, tmp_path: Path
) -> None:
    said = ["release", "build", str(session / "splits"), "-o", str(tmp_path / "release"), "-S", "release.name=pairs"]
    said += ["-S", "release.licence=CC-BY-4.0", "--aligned"]
    done = CliRunner().invoke(main, [*said, str(session / "aligned")])
    assert done.exit_code == 0, done.output
    assert all("dslr" in photo for photo in photos_of(tmp_path / "release"))
    rows = read_rows(Alignment.table_in(session / "aligned/a"), Alignment)
    address = as_place("https://example.org/dslr.jpg")
    write_rows(Alignment.table_in(own / "a"), Alignment, [replace(row, dslr_path=address) for row in rows])
    done = CliRunner().invoke(main, [*said, str(own), "--replace"])
    assert done.exit_code == 1
    assert "names the URL https://example.org/dslr.jpg, which you have not named" in done.output


@pytest.mark.parametrize("session", [".png"], indirect=True)
def test_a_folder_without_alignments_is_refused(session: Path, tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"holds no alignments\.parquet: name the folder that `dpedtool align`"):
        build_release(session / "splits", tmp_path / "release", PARAMS, aligned=session / "photos")


def in_dslr(**values: object) -> Callable[[Path], None]:
    return lambda release: edit_json(release / RELEASE, lambda data: set_in(data["photos"][0]["dslr"], **values))


def smaller(release: Path) -> None:
    path = release / photos_of(release)[0]["dslr"]["file"]
    image = cv2.imread(str(path))
    assert image is not None
    cv2.imwrite(str(path), image[:-1])


def renamed(release: Path) -> None:
    file = photos_of(release)[0]["dslr"]["file"]
    other = str(Path(file).with_stem("99"))
    (release / file).rename(release / other)
    in_dslr(file=other)(release)


DEFECTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (
        lambda release: (release / photos_of(release)[0]["dslr"]["file"]).unlink(),
        r".*_canon/0\.\w+: the DSLR's full-size photo of the pair a-s\d+ is missing\.",
    ),
    "another size": (smaller, r".*_canon/0\.\w+: it is 64 x 47 px, but the phone's photo .* is 64 x 48 px\."),
    "another name": (renamed, r".*_canon/99\.\w+: it does not have the name of the phone's photo, .*/0\.\w+\."),
    "a crop outside": (
        in_dslr(crop_x=PHONE[0] - CROP[2] + 1),
        r".*_canon/0\.\w+: its common crop ends at 65, \d+ px, outside of the 64 x 48 px\.",
    ),
    "a mask of another size": (in_dslr(mask="00"), "release.json: 'photos' has an entry for .* does not describe"),
    "no crop": (in_dslr(crop_y=None), "release.json: 'photos' has an entry for .* does not describe the DSLR's photo"),
    "a place outside": (in_dslr(file="../0.jpg"), "release.json: 'photos' has an entry for .* does not describe"),
    "the phone's own": (
        lambda release: in_dslr(file=photos_of(release)[0]["file"])(release),
        r".*_images/0\.\w+: it is named as two full-size photos\.",
    ),
}


@pytest.mark.parametrize("session", [".png"], indirect=True)
@pytest.mark.parametrize("name", DEFECTS)
def test_verify_finds(release: Path, name: str) -> None:
    damage, sentence = DEFECTS[name]
    damage(release)
    renew(release)
    found = faults(release)
    assert any(re.match(sentence, line) for line in found), found
