"""Names of one moment: phones' naming, letter case, accents; and which of several files stands for the moment."""

from __future__ import annotations

import unicodedata
from datetime import timedelta
from pathlib import Path

import pytest
from photo_exif import photo_bytes
from PIL import Image as PillowImage

from dpedtool.dataset.params import PairParams
from dpedtool.dataset.scene_table import SceneTable, read_scene_table
from dpedtool.pipeline.pair.exposures import read_folder
from dpedtool.pipeline.pair.intake import Folders, PairedFolders, pair_into
from dpedtool.pipeline.pair.moment_names import moment_name

NFC, NFD = (unicodedata.normalize(form, "Café_1") for form in ("NFC", "NFD"))


def names(folder: Path, *files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        # Each differs from all others, since equal photos would be one.
        exif = PillowImage.Exif()
        exif[270] = ascii(folder / name)
        (folder / name).write_bytes(photo_bytes("jpeg", exif))


def paired(folder: Path, *, recursive: bool = False, **params: object) -> PairedFolders:
    cameras = Folders(folder / "phone", folder / "dslr", recursive=recursive)
    return pair_into(folder / "out", [cameras], PairParams(**params))


def couples(found: PairedFolders) -> dict[str, str]:
    return {row.phone_path.name: row.dslr_path.name for row in found.rows if row.status == "paired"}


@pytest.mark.parametrize(
    ("stem", "key", "original", "is_secondary"),
    [
        ("IMG_1234", "img_1234", "", False),
        ("IMG_E1234", "img_e1234", "img_1234", False),
        ("PXL_20230506_101112345", "pxl_20230506_101112345", "", False),
        ("PXL_20230506_101112345.MP", "pxl_20230506_101112345", "", True),
        ("PXL_20230506_101112345.NIGHT", "pxl_20230506_101112345", "", False),
        ("PXL_20230506_101112345.RAW-01.COVER", "pxl_20230506_101112345", "", False),
        ("PXL_20230506_101112345.RAW-01.MP.COVER", "pxl_20230506_101112345", "", False),
        ("PXL_20230506_101112345.RAW-02.ORIGINAL", "pxl_20230506_101112345", "", False),
        ("PXL_20230506_101112345.PORTRAIT-01.COVER", "pxl_20230506_101112345", "", True),
        ("PXL_20230506_101112345.PORTRAIT-02.ORIGINAL", "pxl_20230506_101112345", "", False),
        ("PXL_20230506_101112345.MP~2", "pxl_20230506_101112345.mp~2", "pxl_20230506_101112345", False),
        ("MVIMG_20190506_101112", "img_20190506_101112", "", True),
        ("20230506_101112~2", "20230506_101112~2", "20230506_101112", False),
        # A second photo within a second, as Samsung names it, is no edit.
        ("20230506_101112(0)", "20230506_101112(0)", "", False),
        ("IMG_1234-edited", "img_1234-edited", "img_1234", False),
        ("DSC.0001", "dsc.0001", "", False),
    ],
)
def test_what_a_name_says(stem: str, key: str, original: str, is_secondary: bool) -> None:
    found = moment_name(stem)
    assert (found.key, found.original, found.is_secondary) == (key, original, is_secondary)


def test_the_picture_as_taken_stands_for_its_moment_and_of_these_the_jpeg_then_heic_then_raw(tmp_path: Path) -> None:
    beside = {
        "PXL_20230506_101112345.RAW-02.ORIGINAL.dng": "PXL_20230506_101112345.RAW-01.COVER.jpg",
        "PXL_20230506_101113345.PORTRAIT-01.COVER.jpg": "PXL_20230506_101113345.PORTRAIT-02.ORIGINAL.jpg",
        "PXL_20230506_101114345.MP.jpg": "PXL_20230506_101114345.jpg",
        "IMG_E1234.JPG": "IMG_1234.HEIC",
        "IMG_E1235.JPG": "IMG_1235.DNG",
        "IMG_1236.avif": "IMG_1236.jpg",
        "IMG_1236~2.jpg": "IMG_1236.jpg",
        "IMG_1237.NRW": "img_1237.JPE",
    }
    alone = ["IMG_E9999.JPG", "PXL_20230506_101115345.MP.jpg", "MVIMG_20190506_101112.jpg", "IMG_1238.X3F"]
    for name in {*beside, *beside.values(), *alone}:
        (tmp_path / name).write_text("")
    found = read_folder(tmp_path, "")
    assert {shot.path.name: shot.beside.path.name for shot in found.beside} == beside
    assert {shot.path.name for shot in found.photos} == {*beside.values(), *alone}
    assert not found.contradictory


def test_an_edit_from_another_time_is_a_photo_of_its_own(tmp_path: Path) -> None:
    for name, second in (("IMG_0001.JPG", 0), ("IMG_E0001.JPG", 2), ("IMG_0002.JPG", 0), ("IMG_E0002.JPG", 30)):
        exif = PillowImage.Exif()
        exif.get_ifd(0x8769)[36867] = f"2023:05:06 10:11:{second:02d}"
        (tmp_path / name).write_bytes(photo_bytes("jpeg", exif))
    found = read_folder(tmp_path, "")
    assert [shot.path.name for shot in found.beside] == ["IMG_E0001.JPG"]
    assert [(one.name, other.name) for one, other in found.contradictory] == [("IMG_E0002.JPG", "IMG_0002.JPG")]
    times = [shot.time for shot in found.photos]
    assert times[1:] == [times[0], times[0] + timedelta(seconds=30)]


def test_names_match_in_any_case_and_however_accents_are_composed(tmp_path: Path) -> None:
    names(tmp_path / "phone", f"{NFD}.jpg", "IMG_2.JPE", "MVIMG_20190506_101112.jpg", "img_4.jfif")
    names(tmp_path / "dslr", f"{NFC}.JPG", "img_2.jpg", "IMG_20190506_101112.jpg", "IMG_4.MPO")
    found = paired(tmp_path, by="name")
    assert len(couples(found)) == 4
    assert couples(found)[f"{NFD}.jpg"] == f"{NFC}.JPG"
    # What a Mac has copied keeps its identifiers.
    (base,) = (row for row in found.rows if row.phone_path.name == f"{NFD}.jpg")
    assert base.pair_id == f"phone--{base.scene_id}"


def test_two_names_that_differ_in_accents_alone_have_two_identifiers(tmp_path: Path) -> None:
    names(tmp_path, f"{NFD}.jpg", f"{NFC}.jpg")
    assert len({shot.name for shot in read_folder(tmp_path, "").photos}) == 2


def test_lists_and_tables_name_photos_in_any_case_and_form(tmp_path: Path) -> None:
    names(tmp_path / "phone", f"{NFD}.jpg", "IMG_2.JPG", "a.jpg", "A.jpg")
    names(tmp_path / "dslr", "DSC_1.JPG", "DSC_2.JPG", "DSC_3.JPG")
    (tmp_path / "pairs.csv").write_text(f"phone,dslr\n{NFC.upper()},dsc_1\nimg_2.jpg,Dsc_2.jpg\nA,dsc_3\n", "utf-8")
    found = paired(tmp_path, csv=str(tmp_path / "pairs.csv"))
    assert couples(found) == {f"{NFD}.jpg": "DSC_1.JPG", "IMG_2.JPG": "DSC_2.JPG", "A.jpg": "DSC_3.JPG"}
    (tmp_path / "scenes.csv").write_text("scene,group\ndsc_1.jpg,pier\nDsc_2,pier\n")
    assert set(read_scene_table(tmp_path / "scenes.csv").find(found.scenes())) == {"DSC_1", "DSC_2"}
    assert SceneTable().find(found.scenes()) == {}


# Sub-folders


def test_equal_names_in_two_sub_folders_are_two_photos_and_match_by_sub_folder_first(tmp_path: Path) -> None:
    names(tmp_path / "phone", "1/IMG_1.jpg", "2/IMG_1.jpg", "3/IMG_7.jpg", "top.jpg")
    names(tmp_path / "dslr", "2/IMG_1.JPG", "1/IMG_1.JPG", "100CANON/img_7.jpg", "top.jpg")
    found = paired(tmp_path, recursive=True)
    paths = {str(row.phone_path.relative_to(tmp_path / "phone")): row for row in found.rows}
    assert {name: str(row.dslr_path.relative_to(tmp_path / "dslr")) for name, row in paths.items()} == {
        "1/IMG_1.jpg": "1/IMG_1.JPG",
        "2/IMG_1.jpg": "2/IMG_1.JPG",
        "3/IMG_7.jpg": "100CANON/img_7.jpg",
        "top.jpg": "top.jpg",
    }
    assert len({row.pair_id for row in found.rows}) == len({row.scene_id for row in found.rows}) == 4
    assert paths["top.jpg"].pair_id == "phone--top"
    # A further sub-folder changes no identifier.
    before = {row.pair_id for row in found.rows}
    names(tmp_path / "phone", "4/IMG_7.jpg")
    assert before <= {row.pair_id for row in paired(tmp_path, recursive=True).rows}


def test_lists_name_photos_in_sub_folders(tmp_path: Path) -> None:
    names(tmp_path / "phone", "1/IMG_1.jpg", "2/IMG_1.jpg", "2/IMG_2.jpg")
    names(tmp_path / "dslr", "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "pairs.csv").write_text("phone,dslr\n2/IMG_1.jpg,a\n1/img_1,b\nIMG_2,c\n")
    found = paired(tmp_path, recursive=True, csv=str(tmp_path / "pairs.csv"))
    assert {row.phone_path.parent.name + row.phone_path.stem: row.dslr_path.stem for row in found.rows} == {
        "2IMG_1": "a",
        "1IMG_1": "b",
        "2IMG_2": "c",
    }
    (tmp_path / "pairs.csv").write_text("phone,dslr\nIMG_1,a\n")
    with pytest.raises(Exception, match="holds several such photos: add the suffix, or the sub-folder"):
        paired(tmp_path, recursive=True, csv=str(tmp_path / "pairs.csv"))


def test_a_link_that_leads_back_ends_no_search_and_hidden_folders_are_left_out(tmp_path: Path) -> None:
    names(tmp_path / "phone", "1/a.jpg", ".trash/b.jpg")
    (tmp_path / "phone/1/again").symlink_to(tmp_path / "phone")
    assert [shot.path.name for shot in read_folder(tmp_path / "phone", "", recursive=True).photos] == ["a.jpg"]


def test_raw_files_in_a_folder_of_their_own_need_equal_times(tmp_path: Path) -> None:
    names(tmp_path, "JPEG/1.jpg")
    (tmp_path / "RAW").mkdir()
    (tmp_path / "RAW/1.dng").write_text("")
    found = read_folder(tmp_path, "", recursive=True)
    assert [len(found.photos), len(found.beside), len(found.contradictory)] == [2, 0, 0]
