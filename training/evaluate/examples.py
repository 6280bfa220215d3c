"""Examples of a network's work: test patches and whole photos before and after, as files next to the scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import torch
from torch import Tensor

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.names import drawn
from dpedtool.dataset.photos.decoder_messages import collected
from dpedtool.dataset.photos.decoding import open_unchanged
from dpedtool.dataset.photos.encoding import save_image
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.photos.writing import write_photo
from dpedtool.dataset.places import Place, as_place
from dpedtool.dataset.progress import Reach, showing
from dpedtool.dataset.schema import Frame
from dpedtool.dataset.sidecars.examples import FOLDER, Examples, PatchExample, PhotoExample, PhotoPart, Why
from dpedtool.dataset.tables import read_frame
from dpedtool.training.data import PatchPairs, as_rgb, enlarged
from dpedtool.training.enhance.side_by_side import choose_details, resized
from dpedtool.training.enhance.stage import lack_of_memory
from dpedtool.training.enhance.whole_photo import Settings, enhance_photo, plan
from dpedtool.training.inference import enhance_patches
from dpedtool.training.metrics import Measures
from dpedtool.training.networks.generators import Generator
from dpedtool.training.precision import choose_precision

SHOWN_PX = 1600
"""Longest side of a shown whole photo, in px."""
JPEG_QUALITY = 88
DETAIL_SIZE_PX = (400, 300)
"""(width, height) of the detail of a photo that is shown at full resolution."""
_PATTERNS = ("*.phone.png", "*.network.png", "*.dslr.png", "*.phone.jpg", "*.network.jpg")


@dataclass(frozen=True, eq=False)
class ShownPatch:
    """A test patch; each image is (H, W, 3) BGR uint8, the network's clipped, the phone's as large as these."""

    index: int
    why: Why
    phone: Image
    network: Image
    dslr: Image


@dataclass(frozen=True)
class _Original:
    """A phone's photo as it was paired."""

    path: Place
    sha256: str


def choose_patches(spread: Sequence[int], before: Measures, after: Measures, most_worst: int) -> dict[int, Why]:
    """Return which test patches are shown, and why.

    Parameters
    ----------
    spread
        Indices of patches.
    before, after
        Measures of all patches, untouched and after the network.
    most_worst
        How many patches with the smallest gain over the untouched phone are shown; among equal gains the first.

    """
    # A patch that equals its target before and after has neither won nor lost.
    gains = torch.nan_to_num(after.psnr_db() - before.psnr_db(), nan=0.0)
    worst = torch.sort(gains, stable=True).indices[:most_worst].tolist()
    return dict(sorted({**dict.fromkeys(spread, "spread"), **dict.fromkeys(worst, "worst")}.items()))


def show_patches(model: Generator, patches: PatchPairs, chosen: Mapping[int, Why]) -> list[ShownPatch]:
    """Run the network over the chosen patches, one by one."""
    return [_show(model, patches, index, why) for index, why in chosen.items()]


def _show(model: Generator, patches: PatchPairs, index: int, why: Why) -> ShownPatch:
    phone, dslr = patches.images(index)
    (output,) = enhance_patches(model, as_rgb(phone)[None].float() / 255, clip=True)
    return ShownPatch(index, why, enlarged(phone, patches.target_scale), _as_image(output), dslr)


def _as_image(output: Tensor) -> Image:
    image: Image = (output * 255).round().to(torch.uint8).flip(0).permute(1, 2, 0).contiguous().numpy()
    return image


def remove_examples(out: Path) -> None:
    """Remove the examples that an earlier run has left, but no other file in their folder."""
    Examples.file_in(out).unlink(missing_ok=True)
    for pattern in _PATTERNS:
        for path in (out / FOLDER).glob(pattern):
            path.unlink()


def write_examples(
    out: Path,
    model: Generator,
    patches: PatchPairs,
    shown: Sequence[ShownPatch],
    measures: Mapping[Literal["before", "after"], Measures],
    photos: int,
) -> None:
    """Write `out/examples/` and, once it is complete, `out/examples.json`.

    Parameters
    ----------
    out
        The folder of the scores.
    model
        The network, on its device.
    patches
        The test patches.
    shown
        The patches that are shown.
    measures
        Measures of all patches, untouched and after the network.
    photos
        How many of the photos that the patches were cut from are shown whole, drawn by the digests of their names. A
        photo that is missing, changed, damaged or too large for the free memory gets a note instead.

    Raises
    ------
    DpedtoolError
        The table of the photos is damaged.
    OSError
        A file cannot be written.

    """
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    of_patches = [_write_patch(folder, patches, each, measures) for each in shown]
    of_photos = _write_photos(folder, model, patches, drawn(patches.photos(), photos))
    listed = Examples(sorted(of_patches, key=lambda each: each.patch_id), of_photos)
    listed.write(Examples.file_in(out))


def _write_patch(
    folder: Path, patches: PatchPairs, shown: ShownPatch, measures: Mapping[Literal["before", "after"], Measures]
) -> PatchExample:
    patch_id = patches.names()[shown.index]
    files = {side: f"{patch_id}.{side}.png" for side in ("phone", "network", "dslr")}
    for side, name in files.items():
        save_image(folder / name, getattr(shown, side))
    before, after = (_figures(measures[version], shown.index) for version in ("before", "after"))
    height, width = shown.phone.shape[:2]
    return PatchExample(
        patch_id, patches.photos()[shown.index], shown.why, width, height, before[0], after[0], before[1], after[1],
        **files,
    )  # fmt: skip


def _figures(measures: Measures, index: int) -> tuple[float | None, float | None]:
    """Return PSNR in dB and MS-SSIM of one patch; JSON has no infinity, so it becomes None."""
    psnr_db, ms_ssim = float(measures.psnr_db()[index]), float(measures.ms_ssim()[index])
    return psnr_db if math.isfinite(psnr_db) else None, ms_ssim if math.isfinite(ms_ssim) else None


def _write_photos(folder: Path, model: Generator, patches: PatchPairs, names: Sequence[str]) -> list[PhotoExample]:
    if not names:
        return []
    device = next(model.parameters()).device
    # There is no scratch file: an example is not worth gigabytes of disk.
    settings = Settings(device, choose_precision("auto", device))
    originals, made = _originals(patches, names), []
    with showing("whole photos", len(names)) as reach:
        for index, name in enumerate(names):
            made.append(_write_photo(folder, model, name, originals.get(name), settings, partial(_reach, reach, index)))
    return made


def _reach(reach: Reach, index: int, share: float) -> None:
    reach(index + share)


def _originals(patches: PatchPairs, names: Sequence[str]) -> dict[str, _Original]:
    """Return the photos of these pairs, as far as the tables next to the shards list them."""
    tables = [table for folder in patches.folders() if (table := Frame.table_in(folder)).is_file()]
    frames = [read_frame(table, Frame, ["pair_id", "phone_path", "phone_sha256"]) for table in tables]
    return {
        pair_id: _Original(as_place(path), sha256)
        for frame in frames
        for pair_id, path, sha256 in frame[frame["pair_id"].isin(names)].to_numpy()
    }


def _write_photo(
    folder: Path, model: Generator, pair_id: str, original: _Original | None, settings: Settings, tell: Reach
) -> PhotoExample:
    if not original:
        note = (
            f"The photo of {pair_id} is not known: there is no table of photos next to the patches. Imported data sets "
            "have no such table."
        )
        return PhotoExample(pair_id, note)
    try:
        return _write_known(folder, model, pair_id, original, settings, tell)
    except Rejection as rejection:
        return PhotoExample(pair_id, f"{rejection.detail.removesuffix('.')}.")
    except (MemoryError, RuntimeError, cv2.error) as error:
        if not lack_of_memory(error):
            raise
        return PhotoExample(
            pair_id, f"{original.path} needs too much memory: close other programs, or set evaluate.device to cpu."
        )
    finally:
        tell(1)


def _write_known(
    folder: Path, model: Generator, pair_id: str, original: _Original, settings: Settings, tell: Reach
) -> PhotoExample:
    photo = open_unchanged(original.path, original.sha256)
    planned = plan(model.architecture, photo.size, settings)
    with collected() as messages:
        before = photo.colour()
    after = enhance_photo(model, before, settings, planned, tell)
    height, width = before.shape[:2]
    (box,) = choose_details(before, DETAIL_SIZE_PX, 1)
    detail = PhotoPart(box.x, box.y, box.width, box.height, *_names(f"{pair_id}.detail", "png"))
    size = _shown_size(width, height)
    whole = PhotoPart(0, 0, *size, *_names(pair_id, "jpg"))
    for image, in_small, in_full in ((before, whole.phone, detail.phone), (after, whole.network, detail.network)):
        write_photo(folder / in_small, resized(image, size), "jpg", quality=JPEG_QUALITY)
        save_image(folder / in_full, box.of(image))
    note = f"{original.path} is damaged ({'; '.join(messages)})." if messages else ""
    return PhotoExample(pair_id, note, width, height, whole, detail)


def _names(stem: str, suffix: str) -> tuple[str, str]:
    return f"{stem}.phone.{suffix}", f"{stem}.network.{suffix}"


def _shown_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, SHOWN_PX / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
