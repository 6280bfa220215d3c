"""Sessions are set up from a folder of captures, or not at all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import CapturesParams
from dpedtool.dataset.params_files import load_params
from dpedtool.pipeline.session import init
from dpedtool.pipeline.session.init import DEMO, find_captures, set_up


@pytest.fixture
def captures(tmp_path: Path) -> Path:
    """Folders of two phones and a DSLR, and some that are no camera's."""
    for name in ("canon/a.JPG", "iphone/a.jpg", "pixel 7/a.png", "notes/a.txt", ".cache/a.txt"):
        (tmp_path / "captures" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "captures" / name).write_bytes(b"")
    return tmp_path / "captures"


def test_a_folder_with_photos_is_a_camera(captures: Path) -> None:
    assert find_captures(captures, ("canon",)) == CapturesParams(
        root=str(captures), reference="canon", phones=("iphone", "pixel 7")
    )


def test_a_dslr_is_known_by_its_name(captures: Path) -> None:
    (captures / "canon").rename(captures / "dslr")
    assert find_captures(captures).reference == "dslr"


@pytest.mark.parametrize(
    ("references", "said"),
    [
        ((), "Name the DSLR's folder by --reference: .* holds canon, iphone, pixel 7."),
        (("canon", "nikon"), "has no folder nikon with photos, which --reference names: it holds canon, iphone"),
        (("canon", "iphone", "pixel 7"), "holds photos of canon and iphone and pixel 7 alone"),
        (("nikon",), "has no folder nikon with photos: it holds canon, iphone, pixel 7."),
    ],
)
def test_what_is_missing_is_said(captures: Path, references: tuple[str, ...], said: str) -> None:
    with pytest.raises(DpedtoolError, match=said):
        find_captures(captures, references)


def test_a_name_that_cannot_be_a_camera_s_is_said(captures: Path) -> None:
    (captures / "pixel 7").rename(captures / "pixel ü")
    with pytest.raises(DpedtoolError, match="The folder pixel ü has a name that cannot be a camera's"):
        find_captures(captures, ("canon",))


def test_folders_that_are_none_are_said(tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match="There is no folder"):
        find_captures(tmp_path / "none", ("canon",))
    with pytest.raises(DpedtoolError, match="has no sub-folder with photos"):
        find_captures(tmp_path, ("canon",))
    (tmp_path / "canon").mkdir()
    (tmp_path / "canon" / "a.jpg").write_bytes(b"")
    with pytest.raises(DpedtoolError, match="holds photos of canon alone"):
        find_captures(tmp_path, ("canon",))


@pytest.mark.parametrize(
    ("files", "phones", "sessions"),
    [
        (("canon/100CANON/a.jpg", "iphone/100APPLE/a.jpg", "iphone/101APPLE/a.jpg"), ("iphone",), ()),
        (("canon/DCIM/100CANON/a.cr2", "iphone/a.jpg"), ("iphone",), ()),
        (("canon/2024-05-04/a.jpg", "pixel/2024-05-04/a.jpg"), ("pixel",), ()),
        (("day-1/canon/100CANON/a.jpg", "day-1/iphone/a.jpg", "day-2/canon/a.jpg"), ("iphone",), ("day-1", "day-2")),
    ],
)
def test_photos_in_sub_folders_of_a_camera_belong_to_it(
    tmp_path: Path, files: tuple[str, ...], phones: tuple[str, ...], sessions: tuple[str, ...]
) -> None:
    for name in files:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(b"")
    found = find_captures(tmp_path / "photos", ("canon",))
    assert (found.phones, found.sessions, found.recursive) == (phones, sessions, True)
    set_up(tmp_path / "s", found, with_dvc=False, with_git=False)
    assert load_params(tmp_path / "s" / "params.yaml").captures.recursive


def cameras(root: Path) -> CapturesParams:
    return CapturesParams(root=str(root), reference="canon", phones=("iphone",))


def test_the_parameters_are_read_back(captures: Path, tmp_path: Path) -> None:
    session = tmp_path / "My Session"
    made = set_up(session, cameras(captures), with_dvc=False, with_git=False)
    params = load_params(session / "params.yaml")
    assert params.captures == cameras(captures.resolve())
    assert params.release.name == "my-session"
    assert set(made.files) == {path.relative_to(session).as_posix() for path in session.rglob("*") if path.is_file()}


def test_photos_below_the_session_move_with_it(captures: Path) -> None:
    set_up(captures.parent, cameras(captures), with_dvc=False, with_git=False)
    assert yaml.safe_load((captures.parent / "params.yaml").read_text())["captures"]["root"] == "captures"


@pytest.mark.parametrize("name", ['a "quoted" one', "c: # d", "{{ x }}", "é"])
def test_odd_folders_are_written_so_that_they_are_read_back(tmp_path: Path, name: str) -> None:
    set_up(tmp_path / "s", cameras(tmp_path / name), with_dvc=False, with_git=False)
    assert load_params(tmp_path / "s" / "params.yaml").captures.root == str(tmp_path / name)


def test_names_that_yaml_takes_for_numbers_are_read_back(tmp_path: Path) -> None:
    captures = CapturesParams(root=str(tmp_path / "captures"), reference="5.0", phones=("6", "no"))
    set_up(tmp_path / "20240501", captures, with_dvc=False, with_git=False)
    params = load_params(tmp_path / "20240501" / "params.yaml")
    assert params.captures == captures
    assert params.release.name == "20240501"


def test_photos_in_a_hidden_folder_are_no_camera(captures: Path) -> None:
    (captures / "pixel 7").rename(captures / ".thumbs")
    (captures / ".thumbs" / "1.jpg").write_bytes(b"")
    assert find_captures(captures, ("canon",)).phones == ("iphone",)


@pytest.mark.parametrize("below", ["", "deep/session"])
def test_nothing_is_written_among_the_photos(captures: Path, below: str) -> None:
    before = sorted(captures.rglob("*"))
    with pytest.raises(DpedtoolError, match="would lie among the photos"):
        set_up(captures / below, cameras(captures), with_dvc=False, with_git=False)
    assert sorted(captures.rglob("*")) == before


def test_captures_that_are_called_as_the_demo_s_are_not_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    set_up(tmp_path / "s", DEMO, with_dvc=False, with_git=False)
    assert not (tmp_path / "s" / "demo").exists()
    assert load_params(tmp_path / "s" / "params.yaml").captures.root == str(tmp_path / "demo" / "captures")


def test_a_session_that_could_not_be_set_up_can_be_set_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dvc", reason="DVC is not installed: install the extra `repro`")
    with monkeypatch.context() as patch:
        patch.setattr(init, "_set_up_dvc", lambda *_, **__: init._call(["git", "no-such-command"], tmp_path / "s"))
        with pytest.raises(DpedtoolError, match="no-such-command"):
            set_up(tmp_path / "s", DEMO, is_demo=True, with_dvc=True, with_git=True)
    set_up(tmp_path / "s", DEMO, is_demo=True, with_dvc=True, with_git=True)


def test_nothing_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("mine")
    with pytest.raises(DpedtoolError, match=r"already has params\.yaml"):
        set_up(tmp_path, DEMO, is_demo=True, with_dvc=False, with_git=False)
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
    assert (tmp_path / "params.yaml").read_text() == "mine"


def test_git_and_dvc_are_set_up(tmp_path: Path) -> None:
    pytest.importorskip("dvc", reason="DVC is not installed: install the extra `repro`")
    set_up(tmp_path / "s", DEMO, is_demo=True, with_dvc=True, with_git=True)
    assert (tmp_path / "s" / ".git").is_dir()
    assert "analytics = false" in (tmp_path / "s" / ".dvc" / "config").read_text()


def test_a_session_inside_a_repository_gets_no_other_one(tmp_path: Path) -> None:
    pytest.importorskip("dvc", reason="DVC is not installed: install the extra `repro`")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    set_up(tmp_path / "s", DEMO, is_demo=True, with_dvc=True, with_git=True)
    assert not (tmp_path / "s" / ".git").exists()
    assert (tmp_path / "s" / ".dvc").is_dir()


def test_dvc_works_without_git(tmp_path: Path) -> None:
    pytest.importorskip("dvc", reason="DVC is not installed: install the extra `repro`")
    set_up(tmp_path / "s", DEMO, is_demo=True, with_dvc=True, with_git=False)
    assert "no_scm = True" in (tmp_path / "s" / ".dvc" / "config").read_text()


def test_the_demo_of_a_session_is_that_of_the_checkout(tmp_path: Path) -> None:
    set_up(tmp_path, DEMO, is_demo=True, with_dvc=False, with_git=False)
    ours, theirs = (load_params(folder / "params.yaml") for folder in (Path(__file__).parents[3], tmp_path))
    for section in ("demo", "pair", "align", "patches", "split", "train", "evaluate"):
        assert getattr(ours, section) == getattr(theirs, section)


def test_a_folder_of_sessions_is_recognised(tmp_path: Path) -> None:
    for name in ("day1/canon/a.jpg", "day1/pixel/a.jpg", "day2/canon/a.jpg", "day2/iphone/a.jpg", "notes/a.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = find_captures(tmp_path, ("canon",))
    assert found == CapturesParams(
        root=str(tmp_path), reference="canon", phones=("iphone", "pixel"), sessions=("day1", "day2")
    )
    set_up(tmp_path.parent / "made", found, with_dvc=False, with_git=False)
    assert load_params(tmp_path.parent / "made" / "params.yaml").captures == found
    (tmp_path / "day3" / "pixel").mkdir(parents=True)
    (tmp_path / "day3" / "pixel" / "a.jpg").write_bytes(b"")
    with pytest.raises(DpedtoolError, match="day3 has no folder canon with photos: it holds pixel"):
        find_captures(tmp_path, ("canon",))
    (tmp_path / "canon").mkdir()
    (tmp_path / "canon" / "a.jpg").write_bytes(b"")
    with pytest.raises(DpedtoolError, match=r"cameras \(canon\) and folders of sessions \(day1, day2, day3\)"):
        find_captures(tmp_path, ("canon",))
