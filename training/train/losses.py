"""The losses of the generator and the discriminator, in three forms; `train.loss_form` chooses one.

``mean``
    This project's form: every term is a mean, so that the batch size and the patch size do not change their balance.
``paper``
    Ignatov et al., ICCV 2017, arXiv 1704.02470.
``released-code``
    The training code that its authors released, which differs from the paper.

In both of DPED's forms the colour loss is a sum over the patch's px, and the texture loss and the discriminator's loss
are sums over the batch. The colour loss grows with the crop's area and the texture loss with the batch size, while the
other terms stay the same. DPED's weights are made for 50 patches of 100 px and fit no other size.

Images are (N, 3, H, W), RGB, float, nominally 0..1. Every loss is a differentiable scalar in float32. Its best value is
0, except for the texture loss of ``released-code``, which has no best value.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.own_code import called
from dpedtool.dataset.plugins import PluginName
from dpedtool.dataset.train_params import LOSSES, ContextualArgs, LossForm, LossTerm, ShiftArgs, TrainParams
from dpedtool.training.metrics import SCALE_WEIGHTS, WINDOW_TAPS, check_pair, combine_scales, ssim_terms
from dpedtool.training.train.forgiving import (
    Layer,
    contextual_bilateral_loss,
    with_best_shifts,
    with_matched_colours,
)
from dpedtool.training.train.vgg import LAST_LAYER, Vgg19

# The place of each answer in the discriminator's logits, if there are two.
FROM_DSLR, FROM_GENERATOR = 0, 1
COLOUR_TAPS = 21
# The released code's kernel reaches this many standard deviations to each side.
COLOUR_REACH_SIGMAS = 3
# The paper's kernel: A exp(-(dx^2 + dy^2) / (2 * 3)).
COLOUR_PEAK, COLOUR_VARIANCE_PX2 = 0.053, 3.0
# Below this, the power of a small weight has a gradient so large that it spoils the step.
SMALLEST_SSIM_TERM = 1e-3
SMALLEST_SQUARED_ERROR = 1e-4
# The released code clips probabilities at this before the logarithm; a smaller probability gives no gradient.
SMALLEST_PROBABILITY = 1e-10
COBI_LAYERS = {"relu1_2": 1, "relu2_2": 2, "relu3_2": 4}
"""The layers of the contextual bilateral loss, as in its paper, and how many px of the image one of their steps is."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""From outputs and targets to a scalar."""


def pixel_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean absolute difference, 0..1.

    With squares, the few px on edges that are still misaligned would outweigh the rest and be blurred. Charbonnier's
    root differs from the absolute value only below its own epsilon; it would add a parameter for no gain.
    """
    check_pair(outputs, targets)
    return (outputs - targets).abs().mean()


def psnr_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - PSNR / 40 dB, averaged over the images, 0..1: the metric itself, under the protocol `image`.

    Unlike squared differences, the logarithm keeps a patch whose brightness nobody could have guessed from drowning out
    the patches that can still improve. 1e-4 is added to the mean squared error. This limits PSNR to 40 dB, and with it
    the gradient of a patch that is nearly equal.
    """
    check_pair(outputs, targets)
    squared_error = ((outputs - targets) ** 2).mean(dim=(1, 2, 3))
    return 1 + torch.log10(squared_error + SMALLEST_SQUARED_ERROR).mean() / -math.log10(SMALLEST_SQUARED_ERROR)


def ms_ssim_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - MS-SSIM, averaged over the images, 0..1 (Wang et al. 2003, equation 7).

    It uses only those of the five scales that leave 11 px, the size of the window, on the shorter side, and divides
    their weights by their sum: three scales at 48 px, four at 100 px. It is therefore not 1 minus the metric, which
    shrinks the window instead.

    Raises
    ------
    ValueError
        The shapes differ.

    """
    check_pair(outputs, targets)
    terms = ssim_terms(outputs, targets, scales=scales_within(min(outputs.shape[2:])))
    return 1 - combine_scales(terms, floor=SMALLEST_SSIM_TERM).mean()


def scales_within(side_px: int) -> int:
    """Return how many of the five scales of MS-SSIM have a side of 11 px or more; at least 1."""
    scales = 1
    while scales < len(SCALE_WEIGHTS) and math.ceil(side_px / 2) >= WINDOW_TAPS:
        side_px = math.ceil(side_px / 2)
        scales += 1
    return scales


def content_loss(output_features: Tensor, target_features: Tensor) -> Tensor:
    """Return the mean squared difference of the features of VGG-19, the same in all forms.

    The released code divides the sum by channels, rows, columns and batch, which is the mean. The paper divides by
    C * H * W and does not mention the batch, which is averaged here.

    Parameters
    ----------
    output_features, target_features
        (N, C, h, w), features of outputs and targets from `dpedtool.training.train.vgg`; targets need no gradient.

    """
    return functional.mse_loss(output_features.float(), target_features.float())


def colour_loss(outputs: Tensor, targets: Tensor, form: LossForm = "mean") -> Tensor:
    """Return the squared difference of the blurred images (arXiv 1704.02470, "color loss").

    It ignores texture and small shifts, and measures brightness and tint.

    Parameters
    ----------
    outputs, targets
        (N, 3, H, W).
    form
        ``mean``: the mean over all values, 0..1, with the released code's kernel.
        ``released-code``: the sum over all values divided by 2 N, which is 3 * H * W / 2 times ``mean`` (15 000 times
        at 100 px).
        ``paper``: the sum over channels and px with the paper's kernel; averaged over the batch, which the paper does
        not mention.

    """
    check_pair(outputs, targets)
    # The blur is linear: blurring the difference costs half as much as blurring both images. As a product with band
    # matrices it is never in TF32, which GPUs use for convolutions of float32.
    difference = outputs - targets
    rows, columns = (blur_matrix(form, side, difference.device) for side in difference.shape[2:])
    squares = (rows @ difference @ columns) ** 2
    if form == "mean":
        return squares.mean()
    return squares.sum() / len(outputs) / (2 if form == "released-code" else 1)


@functools.lru_cache(maxsize=16)
def blur_matrix(form: LossForm, side: int, device: torch.device) -> Tensor:
    """Return the symmetric matrix (side, side) that blurs a column of px; it is cached, as every step needs the same.

    Px beyond the border are 0, as in the released code, so the outer 10 px count less. The paper does not say how it
    treats the border.
    """
    # The backward pass of a later step would refuse a cached tensor that was made in inference mode.
    with torch.inference_mode(False):
        taps = torch.tensor([*colour_taps(form), 0.0])
        index = torch.arange(side)
        distance = (index[:, None] - index[None, :]).abs().clamp_max(COLOUR_TAPS // 2 + 1)
        return taps[COLOUR_TAPS // 2 + distance].to(device)


def colour_taps(form: LossForm = "mean") -> list[float]:
    """Return the 21 taps along one axis of the colour loss's kernel.

    ``mean`` and ``released-code``: sum 1, standard deviation 4.34 px. The released code divides -3.17..3.17 standard
    deviations into 21 cells, so that one standard deviation is 3.32 px. It then takes the square root of the cells'
    probabilities, which widens the kernel by sqrt(2) before its ends are cut off.

    ``paper``: its kernel is A exp(-(dx^2 + dy^2) / (2 * 3)) with A = 0.053. That is 1 / (2 pi 3), so the 3 is the
    variance (standard deviation 1.73 px) and the kernel sums to 0.999; if 3 were the standard deviation, it would sum
    to 3. The paper does not give its extent; here it is that of the released code.
    """
    if form == "paper":
        distances = range(-(COLOUR_TAPS // 2), COLOUR_TAPS // 2 + 1)
        peak = math.sqrt(COLOUR_PEAK)
        return [peak * math.exp(-(distance**2) / (2 * COLOUR_VARIANCE_PX2)) for distance in distances]
    width = (2 * COLOUR_REACH_SIGMAS + 1) / COLOUR_TAPS
    end = COLOUR_REACH_SIGMAS + width / 2
    edges = torch.linspace(-end, end, COLOUR_TAPS + 1, dtype=torch.float64)
    roots = torch.special.ndtr(edges).diff().sqrt()
    taps: list[float] = (roots / roots.sum()).tolist()
    return taps


def tv_loss(images: Tensor, form: LossForm = "mean") -> Tensor:
    """Return the total variation of (N, 3, H, W): squared steps along rows and columns, 0..2 in all forms.

    It makes the output smooth (arXiv 1704.02470, "total variation loss").

    Parameters
    ----------
    images
        (N, 3, H, W).
    form
        ``mean`` and ``released-code``: the mean of the squared steps along rows, plus the mean along columns. The
        released code divides the sums over the batch by the steps of one image, and then by the batch.
        ``paper``: the sums of both divided by C * H * W, although there are steps for one row and one column less. The
        paper uses the norm of the gradient; here it is squared, as in the released code, and averaged over the batch.

    """
    across = (images[..., :, 1:] - images[..., :, :-1]) ** 2
    down = (images[..., 1:, :] - images[..., :-1, :]) ** 2
    if form == "paper":
        return (across.sum() + down.sum()) / images.numel()
    return across.mean() + down.mean()


def texture_loss(output_logits: Tensor, form: LossForm = "mean", processes: int = 1) -> Tensor:
    """Return how well the discriminator recognises enhanced patches as not from the DSLR (arXiv 1704.02470).

    Parameters
    ----------
    output_logits
        The discriminator's logits for the generator's outputs: (N, 2), or (N, 1) if it ends in a sigmoid.
    form
        ``paper``: the sum of -log D, whose gradient is large where the discriminator is sure (not saturating).
        ``mean``: the mean of -log D.
        ``released-code``: minus the discriminator's loss on these patches, which is the sum of log(1 - D): 0 at worst
        and -23.03 a patch at best. Its gradient fades where the discriminator is sure (saturating).
    processes
        Number of processes that share the batch. Sums over this part are multiplied by it, because the gradients and
        the values are averaged over the processes.

    """
    odds = dslr_odds(output_logits)
    if form == "released-code":
        return processes * _clipped(functional.logsigmoid(-odds)).sum()
    return _reduced(-functional.logsigmoid(odds), form, processes)


def discriminator_loss(form: LossForm, logits: Tensor, from_dslr: Tensor, processes: int = 1) -> Tensor:
    """Return the cross-entropy of the discriminator; log 2 a patch if it guesses.

    Parameters
    ----------
    form
        ``mean``: the mean over the patches. ``paper``: the sum over them; the paper only mentions the cross-entropy,
        but its texture loss is a sum. ``released-code``: the sum, with probabilities clipped at 1e-10.
    logits
        Its logits: (N, 2), or (N, 1) if it ends in a sigmoid. The generator's outputs must have been detached from the
        generator.
    from_dslr
        (N,), bool: true for patches of the DSLR, false for patches of the generator.
    processes
        As in `texture_loss`.

    """
    odds = dslr_odds(logits)
    log_right = functional.logsigmoid(torch.where(from_dslr, odds, -odds))
    if form == "released-code":
        log_right = _clipped(log_right)
    return _reduced(-log_right, form, processes)


def discriminator_accuracy(logits: Tensor, from_dslr: Tensor) -> Tensor:
    """Return the share of patches that the discriminator judges correctly, 0..1; undecided patches count as half.

    If it stays near 1, the generator cannot keep up; at 0.5 the discriminator has learned nothing. The parameters are
    those of `discriminator_loss`.
    """
    odds = dslr_odds(logits.detach())
    right = torch.where(from_dslr, odds, -odds)
    return ((torch.sign(right) + 1) / 2).mean()


def dslr_odds(logits: Tensor) -> Tensor:
    """Return the logarithm of the odds that a patch is the DSLR's, float32 (N,): its sigmoid is the probability.

    Parameters
    ----------
    logits
        (N, 2), logits of both answers for a softmax; or (N, 1), the logit of the DSLR for a sigmoid.

    Raises
    ------
    ValueError
        The logits have another shape.

    """
    if logits.ndim != 2 or logits.shape[1] not in (1, 2):
        raise ValueError(f"The discriminator's logits must be of shape (N, 1) or (N, 2), not {tuple(logits.shape)}.")
    logits = logits.float()
    return logits[:, 0] if logits.shape[1] == 1 else logits[:, FROM_DSLR] - logits[:, FROM_GENERATOR]


def own_loss(name: str, args: Mapping[str, Any] | None = None) -> Loss:
    """Return a loss of the user's own, which checks what the function returns.

    Parameters
    ----------
    name
        `package.module:function`, as it stands in the parameters. The function takes outputs and targets, (N, 3, H, W),
        RGB, nominally 0..1, float32, and returns a scalar that depends on the outputs.
    args
        What the function is given beside them, by name.

    Raises
    ------
    ParamsError
        There is no such function, or its module cannot be imported.

    """
    plugin = PluginName.parse(name)
    function = plugin.load()

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        found = called(f"The loss {plugin}", function, outputs, targets, **(args or {}))
        if not isinstance(found, Tensor) or found.ndim or not found.is_floating_point():
            what = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            if isinstance(found, Tensor) and not found.ndim:
                what = f"a scalar of {str(found.dtype).removeprefix('torch.')}"
            raise DpedtoolError(
                f"The loss {plugin} returned {what}: let it return one number as a tensor, as mean() does."
            )
        if outputs.requires_grad and not found.requires_grad:
            raise DpedtoolError(
                f"The loss {plugin} does not depend on the output, so the network cannot learn from it: compute it "
                "with torch from its first argument, without detach() and no_grad()."
            )
        return found.float()

    return loss


PLAIN: Mapping[str, Loss] = {"pixel": pixel_loss, "psnr": psnr_loss, "ms_ssim": ms_ssim_loss}
"""The losses that compare px with px."""


def shifted_loss(plain: Loss, args: ShiftArgs, what: str = "A shifted loss") -> Loss:
    """Return a loss of `PLAIN` with the target moved to where it fits the output best, tile by tile.

    The difference that the loss itself is made of decides on the shifts: absolute values for `pixel_loss`, and squares
    for the others. See `dpedtool.training.train.forgiving.with_best_shifts`.
    """
    power = 1 if plain is pixel_loss else 2

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        matched = with_matched_colours(outputs, targets) if args.match_colours else outputs
        return plain(*with_best_shifts(matched, targets, args, power=power, what=what))

    return loss


def matched_loss(plain: Loss) -> Loss:
    """Return a loss of `PLAIN` after an affine match of the output's colours to the target's, image by image.

    See `dpedtool.training.train.forgiving.with_matched_colours`.
    """
    return lambda outputs, targets: plain(with_matched_colours(outputs, targets), targets)


class GeneratorLoss:
    """The weighted sum of the losses; terms of weight 0 are not computed.

    Parameters
    ----------
    params
        The fields ``loss_form`` and ``losses`` are used.
    vgg
        The network that makes features of (N, 3, H, W) RGB 0..1, from `dpedtool.training.train.vgg.load_vgg`. It is
        needed if content or cobi is a term.
    processes
        Number of processes that share the batch in equal parts. Averaged over the processes, the total, each term and
        the gradients equal those of the joint batch.

    Raises
    ------
    ParamsError
        A function of the user's own cannot be loaded.
    ValueError
        There is a loss that compares features, and no `vgg`.

    """

    def __init__(self, params: TrainParams, vgg: Vgg19 | None = None, processes: int = 1) -> None:
        terms = [term for term in params.losses if term.weight > 0]
        self.form, self.vgg, self.processes = params.loss_form, vgg, processes
        self.weights = {term.name: term.weight for term in terms}
        compared = {term.name: _comparing(term) for term in terms}
        self._compared = {name: function for name, function in compared.items() if function}
        self._contextual = ContextualArgs(**next((term.args for term in terms if term.loss == "cobi"), {}))
        if params.needs_vgg and vgg is None:
            raise ValueError("The losses content and cobi need a network that makes features.")
        wanted = {"content": [LAST_LAYER], "cobi": list(COBI_LAYERS)}
        self._layers = [layer for name, layers in wanted.items() if name in self.weights for layer in layers]

    @property
    def needs_discriminator(self) -> bool:
        """Whether the texture loss is among the terms."""
        return "texture" in self.weights

    def __call__(
        self, outputs: Tensor, targets: Tensor, output_logits: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch in float32, even under autocast: SSIM's variances need the digits.

        Only the convolutions that make features follow autocast.

        Parameters
        ----------
        outputs, targets
            (N, 3, H, W), RGB, nominally 0..1.
        output_logits
            The discriminator's logits for the outputs, (N, 2) or (N, 1); needed if `needs_discriminator`.

        Returns
        -------
        total : Tensor
            The weighted sum, a scalar for the backward pass.
        terms : dict
            The terms by name, before their weights, detached.

        Raises
        ------
        ValueError
            The shapes differ, or the logits are missing.

        """
        check_pair(outputs, targets)
        if self.needs_discriminator and output_logits is None:
            raise ValueError("The texture loss needs the discriminator's logits of the outputs.")
        features = self._features(outputs, targets)
        with torch.autocast(outputs.device.type, enabled=False):
            functions = self._functions(outputs.float(), targets.float(), output_logits, features)
            terms = {name: functions[name]() for name in self.weights}
        total = torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()
        return total, {name: value.detach() for name, value in terms.items()}

    def _features(self, outputs: Tensor, targets: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Return the features of outputs and targets by layer; empty if no loss compares them."""
        if self.vgg is None or not self._layers:
            return {}
        with torch.no_grad():
            of_targets = self.vgg.layers(targets, self._layers)
        of_outputs = self.vgg.layers(outputs, self._layers)
        return {layer: (of_outputs[layer], of_targets[layer]) for layer in self._layers}

    def _functions(
        self, outputs: Tensor, targets: Tensor, logits: Tensor | None, features: Mapping[str, tuple[Tensor, Tensor]]
    ) -> dict[str, Callable[[], Tensor]]:
        functions: dict[str, Callable[[], Tensor]] = {
            "colour": partial(colour_loss, outputs, targets, self.form),
            "tv": partial(tv_loss, outputs, self.form),
        }
        if "content" in self.weights:
            functions["content"] = partial(content_loss, *features[LAST_LAYER])
        if "cobi" in self.weights:
            layers = [Layer(*features[name], stride_px) for name, stride_px in COBI_LAYERS.items()]
            functions["cobi"] = partial(contextual_bilateral_loss, layers, self._contextual)
        if logits is not None:
            functions["texture"] = partial(texture_loss, logits, self.form, self.processes)
        return functions | {name: partial(function, outputs, targets) for name, function in self._compared.items()}


def _comparing(term: LossTerm) -> Loss | None:
    """Return a loss that is a function of outputs and targets alone; None: the loss needs more or less than these."""
    if term.loss not in LOSSES:
        return own_loss(term.loss, term.args)
    way, _, plain = term.loss.partition("_")
    if way == "shifted":
        return shifted_loss(PLAIN[plain], ShiftArgs(**term.args), f"The loss {term.loss}")
    return matched_loss(PLAIN[plain]) if way == "matched" else PLAIN.get(term.loss)


def _reduced(values: Tensor, form: LossForm, processes: int) -> Tensor:
    """Reduce the patches' adversarial losses (N,) to a mean or a sum, depending on the form."""
    return values.mean() if form == "mean" else processes * values.sum()


def _clipped(log_probability: Tensor) -> Tensor:
    return log_probability.clamp_min(math.log(SMALLEST_PROBABILITY))
