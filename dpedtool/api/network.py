"""Running a trained network over photos, and scoring it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import pandas as pd

from dpedtool.api.inputs import PhotoLike, RgbImage, folder_of, pixels, rgb
from dpedtool.api.pictures import as_html, as_text
from dpedtool.training.enhance.whole_photo import Settings, enhance_photo
from dpedtool.training.evaluate.comparison import compare_network
from dpedtool.training.inference import choose_device
from dpedtool.training.metrics import PROTOCOLS
from dpedtool.training.networks.generators import Generator, count_parameters
from dpedtool.training.precision import choose_precision
from dpedtool.training.weights.checkpoint import load_model as load_generator

Device: TypeAlias = Literal["auto", "cpu", "cuda"]
PathLike: TypeAlias = str | os.PathLike[str]
_VERSIONS = {"before": "phone", "colour": "colour", "after": "network"}


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A network and its weights.

    `load_model` makes it.

    Attributes
    ----------
    path
        Where it was loaded from; None if it was not loaded from a file.
    network
        The torch module, ready to evaluate: (N, 3, H, W), RGB, 0..1 to the same, not clipped.

    """

    path: Path | None
    network: Generator

    @property
    def name(self) -> str:
        """Kind and size of the network, such as dped_resnet_12_64."""
        return self.network.architecture.name

    @property
    def parameters(self) -> int:
        """Number of trained values."""
        return count_parameters(self.network)

    @property
    def device(self) -> str:
        """Where it is computed, such as cpu or cuda."""
        return str(next(self.network.parameters()).device)

    def __repr__(self) -> str:
        origin = f" of {self.path}" if self.path else ""
        return f"Model {self.name}{origin}: {self.parameters} trained values, on {self.device}"


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """How near the phone's images, and what a network makes of them, are to the DSLR's images.

    `evaluate` makes it.

    Attributes
    ----------
    table
        One row a pair of images: `name`, and for `before`, the phone's own image, and `after`, the network's,
        `psnr_before_db` in dB, infinite for equal images, `ms_ssim_before`, 0..1, and `ssim_before`, -1..1, each 1 for
        equal images, and the same with `after`. The output of the network is clipped to 0..1 and not rounded. Further
        columns have these scores after a match of the colours, such as `psnr_before_matched_db`, and more scores, such
        as `sharpness_before`; `constant_target` is 1 where the DSLR's image is of one colour.
    means
        One row a protocol and version (phone, network): `psnr_db`, `ms_ssim` and `ssim`. Protocol image takes the mean
        of the table; protocol batch is computed as in DPED's released code, on 50 images at a time.

    """

    table: pd.DataFrame
    means: pd.DataFrame
    _title: str

    def _facts(self) -> list[tuple[str, str]]:
        return [
            (f"{protocol}, {version}", f"PSNR {psnr:.2f} dB, MS-SSIM {ms_ssim:.4f}, SSIM {ssim:.4f}")
            for protocol, version, psnr, ms_ssim, ssim in self.means.itertuples(index=False)
        ]

    def __repr__(self) -> str:
        return as_text(self._title, self._facts())

    def _repr_html_(self) -> str:
        return as_html(self._title, self._facts(), None)


def load_model(path: PathLike, *, device: Device = "auto", network: str | None = None) -> Model:
    """Load a trained network.

    Parameters
    ----------
    path
        A folder that `dpedtool train` wrote, or a file X.safetensors. `dpedtool import-weights` makes one from DPED's
        published weights.
    device
        Where to compute; auto: a GPU if there is one.
    network
        The class of a network of your own, as `package.module:Class`, which is looked for where Python looks. No code
        is imported because a file of weights names it; None: the network is one of dpedtool's.

    Returns
    -------
    Model
        For `enhance` and `evaluate`.

    Raises
    ------
    DpedtoolError
        A file is missing or damaged, or there is no such device.

    Examples
    --------
    Save an untrained network, and load it:

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import dpedtool
    >>> from dpedtool.training.weights.checkpoint import save_model
    >>> with TemporaryDirectory() as folder:
    ...     save_model(Path(folder), dpedtool.example_model().network, {})
    ...     model = dpedtool.load_model(folder, device="cpu")
    >>> model.name, model.parameters
    ('dped_resnet_6_8', 6267)

    """
    place = folder_of(path)
    return Model(place, load_generator(place, network).to(choose_device(device)))


def enhance(model: Model, photo: PhotoLike) -> RgbImage:
    """Run a network over a whole photo, of any size.

    The photo is computed in stripes, and the result is that of `dpedtool enhance`. A photo that does not fit in the
    free memory is refused; the command can use a scratch file.

    Parameters
    ----------
    model
        What `load_model` returned.
    photo
        An array (H, W, 3), RGB, uint8, 0..255, or (H, W), grey; or the path or URL of a photo.

    Returns
    -------
    ndarray
        (H, W, 3), RGB, uint8: the enhanced photo, upright and in sRGB.

    Raises
    ------
    DpedtoolError
        `photo` is an array of another shape or type.
    Rejection
        `unreadable_photo`: the file is missing or cannot be read; `too_little_memory`.

    Examples
    --------
    >>> import dpedtool
    >>> phone, _ = dpedtool.example_photos()
    >>> enhanced = dpedtool.enhance(dpedtool.example_model(), phone)
    >>> enhanced.shape, enhanced.dtype
    ((300, 400, 3), dtype('uint8'))

    """
    device = next(model.network.parameters()).device
    settings = Settings(device, choose_precision("auto", device))
    return rgb(enhance_photo(model.network, pixels(photo, "photo"), settings))


def evaluate(phone_folder: PathLike, dslr_folder: PathLike, model: Model | PathLike | None = None) -> Scores:
    """Score the phone's images, and a network, against the DSLR's images.

    The scores are those of `dpedtool evaluate --phone --dslr`.

    Parameters
    ----------
    phone_folder, dslr_folder
        Two folders of images with equal names. The images of a pair have the same size: crops of `align`, or patches.
        Images that only one of the folders has are left out.
    model
        What `load_model` returned, or its path; None: only the phone's images are scored.

    Returns
    -------
    Scores
        PSNR, MS-SSIM and SSIM of each pair, and their means.

    Raises
    ------
    DpedtoolError
        A folder or file is missing or damaged, no names are equal, or the images of a pair differ in size.

    Examples
    --------
    Write the crops of an aligned pair into two folders, and score them:

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> import dpedtool
    >>> alignment = dpedtool.align(*dpedtool.example_photos())
    >>> with TemporaryDirectory() as folder:
    ...     for name, image in {"phone": alignment.phone, "dslr": alignment.dslr}.items():
    ...         Path(folder, name).mkdir()
    ...         Image.fromarray(image).save(Path(folder, name, "1.png"))
    ...     scores = dpedtool.evaluate(f"{folder}/phone", f"{folder}/dslr", dpedtool.example_model())
    >>> scores.table.columns.tolist()[:4]
    ['name', 'psnr_before_db', 'ms_ssim_before', 'ssim_before']
    >>> bool(scores.table["psnr_before_db"][0] > 20)
    True

    """
    loaded = model if isinstance(model, Model) or model is None else load_model(model)
    comparison = compare_network(folder_of(phone_folder), folder_of(dslr_folder), loaded.network if loaded else None)
    means = [
        (protocol, _VERSIONS[name], scores.psnr_db, scores.ms_ssim, scores.ssim)
        for protocol in PROTOCOLS
        for name, scores in comparison.scores(protocol).items()
        if scores
    ]
    count = len(comparison.names)
    title = f"{count} {'pair' if count == 1 else 'pairs'} of {comparison.phone} and {comparison.dslr}"
    columns = ["protocol", "version", "psnr_db", "ms_ssim", "ssim"]
    return Scores(comparison.table(), pd.DataFrame(means, columns=columns), title)
