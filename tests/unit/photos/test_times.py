"""When a photo was taken: every form of a time, every field, every kind of file, and no time zone of this machine."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from photo_samples import dng
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational

from dpedtool.dataset.photos.decoding import how_taken
from dpedtool.dataset.photos.exif import Taken
from dpedtool.dataset.photos.tiff_fields import (
    ASCII,
    UNDEFINED,
    ByteOrder,
    Directory,
    Field,
    directory_bytes,
    header_bytes,
    longs,
)
from dpedtool.dataset.photos.times import MOST_XMP, parsed

EXIF, GPS = 0x8769, 0x8825
DATE_TIME, SUBSEC, OFFSET = 306, 37520, 36880
ORIGINAL, SUBSEC_ORIGINAL, OFFSET_ORIGINAL = 36867, 37521, 36881
DIGITIZED, SUBSEC_DIGITIZED, OFFSET_DIGITIZED = 36868, 37522, 36882
TIME = datetime(2023, 5, 6, 10, 11, 12)
TEXT, LATER = "2023:05:06 10:11:12", "2024:01:01 00:00:00"
BLANK = "    :  :     :  :  "


def exif(
    main: Mapping[int, object] | None = None,
    shot: Mapping[int, object] | None = None,
    position: Mapping[int, object] | None = None,
) -> PillowImage.Exif:
    block = PillowImage.Exif()
    # Pillow takes a block whose first directory is empty for none.
    block[271] = "Acme"
    for tag, value in (main or {}).items():
        block[tag] = value
    block.get_ifd(EXIF).update(shot or {})
    block.get_ifd(GPS).update(position or {})
    return block


def photo(path: Path, block: PillowImage.Exif | None = None, xmp: bytes = b"") -> Path:
    more: dict[str, object] = {} if block is None else {"exif": block}
    if xmp and path.suffix == ".png":
        texts = PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", xmp.decode())
        more["pnginfo"] = texts
    elif xmp and path.suffix == ".tif":
        more["tiffinfo"] = {700: xmp}
    elif xmp:
        more["xmp"] = xmp
    PillowImage.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path, **more)
    return path


def moment(taken: Taken) -> tuple[datetime | None, float | None]:
    return taken.time, taken.utc_offset_s


# Forms


@pytest.mark.parametrize(
    ("text", "micros", "offset_s"),
    [
        ("2023:05:06 10:11:12", 0, None),
        ("2023-05-06 10:11:12", 0, None),
        ("2023/05/06 10:11:12", 0, None),
        ("2023.05.06 10.11.12", 0, None),
        ("2023-05-06T10:11:12", 0, None),
        ("2023-05-06T10:11:12Z", 0, 0),
        ("2023-05-06T10:11:12+02:00", 0, 7200),
        ("2023:05:06 10:11:12-0330", 0, -12_600),
        ("2023:05:06 10:11:12 +05", 0, 18_000),
        ("2023:05:06 10:11:12 UTC", 0, 0),
        ("2023:05:06 10:11:12 GMT+1", 0, 3600),
        ("2023:05:06 10:11:12.25", 250_000, None),
        ("2023:05:06 10:11:12,1234567+01:00", 123_456, 3600),
        ("20230506T101112", 0, None),
        ("20230506 101112.5Z", 500_000, 0),
        ("2023: 5: 6 10:11:12", 0, None),
        ("2023:05:06 10:11:12 AM", 0, None),
        ("2023:05:06  10:11:12\0junk", 0, None),
        ("\0 2023:05:06 10:11:12", 0, None),
        ("2023:05:06 10:11:12+99:00", 0, None),
    ],
)
def test_a_time_may_have_many_forms(text: str, micros: int, offset_s: float | None) -> None:
    found = parsed(text)
    assert found is not None
    assert (found.time, found.utc_offset_s) == (TIME.replace(microsecond=micros), offset_s)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023:05:06 10:11", datetime(2023, 5, 6, 10, 11)),
        ("2023-05-06T10:11Z", datetime(2023, 5, 6, 10, 11)),
        # Phones of 2012 to 2016 wrote the first hour of the day so; the position and the file's name tell the day.
        ("2016:02:02 24:28:33", datetime(2016, 2, 2, 0, 28, 33)),
        ("2023:05:06 10:11:60", datetime(2023, 5, 6, 10, 12)),
        ("2023:05:06 12:11:12 AM", datetime(2023, 5, 6, 0, 11, 12)),
        ("2023:05:06 01:11:12 p.m.", datetime(2023, 5, 6, 13, 11, 12)),
    ],
)
def test_unusual_hours_and_seconds(text: str, expected: datetime) -> None:
    found = parsed(text)
    assert found is not None
    assert found.time == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        BLANK,
        "0000:00:00 00:00:00",
        "0001-01-01T00:00:00",
        "1904:01:01 00:00:00",
        "2023:05:06",
        "2023:13:06 10:11:12",
        "2023:02:30 10:11:12",
        "2023:05:06 25:00:00",
        "2023:05:06 10:61:00",
        "yesterday",
        "9" * 400,
    ],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert parsed(text) is None


# Fields


@pytest.mark.parametrize("nothing", [None, BLANK, "0000:00:00 00:00:00", "junk", "\0"])
def test_the_first_field_that_can_be_read_decides(tmp_path: Path, nothing: str | None) -> None:
    texts = {ORIGINAL: TEXT, DIGITIZED: "2023:05:06 10:11:13", DATE_TIME: "2023:05:06 10:11:14"}
    for lost in range(3):
        said = {tag: nothing if place < lost else text for place, (tag, text) in enumerate(texts.items())}
        said = {tag: text for tag, text in said.items() if text is not None}
        main = {tag: text for tag, text in said.items() if tag == DATE_TIME}
        shot = {tag: text for tag, text in said.items() if tag != DATE_TIME}
        assert how_taken(photo(tmp_path / "a.jpg", exif(main, shot))).time == TIME.replace(second=12 + lost)


def test_each_field_has_its_own_fraction_and_zone(tmp_path: Path) -> None:
    fractions = {SUBSEC_ORIGINAL: "1", SUBSEC_DIGITIZED: "02", SUBSEC: "003"}
    zones = {OFFSET_ORIGINAL: "+01:00", OFFSET_DIGITIZED: "+02:00", OFFSET: "-03:30"}
    more: dict[int, object] = fractions | zones
    path = tmp_path / "a.jpg"
    assert moment(how_taken(photo(path, exif({DATE_TIME: LATER}, {ORIGINAL: TEXT, DIGITIZED: LATER} | more)))) == (
        TIME.replace(microsecond=100_000),
        3600,
    )
    assert moment(how_taken(photo(path, exif({DATE_TIME: LATER}, {DIGITIZED: TEXT} | more)))) == (
        TIME.replace(microsecond=20_000),
        7200,
    )
    assert moment(how_taken(photo(path, exif({DATE_TIME: TEXT}, more)))) == (TIME.replace(microsecond=3000), -12_600)


def test_a_zone_beside_another_time_is_not_that_of_the_shot(tmp_path: Path) -> None:
    """A program on a computer writes when and where it changed the photo."""
    path = tmp_path / "a.jpg"
    assert moment(how_taken(photo(path, exif({DATE_TIME: LATER}, {ORIGINAL: TEXT, OFFSET: "+09:00"})))) == (TIME, None)
    assert moment(how_taken(photo(path, exif({DATE_TIME: TEXT}, {ORIGINAL: TEXT, OFFSET: "+09:00"})))) == (TIME, 32_400)


@pytest.mark.parametrize(
    ("zone", "offset_s"), [("Z", 0), ("+02:00\0", 7200), ("   :  ", None), ("", None), ("+5", 18_000), ("UTC", 0)]
)
def test_zones_in_a_field_of_their_own(tmp_path: Path, zone: str, offset_s: float | None) -> None:
    taken = how_taken(photo(tmp_path / "a.jpg", exif(shot={ORIGINAL: TEXT, OFFSET_ORIGINAL: zone})))
    assert moment(taken) == (TIME, offset_s)


def test_the_zone_in_the_text_comes_before_that_of_the_field(tmp_path: Path) -> None:
    taken = how_taken(photo(tmp_path / "a.jpg", exif(shot={ORIGINAL: TEXT + "+02:00", OFFSET_ORIGINAL: "+01:00"})))
    assert moment(taken) == (TIME, 7200)


@pytest.mark.parametrize(
    ("date", "clock", "expected"),
    [
        ("2023:05:06", (10, 11, 12), TIME),
        ("2023-05-06", (10, 11, IFDRational(49, 4)), TIME.replace(microsecond=250_000)),
        ("2023:05:06\0", (24, 0, 0), None),
        (BLANK, (10, 11, 12), None),
    ],
)
def test_satellites_tell_utc(tmp_path: Path, date: str, clock: tuple[object, ...], expected: datetime | None) -> None:
    rationals = tuple(IFDRational(part) for part in clock)  # type: ignore[arg-type]
    taken = how_taken(photo(tmp_path / "a.jpg", exif(shot={ORIGINAL: BLANK}, position={29: date, 7: rationals})))
    assert moment(taken) == (expected, 0 if expected else None)


def packet(inside: str) -> bytes:
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>'
        f"<rdf:Description {inside}</rdf:RDF></x:xmpmeta>"
    ).encode()


@pytest.mark.parametrize(
    "inside",
    [
        'exif:DateTimeOriginal="2023-05-06T10:11:12.5+02:00" xmp:ModifyDate="2024-01-01T00:00:00"/>',
        "xmp:ModifyDate='2024-01-01T00:00:00' xmp:CreateDate = '2023-05-06T10:11:12.5+02:00'/>",
        "><xap:CreateDate>2023-05-06T10:11:12.5+02:00</xap:CreateDate></rdf:Description>",
        'photoshop:DateCreated="2023-05-06" xmp:CreateDate="2023-05-06T10:11:12.5+02:00"/>',
    ],
)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_xmp_tells_the_time_if_nothing_else_does(tmp_path: Path, suffix: str, inside: str) -> None:
    taken = how_taken(photo(tmp_path / f"a.{suffix}", xmp=packet(inside)))
    assert moment(taken) == (TIME.replace(microsecond=500_000), 7200)


def test_xmp_gives_way_to_exif_and_is_searched_to_a_limit(tmp_path: Path) -> None:
    said = packet(f'exif:DateTimeOriginal="{LATER}"/>')
    assert how_taken(photo(tmp_path / "a.jpg", exif(shot={ORIGINAL: TEXT}), said)).time == TIME
    late = b" " * MOST_XMP + said
    assert how_taken(photo(tmp_path / "a.png", xmp=late)).time is None
    assert how_taken(photo(tmp_path / "a.jpg", xmp=said.decode().encode("utf-16-le"))).time == datetime(2024, 1, 1)


def test_a_text_of_another_type_is_read(tmp_path: Path) -> None:
    shot: Directory = {ORIGINAL: Field(UNDEFINED, TEXT.encode()), SUBSEC_ORIGINAL: Field(3, struct.pack("<H", 25))}
    start = 8 + 2 + 12 + 4
    main: Directory = {EXIF: Field(4, struct.pack("<L", start))}
    block = header_bytes(8, "<") + directory_bytes(main, 8, "<") + directory_bytes(shot, start, "<")
    path = tmp_path / "a.png"
    PillowImage.new("RGB", (8, 8)).save(path, exif=block)
    assert how_taken(path).time == TIME.replace(microsecond=250_000)


# Files


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif", "heic", "mpo"])
def test_every_format_tells_time_fraction_and_zone(tmp_path: Path, suffix: str) -> None:
    block = exif(shot={ORIGINAL: TEXT, SUBSEC_ORIGINAL: "25", OFFSET_ORIGINAL: "-05:00", 34855: 200})
    path = tmp_path / f"a.{suffix}"
    if suffix == "heic":
        pillow_heif = pytest.importorskip("pillow_heif")
        pillow_heif.from_pillow(PillowImage.new("RGB", (64, 48))).save(path, exif=block.tobytes())
    else:
        photo(path, block)
    taken = how_taken(path)
    assert moment(taken) == (TIME.replace(microsecond=250_000), -18_000)
    assert taken.iso == 200


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_tells_time_fraction_and_zone(tmp_path: Path, order: ByteOrder) -> None:
    shot = {ORIGINAL: text(TEXT), SUBSEC_ORIGINAL: text("25"), OFFSET_ORIGINAL: text("-05:00")}
    main = {EXIF: longs(order, 8 + 2 + 12 + 4)}
    content = header_bytes(8, order) + directory_bytes(main, 8, order) + directory_bytes(shot, 26, order)
    (tmp_path / "a.tif").write_bytes(content)
    assert moment(how_taken(tmp_path / "a.tif")) == (TIME.replace(microsecond=250_000), -18_000)


def test_heic_tells_the_time_of_its_xmp(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    said = packet(f'exif:DateTimeOriginal="{TEXT}"/>')
    pillow_heif.from_pillow(PillowImage.new("RGB", (64, 48))).save(tmp_path / "a.heic", xmp=said)
    assert how_taken(tmp_path / "a.heic").time == TIME


def test_png_tells_the_time_behind_its_pixels_and_in_texts(tmp_path: Path) -> None:
    out = io.BytesIO()
    PillowImage.new("RGB", (8, 8)).save(out, "PNG")
    plain, block = out.getvalue(), exif(shot={ORIGINAL: TEXT}).tobytes()[6:]
    wrapped = f"\nexif\n{len(block):8}\n{block.hex()}\n".encode()
    for name, data in (
        (b"eXIf", block),
        (b"tEXt", b"Raw profile type exif\0" + wrapped),
        (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(wrapped)),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet(f'xmp:CreateDate="{TEXT}"/>'))),
    ):
        chunk = struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))
        (tmp_path / "a.png").write_bytes(plain[:-12] + chunk + plain[-12:])
        assert how_taken(tmp_path / "a.png").time == TIME, name


def test_a_second_block_and_stray_bytes_hide_no_time(tmp_path: Path) -> None:
    whole = photo(tmp_path / "a.jpg", exif(shot={ORIGINAL: TEXT})).read_bytes()
    blank = b"\xff\xe1" + struct.pack(">H", 2 + 6 + 14) + b"Exif\0\0" + header_bytes(8, "<") + bytes(6)
    for between in (blank, b"\xff\xff\xff", bytes(200)):
        (tmp_path / "b.jpg").write_bytes(whole[:2] + between + whole[2:])
        assert how_taken(tmp_path / "b.jpg").time == TIME


def tiff_block(directory: Directory) -> bytes:
    return header_bytes(8, "<") + directory_bytes(directory, 8, "<")


def text(said: str) -> Field:
    return Field(ASCII, said.encode() + b"\0")


def box(name: bytes, data: bytes) -> bytes:
    return struct.pack(">L", 8 + len(data)) + name + data


def test_raw_files_of_boxes_tell_the_time(tmp_path: Path) -> None:
    """CR3: the directories lie in blocks of their own, in a box of Canon's."""
    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    shot = {ORIGINAL: text(TEXT), SUBSEC_ORIGINAL: text("25"), OFFSET_ORIGINAL: text("+02:00")}
    blocks = box(b"CMT1", tiff_block({DATE_TIME: text(LATER)})) + box(b"CMT2", tiff_block(shot))
    content = box(b"ftyp", b"crx \0\0\0\1crx isom") + box(b"moov", box(b"uuid", canon + box(b"CNCV", b"x") + blocks))
    (tmp_path / "a.cr3").write_bytes(content + box(b"mdat", bytes(99)))
    assert moment(how_taken(tmp_path / "a.cr3")) == (TIME.replace(microsecond=250_000), 7200)
    (tmp_path / "b.cr3").write_bytes(content[:60])
    assert how_taken(tmp_path / "b.cr3") == Taken()


def test_raw_files_with_a_jpeg_inside_tell_its_time(tmp_path: Path) -> None:
    preview = photo(tmp_path / "a.jpg", exif(shot={ORIGINAL: TEXT})).read_bytes()
    head = b"FUJIFILMCCD-RAW ".ljust(84, b"\0") + struct.pack(">LL", 148, len(preview))
    (tmp_path / "a.raf").write_bytes(head.ljust(148, b"\0") + preview + bytes(500))
    assert how_taken(tmp_path / "a.raf").time == TIME


@pytest.mark.parametrize(("suffix", "magic"), [("orf", b"IIRO"), ("rw2", b"IIU\0"), ("nef", b"II*\0")])
def test_raw_files_like_tiff_tell_the_time(tmp_path: Path, suffix: str, magic: bytes) -> None:
    # TIFF/EP has the fields of the shot in the first directory.
    content = magic + tiff_block({ORIGINAL: text(TEXT)})[4:]
    (tmp_path / f"a.{suffix}").write_bytes(content + bytes(500))
    assert how_taken(tmp_path / f"a.{suffix}").time == TIME


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this machine's time zone cannot be set")
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Auckland", "America/New_York"])
def test_no_time_depends_on_the_zone_of_this_machine(tmp_path: Path, zone: str) -> None:
    """At that time of the night, clocks in Berlin skip an hour; another process has the zone from its start."""
    said = "2023:03:26 02:30:00"
    photo(tmp_path / "a.jpg", exif({DATE_TIME: said}))
    (tmp_path / "a.dng").write_bytes(dng(np.full((16, 16), 9000, np.uint16), texts={DATE_TIME: said}))
    script = (
        "import sys; from pathlib import Path; from dpedtool.dataset.photos.decoding import how_taken\n"
        "print(*(how_taken(Path(name)).time.isoformat() for name in sys.argv[1:]))"
    )
    names = [str(tmp_path / name) for name in ("a.jpg", "a.dng")]
    done = subprocess.run(
        [sys.executable, "-c", script, *names],
        env=os.environ | {"TZ": zone},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["2023-03-26T02:30:00"] * 2


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "dng", "heic", "avif"])
def test_headers_alone_are_read(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"a.{suffix}"
    block = exif({DATE_TIME: TEXT})
    if suffix == "dng":
        path.write_bytes(dng(np.full((1000, 1000), 9000, np.uint16), texts={DATE_TIME: TEXT}))
    elif suffix == "heic":
        pillow_heif = pytest.importorskip("pillow_heif")
        noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
        pillow_heif.from_pillow(PillowImage.fromarray(noise)).save(path, exif=block.tobytes(), quality=95)
    else:
        noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
        PillowImage.fromarray(noise).save(path, exif=block, **({"lossless": True} if suffix == "webp" else {}))
    assert path.stat().st_size > 300_000
    read = 0

    class Counting(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            nonlocal read
            data = super().read(-1 if size is None else size) or b""
            read += len(data)
            return data

    monkeypatch.setattr(Path, "open", lambda self, mode: Counting(self, mode))
    assert how_taken(path).time == TIME
    assert read < 100_000
