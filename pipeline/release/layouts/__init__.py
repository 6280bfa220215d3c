"""How a release lays out its images: each layout writes a chunk of patches, and reads it back to be checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from dpedtool.dataset.params import LayoutName, ReleaseParams
from dpedtool.pipeline.release.chunks import Chunk, Images


class Layout(Protocol):
    """One way to lay out images in files below the folder of a release."""

    def files(self, chunk: Chunk) -> list[str]:
        """Return the names of the files that hold a chunk, relative to the release, with forward slashes."""
        ...

    def write(self, chunk: Chunk, rows: pa.Table, images: Sequence[Images], root: Path) -> None:
        """Write a chunk.

        Parameters
        ----------
        chunk
            Which.
        rows
            Its rows of the table of patches.
        images
            The image files of its patches as they were cut, in the order of the rows.
        root
            Folder of the release.

        """
        ...

    def read(self, chunk: Chunk, root: Path) -> Iterator[Images]:
        """Yield what is there of a chunk, in the order of the files; what is missing is empty, or not there at all.

        Raises
        ------
        DpedtoolError
            A file is damaged, so that what follows cannot be read.
        OSError
            A file that holds many patches is missing.

        """
        ...


def layouts_of(params: ReleaseParams) -> Mapping[LayoutName, Layout]:
    """Return the layouts that are asked for, by name."""
    from dpedtool.pipeline.release.layouts.dped import Dped
    from dpedtool.pipeline.release.layouts.embedded import Embedded
    from dpedtool.pipeline.release.layouts.webdataset import WebDataset

    every: Mapping[LayoutName, Layout] = {
        "dped": Dped(params.dslr_folder, params.jpeg_quality),
        "webdataset": WebDataset(),
        "parquet": Embedded(),
    }
    return {name: layout for name, layout in every.items() if name in params.layouts}
