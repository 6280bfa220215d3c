"""Layout burst: a folder for each patch with all of its frames, in the folders that BurstSR's own loader looks for.

    burst/<phone>/<split>/NNNNNN/<phone>_00/im_rgb.png     the base frame
    burst/<phone>/<split>/NNNNNN/<phone>_01/im_rgb.png     the other frames, by time
    burst/<phone>/<split>/NNNNNN/canon/im_rgb.png          the target: the DSLR's patch
    burst/<phone>/<split>/NNNNNN/canon_01/im_rgb.png       the target of the first further reference, if there is any
    burst/<phone>/<split>/NNNNNN/meta_info.json            exposures and transforms of the frames, and the targets

BurstSR (Bhat et al., CVPR 2021) has im_raw.png and a pickled meta_info.pkl in each of the folders of images. These
images are developed, RGB and 8 bit, so they have another name, and nobody should unpickle a file of a stranger: the
values stand in one JSON file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from dpedtool.pipeline.release.chunks import Chunk, Images, content_of
from dpedtool.pipeline.release.columns import FACTS

ROOT, IMAGE, FACTS_FILE = "burst", "im_rgb.png", "meta_info.json"


class Burst:
    """The layout. Images are stored byte for byte as they were cut, which must be as PNG.

    Parameters
    ----------
    dslr_folder
        Name of the folders of the DSLR's patches.

    """

    def __init__(self, dslr_folder: str) -> None:
        self._dslr_folder = dslr_folder

    def folder(self, chunk: Chunk, number: int) -> str:
        """Return the folder of a patch, relative to the release."""
        return f"{ROOT}/{chunk.phone}/{chunk.split}/{number:06d}"

    def files(self, chunk: Chunk) -> list[str]:
        """Return the names of the files of a chunk, patch by patch."""
        return [
            name
            for number, frames, targets in zip(chunk.numbers, chunk.frames, chunk.targets, strict=True)
            for name in self.files_of(chunk, number, frames, targets)
        ]

    def files_of(self, chunk: Chunk, number: int, frames: int, targets: Sequence[int]) -> list[str]:
        """Return the files of a patch with so many frames and these further targets.

        They are the phone's images, the further targets by number, the DSLR's image, and the description.
        """
        folder = self.folder(chunk, number)
        names = *self._frame_folders(chunk, frames), *map(self._target_folder, targets), self._dslr_folder
        return [*(f"{folder}/{name}/{IMAGE}" for name in names), f"{folder}/{FACTS_FILE}"]

    def _target_folder(self, number: int) -> str:
        return f"{self._dslr_folder}_{number:02d}"

    def _frame_folders(self, chunk: Chunk, frames: int) -> list[str]:
        return [f"{chunk.phone}_{place:02d}" for place in range(frames)]

    def write(self, chunk: Chunk, rows: pa.Table, images: Sequence[Images], root: Path) -> None:
        """Write the folder of each patch."""
        facts = rows.select(["patch_id", *FACTS]).to_pylist()
        for number, image, known in zip(chunk.numbers, images, facts, strict=True):
            targets = [row["frame"] for row in image.stack if row["role"] == "target"]
            frames = 1 + len(image.frames) - len(targets)
            *names, dslr, description = self.files_of(chunk, number, frames, targets)
            contents = dict(zip(names, (image.phone, *image.frames), strict=True)) | {dslr: image.dslr}
            for name, content in contents.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(content)
            (root / description).write_bytes(self.description(chunk, known, image.stack))

    def description(self, chunk: Chunk, facts: Mapping[str, Any], stack: Sequence[Mapping[str, Any]]) -> bytes:
        """Return the content of a patch's meta_info.json.

        Parameters
        ----------
        chunk
            The chunk of the patch.
        facts
            The patch's values of `FACTS` and its patch_id.
        stack
            The values of `FRAME_FACTS` of its frames and further targets; empty for a patch that has one frame only.

        """
        own = [row for row in stack if row["role"] != "target"]
        further = [{"folder": self._target_folder(row["frame"]), **row} for row in stack if row["role"] == "target"]
        ordered = sorted(own, key=lambda frame: (frame["role"] != "base", frame["frame"])) or [{"role": "base"}]
        folders = self._frame_folders(chunk, len(ordered))
        frames = [{"folder": folder, **frame} for folder, frame in zip(folders, ordered, strict=True)]
        told = {**facts, "split": chunk.split, "target": self._dslr_folder, "frames": frames}
        told |= {"further_targets": further} if further else {}
        return (json.dumps(told, indent=1, sort_keys=True) + "\n").encode()

    def read(self, chunk: Chunk, root: Path) -> Iterator[Images]:
        """Yield the images of a chunk, patch by patch, named by their numbers."""
        for number, frames, targets in zip(chunk.numbers, chunk.frames, chunk.targets, strict=True):
            *names, dslr, _ = self.files_of(chunk, number, frames, targets)
            phone, *others = (content_of(root / name) for name in names)
            yield Images(str(number), phone, content_of(root / dslr), tuple(others))
