"""Captures of several sessions: unique identifiers, clocks by session, rows that stay when a session is added."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PillowImage

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.names import moment_identifier
from dpedtool.dataset.params import CapturesParams, PairParams
from dpedtool.dataset.schema import Pair
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.cli import main
from dpedtool.pipeline.pair.intake import PairedFolders, camera_folders, pair_into

START = datetime(2024, 5, 4, 10, 0, 0)
RHYTHM = (0, 11, 31, 38, 80, 95, 140, 151, 200, 260, 333, 341)
OFFSETS_S = {"monday": 37.0, "sunday": -3600.0}


def photo(path: Path, seconds: float) -> None:
    """A photo that differs from all others, with a capture time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = PillowImage.Exif()
    exif[270] = ascii(path)
    exif.get_ifd(0x8769)[36867] = (START + timedelta(seconds=seconds)).strftime("%Y:%m:%d %H:%M:%S")
    content = io.BytesIO()
    PillowImage.fromarray(np.zeros((120, 120, 3), np.uint8)).save(content, "JPEG", exif=exif)
    path.write_bytes(content.getvalue())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two sessions with the same file names; the clocks differ by 37 s in one and by minus an hour in the other."""
    for day, (session, offset) in enumerate(OFFSETS_S.items()):
        for index, seconds in enumerate(RHYTHM):
            photo(tmp_path / "captures" / session / "pixel" / f"PXL_{index:04d}.jpg", 86_400 * day + seconds)
            photo(
                tmp_path / "captures" / session / "canon" / f"IMG_{index + 1:04d}.jpg", 86_400 * day + seconds + offset
            )
    return tmp_path / "captures"


def captured(root: Path, *sessions: str) -> CapturesParams:
    return CapturesParams(root=str(root), reference="canon", phones=("pixel",), sessions=sessions)


def paired(out: Path, captures: CapturesParams) -> PairedFolders:
    return pair_into(out, camera_folders(captures, "pixel"), PairParams(by="clock"))


def test_equal_file_names_in_two_sessions_are_different_moments(root: Path, tmp_path: Path) -> None:
    rows = paired(tmp_path / "out", captured(root, "monday", "sunday")).rows
    assert len(rows) == len({row.pair_id for row in rows}) == len({row.scene_id for row in rows}) == 24
    assert rows[0].pair_id == "pixel--monday--PXL_0000"
    assert (rows[0].session, rows[0].scene_id) == ("monday", "monday--IMG_0001")
    for row in rows:
        assert row.status == "paired"
        assert row.phone_path.parent.parent.name == row.dslr_path.parent.parent.name == row.session
        assert int(row.dslr_path.stem[-4:]) == int(row.phone_path.stem[-4:]) + 1


def test_the_clocks_are_compared_session_by_session(root: Path, tmp_path: Path) -> None:
    report = paired(tmp_path, captured(root, "monday", "sunday")).report
    assert {name: clock.offset_start_s for name, clock in report.clocks.items()} == OFFSETS_S
    assert report.shots.phone == report.shots.dslr == report.paired == 24
    assert json.loads((tmp_path / "synchronisation.json").read_text())["clocks"]["sunday"]["pieces"] == 1


def test_rows_stay_when_a_session_is_added_and_identifiers_when_the_root_moves(root: Path, tmp_path: Path) -> None:
    before = paired(tmp_path / "one", captured(root, "sunday")).rows
    both = paired(tmp_path / "one", captured(root, "monday", "sunday")).rows
    assert [row for row in both if row.session == "sunday"] == before
    shutil.move(root, tmp_path / "elsewhere" / "photos")
    moved = paired(tmp_path / "one", captured(tmp_path / "elsewhere" / "photos", "sunday", "monday")).rows
    paths = {"phone_path": None, "dslr_path": None}
    assert [replace(row, **paths) for row in moved] == [replace(row, **paths) for row in both]


def test_a_session_that_a_phone_took_no_part_in_is_left_out(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "monday" / "pixel")
    rows = paired(tmp_path, captured(root, "monday", "sunday")).rows
    assert {row.session for row in rows} == {"sunday"}
    shutil.rmtree(root / "sunday" / "pixel")
    with pytest.raises(DpedtoolError, match=r"No session in .* has a folder pixel"):
        paired(tmp_path, captured(root, "monday", "sunday"))


def test_a_session_without_the_dslr_is_refused_by_name(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "monday" / "canon")
    with pytest.raises(DpedtoolError, match=r"The session monday has no folder canon .* it holds pixel"):
        paired(tmp_path, captured(root, "monday", "sunday"))
    with pytest.raises(DpedtoolError, match=r"has no folder tuesday: it holds monday, sunday"):
        paired(tmp_path, captured(root, "tuesday"))


def test_the_command_says_in_one_sentence_which_session_lacks_the_dslr(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "sunday" / "canon")
    captures = {"root": str(root), "reference": "canon", "phones": ["pixel"], "sessions": ["monday", "sunday"]}
    (tmp_path / "params.yaml").write_text(json.dumps({"captures": captures}))
    words = ["pair", "--params", str(tmp_path / "params.yaml"), "--phone", "pixel", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    (sentence,) = done.stderr.splitlines()
    assert f"The session sunday has no folder canon in {root / 'sunday'}" in sentence
    assert not (tmp_path / "out" / "pairs.parquet").exists()


def test_a_root_of_sessions_without_the_parameter_is_refused_with_it(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"it holds monday, sunday.*name these in captures\.sessions"):
        paired(tmp_path, captured(root))


def test_a_session_that_links_to_another_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "again").symlink_to(root / "monday")
    with pytest.raises(DpedtoolError, match="The sessions monday and again have the same photos of canon"):
        paired(tmp_path, captured(root, "monday", "again"))


def test_sessions_may_lie_in_an_archive(root: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "captures"), "zip", root)
    here = paired(tmp_path / "here", captured(root, "monday", "sunday")).rows
    remote = replace(captured(root, "monday", "sunday"), root=f"zip://::{archive}")
    there = paired(tmp_path / "there", remote).rows
    places = {"phone_path": None, "dslr_path": None}
    assert [replace(row, **places) for row in there] == [replace(row, **places) for row in here]


def test_the_order_of_the_sessions_changes_no_table(root: Path, tmp_path: Path) -> None:
    for out, sessions in (("one", ("monday", "sunday")), ("two", ("sunday", "monday"))):
        paired(tmp_path / out, captured(root, *sessions))
    for name in ("pairs.parquet", "shots.parquet", "synchronisation.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_two_sessions_of_one_name_are_refused() -> None:
    with pytest.raises(ParamsError, match="sessions names Day1 and day1 twice"):
        CapturesParams(sessions=("Day1", "day1"))


def test_long_names_keep_within_the_length_of_a_member_of_a_tar_archive() -> None:
    session, name = "2026-11-30-a-long-walk", "a-photo-with-a-name-that-is-much-too-long"
    found = moment_identifier(session, name)
    assert len(found) <= 40
    assert found != moment_identifier(f"{session}-2", name)
    assert found != moment_identifier(session, f"{name}-2")
    assert found.count("--") == 1
    assert moment_identifier("", name) == moment_identifier("", name)[:40]


def test_a_list_of_pairs_names_the_session(root: Path, tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    lines = ["sunday,PXL_0003,IMG_0001.jpg", "monday,PXL_0000,IMG_0001.jpg"]
    table.write_text("\n".join(["session,phone,dslr", *lines]))
    params = PairParams(csv=str(table))
    rows = pair_into(tmp_path, camera_folders(captured(root, "monday", "sunday"), "pixel"), params).rows
    assert [(row.pair_id, row.scene_id) for row in rows if row.status == "paired"] == [
        ("pixel--monday--PXL_0000", "monday--IMG_0001"),
        ("pixel--sunday--PXL_0003", "sunday--IMG_0001"),
    ]
    table.write_text("phone,dslr\nPXL_0000,IMG_0001\n")
    with pytest.raises(DpedtoolError, match="must name the column session"):
        pair_into(tmp_path, camera_folders(captured(root, "monday"), "pixel"), params)
    table.write_text("session,phone,dslr\nsunday,PXL_0000,IMG_0001\n")
    with pytest.raises(DpedtoolError, match="lists no pairs of the session monday"):
        pair_into(tmp_path, camera_folders(captured(root, "monday"), "pixel"), params)


def test_lines_of_a_list_that_no_session_uses_are_named(root: Path, tmp_path: Path) -> None:
    table, lines = tmp_path / "pairs.csv", ["Monday,PXL_0000,IMG_0001", "mondya,PXL_0001,IMG_0002"]
    table.write_text("\n".join(["Session,phone,DSLR", *lines, "sunday,PXL_0000,IMG_0001", "x,y,z"]))
    both, params = camera_folders(captured(root, "monday", "sunday"), "pixel"), PairParams(csv=str(table))
    found = pair_into(tmp_path, both, params)
    assert [row.pair_id for row in found.rows if row.status == "paired"] == [
        "pixel--monday--PXL_0000",
        "pixel--sunday--PXL_0000",
    ]
    assert found.notes == [
        f"2 lines of {table} cannot be used, because pixel has no photos in the session named there: line 3 (mondya), "
        "line 5 (x); it has photos in monday, sunday."
    ]
    # Sessions that the phone took no part in, or that are left out for now, have lines that are named, too.
    alone = pair_into(tmp_path, camera_folders(captured(root, "sunday"), "pixel"), params)
    assert "line 2 (Monday), line 3 (mondya), line 5 (x); it has photos in sunday." in alone.notes[0]
    table.write_text("\n".join(["session,phone,dslr", *lines[:1], "sunday,PXL_0000,IMG_0001"]))
    assert pair_into(tmp_path, both, params).notes == []
    table.write_text("session,phone,dslr\nmonday,PXL_0000,IMG_0001\n,PXL_0001,IMG_0002\n")
    with pytest.raises(DpedtoolError, match=r"Line 3 of .* names no session: fill it in"):
        pair_into(tmp_path, both, params)
    table.write_text("session,phone,dslr\nmonday,PXL_0000,IMG_9999\nsunday,PXL_0000,IMG_0001\n")
    with pytest.raises(DpedtoolError, match=r"Line 2 of .* names 'IMG_9999', but .* holds no such photo"):
        pair_into(tmp_path, both, params)
    table.write_text("session,phone,dslr,Session\n")
    with pytest.raises(DpedtoolError, match="has the columns 'session' and 'Session', which mean the same"):
        pair_into(tmp_path, both, params)


def test_the_command_writes_a_template_and_names_unknown_scenes(root: Path, tmp_path: Path) -> None:
    (tmp_path / "scenes.csv").write_text("Session,scene,place\nmonday,IMG_0001.jpg,harbour\nmonday,IMG_9999,\n")
    (tmp_path / "params.yaml").write_text(
        json.dumps(
            {
                "captures": {
                    "root": str(root), "reference": "canon", "phones": ["pixel"], "sessions": ["monday", "sunday"],
                    "scenes": "scenes.csv",
                }
            }
        )
    )  # fmt: skip
    arguments = ["pair", "--params", str(tmp_path / "params.yaml"), "--phone", "pixel", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "does not know 23 scenes: monday--IMG_0002" in done.stderr
    assert "names 1 scene: monday/IMG_9999 (line 3), but the DSLR has no such photo" in done.stderr
    lines = (tmp_path / "out" / "scenes.csv").read_text().splitlines()
    assert lines[0] == "session,scene,group,split,tags,licence,consent,notes,place"
    assert lines[1] == "monday,IMG_0001.jpg,,,,,,,harbour"
    assert lines[2] == "monday,IMG_0002,,,,,,,"
    assert len(lines) == 1 + 25
    assert len(read_rows(tmp_path / "out" / "pairs.parquet", Pair)) == 24
