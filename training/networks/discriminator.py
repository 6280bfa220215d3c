"""DPED's discriminator, used by the texture loss: does a grey patch come from the DSLR or the generator?

It follows Ignatov et al., ICCV 2017, arXiv 1704.02470, or the training code that they released. The paper has a norm
after every convolution and ends in a sigmoid; the code has no norm after the first convolution and ends in a softmax of
two. The sizes of kernels, the leak, and the use of grey patches follow the code in both forms.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

from dpedtool.dataset.train_params import LossForm, Norm
from dpedtool.training.networks.layer_kinds import normalisation

LEAK = 0.2
# ITU-R BT.601 luma, in the four digits that TensorFlow's rgb_to_grayscale uses.
GREY_FROM_RGB = (0.2989, 0.5870, 0.1140)
# Output channels, kernel side and stride of the discriminator's convolutions.
DISCRIMINATOR_LAYERS = ((48, 11, 4), (128, 5, 2), (192, 3, 1), (192, 3, 1), (128, 3, 2))
SMALLEST_PATCH_PX = 17


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the zeros that TensorFlow's SAME padding puts before and after one axis.

    The output has ceil(side / stride) elements; where the number of zeros is odd, the extra one comes last, which
    the `padding` argument of torch's convolutions cannot express.

    Parameters
    ----------
    side, kernel, stride
        Length of the axis, of the kernel and of the step, in px.

    """
    steps = math.ceil(side / stride) - 1
    total = max(steps * stride + kernel - side, 0)
    return total // 2, total - total // 2


class StridedConv(nn.Module):
    """Convolution with TensorFlow's SAME padding, leaky ReLU, then a norm.

    Parameters
    ----------
    channels_in, channels_out
        Feature maps in and out.
    kernel, stride
        Side of the kernel and step, in px.
    norm
        The normalisation; None: no normalisation.

    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, norm: Norm | None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride)
        self.norm = normalisation(norm, channels_out) if norm else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, channels_in, H, W) to (N, channels_out, ceil(H / stride), ceil(W / stride))."""
        (kernel, _), (stride, _) = self.conv.kernel_size, self.conv.stride
        rows = same_padding(features.shape[2], kernel, stride)
        columns = same_padding(features.shape[3], kernel, stride)
        convolved = self.conv(functional.pad(features, (*columns, *rows)))
        normed: Tensor = self.norm(functional.leaky_relu(convolved, LEAK))
        return normed


class Discriminator(nn.Module):
    """DPED's discriminator: does a grey patch come from the DSLR or from the generator?

    Parameters
    ----------
    patch_px
        Side of the square patches it will see, in px; the fully connected layer is made for this side.
    form
        ``paper``: a norm after each convolution, and one logit. ``released-code`` and ``mean``: no norm after the
        first convolution, and two logits.
    norm
        The normalisation, the same as the generator's.

    Raises
    ------
    ValueError
        `patch_px` is so small that a single px is left to normalise.

    """

    def __init__(self, patch_px: int = 100, form: LossForm = "mean", norm: Norm = "instance") -> None:
        super().__init__()
        if patch_px < SMALLEST_PATCH_PX:
            raise ValueError(f"The discriminator needs patches of {SMALLEST_PATCH_PX} px or more, not {patch_px}.")
        channels, side, layers = 1, patch_px, []
        for position, (channels_out, kernel, stride) in enumerate(DISCRIMINATOR_LAYERS):
            normed = position > 0 or form == "paper"
            layers.append(StridedConv(channels, channels_out, kernel, stride, norm if normed else None))
            channels, side = channels_out, math.ceil(side / stride)
        self.layers = nn.ModuleList(layers)
        self.hidden = nn.Linear(channels * side * side, 1024)
        self.output = nn.Linear(1024, 1 if form == "paper" else 2)

    def forward(self, images: Tensor) -> Tensor:
        """Judge a batch of images.

        Parameters
        ----------
        images
            (N, 3, patch_px, patch_px), RGB, nominally 0..1.

        Returns
        -------
        Tensor
            (N, 2): logits of "from the DSLR" and "from the generator"; a softmax turns them into probabilities.
            ``paper``: (N, 1); a sigmoid turns it into the probability of "from the DSLR".

        """
        features = grey(images)
        for layer in self.layers:
            features = layer(features)
        # The released code flattens in the order rows, columns, channels; with the same order its weights would fit.
        flat = features.permute(0, 2, 3, 1).flatten(1)
        logits: Tensor = self.output(functional.leaky_relu(self.hidden(flat), LEAK))
        return logits


def grey(images: Tensor) -> Tensor:
    """Return the luma (N, 1, H, W) of RGB images (N, 3, H, W), in the range of the images."""
    weights = images.new_tensor(GREY_FROM_RGB).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)
