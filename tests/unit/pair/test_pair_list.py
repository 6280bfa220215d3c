"""The user's list of pairs: what it may look like, and the error for each of its defects."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import read_json
from dpedtool.dataset.params import PairParams
from dpedtool.dataset.params_files import load_params
from dpedtool.dataset.schema import Pair
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.cli import main
from dpedtool.pipeline.pair.pair_list import read_pair_list
from dpedtool.pipeline.pair.stage import pair_folders

PHONES = [Path("phone", name) for name in ("a.jpg", "b.jpg", "c.jpg", "c.png", "é 1.jpg")]
DSLRS = [Path("dslr", name) for name in ("x.jpg", "y.tif", "z,1.jpg")]


def listed(folder: Path, content: str | bytes) -> dict[str, str]:
    path = folder / "pairs.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return {PHONES[phone].name: DSLRS[dslr].name for phone, dslr in read_pair_list(path, PHONES, DSLRS).items()}


@pytest.mark.parametrize(
    "content",
    [
        "phone,dslr\na.jpg,y.tif\nb.jpg,x.jpg\n",
        "phone,dslr\r\na,y\r\nb,x",
        b"\xef\xbb\xbfphone,dslr\na,y\nb,x\n",
        " phone , note, dslr \n\n  a , first,  y\n , ,\nb,,x,more\n",
        "DSLR , Phone\ny,a\nx,b\n",
        'dslr,phone\n"y.tif","a"\nx,b\n',
        "phone;dslr\r\na;y\r\nb;x\r\n;\r\n",
        "phone\tdslr\nb\tx\na\ty\n",
        "\N{BYTE ORDER MARK}phone;dslr;notes, mine\na;y;one, two\nb;x;\n",
        "sep=;\r\nphone;dslr\r\na;y\r\nb;x\r\n",
        '"sep=\t"\nphone\tdslr\na\ty\nb\tx\n',
        "phone,dslr\ra,y\rb,x\r",
        "phone\tdslr\r\na\ty\r\nb\tx\r\n".encode("utf-16"),
        "\N{BYTE ORDER MARK}phone;dslr\na;y\nb;x\n".encode("utf-16-be"),
        "phone,dslr\na,y\nb,x\n".encode("utf-16-le"),
        '"phone";"dslr"\n"a";"y"\n"b";"x"\n',
    ],
    ids=[
        "names",
        "stems, CRLF",
        "byte order mark",
        "spaces, blank lines, other columns",
        "capitals",
        "other order, quotes",
        "semicolons, an empty line of a spreadsheet",
        "tabs",
        "semicolons and commas in texts",
        "separator named",
        "separator named in quotes",
        "CR",
        "UTF-16 and tabs, as a spreadsheet's Unicode text",
        "UTF-16, most significant byte first",
        "UTF-16 without a mark",
        "quotes and semicolons",
    ],
)
def test_lists_that_say_the_same(tmp_path: Path, content: str | bytes) -> None:
    assert listed(tmp_path, content) == {"a.jpg": "y.tif", "b.jpg": "x.jpg"}


def test_names_with_commas_spaces_and_accents(tmp_path: Path) -> None:
    assert listed(tmp_path, 'phone,dslr\né 1,"z,1"\nc.png,x\n') == {"é 1.jpg": "z,1.jpg", "c.png": "x.jpg"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "first line .* must name the columns phone and dslr.*holds nothing"),
        ("Handy,dslr\na,x\n", "must name the columns .*holds Handy, dslr"),
        ("phone|dslr\na|x\n", "separated by a comma, a semicolon or a tab; it holds phone|dslr".replace("|", r"\|")),
        ("phone;dslr\na,x\n", "^Line 2 of .* names 'a,x', but phone holds no such photo"),
        ("phone,phone,dslr\na,b,x\n", "has the columns 'phone' and 'phone', which mean the same: remove one"),
        ("Phone ,dslr, phone\na,x,b\n", "has the columns 'Phone' and 'phone', which mean the same: remove one"),
        ("phone,dslr\n\n", "lists no pair"),
        ("phone,dslr\na,x\na.jpg,y\n", "^Line 3 of .* names a.jpg, and so does line 2"),
        ("phone,dslr\na,x\n\na.jpg,y\n", "^Line 4 of .* names a.jpg, and so does line 2"),
        ("phone,dslr\na,w.jpg\n", "^Line 2 of .* names 'w.jpg', but dslr holds no such photo"),
        ("phone,dslr\nc,x\n", "^Line 2 of .* names 'c', but phone holds several such photos: add the suffix"),
        ("phone,dslr\na\n", "^Line 2 of .* names no photo in the column dslr"),
        ("phone,dslr\n,x\n", "^Line 2 of .* names no photo in the column phone"),
        ("phone,dslr\na,../dslr/x.jpg\n", r"^Line 2 of .* names '\.\./dslr/x\.jpg': write only the file name"),
        ("phone,dslr\n/etc/passwd,x\n", "^Line 2 of .* names '/etc/passwd': write only the file name"),
        ("phone,dslr\n..,x\n", r"^Line 2 of .* names '\.\.', but phone holds no such photo"),
        ("phone,dslr\na,..\\x.jpg\n", "^Line 2 of .*write only the file name"),
        ('phone,dslr\n"a"b,x\n', "^Line 2 of .* is not valid CSV"),
        ("phone,dslr\né,x\n".encode("latin-1"), "is not in UTF-8"),
    ],
)
def test_each_defect_is_one_sentence(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(DpedtoolError, match=words) as refused:
        listed(tmp_path, content)
    assert "\n" not in str(refused.value)


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(DpedtoolError, match=rf"{re.escape(str(path))} cannot be read"):
            read_pair_list(path, PHONES, DSLRS)


def test_files_beside_a_photo_are_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("phone,dslr\na.DNG,x\n")
    beside = {Path("phone/a.DNG"): PHONES[0], Path("dslr/x.NEF"): DSLRS[0]}
    with pytest.raises(
        DpedtoolError, match=r"^Line 2 of .* names 'a\.DNG', which is of the same exposure as a\.jpg: name"
    ):
        read_pair_list(tmp_path / "pairs.csv", PHONES, DSLRS, beside=beside)
    (tmp_path / "pairs.csv").write_text("phone,dslr\na,x\n")
    assert read_pair_list(tmp_path / "pairs.csv", PHONES, DSLRS, beside=beside) == {0: 0}


# In the stage


def test_the_list_goes_before_names_and_the_rest_has_its_reason(tmp_path: Path, captures: Path) -> None:
    (tmp_path / "list-phone.csv").write_text("phone,dslr\na,b\nb,a\n")
    rows = pair_folders(captures / "phone", captures / "dslr", PairParams(csv=str(tmp_path / "list-{phone}.csv"))).rows
    found = [(row.pair_id, row.scene_id, row.matched_by, row.reason) for row in rows]
    assert found == [
        ("phone--a", "b", "csv", ""),
        ("phone--b", "a", "csv", ""),
        ("phone--c", None, None, "not_in_csv"),
        ("phone--d", None, None, "not_in_csv"),
        ("phone--missing--c", "c", None, "not_in_csv"),
        ("phone--missing--d", "d", None, "not_in_csv"),
    ]


def test_the_parameter_is_relative_to_the_params_file(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("pair: {csv: lists/pairs.csv}")
    assert load_params(tmp_path / "params.yaml").pair.csv == str(tmp_path / "lists/pairs.csv")
    assert load_params(tmp_path / "params.yaml", ("pair.csv=here.csv",)).pair.csv == "here.csv"
    assert load_params(tmp_path / "params.yaml", ("pair.csv=null",)).pair.csv is None


@pytest.mark.parametrize("command", [["pair"], ["align", "--no-images", "--workers", "1"]])
def test_the_option_of_the_commands(tmp_path: Path, captures: Path, command: list[str]) -> None:
    (tmp_path / "pairs.csv").write_text("phone,dslr\na,a\n")
    words = [*command, captures / "phone", captures / "dslr", "--csv", tmp_path / "pairs.csv", "-o", tmp_path / "out"]
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert "1 pair, paired by the list" in done.output
    assert "6 photos without a mate (6 not_in_csv)" in done.output
    assert [row.pair_id for row in read_rows(tmp_path / "out/pairs.parquet", Pair) if row.matched_by] == ["phone--a"]
    assert read_json(tmp_path / "out/synchronisation.json")["unpaired"] == {"not_in_csv": 6}


def test_the_option_needs_two_folders(tmp_path: Path, captures: Path) -> None:
    words = ["align", captures / "phone/a.jpg", captures / "dslr/a.jpg", "--csv", "x.csv", "-o", tmp_path / "out"]
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 2
    assert "name the two folders" in done.output
