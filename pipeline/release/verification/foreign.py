"""Checks of folders in the layout of DPED that other programs made: leaks, found in parallel, and other faults.

Leaks are what `dpedtool.pipeline.foreign.dped_layout` finds. The other faults are private metadata, patches of an
unusual size, and gaps in the numbers of the files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import groupby
from pathlib import Path

from dpedtool.dataset.sidecars.verdict import Verdict
from dpedtool.pipeline.foreign.dped_layout import Batch, Layout, ReadBatch, layout_of, survey
from dpedtool.pipeline.release.privacy.scan import scan
from dpedtool.pipeline.runner import Lost, run

Size = tuple[int, int]
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")


def verify_foreign(folder: Path, *, workers: int = 1, scheduler: str | None = None) -> Verdict:
    """Check a folder in the layout of DPED. It names no scenes, so finding nothing proves nothing.

    Parameters
    ----------
    folder, workers, scheduler
        As of `dpedtool.pipeline.release.verification.verify.verify`.

    Raises
    ------
    DpedtoolError
        The folder does not exist, or holds no images in that layout.

    """
    # Faults name files relative to the folder.
    folder = folder.absolute()
    layout = layout_of(folder)
    found = survey(layout, partial(_map, workers=workers, scheduler=scheduler), faults_of_content)
    patches = [*layout.training, *layout.validation, *layout.test]
    sizes = {path: found.sizes[path] for path in patches if path in found.sizes}
    faults = [*found.verdict.faults, *_gaps(patches), *_other_sizes(sizes), *_unlike_mates(layout, found.sizes)]
    said = list(found.verdict.said)
    if patches and len(set(sizes.values())) == 1:
        said.append(f"All {len(sizes)} patches that can be read have the same size: {_px(next(iter(sizes.values())))}.")
    return Verdict([fault.replace(f"{folder}/", "") for fault in faults], said, is_proof=False)


def faults_of_content(path: Path, content: bytes) -> list[str]:
    """Return the private data in a file, one line each."""
    return scan(str(path), content)


def _map(
    read: ReadBatch, batches: Sequence[Sequence[Path]], workers: int, scheduler: str | None
) -> Iterator[tuple[Sequence[Path], Batch]]:
    with closing(run(read, batches, workers, scheduler=scheduler)) as results:
        for paths, batch in results:
            if isinstance(batch, Lost):
                batch = Batch(unreadable=len(paths), faults=[f"{paths[0]} and the files after it: {batch.detail}"])
            yield paths, batch


def _gaps(patches: Sequence[Path]) -> Iterator[str]:
    """Say which numbers are missing: readers made for DPED count the files and open 0.jpg, 1.jpg and so on."""
    for folder, paths in groupby(patches, key=lambda path: path.parent):
        stems = [path.stem for path in paths]
        numbers = {int(stem) for stem in stems if _NUMBER.fullmatch(stem)}
        if others := sorted(stem for stem in stems if not _NUMBER.fullmatch(stem)):
            count = f"{len(others)} image is" if len(others) == 1 else f"{len(others)} images are"
            yield f"{folder}: {count} not named by a number, as DPED's layout asks, such as {others[0]}."
        elif missing := sorted(set(range(len(numbers))) - numbers):
            yield (
                f"{folder}: its {len(numbers)} images are not numbered from 0 to {len(numbers) - 1}: {missing[0]} is "
                f"missing{_and_others(len(missing) - 1)}."
            )


def _other_sizes(sizes: Mapping[Path, Size]) -> Iterator[str]:
    """Name patches whose size differs from most, or their folder if all its patches have that size."""
    if not sizes:
        return
    # The most frequent size; of equally frequent ones, the smallest.
    usual = min(Counter(sizes.values()).items(), key=lambda item: (-item[1], item[0]))[0]
    for folder, paths in groupby(sizes, key=lambda path: path.parent):
        inside = {path: sizes[path] for path in paths}
        if len(set(inside.values())) == 1 and usual not in inside.values():
            yield f"{folder}: its images are {_px(next(iter(inside.values())))}, but most patches are {_px(usual)}."
        else:
            others = {path: size for path, size in inside.items() if size != usual}
            yield from (
                f"{path}: it is {_px(size)}, but most patches are {_px(usual)}." for path, size in others.items()
            )


def _unlike_mates(layout: Layout, sizes: Mapping[Path, Size]) -> Iterator[str]:
    """Name images of plain folders whose mate has a different size. (Patches are compared with all others instead.)"""
    others = set(layout.others)
    for cameras in layout.cameras:
        first: dict[str, Path] = {}
        for path in (path for paths in cameras.values() for path in paths if path in others and path in sizes):
            mate = first.setdefault(path.stem, path)
            if sizes[mate] != sizes[path]:
                yield f"{path}: it is {_px(sizes[path])}, but {mate} is {_px(sizes[mate])}."


def _and_others(count: int) -> str:
    if not count:
        return ""
    return ", and so is 1 other" if count == 1 else f", and so are {count} others"


def _px(size: Size) -> str:
    return f"{size[0]} x {size[1]} px"
