"""docs/presets.md: a comparison of the training presets, and the differences between the paper and the released code.

The values come from the presets' files; the words below describe what no parameter says.
"""

from __future__ import annotations

import json
from typing import Any

from dpedtool.dataset.params import describe
from dpedtool.dataset.train_params import TrainParams, load_preset, preset_names

_OURS = "°"

# Each entry has an item, the paper's value and the released code's value. _OURS marks this project's reading or choice.
_DIFFERENCES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "Generator": (
        ("layers", "9x9, 4 residual blocks of two 3x3, two 3x3, 9x9", "the same"),
        ("norm in the blocks", "batch, with the code's epsilon°", "instance, affine, epsilon 1e-3"),
        ("a block", "as the code°", "convolution with bias, norm, ReLU, twice; the skip is added after the ReLU"),
        ("padding", "as the code°", "zeros, TensorFlow's SAME"),
        ("output", "a scaled tanh; the scale is the code's°", "tanh * 0.58 + 0.5, not clipped"),
        ("first weights", "as the code°", "normal, standard deviation 0.01, cut at two of them; biases 0.01"),
    ),
    "Discriminator": (
        ("sees", "as the code°", "the grey image, 0.2989 R + 0.587 G + 0.114 B"),
        (
            "convolutions",
            "five, strides 4, 2 and 2 on the first, second and fifth; sizes are the code's°",
            "48 of 11x11 stride 4, 128 of 5x5 stride 2, 192 of 3x3, 192 of 3x3, 128 of 3x3 stride 2; the first pads "
            "3 before and 4 after",
        ),
        ("each", "leaky ReLU (0.2°), then the norm", "leaky ReLU 0.2, then the norm; the first has no norm"),
        ("norm", "batch", "instance, affine, epsilon 1e-3"),
        ("end", "1024 with leaky ReLU, one with a sigmoid", "flattened rows, columns, channels; 1024; softmax of two"),
        (
            "its loss",
            "cross-entropy, summed over the patches it sees°",
            "cross-entropy, summed over the patches it sees; probabilities count as at least 1e-10",
        ),
        (
            "its step",
            "after the generator's, on both the DSLR's and the enhanced images of the same batch°",
            "after the generator's, on a second batch of the same pool; for each image, a coin decides whether it sees "
            "the DSLR's or the enhanced one",
        ),
    ),
    "Losses": (
        (
            "content",
            "squared distance of VGG-19's relu5_4 over C * H * W, mean over the batch°",
            "the same; input RGB * 255 minus (123.68, 116.779, 103.939); pooling rounds sizes up",
        ),
        (
            "colour kernel",
            "0.053 exp(-(dx² + dy²) / (2 * 3))*: the 3 is the variance°, since 0.053 = 1 / (2 pi 3), so 1.73 px; "
            "21 taps°, zeros beyond the border°",
            "21x21, square root of a Gaussian's cells, sum 1: 4.34 px; zeros beyond the border",
        ),
        ("colour", "sum of squares over px and channels, mean over the batch°", "sum over all / (2 * batch)"),
        (
            "texture",
            "sum over the batch of -log D, which is strong where the discriminator is sure",
            "minus the discriminator's loss on the enhanced patches, so the sum over the batch of log(1 - D), which "
            "saturates and is negative",
        ),
        (
            "TV",
            "squared° steps over C * H * W, mean over the batch°",
            "squared steps, the mean of those along rows plus the mean of those along columns",
        ),
    ),
    "Optimiser": (
        (
            "Adam",
            "5e-4; beta 0.9 and 0.999, epsilon 1e-8°",
            "the same; TensorFlow adds epsilon before the moments are "
            "corrected, PyTorch after, which only matters for gradients below 1e-6",
        ),
        ("patches", "from all°", "from a pool of 30 000, drawn again every 1000 iterations; with repetition"),
    ),
}

_SUMS = """\
In `paper` and `released-code`, the content and TV losses are means, but the colour loss is a sum over the patch and the
texture loss is a sum over the batch. Their weights suit batches of 50 patches of 100 px. To keep the balance with
another `crop_px`, multiply the weight of colour by (100 / crop_px)²; with another `batch`, multiply that of texture by
50 / batch. With several processes, `batch` is the total of all. In `fidelity`, whose `loss_form` is `mean`, neither
size changes the balance. Its colour loss has the released code's kernel, its texture loss is the mean of -log D, and
its discriminator is the released code's.
"""

_SIZES = """\
For the other published sizes of the generator, take any preset and add `channels: 32` and `blocks: 2` (8_32),
`channels: 16` and `blocks: 1` (6_16), or `network: srcnn`. For the
[network for phones](training.md#a-network-for-phones) add `network: mobile`. It then has 24 channels, unless you give
others.
"""


def as_markdown() -> str:
    """Return the documentation of the presets: `docs/presets.md`, which a test compares with this."""
    parts = [
        "# The presets of the training\n",
        "`train.preset` names one; explicit values override the preset.\n",
        "## Where they differ\n",
        *_values(),
        f"\n{_SIZES}",
        "## Where they come from\n",
        *_sources(),
        "\n## Another batch or patch size\n",
        _SUMS,
        "## The paper compared with the code\n",
        f"These are the differences that no parameter shows. {_OURS} marks this project's reading, or its choice where "
        "the paper is silent; * marks what was taken from others who quote the paper.",
        *_differences(),
    ]
    return "\n".join(parts) + "\n"


def _values() -> list[str]:
    names = preset_names()
    presets = [TrainParams(**TrainParams.completed({"preset": name})) for name in names]
    described = [describe(preset) for preset in presets]
    rows = [
        _row(f"`{key}`", *(_shown(values[key]) for values in described), _meaning(key))
        for key in described[0]
        if key != "preset" and len({_shown(values[key]) for values in described}) > 1
    ]
    return [_row("parameter", *names, "meaning"), "|---" * (len(names) + 2) + "|", *rows]


def _meaning(key: str) -> str:
    return str(TrainParams.__dataclass_fields__[key].metadata["meaning"])


def _sources() -> list[str]:
    rows = [(name, load_preset(name)) for name in preset_names()]
    table = [_row(name, preset.source, preset.expected) for name, preset in rows]
    return [_row("preset", "source", "expected"), "|---|---|---|", *table]


def _differences() -> list[str]:
    lines = []
    for part, rows in _DIFFERENCES.items():
        lines += [
            f"\n### {part}\n",
            _row("item", "paper", "released-code"),
            "|---|---|---|",
            *(_row(*row) for row in rows),
        ]
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{term['loss']} {term['weight']:g}" for term in value)
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
