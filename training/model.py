"""DPED's two networks: the generator that enhances a phone photo, and the discriminator of the texture loss.

Both follow the released training code of Ignatov et al., "DSLR-Quality Photos on Mobile Devices with Deep
Convolutional Networks", ICCV 2017, arXiv 1704.02470, where it differs from the paper: instance
norm instead of batch norm, and a discriminator that sees grey.

Images are (N, 3, H, W), RGB, float, 0..1.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

NORM_EPS = 1e-3
LEAK = 0.2
# ITU-R BT.601 luma, in the four digits that TensorFlow's rgb_to_grayscale uses.
GREY_FROM_RGB = (0.2989, 0.5870, 0.1140)
OUTPUT_SCALE, OUTPUT_CENTRE = 0.58, 0.5
# Output channels, kernel side and stride of the discriminator's convolutions.
DISCRIMINATOR_LAYERS = ((48, 11, 4), (128, 5, 2), (192, 3, 1), (192, 3, 1), (128, 3, 2))
SMALLEST_PATCH_PX = 17

# First scale of the norm that ends a residual block, where the picture is passed through.
BLOCK_START = 0.03

Initialisation = Literal["pass-through", "released-code"]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each with instance norm and ReLU; the skip is added after the second ReLU.

    Parameters
    ----------
    channels
        Feature maps in and out.

    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.InstanceNorm2d(channels, eps=NORM_EPS, affine=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.InstanceNorm2d(channels, eps=NORM_EPS, affine=True)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape (N, channels, H, W)."""
        inner = functional.relu(self.norm1(self.conv1(features)))
        return functional.relu(self.norm2(self.conv2(inner))) + features


class Generator(nn.Module):
    """DPED's enhancement network.

    Parameters
    ----------
    channels
        Feature maps of every hidden layer; 64 in DPED.
    blocks
        Residual blocks; 4 in DPED.

    Notes
    -----
    Instance norm takes its statistics over the whole image, so a photo run in separate tiles comes out with
    another brightness in every tile.

    """

    def __init__(self, channels: int = 64, blocks: int = 4) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, channels, 9, padding=4)
        self.blocks = nn.ModuleList(ResidualBlock(channels) for _ in range(blocks))
        self.body1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.body2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.tail = nn.Conv2d(channels, 3, 9, padding=4)

    def forward(self, phone: Tensor) -> Tensor:
        """Enhance a batch of phone images.

        Parameters
        ----------
        phone
            (N, 3, H, W), RGB, 0..1; any H and W.

        Returns
        -------
        Tensor
            (N, 3, H, W), RGB, within -0.08..1.08: nominally 0..1 but not clipped.

        """
        features = functional.relu(self.head(phone))
        for block in self.blocks:
            features = block(features)
        features = functional.relu(self.body1(features))
        features = functional.relu(self.body2(features))
        return torch.tanh(self.tail(features)) * OUTPUT_SCALE + OUTPUT_CENTRE


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
    """Convolution with TensorFlow's SAME padding, leaky ReLU, then instance norm (unless `normed` is false).

    Parameters
    ----------
    channels_in, channels_out
        Feature maps in and out.
    kernel, stride
        Side of the kernel and step, in px.
    normed
        Whether the norm follows.

    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, *, normed: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride)
        self.norm = nn.InstanceNorm2d(channels_out, eps=NORM_EPS, affine=True) if normed else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, channels_in, H, W) to (N, channels_out, ceil(H / stride), ceil(W / stride))."""
        (kernel, _), (stride, _) = self.conv.kernel_size, self.conv.stride
        rows = same_padding(features.shape[2], kernel, stride)
        columns = same_padding(features.shape[3], kernel, stride)
        convolved = self.conv(functional.pad(features, (*columns, *rows)))
        normed: Tensor = self.norm(functional.leaky_relu(convolved, LEAK))
        return normed


class Discriminator(nn.Module):
    """DPED's discriminator: does a grey patch come from the DSLR (logit 0) or from the generator (logit 1)?

    Parameters
    ----------
    patch_px
        Side of the square patches it will see, in px; the fully connected layer is made for this side.

    Raises
    ------
    ValueError
        `patch_px` is so small that a single px is left to normalise.

    """

    def __init__(self, patch_px: int = 100) -> None:
        super().__init__()
        if patch_px < SMALLEST_PATCH_PX:
            raise ValueError(f"The discriminator needs patches of {SMALLEST_PATCH_PX} px or more, not {patch_px}.")
        channels, side, layers = 1, patch_px, []
        for position, (channels_out, kernel, stride) in enumerate(DISCRIMINATOR_LAYERS):
            layers.append(StridedConv(channels, channels_out, kernel, stride, normed=position > 0))
            channels, side = channels_out, math.ceil(side / stride)
        self.layers = nn.ModuleList(layers)
        self.hidden = nn.Linear(channels * side * side, 1024)
        self.output = nn.Linear(1024, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Judge a batch of images.

        Parameters
        ----------
        images
            (N, 3, patch_px, patch_px), RGB, nominally 0..1.

        Returns
        -------
        Tensor
            (N, 2): logits of "from the DSLR" and "from the generator".

        """
        features = grey(images)
        for layer in self.layers:
            features = layer(features)
        # Rows, columns, channels: the order in which the released code flattens, so that its weights would fit.
        flat = features.permute(0, 2, 3, 1).flatten(1)
        logits: Tensor = self.output(functional.leaky_relu(self.hidden(flat), LEAK))
        return logits


def grey(images: Tensor) -> Tensor:
    """Return the luma (N, 1, H, W) of RGB images (N, 3, H, W), in the range of the images."""
    weights = images.new_tensor(GREY_FROM_RGB).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def initialise(module: nn.Module, generator: torch.Generator, scheme: Initialisation = "pass-through") -> None:
    """Draw all weights of a network anew, from the given random generator only.

    Norms start as scale 1 and shift 0, but for what `pass-through` says.

    Parameters
    ----------
    module
        A `Generator` or `Discriminator`, on the device of the random generator.
    generator
        The source of every random number.
    scheme
        ``pass-through``: normal with standard deviation sqrt(2 / inputs of a neuron) and bias 0 (He et al. 2015,
        arXiv 1502.01852, equation 10), a tenth of that in the last layer; and a `Generator` of 3
        channels or more returns nearly its input. On real pairs (2 blocks of 16 channels, 8 crops of 48 px a step)
        it scored more after 50 steps than a random start, of either kind, after 300.
        ``released-code``: normal with standard deviation 0.01, cut at two of them, and bias 0.01.

    """
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in layers:
        if scheme == "released-code":
            _truncated_normal(layer, generator)
        else:
            _fan_in_normal(layer, generator, gain=0.1 if layer is layers[-1] else 1.0)
    for norm in module.modules():
        if isinstance(norm, nn.InstanceNorm2d):
            norm.reset_parameters()
    if scheme == "pass-through" and isinstance(module, Generator) and module.head.out_channels >= 3:
        _pass_through(module)


def _truncated_normal(layer: nn.Conv2d | nn.Linear, generator: torch.Generator) -> None:
    nn.init.trunc_normal_(layer.weight, std=0.01, a=-0.02, b=0.02, generator=generator)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, 0.01)


def _fan_in_normal(layer: nn.Conv2d | nn.Linear, generator: torch.Generator, gain: float) -> None:
    inputs = layer.weight[0].numel()
    nn.init.normal_(layer.weight, std=gain * math.sqrt(2 / inputs), generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


@torch.no_grad()
def _pass_through(network: Generator) -> None:
    """Let the first three feature maps carry red, green and blue from end to end."""
    for conv in (network.head, network.body1, network.body2):
        conv.weight[:3] = 0
        _connect_colours(conv, 1.0)
    for block in network.blocks:
        # Noise beside contrasts of 0.1, but not 0: there ReLU has no gradient, and the block would stay dead.
        nn.init.constant_(block.get_submodule("norm2").get_parameter("weight"), BLOCK_START)
    # 0.58 tanh(2 x - 1) + 0.5 is within 0.06 of x on 0..1.
    nn.init.zeros_(network.tail.weight)
    _connect_colours(network.tail, 2.0)
    nn.init.constant_(network.tail.get_parameter("bias"), -1.0)


def _connect_colours(conv: nn.Conv2d, weight: float) -> None:
    centre = conv.kernel_size[0] // 2
    for colour in range(3):
        conv.weight[colour, colour, centre, centre] = weight


def count_parameters(module: nn.Module) -> int:
    """Return the number of trained values in a network."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
