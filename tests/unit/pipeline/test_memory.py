"""As many processes work as fit into the memory; what does not fit alone is refused, with the least that would do."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline import memory
from dpedtool.pipeline.memory import (
    ALIGN,
    ALIGN_WITHOUT_DEPTH,
    FLOW_PX,
    ITEM,
    JPEG_DECODING,
    MAIN,
    NO_PHOTO,
    OTHER_DECODING,
    PATCHES,
    SERVER,
    WORKER,
    Memory,
    Need,
    Photo,
    memory_of,
    pair_need,
    read_header,
)

MB = 10**6


@pytest.fixture(autouse=True)
def _small_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the tests holds more than that of a command."""
    monkeypatch.setattr(memory, "_main", lambda: MAIN)


def of(limit: int, *sizes: int) -> tuple[Memory[int], list[int]]:
    return Memory(limit, lambda item: Need(f"Item {item}", item)), list(sizes)


def fitting(limit: int, *sizes: int, wanted: int) -> int:
    within, items = of(limit, *sizes)
    return within.workers(items, wanted, "work")


def several(*sizes: int) -> int:
    """The least limit for as many processes as there are items."""
    return MAIN + SERVER + sum(WORKER + size for size in sizes)


def test_as_many_work_as_fit_with_the_largest_items_at_once() -> None:
    sizes = (100 * MB, 300 * MB, 200 * MB, 50 * MB)
    least = several(300 * MB, 200 * MB, 100 * MB)
    assert fitting(least, *sizes, wanted=3) == 3
    assert fitting(least, *sizes, wanted=4) == 3
    assert fitting(least - 1, *sizes, wanted=3) == 2
    assert fitting(several(*sizes), *sizes, wanted=99) == 4


def test_a_single_process_needs_no_other_beside_it() -> None:
    assert fitting(MAIN + 300 * MB, 300 * MB, 200 * MB, wanted=8) == 1
    assert fitting(several(300 * MB), 300 * MB, 200 * MB, wanted=8) == 1


def test_it_is_said_that_fewer_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert fitting(600 * MB, 200 * MB, 200 * MB, wanted=2) == 1
    assert capsys.readouterr().err == "work: 0.60 GB of memory are enough for 1 of 2 processes.\n"
    assert fitting(several(200 * MB, 200 * MB), 200 * MB, 200 * MB, wanted=2) == 2
    assert fitting(600 * MB, 200 * MB, wanted=2) == 1
    assert capsys.readouterr().err == ""


def test_what_does_not_fit_alone_is_refused_with_the_least_that_fits() -> None:
    within, items = of(100 * MB, 20 * MB, 291 * MB + 1, 30 * MB)
    words = "Item 291000001 needs at least 0.55 GB of memory, but --max-memory allows 0.10 GB: set that much or more."
    with pytest.raises(DpedtoolError, match=f"^{re.escape(words)}$"):
        within.workers(items, 4, "work")
    assert fitting(550 * MB, *items, wanted=4) == 1


def test_without_items_nothing_is_refused() -> None:
    assert fitting(1, wanted=3) == 3


def test_without_a_limit_no_header_is_read() -> None:
    assert memory_of(None, pytest.fail) is None


@pytest.mark.parametrize(
    ("held", "counted"), [(0, MAIN), (219 * MB, MAIN), (221 * MB, 300 * MB), (1201 * MB, 1300 * MB)]
)
def test_large_tables_of_the_main_process_count(monkeypatch: pytest.MonkeyPatch, held: int, counted: int) -> None:
    monkeypatch.undo()
    info = type("Info", (), {"rss": held})
    monkeypatch.setattr(psutil.Process, "memory_info", lambda _: info)
    assert memory._main() == counted


def photo(folder: Path, name: str, width: int = 40, height: int = 30, depth: type = np.uint8) -> Path:
    cv2.imwrite(str(folder / name), np.zeros((height, width, 3), depth))
    return folder / name


@pytest.mark.parametrize(
    ("name", "decoding"), [("a.jpg", JPEG_DECODING), ("a.png", OTHER_DECODING), ("a.tif", OTHER_DECODING)]
)
def test_a_header_tells_the_size_and_the_format(tmp_path: Path, name: str, decoding: int) -> None:
    assert read_header(photo(tmp_path, name)) == Photo(40 * 30, decoding)


def test_a_size_behind_long_headers_is_found(tmp_path: Path) -> None:
    content = photo(tmp_path, "a.jpg").read_bytes()
    padding = b"\xff\xe3\xff\xff" + bytes(65533)
    (tmp_path / "long.jpg").write_bytes(content[:2] + 5 * padding + content[2:])
    assert read_header(tmp_path / "long.jpg") == Photo(40 * 30, JPEG_DECODING)


def test_photos_that_their_stage_refuses_take_no_memory(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "empty.png").touch()
    content = bytearray(photo(tmp_path, "claims.png").read_bytes())
    content[16:24] = struct.pack(">II", 30_000, 30_000)
    (tmp_path / "claims.png").write_bytes(content)
    (tmp_path / "folder.jpg").mkdir()
    for name in ("text.jpg", "empty.png", "claims.png", "folder.jpg", "missing.jpg"):
        assert read_header(tmp_path / name) == NO_PHOTO, name
    assert pair_need(ALIGN, "p--a", None, tmp_path / "missing.jpg") == Need("The pair p--a", ITEM)


def test_a_pair_is_named_with_its_photos(tmp_path: Path) -> None:
    phone, dslr = photo(tmp_path, "a.jpg", 2000, 1500), photo(tmp_path, "b.jpg", 3000, 1990)
    found = pair_need(ALIGN_WITHOUT_DEPTH, "p--a", phone, dslr)
    assert found.what == "The pair p--a (photos of 3.0 and 6.0 megapixels)"
    assert found.size == ALIGN_WITHOUT_DEPTH.of(Photo(3 * MB, JPEG_DECODING), Photo(5_970_000, JPEG_DECODING))


def test_what_is_measured_or_decoded_counts_whichever_is_more() -> None:
    small, large = Photo(MB, JPEG_DECODING), Photo(50 * MB, JPEG_DECODING)
    assert PATCHES.of(large, small) == ITEM + 50 * MB * PATCHES.phone + MB * PATCHES.dslr
    assert PATCHES.of(small, large) == ITEM + MB * PATCHES.held + 50 * MB * JPEG_DECODING
    assert PATCHES.of(small, small, [large]) == ITEM + MB * (PATCHES.held + 6) + 50 * MB * JPEG_DECODING


def test_a_flow_is_computed_on_reduced_photos() -> None:
    large = Photo(12 * MB, JPEG_DECODING)
    assert ALIGN.of(large, large) == ITEM + 12 * MB * ALIGN.near_flow + FLOW_PX * ALIGN.flow
    assert ALIGN_WITHOUT_DEPTH.of(large, large) == ITEM + 12 * MB * (ALIGN.phone + ALIGN.dslr)


# The figures of the table were measured; a process took so much beside the 167 to 177 MB that it began with.
@pytest.mark.parametrize(
    ("use", "phone", "dslr", "measured"),
    [
        (ALIGN_WITHOUT_DEPTH, 1, 1.5, 56),
        (ALIGN_WITHOUT_DEPTH, 3, 12, 194),
        (ALIGN_WITHOUT_DEPTH, 3, 50, 344),
        (ALIGN_WITHOUT_DEPTH, 12, 24, 476),
        (ALIGN_WITHOUT_DEPTH, 12, 37, 549),
        (ALIGN_WITHOUT_DEPTH, 50, 50, 1561),
        (ALIGN_WITHOUT_DEPTH, 100, 100, 3106),
        (ALIGN, 1, 1.5, 289),
        (ALIGN, 3, 12, 917),
        (ALIGN, 12, 24, 1037),
        (ALIGN, 50, 50, 1599),
        (PATCHES, 1, 1.5, 63),
        (PATCHES, 3, 12, 174),
        (PATCHES, 3, 50, 333),
        (PATCHES, 12, 24, 562),
        (PATCHES, 12, 37, 603),
        (PATCHES, 50, 50, 2125),
        (PATCHES, 100, 100, 4178),
    ],
)
def test_the_model_is_above_what_was_measured(use: memory.Use, phone: float, dslr: float, measured: int) -> None:
    photos = (Photo(round(size * MB), JPEG_DECODING) for size in (phone, dslr))
    assert use.of(*photos) > 1.05 * measured * MB
