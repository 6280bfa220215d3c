"""Checks that a release contains no private data: every file is searched, including the contents of archives.

A finding is a sentence that begins with the name of the file, or of the file and its part, as in `a.tar: 1.json: `.
"""

from __future__ import annotations

import getpass
import json
import platform
import tarfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

from dpedtool.dataset.photos.decoding import MOST_BYTES
from dpedtool.dataset.photos.formats.table import format_of_bytes
from dpedtool.dataset.regular_files import MOST_TEXT_BYTES
from dpedtool.dataset.shards import MOST_BYTES_A_MEMBER, open_tar
from dpedtool.pipeline.release.privacy.private_images import is_image, scan_image
from dpedtool.pipeline.release.privacy.private_texts import Host, Login, Secret, is_said, private_texts

_KINDS = {
    b"GIF8": "a GIF file",
    b"PAR1": "a parquet file",
    b"PK\x03\x04": "an archive",
    b"\x1f\x8b": "a compressed file",
}
_IMAGES_A_TIME, _TEXTS_A_TIME = 100, 10_000
"""Rows of a parquet file that are held in memory at once, with columns of bytes and without."""
_BLOCK = 1 << 20


def scan(name: str, content: bytes, secrets: Collection[Secret] = ()) -> list[str]:
    """Return what the bytes of a file reveal about people, devices and machines; an empty list for a clean file.

    JPEG and PNG files may hold only pixels and what is needed to show them right. Texts, including JSON, must not hold
    absolute paths. Files of other kinds cannot be proven clean, and are findings.

    Parameters
    ----------
    name
        Name of the file; findings begin with it.
    content
        Bytes of the file.
    secrets
        What must not be in texts or in the parts of images that are not pixels, ignoring case (`private_texts`). A
        frozenset is fastest.

    """
    if is_image(content):
        return [f"{name}: {thing}." for thing in scan_image(content, secrets)]
    if len(content) > MOST_TEXT_BYTES:
        return [_too_large(name, len(content))]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return [f"{name}: {_kind_of(content)}, which cannot be proven clean."]
    return _said(name, ["\n".join(_strings(text))], secrets)


def scan_file(path: Path, name: str, secrets: Collection[Secret] = ()) -> list[str]:
    """Return what any file of a release reveals, as `scan` does.

    In tar files all members are checked, and in parquet files all texts and bytes, one member or some rows at a time.
    Links are not followed; they are findings, and so is anything larger than 2 GB.

    Parameters
    ----------
    path
        The file.
    name
        Name of the file; findings begin with it.
    secrets
        As in `scan`.

    Raises
    ------
    OSError
        The file does not exist, or cannot be read.

    """
    secrets = frozenset(secrets)
    if path.is_symlink():
        return [f"{name}: a link, which may lead anywhere."]
    size = path.stat().st_size
    if not path.is_file():
        return [f"{name}: not a file."]
    found = _said(name, [name], secrets)
    if path.suffix == ".tar":
        return found + list(_in_tar(path, name, secrets))
    if path.suffix == ".parquet":
        return found + list(_in_parquet(path, name, secrets))
    if size > MOST_BYTES:
        return [*found, _too_large(name, size)]
    return found + scan(name, path.read_bytes(), secrets)


def own_secrets(paths: Iterable[Path], stated: Collection[str] = ()) -> frozenset[Secret]:
    """Return what would reveal this machine and its user: home folder, login name, name of the machine, and folders.

    Folders directly below the root are left out, and so are names that many machines have. A machine's name that is a
    single word of letters, such as camera, is searched for only as LOGIN@NAME. One that the publisher states is not
    searched for.

    Parameters
    ----------
    paths
        Folders that a release is made from, or written to.
    stated
        Texts that the publisher chose to publish: name, title, authors, description, contact, address, names of phones.

    """
    given = {form for path in paths for form in (path.absolute(), path.resolve())}
    folders = {str(folder) for folder in {Path.home(), *given} if len(folder.parts) > 2}
    login = _login()
    logins = {Login(login)} if _is_telling(login, _FEWEST_OF_LOGIN) else set()
    return frozenset({*folders, *logins, *(host for host in _hosts(login) if not is_said(host, stated))})


def _hosts(login: str) -> Iterator[Host]:
    whole = platform.node()
    for name in filter(None, {whole, whole.partition(".")[0]}):
        if login:
            yield Host(f"{login}@{name}")
        # A name of only letters may be an ordinary word.
        if not name.isalpha() and _is_telling(name, _FEWEST_OF_HOST):
            yield Host(name)


_COMMON = frozenset(
    {
        *("admin", "administrator", "azureuser", "build", "builder", "centos", "codespace", "container", "debian"),
        *("default", "docker", "fedora", "guest", "jenkins", "jovyan", "localhost", "nobody", "owner", "raspberrypi"),
        *("root", "runner", "server", "student", "ubuntu", "user", "users", "vagrant", "vscode", "worker"),
        *("data", "home", "localhost.localdomain", "media", "share", "test"),
    }
)
_FEWEST_OF_HOST, _FEWEST_OF_LOGIN = 5, 3
"""Fewest letters."""


def _is_telling(name: str, fewest: int) -> bool:
    return len(name) >= fewest and name.casefold() not in _COMMON


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        # In containers users may have only a number, which reveals nothing.
        return ""


def _said(name: str, texts: Iterable[str], secrets: Collection[Secret]) -> list[str]:
    things = dict.fromkeys(thing for text in texts for thing in private_texts(text, secrets))
    return [f"{name}: {thing}." for thing in things]


def _too_large(name: str, size: int) -> str:
    return f"{name}: {size / 10**9:.1f} GB, which is too much to look through."


def _kind_of(content: bytes) -> str:
    if content[4:8] == b"ftyp":
        return "a HEIC, AVIF or video file"
    if known := format_of_bytes(content):
        return f"a {known.name} file"
    return next((kind for start, kind in _KINDS.items() if content.startswith(start)), "a file of an unknown kind")


def _strings(text: str) -> Iterator[str]:
    """Yield a text, or the strings and numbers of a JSON file that has escaped letters."""
    if "\\" not in text or not text.lstrip().startswith(("{", "[", '"')):
        yield text
        return
    try:
        waiting: list[Any] = [_loaded(text)]
    except (ValueError, RecursionError):
        # It is either lines of JSON, or plain text.
        waiting = [_loaded_line(line) for line in text.splitlines()]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list | tuple):
            waiting.extend(value)
        elif isinstance(value, str):
            yield value


def _loaded(text: str) -> Any:
    """Return JSON as lists of texts. A key that appears twice is in the lists twice."""
    return json.loads(text, object_pairs_hook=list, parse_int=str, parse_float=str)


def _loaded_line(line: str) -> Any:
    try:
        return _loaded(line)
    except (ValueError, RecursionError):
        return line


def _in_tar(path: Path, name: str, secrets: frozenset[Secret]) -> Iterator[str]:
    try:
        with open_tar(path) as shard:
            while (member := shard.next()) is not None:
                # Otherwise the archive would keep all members in memory.
                shard.members.clear()  # type: ignore[attr-defined]
                yield from _in_member(shard, member, name, secrets)
            end = shard.offset
    except (tarfile.TarError, EOFError, ValueError) as error:
        yield _damaged(name, error)
        return
    if not _ends_in_zeros(path, end):
        yield f"{name}: bytes after the end of the archive."


def _in_member(shard: tarfile.TarFile, member: tarfile.TarInfo, name: str, secrets: frozenset[Secret]) -> Iterator[str]:
    part = f"{name}: {member.name}"
    yield from _said(part, [member.name, *(text for pair in member.pax_headers.items() for text in pair)], secrets)
    if {member.uname, member.gname} - {"", "root"}:
        yield f"{part}: the archive names its owner, {member.uname or member.gname}."
    if member.isdir():
        return
    if not member.isreg() or member.issparse():
        yield f"{part}: not a plain file, but a link, a device or a file with holes."
    elif member.size > MOST_BYTES_A_MEMBER:
        yield _too_large(part, member.size)
    elif file := shard.extractfile(member):
        yield from scan(part, file.read(), secrets)


def _ends_in_zeros(path: Path, start: int) -> bool:
    with path.open("rb") as file:
        file.seek(start)
        return all(not block.strip(b"\0") for block in iter(lambda: file.read(_BLOCK), b""))


def _damaged(name: str, error: Exception) -> str:
    return f"{name}: damaged, so it cannot be proven clean ({' '.join(str(error).split()).rstrip('.')})."


def _in_parquet(path: Path, name: str, secrets: frozenset[Secret]) -> Iterator[str]:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            groups = [file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups)]
            yield from _said(name, _remarks(file), secrets)
            if max(groups, default=0) > MOST_BYTES:
                yield _too_large(name, max(groups))
                return
            yield from _in_rows(file, name, secrets)
    except (pa.ArrowException, OSError, ValueError) as error:
        yield _damaged(name, error)


def _remarks(file: pq.ParquetFile) -> Iterator[str]:
    """Yield all texts of a parquet file outside of its rows."""
    yield str(file.metadata.created_by)
    schema = file.schema_arrow
    for remarks in (file.metadata.metadata, schema.metadata):
        yield from (text.decode("utf-8", "replace") for pair in (remarks or {}).items() for text in pair)
    yield from (text for field in schema for text in _remarks_of(field))


def _remarks_of(field: pa.Field) -> Iterator[str]:
    yield field.name
    yield from (text.decode("utf-8", "replace") for pair in (field.metadata or {}).items() for text in pair)
    for index in range(field.type.num_fields):
        yield from _remarks_of(field.type.field(index))


def _in_rows(file: pq.ParquetFile, name: str, secrets: frozenset[Secret]) -> Iterator[str]:
    many = _TEXTS_A_TIME if all(_is_small(field.type) for field in file.schema_arrow) else _IMAGES_A_TIME
    first = 0
    for batch in file.iter_batches(many):
        for column, values in zip(batch.schema.names, batch.columns, strict=True):
            for leaf, array in _leaves(column, values):
                yield from _in_values(f"{name}: column {leaf}", array, first, secrets)
        first += batch.num_rows


def _is_small(kind: pa.DataType) -> bool:
    """Return whether values of a type cannot be images."""
    return not _is_bytes(kind) and all(_is_small(kind.field(index).type) for index in range(kind.num_fields))


def _is_bytes(kind: pa.DataType) -> bool:
    known = (pt.is_binary, pt.is_large_binary, pt.is_binary_view, pt.is_fixed_size_binary)
    return any(is_kind(kind) for is_kind in known)


def _leaves(name: str, array: Any) -> Iterator[tuple[str, Any]]:
    """Yield the arrays of plain values that an array is made of. The values of lists follow one after the other."""
    kind = array.type
    if pt.is_struct(kind):
        for index in range(kind.num_fields):
            yield from _leaves(f"{name}.{kind.field(index).name}", array.field(index))
    elif pt.is_map(kind):
        yield from _leaves(f"{name}.key", array.keys)
        yield from _leaves(f"{name}.value", array.items)
    elif pt.is_nested(kind):
        yield from _leaves(name, array.flatten())
    elif pt.is_dictionary(kind):
        yield from _leaves(name, array.dictionary)
    elif isinstance(kind, pa.BaseExtensionType):
        yield from _leaves(name, array.storage)
    else:
        yield name, array


def _in_values(name: str, array: Any, first: int, secrets: frozenset[Secret]) -> Iterator[str]:
    if _is_bytes(array.type):
        for row, value in enumerate(array, first):
            content = value.as_py()
            if content:
                yield from scan(f"{name}, row {row}", content, secrets)
    elif pt.is_string(array.type) or pt.is_large_string(array.type) or pt.is_string_view(array.type):
        texts = pc.unique(array).to_pylist()
        yield from _said(name, ["\n".join(text for text in texts if text)], secrets)
