"""Changes a release of `release_rig` by hand, renews its sums, and returns what verify says about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from release_rig import write_sums

from dpedtool.dataset.io import file_sha256
from dpedtool.pipeline.release.columns import PAIRS
from dpedtool.pipeline.release.description import CROISSANT
from dpedtool.pipeline.release.verification.verify import verify

COUNTS = {"train": 4, "validation": 1, "test": 2}
LOOSE = "dped/iphone/training_data/iphone/1.jpg"
MATE = "dped/iphone/training_data/canon/1.jpg"
TEST = "dped/iphone/test_data/patches/iphone/0.jpg"
PHOTO = "dped/iphone/test_data/full_size_test_images/0.jpg"
TAR = "webdataset/iphone/train-00000.tar"
FILE = "parquet/iphone/train-00000.parquet"
Change = Callable[[Path], None]


def faults(folder: Path) -> list[str]:
    return list(verify(folder).faults)


def renew(folder: Path) -> None:
    """Renew the sums, like somebody who wants to hide a change."""
    croissant = json.loads((folder / CROISSANT).read_text())
    for each in croissant["distribution"]:
        if "sha256" in each and (folder / each["contentUrl"]).is_file():
            each["sha256"] = file_sha256(folder / each["contentUrl"])
    (folder / CROISSANT).write_text(json.dumps(croissant))
    write_sums(folder)


def flip(path: Path, at: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 0x55
    path.write_bytes(content)


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the rows of a parquet file, keeping its row groups."""
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        groups = [file.read_row_group(index).to_pylist() for index in range(file.num_row_groups)]
    # Images and tags are stored as they are.
    with pq.ParquetWriter(path, schema, use_dictionary=not {"phone_image", "tags"} & set(schema.names)) as writer:
        for rows in groups:
            for row in rows:
                change(row)
            writer.write_table(pa.Table.from_pylist(rows, schema))


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def set_in(row: dict[str, Any], **values: object) -> None:
    row.update(values)


def is_test(row: dict[str, Any]) -> bool:
    return row["split"] == "test"


def add_position(path: Path) -> None:
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (47.0, 30.0, 0.0), 3: "E", 4: (8.0, 30.0, 0.0)}
    with Image.open(path) as photo:
        photo.load()
        photo.save(path, exif=exif, quality=95)


def same_view(folder: Path) -> None:
    rows = pq.read_table(folder / PAIRS).to_pylist()
    view = next(row["thumbnail"] for row in rows if row["split"] == "train")
    edit(folder / PAIRS, lambda row: set_in(row, thumbnail=view) if is_test(row) else None)
