"""croissant.json: a description of a release for machines (Croissant 1.1, http://mlcommons.org/croissant/1.1).

Addresses of files are relative to the release, so that a local copy can be read. Record sets:

    splits      train, validation, test
    patches     patches.parquet, column by column
    pairs       pairs.parquet
    scenes      scenes.parquet
    stacks      stacks.parquet, if the release has stacks
    <phone>     both images of each patch, from layout parquet; readers can choose files by the field split
    <phone>/phone, <phone>/dslr     single images, from layout webdataset or dped, if there is no layout parquet
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from dpedtool.dataset.licence import check_licence, is_own, text_address
from dpedtool.dataset.markdown import plain
from dpedtool.dataset.sides import SPLITS
from dpedtool.pipeline.foreign.dped_layout import PARTS
from dpedtool.pipeline.release.columns import KEYS, PATCHES_SCHEMA, SCHEMAS, meanings
from dpedtool.pipeline.release.description import DataFile, Description
from dpedtool.pipeline.release.documents.citation import KEYWORDS, bibtex, is_person
from dpedtool.pipeline.release.layouts import dped, embedded, webdataset

Json = dict[str, Any]

VERSION = "http://mlcommons.org/croissant/1.1"
_CROISSANT_WORDS = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty"),
    *("fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5"),
    *("parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator"),
    *("source", "subField", "transform"),
)
CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{word: f"cr:{word}" for word in _CROISSANT_WORDS},
}
"""The meaning of the keys, as in the specification."""
_FORMATS = {".parquet": "application/x-parquet", ".tar": "application/x-tar"}
_IMAGES = ["image/png", "image/jpeg"]
_TYPES = {"string": "sc:Text", "int64": "cr:Int64", "double": "cr:Float64", "binary": "sc:ImageObject"}
_SPLIT_REFERENCE = {"field": {"@id": "splits/name"}}
_CAMERAS = {"phone": "the phone's", "dslr": "the DSLR's"}


def croissant(description: Description) -> Json:
    """Return the content of `croissant.json`, ready for JSON."""
    ids = _Ids()
    phones = _named(description, ids)
    files = {file.name: _file_object(file, ids) for file in description.files}
    sets = [found for phone, name in phones.items() for found in _of_phone(phone, name, description, files, ids)]
    tables = [_table(files[name], schema, KEYS[name]) for name, schema in SCHEMAS.items() if name in files]
    return {
        "@context": dict(CONTEXT),
        "@type": "sc:Dataset",
        **_metadata(description),
        "distribution": [*files.values(), *(one for one in sets if one["@type"] == "cr:FileSet")],
        "recordSet": [_splits(), *tables, *(one for one in sets if one["@type"] == "cr:RecordSet")],
    }


def record_set_of(phone: str, description: Description) -> str:
    """Return the name of the record set of a phone with patches, or the beginning of the names of its two sets."""
    return _named(description, _Ids())[phone]


class _Ids:
    """Makes unique names of nodes, from letters that addresses may contain."""

    def __init__(self) -> None:
        self._taken = {"splits", "patches", "pairs", "scenes", "stacks"}

    def new(self, name: str) -> str:
        found = base = re.sub(r"[^A-Za-z0-9._/-]", "-", name)
        number = 2
        while found in self._taken:
            found, number = f"{base}-{number}", number + 1
        self._taken.add(found)
        return found


def _named(description: Description, ids: _Ids) -> dict[str, str]:
    """Return the phones that have patches, with the names of their record sets."""
    return {phone: ids.new(phone) for phone, counts in description.counts.items() if sum(counts.values())}


def _metadata(description: Description) -> Json:
    params = description.params
    patches = sum(sum(counts.values()) for counts in description.counts.values())
    found: Json = {
        "conformsTo": VERSION,
        "name": params.name or "data set",
        "description": plain(params.description)
        or f"{patches} pairs of image patches from a phone and a DSLR, aligned with each other.",
        "version": params.version,
        "keywords": list(KEYWORDS),
        "citeAs": bibtex(description),
    }
    if params.licence:
        identifier = check_licence(params.licence)
        found["license"] = identifier if is_own(identifier) else text_address(identifier)
    if params.authors:
        found["creator"] = [_creator(author) for author in map(plain, params.authors)]
    if params.url:
        found["url"] = params.url
    if params.doi:
        found["sameAs"] = f"https://doi.org/{params.doi}"
    if params.date:
        found["datePublished"] = params.date
    return found


def _creator(author: str) -> Json:
    if not is_person(author):
        return {"@type": "sc:Organization", "name": author}
    family, _, given = author.partition(",")
    return {"@type": "sc:Person", "name": f"{given.strip()} {family.strip()}"}


def _file_object(file: DataFile, ids: _Ids) -> Json:
    return {
        "@type": "cr:FileObject",
        "@id": ids.new(file.name),
        "name": file.name,
        "contentUrl": file.name,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": _FORMATS[PurePosixPath(file.name).suffix],
        "sha256": file.sha256,
    }


def _splits() -> Json:
    name = {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"}
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "The sides of the split. No scene is on two sides.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [name],
        "data": [{"splits/name": split} for split in SPLITS],
    }


def _table(file: Json, schema: pa.Schema, key: Sequence[str]) -> Json:
    name = PurePosixPath(file["name"]).stem
    source = {"fileObject": {"@id": file["@id"]}}
    fields = [_column(name, column, source, text) for column, text in _described(schema)]
    keys = [{"@id": f"{name}/{column}"} for column in key]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"The rows of {file['name']}.",
        "key": keys if len(keys) > 1 else keys[0],
        "field": fields,
    }


def _described(schema: pa.Schema) -> Iterator[tuple[pa.Field, str]]:
    """Yield the columns of a table, with their meanings."""
    for name, (unit, meaning) in meanings(schema).items():
        yield schema.field(name), f"{meaning} ({unit})" if unit else meaning


def _column(record_set: str, column: pa.Field, source: Json, text: str) -> Json:
    array = pa.types.is_list(column.type)
    kind = column.type.value_type if array else column.type
    return {
        **_field(record_set, column.name, _TYPES[str(kind)], source | {"extract": {"column": column.name}}, text),
        **({"isArray": True, "arrayShape": "-1"} if array else {}),
    }


def _field(record_set: str, name: str, kind: str | list[str], source: Json, text: str) -> Json:
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "description": text,
        "dataType": kind,
        "source": source,
    }


def _of_phone(phone: str, name: str, description: Description, files: Mapping[str, Json], ids: _Ids) -> Iterator[Json]:
    """Yield the file sets and record sets of a phone's images, from the most detailed layout there is."""
    layouts = description.params.layouts
    if "parquet" in layouts:
        yield from _embedded(phone, name, ids)
    elif "webdataset" in layouts:
        shards = [file for path, file in files.items() if path.startswith(f"{webdataset.ROOT}/{phone}/")]
        yield from _shards(phone, name, shards, ids)
    else:
        yield from _loose(phone, name, description.params.dslr_folder, ids)


def _embedded(phone: str, name: str, ids: _Ids) -> Iterator[Json]:
    folder = f"{embedded.ROOT}/{phone}"
    file_set = _file_set(ids, folder, f"{glob.escape(folder)}/*.parquet", ["application/x-parquet"])
    source = {"fileSet": {"@id": file_set["@id"]}}
    # mlcroissant also uses it as a glob, in which other signs have a special meaning, and it applies it twice.
    known = re.sub(r"[^A-Za-z0-9_/-]+", ".+", folder)
    regex = rf"(?:{known}/)?({'|'.join(SPLITS)})(?:-.+\.parquet)?"
    path = {"extract": {"fileProperty": "fullpath"}, "transform": {"regex": regex}}
    split = _field(name, "split", ["sc:Text", "cr:Split"], source | path, "train, validation or test")
    words = {column.name: text for column, text in _described(PATCHES_SCHEMA)}
    images = [
        _field(
            name,
            f"{camera}_image",
            "sc:ImageObject",
            source | {"extract": {"column": f"{camera}_image"}, "transform": {"jsonPath": "bytes"}},
            f"{whose} image of the patch",
        )
        for camera, whose in _CAMERAS.items()
    ]
    facts = [_column(name, column, source, words[column.name]) for column in embedded.SCHEMA if column.name in words]
    yield file_set
    yield {
        **_record_set(name, f"The patches of {phone}, with both images."),
        "key": {"@id": f"{name}/patch_id"},
        "field": [split | {"references": _SPLIT_REFERENCE}, *images, *facts],
    }


def _shards(phone: str, base: str, shards: Sequence[Json], ids: _Ids) -> Iterator[Json]:
    inside = {"containedIn": [{"@id": shard["@id"]} for shard in shards]}
    for camera, whose in _CAMERAS.items():
        file_set = _file_set(ids, f"{webdataset.ROOT}/{phone}/{camera}", f"*.{camera}.*", _IMAGES) | inside
        name = f"{base}/{camera}"
        source = {"fileSet": {"@id": file_set["@id"]}}
        patch = source | {"extract": {"fileProperty": "filename"}, "transform": {"regex": r"([^.]+)\..+"}}
        yield file_set
        yield {
            **_record_set(name, f"{whose} images of the patches of {phone}, which the record set patches describes."),
            "key": {"@id": f"{name}/patch_id"},
            "field": [
                _field(name, "patch_id", "sc:Text", patch, "the patch"),
                _image(name, source, f"{whose} image of the patch"),
            ],
        }


def _loose(phone: str, base: str, dslr_folder: str, ids: _Ids) -> Iterator[Json]:
    folder = f"{dped.ROOT}/{phone}"
    for camera, files in {"phone": phone, "dslr": dslr_folder}.items():
        patterns = [glob.escape(f"{folder}/{part}/{files}") + "/*.jpg" for part in PARTS.values()]
        file_set = _file_set(ids, f"{folder}/{camera}", patterns, ["image/jpeg"])
        name = f"{base}/{camera}"
        source = {"fileSet": {"@id": file_set["@id"]}}
        number = source | {"extract": {"fileProperty": "filename"}, "transform": {"regex": r"(\d+)\.jpg"}}
        part = source | {"extract": {"fileProperty": "fullpath"}, "transform": {"regex": r"dped/[^/]+/([^/]+)/.+"}}
        yield file_set
        yield {
            **_record_set(name, f"{_CAMERAS[camera]} images of the patches of {phone}, by the folder of their split."),
            "key": [{"@id": f"{name}/folder"}, {"@id": f"{name}/number"}],
            "field": [
                _field(name, "folder", "sc:Text", part, "training_data, validation_data or test_data"),
                _field(name, "number", "cr:Int64", number, "number of the patch in its phone and split"),
                _image(name, source, f"{_CAMERAS[camera]} image of the patch"),
            ],
        }


def _file_set(ids: _Ids, name: str, includes: str | list[str], formats: Sequence[str]) -> Json:
    return {
        "@type": "cr:FileSet",
        "@id": ids.new(f"files/{name}"),
        "name": name,
        "encodingFormat": list(formats),
        "includes": includes,
    }


def _record_set(name: str, text: str) -> Json:
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "description": text[0].upper() + text[1:]}


def _image(record_set: str, source: Json, text: str) -> Json:
    return _field(record_set, "image", "sc:ImageObject", source | {"extract": {"fileProperty": "content"}}, text)
