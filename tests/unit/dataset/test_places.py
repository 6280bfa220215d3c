"""Photos behind URLs: named as they are, listed, proved, timed and paired as files of this machine."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from dpedtool.dataset.errors import DpedtoolError, ParamsError, Rejection
from dpedtool.dataset.io import file_sha256
from dpedtool.dataset.params import PairParams
from dpedtool.dataset.params_files import load_params
from dpedtool.dataset.photos.decoding import how_taken, load_photo, open_unchanged
from dpedtool.dataset.photos.listing import list_photos
from dpedtool.dataset.places import as_place, is_below
from dpedtool.dataset.schema import Alignment, Pair
from dpedtool.dataset.tables import read_frame, read_rows, write_rows
from dpedtool.pipeline.cli import main
from dpedtool.pipeline.pair.stage import pair_folders


@pytest.fixture
def remote(captures: Path) -> Iterator[str]:
    """The captures in memory://captures."""
    files = fsspec.filesystem("memory")
    for path in captures.rglob("*.jpg"):
        files.pipe(f"/captures/{path.relative_to(captures).as_posix()}", path.read_bytes())
    yield "memory://captures"
    files.rm("/captures", recursive=True)


@pytest.fixture(scope="module")
def archive(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The captures in a zip file, by the path of the file."""
    path = tmp_path_factory.mktemp("archive") / "captures.zip"
    with zipfile.ZipFile(path, "w") as file:
        for photo in sorted(captures.rglob("*.jpg")):
            file.write(photo, photo.relative_to(captures))
    return str(path)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_a_url_is_kept_as_it_is_and_a_path_is_a_path(tmp_path: Path) -> None:
    assert str(as_place("s3://bucket/a b/c.jpg", tmp_path)) == "s3://bucket/a b/c.jpg"
    assert as_place("a/b.jpg", tmp_path) == tmp_path / "a" / "b.jpg"
    assert as_place("s3:/a") == Path("s3:/a")
    assert as_place(f"file://{tmp_path}/a.jpg") == tmp_path / "a.jpg"


def test_an_unknown_protocol_is_a_sentence() -> None:
    with pytest.raises(DpedtoolError, match=r"nosuch://a.*nosuch"):
        as_place("nosuch://a")


def test_a_protocol_without_its_package_names_it() -> None:
    with pytest.raises(DpedtoolError, match=r"s3://bucket/a needs a package that is not installed: .*s3fs"):
        list_photos(as_place("s3://bucket/a"))


def test_photos_behind_a_url_are_listed_and_read_as_files(remote: str, captures: Path) -> None:
    photos = list_photos(as_place(f"{remote}/phone"))
    assert [str(path) for path in photos] == [f"memory://captures/phone/{name}.jpg" for name in "abcd"]
    local = captures / "phone" / "a.jpg"
    np.testing.assert_array_equal(load_photo(photos[0]), load_photo(local))
    sha256 = hashlib.sha256(local.read_bytes()).hexdigest()
    assert file_sha256(photos[0]) == sha256
    assert open_unchanged(photos[0], sha256).content == local.read_bytes()
    with pytest.raises(Rejection) as changed:
        open_unchanged(photos[1], sha256)
    assert changed.value.reason == "photo_changed"


def test_a_photo_that_is_gone_is_unreadable(remote: str) -> None:
    gone = as_place(f"{remote}/phone/gone.jpg")
    with pytest.raises(Rejection, match=r"memory://captures/phone/gone\.jpg cannot be read") as refused:
        load_photo(gone)
    assert refused.value.reason == "unreadable_photo"
    assert how_taken(gone).time is None
    with pytest.raises(DpedtoolError):
        file_sha256(gone)
    with pytest.raises(DpedtoolError, match="There is no folder memory://captures/none"):
        list_photos(as_place(f"{remote}/none"))


def test_the_capture_time_is_read_through_a_url(remote: str) -> None:
    from PIL import Image as PillowImage

    exif = PillowImage.Exif()
    exif[306] = "2024:05:04 10:12:07"
    with (as_place(f"{remote}/phone") / "timed.jpg").open("wb") as file:
        PillowImage.new("RGB", (8, 8)).save(file, "JPEG", exif=exif)
    moment = how_taken(as_place(f"{remote}/phone/timed.jpg")).time
    assert moment is not None
    assert moment.isoformat() == "2024-05-04T10:12:07"


def test_tables_keep_urls_verbatim(remote: str, tmp_path: Path, captures: Path) -> None:
    rows = pair_folders(as_place(f"{remote}/phone"), captures / "dslr", PairParams()).rows
    table = tmp_path / "deep" / "pairs.parquet"
    write_rows(table, Pair, rows)
    assert [row.phone_path for row in read_rows(table, Pair)] == [row.phone_path for row in rows]
    assert isinstance(read_rows(table, Pair)[0].phone_path, UPath)
    assert isinstance(read_rows(table, Pair)[0].dslr_path, Path)
    frame = read_frame(table, Pair, ["phone_path", "dslr_path"])
    assert frame["phone_path"][0] == "memory://captures/phone/a.jpg"
    assert Path(frame["dslr_path"][0]).samefile(captures / "dslr" / "a.jpg")


# Characters that no object store takes, or that mean something in a URL, are left out.
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C",), exclude_characters="/:?#[]\\%"), min_size=1)


@given(NAMES.filter(lambda name: name.strip(". ") == name))
def test_a_url_goes_through_text_unchanged(name: str) -> None:
    place = as_place("memory://captures/phone") / name
    assert as_place(str(place)) == place
    assert as_place(str(place)).name == name


def test_a_root_behind_a_url_goes_through_the_params_file(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("captures: {root: 's3://bucket/tripod'}")
    assert load_params(tmp_path / "params.yaml").captures.root == "s3://bucket/tripod"
    (tmp_path / "params.yaml").write_text("captures: {root: 'nosuch://tripod'}")
    with pytest.raises((ParamsError, DpedtoolError), match="nosuch"):
        load_params(tmp_path / "params.yaml")


# Through the command line


def test_pair_reads_folders_behind_urls(remote: str, pairs: list[Pair], tmp_path: Path) -> None:
    code, output = run("pair", f"{remote}/phone", f"{remote}/dslr", "-o", str(tmp_path))
    assert code == 0, output
    found = read_rows(Pair.table_in(tmp_path), Pair)
    assert [row.pair_id for row in found] == [row.pair_id for row in pairs]
    assert [row.phone_sha256 for row in found] == [row.phone_sha256 for row in pairs]
    assert [str(row.dslr_path) for row in found] == [f"memory://captures/dslr/{name}.jpg" for name in "abcd"]


def test_pair_reads_the_root_of_the_params_file(remote: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(f"captures: {{root: '{remote}', reference: dslr, phones: [phone]}}")
    options = ["--params", str(tmp_path / "params.yaml"), "--phone", "phone", "-o", str(tmp_path)]
    code, output = run("pair", *options)
    assert code == 0, output
    assert len(read_rows(Pair.table_in(tmp_path), Pair)) == 4
    (tmp_path / "params.yaml").write_text(f"captures: {{root: '{remote}', reference: dslr, phones: [other]}}")
    code, output = run("pair", *options[:2], "--phone", "other", "-o", str(tmp_path))
    assert code == 1
    assert f"{remote} has no folder other: it holds dslr, phone" in output


@pytest.mark.parametrize("command", [["pair"], ["align", "--workers", "1"]], ids=["pair", "align"])
def test_a_list_of_pairs_names_photos_behind_urls(remote: str, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "pairs.csv").write_text("phone,dslr\na.jpg,a\nb,b.jpg\n")
    options = ["--csv", str(tmp_path / "pairs.csv"), "-o", str(tmp_path)]
    code, output = run(*command, f"{remote}/phone", f"{remote}/dslr", *options)
    assert code == 0, output
    found = [row for row in read_rows(Pair.table_in(tmp_path), Pair) if row.matched_by == "csv"]
    assert [str(row.dslr_path) for row in found] == [f"{remote}/dslr/{name}.jpg" for name in "ab"]
    (tmp_path / "pairs.csv").write_text("phone,dslr\na,z\n")
    code, output = run(*command, f"{remote}/phone", f"{remote}/dslr", *options)
    assert code == 1
    assert f"names 'z', but {remote}/dslr holds no such photo" in output


def test_a_list_of_pairs_is_a_file_of_this_machine(remote: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("phone,dslr\na,a\n")
    folders = as_place(f"{remote}/phone"), as_place(f"{remote}/dslr")
    assert "pairs.csv" in pair_folders(*folders, PairParams(csv=f"file://{tmp_path}/pairs.csv")).note
    (tmp_path / "params.yaml").write_text("pair: {csv: 'memory://captures/{phone}.csv'}")
    params = load_params(tmp_path / "params.yaml").pair
    with pytest.raises(DpedtoolError, match=r"memory://captures/phone\.csv is a URL: .*pair\.csv must name"):
        pair_folders(*folders, params)


def test_align_reads_photos_from_an_archive_as_from_files(archive: str, captures: Path, tmp_path: Path) -> None:
    names = [f"zip://{camera}::{archive}" for camera in ("phone", "dslr")]
    code, output = run("align", *names, "-o", str(tmp_path / "urls"), "--workers", "1", "--no-images")
    assert code == 0, output
    run("align", *(str(captures / camera) for camera in ("phone", "dslr")), "-o", str(tmp_path / "files"))
    remote, local = (read_rows(Alignment.table_in(tmp_path / kind), Alignment) for kind in ("urls", "files"))
    assert [row.status for row in remote] == ["aligned", "aligned", "aligned", "failed"]
    assert [row.dslr_from_phone for row in remote] == [row.dslr_from_phone for row in local]
    assert [row.key for row in remote] == [row.key for row in local]
    assert str(remote[0].phone_path) == f"zip://phone/a.jpg::{archive}"
    # Other processes read the table, and the photos by it.
    words = "patches", str(tmp_path / "urls"), "-o", str(tmp_path / "patches"), "--workers", "2"
    code, output = run(*words)
    assert code == 1
    assert f"names the URL zip://phone/a.jpg::{archive}, which you have not named: add --allow-urls" in output
    code, output = run(*words, "--allow-urls")
    assert code == 0, output
    assert "Accepted" in output


def test_align_takes_two_photos_behind_urls(remote: str, tmp_path: Path) -> None:
    code, output = run("align", f"{remote}/phone/a.jpg", f"{remote}/dslr/a.jpg", "-o", str(tmp_path), "--workers", "1")
    assert code == 0, output
    assert "Aligned 1 of 1 pair" in output


@pytest.mark.parametrize(
    "arguments",
    [
        ("align", "s3://bucket/phone", "s3://bucket/dslr", "-o", "out"),
        ("align", "nosuch://a", "nosuch://b", "-o", "out"),
        ("align", "memory://none/a.jpg", "memory://none/b.jpg", "-o", "out"),
        ("align", "memory://none", "-o", "out"),
        ("pair", "zip://a::missing.zip", "zip://b::missing.zip", "-o", "out"),
        ("pair", "memory://none/a", "memory://none/b", "-o", "s3://bucket/out"),
        ("patches", "s3://bucket/aligned", "-o", "out"),
        ("train", "s3://bucket/splits.parquet", "-o", "out"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(arguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, output = run(*arguments)
    assert code in (1, 2)
    assert output.splitlines()[-1].startswith("Error: ")
    assert "s3:/b" not in output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["http://[", "http://[::1", "blockcache://", "generic://x", "cached://x", "a\0b.jpg", "s3://a\0b"]
)
@pytest.mark.filterwarnings("ignore:UPath .* filesystem not explicitly implemented")
def test_an_odd_address_is_one_sentence(text: str) -> None:
    with pytest.raises(DpedtoolError, match=r"not an address that can be read|has a NUL byte"):
        as_place(text)


def test_align_reads_urls_that_only_a_table_names_when_it_is_asked(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("pair", f"{remote}/phone", f"{remote}/dslr", "-o", str(tmp_path / "pairs"))[0] == 0
    words = ["align", str(tmp_path / "pairs"), "-o", str(tmp_path / "aligned"), "--workers", "1", "--no-images"]
    params = tmp_path / "params.yaml"
    with monkeypatch.context() as without:
        without.setattr("fsspec.implementations.memory.MemoryFileSystem.open", lambda *_: pytest.fail("it was read"))
        for root in ("memory://other", "memory://capt", "memory://captures/phone"):
            params.write_text(f"captures: {{root: '{root}'}}")
            code, output = run(*words, "--params", str(params))
            assert code == 1
            assert "pairs.parquet names the URL memory://captures/" in output
    params.write_text(f"captures: {{root: '{remote}'}}")
    assert run(*words, "--params", str(params))[0] == 0
    params.write_text("flags: {align: {allow_urls: true}}")
    assert run(*words, "--params", str(params))[0] == 0


def test_a_url_lies_below_another_one() -> None:
    assert is_below("s3://a/b/c.jpg", "s3://a/b")
    assert is_below("s3://a/b/c.jpg", "s3://a/b/")
    assert is_below("zip://phone/a.jpg::/x/a.zip", "zip://::/x/a.zip")
    assert not is_below("s3://a/bc/d.jpg", "s3://a/b")
    assert not is_below("s3://a/b/../c.jpg", "s3://a/b")
    assert not is_below("zip://phone/a.jpg::/x/b.zip", "zip://::/x/a.zip")
    assert not is_below("http://x/a.jpg", "captures")
