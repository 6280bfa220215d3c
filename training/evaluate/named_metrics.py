"""The scores that `evaluate.metrics` names: dpedtool's own by a name, and functions of the user's own."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor
from torch.nn import functional

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.plugins import PluginName
from dpedtool.dataset.sidecars.metrics import Better
from dpedtool.training.evaluate import detail_metrics
from dpedtool.training.evaluate.colour_difference import ciede2000
from dpedtool.training.metrics import MOST_PSNR_DB, check_pair

Values = Callable[[Tensor, Tensor], Tensor]
"""It takes outputs and targets, (N, 3, H, W), RGB, float32, 0..1, and returns (N,)."""

_GREY = (0.299, 0.587, 0.114)
_LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))
_SMALLEST_ENERGY = 1e-12


@dataclass(frozen=True)
class Metric:
    """A score of single pairs."""

    name: str
    """As in `evaluate.metrics` and in the files of results."""
    values: Values
    better: Better
    smallest_px: int = 1
    """Smaller images have no value."""
    is_median: bool = False
    """Whether a set of pairs has the median of its values, and not the mean."""

    def of(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the values of some pairs: (N,), float64, on the processor; NaN where the images are too small.

        Parameters
        ----------
        outputs, targets
            (N, 3, H, W), RGB, float, 0..1: clip first.

        """
        if min(outputs.shape[2:]) < self.smallest_px:
            return torch.full((len(outputs),), torch.nan, dtype=torch.float64)
        return self.values(outputs.float(), targets.float()).double().cpu()


def sharpness(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the Laplacian (root mean square) of the grey output over that of the target: (N,); 1: equally sharp.

    Blur brings it below 1, and noise or sharpening above. Images below 3 px have none, and 1 is returned.
    """
    check_pair(outputs, targets)
    ours, theirs = (_laplacian_energy(images) for images in (outputs, targets))
    return ((ours + _SMALLEST_ENERGY) / (theirs + _SMALLEST_ENERGY)).sqrt()


def shifted_psnr(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the best PSNR in dB of the output moved by -1, 0 or 1 px each way: (N,), at most 58.92 dB.

    A line of px at each border is left out. Images must have 3 px or more.
    """
    check_pair(outputs, targets)
    height, width = outputs.shape[2:]
    inside = targets[..., 1:-1, 1:-1]
    errors = [
        (outputs[..., row : row + height - 2, column : column + width - 2] - inside)
        .square()
        .mean((1, 2, 3), dtype=torch.float64)
        for row in range(3)
        for column in range(3)
    ]
    return (-10 * torch.log10(torch.stack(errors).amin(dim=0))).clamp(max=MOST_PSNR_DB)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("sharpness", sharpness, "one", is_median=True),
        Metric("psnr_shifted", shifted_psnr, "higher", smallest_px=3),
        Metric("ciede2000", ciede2000, "lower"),
        Metric("vif", detail_metrics.vif, "higher", detail_metrics.VIF_SMALLEST_PX),
        Metric("gmsd", detail_metrics.gmsd, "lower", detail_metrics.GMSD_SMALLEST_PX),
        Metric("haarpsi", detail_metrics.haarpsi, "higher", detail_metrics.HAARPSI_SMALLEST_PX),
        Metric("fsim", detail_metrics.fsim, "higher", detail_metrics.FSIM_SMALLEST_PX),
    )
}
"""dpedtool's own, by name."""


def metrics_of(names: Sequence[str]) -> list[Metric]:
    """Return the metrics of these names, in their order.

    Parameters
    ----------
    names
        Keys of `METRICS`, or functions of the user's own, `package.module:function`. Such a function takes outputs and
        targets (N, 3, H, W), RGB, float32, 0..1, and returns N numbers. Its attribute `better`, "higher", "lower" or
        "one", says which values are better; without it, higher ones are.

    Raises
    ------
    ParamsError
        There is no such module or function, or its attribute `better` is something else.

    """
    return [METRICS[name] if name in METRICS else _own(PluginName.parse(name)) for name in names]


def _own(plugin: PluginName) -> Metric:
    function = plugin.load()
    better: Better = getattr(function, "better", "higher")
    if better not in get_args(Better):
        raise ParamsError(
            f"evaluate.metrics: {plugin} has the attribute better = {better!r}: set it to one of "
            f"{', '.join(get_args(Better))}."
        )
    return Metric(str(plugin), partial(_called, plugin, function), better)


def _called(plugin: PluginName, function: Callable[..., Any], outputs: Tensor, targets: Tensor) -> Tensor:
    try:
        with torch.no_grad():
            found = torch.as_tensor(function(outputs.clone(), targets.clone()))
            values = found.double().cpu()
    except (Exception, SystemExit) as error:
        # It is the user's code: whatever it raises is one sentence about it.
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise DpedtoolError(
            f"evaluate.metrics: {plugin} raised {said} ({Path(last.filename).name}, line {last.lineno}): correct it."
        ) from error
    if values.shape != (len(outputs),):
        raise DpedtoolError(
            f"evaluate.metrics: {plugin} returned {tuple(values.shape)} values for {len(outputs)} pairs: return one "
            "number for each pair."
        )
    return values


def summary(values: Tensor, *, is_median: bool) -> float:
    """Return the mean of values (N,), or their median; NaN without values, or if one is NaN."""
    if not len(values):
        return math.nan
    if values.isnan().any():
        return math.nan
    return float(values.quantile(0.5)) if is_median else float(values.mean())


def _laplacian_energy(images: Tensor) -> Tensor:
    if min(images.shape[2:]) < len(_LAPLACIAN):
        return images.new_zeros(len(images))
    grey = torch.einsum("j,njhw->nhw", images.new_tensor(_GREY), images)[:, None]
    kernel = images.new_tensor(_LAPLACIAN)[None, None]
    return functional.conv2d(grey, kernel).square().mean(dim=(1, 2, 3))
