"""The scan of a release: every kind of private data is found in any place, and clean files have no findings."""

from __future__ import annotations

import getpass
import io
import json
import os
import platform
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photo_exif import full_exif, photo_bytes
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from dpedtool.dataset.photos.encoding import encode_image, png_chunk
from dpedtool.dataset.shards import ShardWriter
from dpedtool.pipeline.release.privacy import scan as privacy
from dpedtool.pipeline.release.privacy.image_parts import APP, COM, JPEG, segment_bytes
from dpedtool.pipeline.release.privacy.image_parts import PNG as PNG_START
from dpedtool.pipeline.release.privacy.private_texts import Host, Login, private_texts
from dpedtool.pipeline.release.privacy.scan import own_secrets, scan, scan_file
from dpedtool.pipeline.release.privacy.stripping import JFIF, icc_segments

PATCH = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
JPG, PNG = encode_image(PATCH, ".jpg", 98), encode_image(PATCH, ".png")
WITH_EXIF = photo_bytes("JPEG", full_exif())
SECRETS = frozenset({"/data/tripod", "anna-laptop", "SERIAL-7", "Anna"})


def jpeg_with(*parts: bytes) -> bytes:
    return JPEG + b"".join(parts) + JPG[2:]


def png_with(*parts: bytes) -> bytes:
    return PNG[:33] + b"".join(parts) + PNG[33:]


def saved(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    PillowImage.fromarray(PATCH).save(out, kind, **options)
    return out.getvalue()


def clean(name: str, content: bytes) -> None:
    assert scan(name, content, SECRETS) == []


def found(content: bytes, *words: str) -> None:
    """The findings name the file and have all these words."""
    findings = scan("a file", content, SECRETS)
    assert all(finding.startswith("a file: ") and finding.endswith(".") for finding in findings)
    assert [word for word in words if not any(word in finding for finding in findings)] == []


def test_patches_and_texts_are_clean() -> None:
    for content in (JPG, PNG, saved("JPEG", progressive=True), saved("PNG", dpi=(72, 72))):
        clean("a", content)
    clean("a.json", b'{"patch_id": "1_2", "x": 3, "path": "home/x", "url": "https://a.org/home/b"}')
    clean("README.md", b"See /path/to/it, ~/home/x and docs/Users/guide.md, or C:\\data. My annals are at home.")
    clean("nothing", b"")


def test_each_kind_of_segment_is_found() -> None:
    found(WITH_EXIF, "EXIF with GPS position, artist, copyright and serial number", "XMP", "the secret 'SERIAL-7'")
    found(jpeg_with(segment_bytes(COM, b"by Anna, in /home/anna/a")), "a comment", "'Anna'", "the path /home/anna")
    found(jpeg_with(segment_bytes(APP[13], b"Photoshop 3.0\0" + b"8BIM")), "IPTC")
    found(jpeg_with(segment_bytes(APP[2], b"MPF\0II*\0")), "a list of further pictures")
    found(jpeg_with(segment_bytes(APP[0], b"JFXX\0\x13")), "a thumbnail")
    found(jpeg_with(segment_bytes(APP[0], JFIF[:-2] + b"\1\1abc")), "a thumbnail")
    found(jpeg_with(segment_bytes(APP[4], b"a")), "a segment APP4")
    found(jpeg_with(segment_bytes(0xF0, b"a")), "a segment of the unknown kind 0xf0")
    found(jpeg_with(segment_bytes(APP[14], b"Adobe\0\x64\0\0\0\0\1 more")), "a segment APP14")
    found(jpeg_with(*icc_segments(b"a profile")), "a colour profile")
    found(jpeg_with(b"Anna here"), "9 bytes between its segments", "the secret 'Anna'")
    found(JPG + WITH_EXIF, f"{len(WITH_EXIF)} bytes after the end of the image", "bytes that mark EXIF")
    found(JPG[:-2], "no end of the image")
    clean("fill bytes", jpeg_with(b"\xff\xff\xff"))


def test_an_exif_block_without_names_is_found() -> None:
    exif = PillowImage.Exif()
    exif[0x10F] = "Maker"
    assert scan("a", saved("JPEG", exif=exif)) == ["a: EXIF."]
    exif[0x8825] = {1: "N"}
    exif[0x8769] = {0xA430: "A Name"}
    assert scan("a", saved("JPEG", exif=exif)) == ["a: EXIF with GPS position and owner's name."]


def test_each_kind_of_chunk_is_found() -> None:
    block = full_exif().tobytes()
    found(saved("PNG", exif=full_exif()), "EXIF with GPS position, artist, copyright and serial number")
    found(png_with(png_chunk(b"tEXt", b"Author\0Anna")), "a text 'Author'", "the secret 'Anna'")
    found(png_with(png_chunk(b"zTXt", b"Author\0\0" + zlib.compress(b"by Anna"))), "a text 'Author'", "'Anna'")
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", "in /Users/anna/a", zip=True)
    found(saved("PNG", pnginfo=info), "XMP", "the path /Users/anna")
    raw = f"\nexif\n{len(block)}\n{block.hex()}\n".encode()
    found(png_with(png_chunk(b"tEXt", b"Raw profile type exif\0" + raw)), "EXIF with GPS position")
    found(png_with(png_chunk(b"iCCP", b"Anna\0\0" + zlib.compress(b"a"))), "a colour profile", "'Anna'")
    bomb = zlib.compress(bytes(10**7))
    found(png_with(png_chunk(b"iCCP", b"icc\0\0" + bomb)), "a colour profile")
    found(png_with(png_chunk(b"tIME", bytes(7))), "the time of the last change")
    found(png_with(png_chunk(b"prVt", b"a")), "a chunk 'prVt'")
    found(png_with(png_chunk(b"sBIT", b"\5\6\5 Anna")), "a chunk 'sBIT'", "'Anna'")
    found(PNG + b"/home/anna/a", "12 bytes after the end of the image", "the path /home/anna")
    found(PNG[:-12], "no end of the image")


def png_of(colours: int, data: bytes, *parts: bytes, interlaced: int = 0) -> bytes:
    """A PNG file of 3 x 2 px of 8 bit, whose one chunk IDAT holds `data`."""
    header = struct.pack(">LL5B", 3, 2, 8, colours, 0, 0, interlaced)
    return PNG_START + png_chunk(b"IHDR", header) + b"".join(parts) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def test_what_lies_behind_the_pixels_of_a_png_is_found() -> None:
    rows = bytes(2 * (1 + 3 * 3))
    clean("a", png_of(2, zlib.compress(rows)))
    found(png_of(2, zlib.compress(rows) + b"by Anna"), "7 bytes after the end of its compressed", "the secret 'Anna'")
    split = png_of(2, zlib.compress(rows), png_chunk(b"IDAT", b""))
    assert scan("a", split[:-12] + png_chunk(b"IDAT", b"by Anna") + split[-12:], SECRETS) != []
    found(png_of(2, zlib.compress(rows + b"x")), "bytes after its pixels")
    found(png_of(2, zlib.compress(rows + bytes(5 * 10**6))), "bytes after its pixels")
    for damaged in (zlib.compress(rows)[:-1], zlib.compress(rows[1:]), b"by Anna"):
        found(png_of(2, damaged), "damaged pixels")
    # Of 3 x 2 px the passes 1, 4, 6 and 7 have 1 row each of 1, 1, 1 and 3 px, 5 none... in all as many px as plain.
    with PillowImage.open(io.BytesIO(png_of(0, zlib.compress(bytes(6 + 4)), interlaced=1))) as shown:
        shown.load()
    clean("interlaced", png_of(0, zlib.compress(bytes(6 + 4)), interlaced=1))
    found(png_of(0, zlib.compress(bytes(6 + 5)), interlaced=1), "bytes after its pixels")


def test_palettes_and_second_chunks_that_pixels_do_not_need_are_found() -> None:
    palette, rows = png_chunk(b"PLTE", b"by Anna! "), zlib.compress(bytes(2 * 4))
    clean("a", png_of(3, rows, png_chunk(b"PLTE", bytes(9))))
    found(png_of(0, rows, palette), "a palette that no pixel uses", "the secret 'Anna'")
    found(png_of(2, zlib.compress(bytes(20)), palette), "a palette that no pixel uses")
    found(png_of(3, rows, palette, png_chunk(b"gAMA", b"Anna"), png_chunk(b"gAMA", b"Anna")), "a chunk 'gAMA'")
    found(png_of(2, zlib.compress(bytes(20)), png_chunk(b"tRNS", b"by Anna")), "a chunk 'tRNS'")


def test_segments_that_decoders_skip_are_found() -> None:
    start = JPG.index(b"\xff\xda")
    found(JPG[:start] + segment_bytes(0xDC, b"Anna") + JPG[start:], "a segment of the unknown kind 0xdc", "'Anna'")
    found(JPG[:-2] + segment_bytes(0xDC, b"An") + JPG[-2:], "a segment of the unknown kind 0xdc")


@pytest.mark.parametrize("mark", [b"Exif\0\0II*\0", b"http://ns.adobe.com/xap/1.0/", b"Photoshop 3.0\0"])
def test_marks_are_found_where_no_part_begins(mark: bytes) -> None:
    """Private data in coded data and in a table, where the structure of the file stays valid."""
    middle = len(JPG) - 50
    found(JPG[:middle] + mark + JPG[middle:], "bytes that mark")
    found(PNG[:60] + mark + PNG[60 + len(mark) :], "bytes that mark")
    found(jpeg_with(segment_bytes(0xDB, b"\x0f" + mark)), "bytes that mark")


def test_random_pixels_are_no_finding() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        clean("a", encode_image(rng.integers(0, 256, (32, 32, 3), np.uint8), ".png"))


def test_other_files_cannot_be_proven_clean() -> None:
    kinds = {"WEBP": "WebP", "TIFF": "TIFF", "BMP": "BMP", "GIF": "GIF"}
    for kind, name in kinds.items():
        assert scan("a", saved(kind)) == [f"a: a {name} file, which cannot be proven clean."]
    assert "HEIC" in scan("a", photo_bytes("HEIF", None))[0]
    for content in (b"\x1f\x8b\x08\0\0", b"PK\x03\x04\0", b"a\0b", b"\xff\xfea\0", b"PAR1\0"):
        assert "cannot be proven clean" in scan("a", content)[0]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("in /home/x/data", "/home/x"),
        ("file:///home/x.y/data", "file:///home/x.y/data"),
        ("'/Users/x'", "/Users/x"),
        ("/export/home/x/", "/export/home/x"),
        ("/mnt/c/Users/x/", "/mnt/c/Users/x"),
        ("C:\\Users\\x y\\z", "C:\\Users\\x"),
        (json.dumps("D:\\Users\\x\\z"), "D:\\Users\\x"),
        ("c:/users/x/", "c:/users/x"),
        ("C:\\Documents and Settings\\x\\", "C:\\Documents and Settings\\x"),
        ("/run/media/x/DISK", "/run/media/x"),
        ("/Volumes/DISK/", "/Volumes/DISK"),
        ("/var/folders/ab/", "/var/folders/ab"),
        ("/root/data", "/root/data"),
        ("/cluster/home/jsmith/a", "/cluster/home/jsmith"),
        ("/net/home/jsmith", "/net/home/jsmith"),
        ("/data/users/jsmith/", "/data/users/jsmith"),
        ("host:/scratch/jsmith/", "/scratch/jsmith"),
        ("/mnt/disk/jsmith/a", "/mnt/disk/jsmith/a"),
        ("/any/where/j\\_smith/a", "/any/where/j\\_smith"),
        ("\\\\nas\\jsmith\\a", "\\nas\\jsmith"),
        ("~jsmith/a", "~jsmith/"),
        ("D:/Photos/John Doe/x.jpg", "D:/Photos/John"),
    ],
)
def test_folders_of_users_are_found(text: str, path: str) -> None:
    assert private_texts(text) == [f"the path {path}"]


@pytest.mark.parametrize(
    "text",
    [
        *("/home", "/home/", "at home/x", "https://a.org/home/x", "~/home/x", "../root/x", "C:\\data", "/users"),
        *("2024/05/06", " /05/06/07", "1/2/3", "and/or/not", "dped/PHONE/a/b", "https://a.org/x/y?z=1/2/3", "n/a"),
        *("#!/usr/bin/env python", "/path/to/it", "a / b / c", "low\\_ncc", "http://a.org:80/b/c/d", "//a.org/b/c/d"),
    ],
)
def test_other_paths_are_not(text: str) -> None:
    assert private_texts(text) == []


def test_secrets_are_found_as_words_and_long_ones_anywhere() -> None:
    assert private_texts("x/DATA/TRIPODS", SECRETS) == ["the secret '/data/tripod'"]
    assert private_texts("by anna_", SECRETS) == ["the secret 'Anna'"]
    assert private_texts("my annals, hanna", SECRETS) == []
    assert private_texts("0.1234567 and 123456.5 and a1234567", {"123456", "1234567"}) == []
    assert private_texts("No. 1234567.", {"123456", "1234567"}) == ["the secret '1234567'"]
    assert private_texts("Straße der Übung", {"STRASSE DER übung"}) == ["the secret 'STRASSE DER übung'"]


def test_escapes_of_json_are_read() -> None:
    for text in ('{"a": ["\\u002fhome\\u002fanna"]}', '{"\\/home\\/anna": 1}', '{"a": 1}\n{"b": "\\/home\\/anna"}\n'):
        assert scan("a.json", text.encode()) == ["a.json: the path /home/anna."]
    assert scan("a.json", b'{"a": "/home/anna", "a": "\\u0031"}') == ["a.json: the path /home/anna."]
    assert scan("a.json", b'{"a": "Option A:\\nfoo\\nbar", "b": 1234567}', {"1234567"}) == [
        "a.json: the secret '1234567'."
    ]
    assert scan("a.md", b'{"a": "\\x"') == []
    assert scan("a.json", b"[" * 100_000 + b'"\\') == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "nowhere")
    assert scan_file(tmp_path / "a", "a") == ["a: a link, which may lead anywhere."]
    with pytest.raises(OSError, match="nothing"):
        scan_file(tmp_path / "nothing", "nothing")
    os.mkfifo(tmp_path / "b.tar")
    assert scan_file(tmp_path / "b.tar", "b.tar") == ["b.tar: not a file."]


def test_names_of_files_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    assert scan_file(tmp_path / "a.png", "by-Anna/a.png", SECRETS) == ["by-Anna/a.png: the secret 'Anna'."]
    assert scan_file(tmp_path / "a.png", "a.png", SECRETS) == []


def test_shards_are_looked_through_member_by_member(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with ShardWriter(path) as shard:
        shard.add("1.phone.png", PNG)
        shard.add("1.json", b'{"x": 1}')
    assert scan_file(path, "a.tar", SECRETS) == []
    with ShardWriter(path) as shard:
        shard.add("1.phone.png", PNG)
        shard.add("1.dslr.jpg", WITH_EXIF)
        shard.add("2.json", b'{"x": "C:\\\\Users\\\\bert\\\\x"}')
        shard.add("Anna.png", PNG)
    findings = scan_file(path, "a.tar", SECRETS)
    assert findings[0] == "a.tar: 1.dslr.jpg: EXIF with GPS position, artist, copyright and serial number."
    assert findings[-2:] == ["a.tar: 2.json: the path C:\\Users\\bert.", "a.tar: Anna.png: the secret 'Anna'."]


def test_links_devices_owners_and_holes_in_an_archive_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "by Anna"}) as archive:
        for name, kind in (("a", tarfile.SYMTYPE), ("b", tarfile.LNKTYPE), ("c", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        member = tarfile.TarInfo("d")
        member.uname = "anna"
        archive.addfile(member)
        archive.addfile(tarfile.TarInfo("e"))
    findings = scan_file(path, "a.tar", SECRETS)
    assert sum("a link, a device" in finding for finding in findings) == 3
    assert "a.tar: d: the archive names its owner, anna." in findings
    assert "a.tar: a: the secret 'Anna'." in findings


def test_what_is_behind_the_end_of_an_archive_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with ShardWriter(path) as shard:
        shard.add("a.png", PNG)
    whole = path.read_bytes()
    path.write_bytes(whole + b"Anna")
    assert scan_file(path, "a.tar") == ["a.tar: bytes after the end of the archive."]
    path.write_bytes(whole[:-3000] + b"\1" + whole[-2999:])
    assert scan_file(path, "a.tar") == ["a.tar: bytes after the end of the archive."]
    for damaged in (whole[:1000], b"no archive", b"x" * 1024):
        path.write_bytes(damaged)
        assert "damaged, so it cannot be proven clean" in scan_file(path, "a.tar")[0]


def test_what_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    member = tarfile.TarInfo("big.png")
    member.size = 3 * 10**9
    (tmp_path / "a.tar").write_bytes(member.tobuf(tarfile.USTAR_FORMAT))
    assert scan_file(tmp_path / "a.tar", "a.tar")[0] == "a.tar: big.png: 3.0 GB, which is too much to look through."
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(3 * 10**9)
    assert scan_file(tmp_path / "a.png", "a.png") == ["a.png: 3.0 GB, which is too much to look through."]
    monkeypatch.setattr(privacy, "MOST_BYTES", 100)
    pq.write_table(pa.table({"a": ["x" * 1000]}), tmp_path / "a.parquet")
    assert "too much" in scan_file(tmp_path / "a.parquet", "a.parquet")[0]


def test_a_member_with_holes_is_not_read(tmp_path: Path) -> None:
    """Some bytes in the archive, a terabyte when it is read (GNU tar, sparse formats)."""
    member = tarfile.TarInfo("holes")
    member.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"%011o\0" % (10**9)
    header[148:156] = b"%06o\0 " % sum(header[:148] + b" " * 8 + header[156:512])
    (tmp_path / "a.tar").write_bytes(bytes(header) + bytes(10240))
    assert "a file with holes" in scan_file(tmp_path / "a.tar", "a.tar")[0]


def table_of(kind: pa.DataType, values: list[object]) -> pa.Table:
    return pa.table({"facts": pa.array(values, kind), "x": pa.array(range(len(values)))})


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.string(), ["a", None, "/home/anna/a"]),
        (pa.large_string(), ["/home/anna/a"]),
        (pa.list_(pa.string()), [[], None, ["a", "/home/anna/a"]]),
        (pa.struct([("deep", pa.list_(pa.struct([("er", pa.string())])))]), [{"deep": [{"er": "/home/anna"}]}]),
        (pa.map_(pa.string(), pa.string()), [[("a", "/home/anna")]]),
        (pa.map_(pa.string(), pa.int64()), [[("/home/anna", 1)]]),
        (pa.dictionary(pa.int32(), pa.string()), ["/home/anna"]),
        (pa.binary(), [None, b"", b"in /home/anna"]),
        (pa.json_(), ['{"a": "/home/anna"}']),
    ],
)
def test_texts_in_parquet_are_found_however_deep(kind: pa.DataType, values: list[object], tmp_path: Path) -> None:
    pq.write_table(table_of(kind, values), tmp_path / "a.parquet")
    (finding,) = scan_file(tmp_path / "a.parquet", "a.parquet")
    assert finding.startswith("a.parquet: column facts")
    assert finding.endswith(": the path /home/anna.")


def test_images_in_parquet_are_looked_at_row_by_row(tmp_path: Path) -> None:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = [{"bytes": PNG, "path": "a.png"}] * 150 + [{"bytes": WITH_EXIF, "path": "Anna.jpg"}, None]
    pq.write_table(table_of(image, images), tmp_path / "a.parquet", row_group_size=60)
    findings = scan_file(tmp_path / "a.parquet", "a.parquet", SECRETS)
    assert findings[0].startswith("a.parquet: column facts.bytes, row 150: EXIF with GPS position")
    assert findings[-1] == "a.parquet: column facts.path: the secret 'Anna'."
    pq.write_table(table_of(image, images[:150]), tmp_path / "a.parquet")
    assert scan_file(tmp_path / "a.parquet", "a.parquet", SECRETS) == []


def test_remarks_and_names_in_parquet_are_looked_at(tmp_path: Path) -> None:
    deep = pa.struct([pa.field("a", pa.int64(), metadata={"from": "/home/bert/"})])
    fields = [pa.field("by Anna", deep), pa.field("b", pa.int64(), metadata={"k": "/home/dora/"})]
    table = pa.table([[{"a": 1}], [1]], pa.schema(fields, metadata={"made": "in /home/emil/a"}))
    with pq.ParquetWriter(tmp_path / "a.parquet", table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"late": "/home/fred/a"})
    findings = scan_file(tmp_path / "a.parquet", "a.parquet", SECRETS)
    paths = [f"a.parquet: the path /home/{name}." for name in ("bert", "dora", "emil", "fred")]
    assert sorted(findings) == [*paths, "a.parquet: the secret 'Anna'."]


def test_damaged_parquet_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table_of(pa.string(), ["some text"] * 100), path)
    whole = path.read_bytes()
    for damaged in (b"", b"PAR1", whole[:-20], whole[:4] + bytes(40) + whole[44:]):
        path.write_bytes(damaged)
        (finding,) = scan_file(path, "a.parquet")
        assert "damaged, so it cannot be proven clean" in finding
        assert "\n" not in finding


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Pretend to be a user of a machine."""

    def named(login: str, host: str) -> None:
        monkeypatch.setenv("HOME", f"/srv/people/{login}")
        monkeypatch.setattr(platform, "node", lambda: host)
        monkeypatch.setattr(getpass, "getuser", lambda: login)

    return named


Machine = Callable[[str, str], None]


def test_own_secrets_are_what_tells_of_this_machine(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("annab", "annas-laptop.example.org")
    monkeypatch.chdir(tmp_path)
    hosts = {"annas-laptop", "annas-laptop.example.org"}
    own = own_secrets([Path("photos"), Path("/data")])
    assert {secret for secret in own if isinstance(secret, str)} == {"/srv/people/annab", str(tmp_path / "photos")}
    assert own - {secret for secret in own if isinstance(secret, str)} == {
        *(Login("annab"), *map(Host, hosts), *(Host(f"annab@{host}") for host in hosts))
    }
    machine("Admin", "localhost")
    assert own_secrets([]) == {"/srv/people/Admin", Host("Admin@localhost")}


@pytest.mark.parametrize("login", ["chang", "camera", "dataset", "image", "pixel", "users", "release"])
def test_names_of_this_machine_that_are_words_are_no_findings(login: str, machine: Machine) -> None:
    machine(login, f"{login}.lab.org")
    said = ["Chen, Chang", f"{login}@{login}.lab.org", "https://annas-laptop.lab.org/home/chang/", "image-1"]
    text = f"by {login}; {login}/{login}.jpg, dped/{login}/a, (~{login[:2]}), phone/{login}, https://a.org/~{login}/a\n"
    own = own_secrets([], said)
    assert private_texts(text + "\n".join(said), own) == []
    machine(login, "image-1")
    assert private_texts(text + "\n".join(said), own_secrets([], said)) == []


@pytest.mark.parametrize(
    "text",
    [
        *(
            "/data/chang",
            "/chang/x",
            "~chang",
            "C:\\chang\\x",
            "home/chang/x",
            "chang@zeus:x",
            "zeus-2.lan",
            "(ZEUS-2)",
        ),
        *("/srv/people/chang", "\\\\zeus-2\\c"),
    ],
)
def test_what_leaks_from_a_machine_is_found(text: str, machine: Machine) -> None:
    machine("chang", "zeus" if "zeus:" in text else "zeus-2")
    assert private_texts(text, own_secrets([], ["Chen, Chang", "chang@lab.org"])) != []


def test_a_path_that_the_publisher_states_is_found(machine: Machine) -> None:
    machine("chang", "zeus")
    said = "Made from /home/chang/photos"
    assert private_texts(said, own_secrets([], [said])) != []


def test_users_without_a_name_have_none_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("no entry")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert "" not in own_secrets([])


def test_a_photo_saved_by_opencv_is_clean_at_any_quality() -> None:
    for quality in (1, 50, 100):
        clean("a", cv2.imencode(".jpg", PATCH, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())
