"""Paths in what the report publishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpedtool.pipeline.report.paths import Paths

ROOTS = Paths.below("/data/My photos/captures", Path("/home/me/the project/results"))


@pytest.mark.parametrize(
    ("text", "published"),
    [
        ("/data/My photos/captures/dslr/1.jpg has no mate.", "dslr/1.jpg has no mate."),
        ("The same as /data/My photos/captures/a/2.jpg.", "The same as a/2.jpg."),
        ("In /data/My photos/captures, nothing.", "In captures, nothing."),
        ("/home/me/the project/results/splits/a.parquet: gone", "results/splits/a.parquet: gone"),
        (
            "/home/me/the project/results/aligned/a/../../../../../../data/My photos/captures/a/1.jpg: gone",
            "a/1.jpg: gone",
        ),
        ("results/aligned/a/../../x/1.jpg is damaged", "results/x/1.jpg is damaged"),
        ("../../../elsewhere/1.jpg and ~/pictures/2.jpg (/srv/3.jpg)", "1.jpg and 2.jpg (3.jpg)"),
        ("/srv/camera/1.jpg: not found.", "1.jpg: not found."),
        ("'/srv/camera/1.jpg' is gone", "'1.jpg' is gone"),
        ("file:///home/x/y.jpg and file:/home/x/z", "y.jpg and z"),
        ("file://localhost/data/My photos/captures/a/1.jpg is gone", "a/1.jpg is gone"),
        ("user:/home/ann/x is gone", "user:x is gone"),
        ("/srv//camera/1.jpg", "1.jpg"),
        ("Sony /Canon, 50 /100 windows", "Sony /Canon, 50 /100 windows"),
        ("f/1.8 /ISO 100", "f/1.8 /ISO 100"),
        ("s3://bucket/captures/a/1.jpg is gone", "s3://bucket/captures/a/1.jpg is gone"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("1 - PSNR / 40 dB, in 1/px^2, train/test/none", "1 - PSNR / 40 dB, in 1/px^2, train/test/none"),
        ("</b></script><img src=x>.jpg", "</b></script><img src=x>.jpg"),
    ],
)
def test_a_text_names_no_folder_of_the_machine(text: str, published: str) -> None:
    assert ROOTS.shorten(text) == published


def test_a_root_that_is_written_relative_is_taken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = Paths.below("demo/captures", Path("results"))
    assert paths.shorten("demo/captures/dslr/1.jpg has no mate.") == "dslr/1.jpg has no mate."
    assert paths.shorten("results/pairs/a/../../../demo/captures/a/1.jpg has none.") == "a/1.jpg has none."
    assert paths.shorten(f"{tmp_path}/demo/captures/a/1.jpg has none.") == "a/1.jpg has none."
    assert paths.shorten("In demo/captures.") == "In demo/captures."
    assert paths.shorten("mydemo/captures/1.jpg") == "mydemo/captures/1.jpg"


def test_a_root_without_a_name_is_part_of_no_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Paths.below(".", Path("/results")).shorten("a . b, ./c.jpg, e.g. this") == "a . b, c.jpg, e.g. this"


def test_all_texts_of_plain_data_are_shortened() -> None:
    data = {"said": ["/srv/a.jpg", 3, None], "inner": {"path": "/srv/b.jpg", "share": 0.5}}
    assert ROOTS.shorten_all(data) == {"said": ["a.jpg", 3, None], "inner": {"path": "b.jpg", "share": 0.5}}
    assert ROOTS.shorten_all({"plan=/srv/c.png": 1, "by_tag": 2}) == {"plan=c.png": 1, "by_tag": 2}
