"""Layers in orders that no known network has: stripes, ONNX graphs and plans agree with their forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from dpedtool.training.enhance import whole_photo
from dpedtool.training.enhance.passes import count_held, count_kept_rows, count_passes, map_channels
from dpedtool.training.enhance.whole_photo import Settings, enhance_image
from dpedtool.training.networks.generators import NETWORKS, Architecture, Generator
from dpedtool.training.networks.layer_kinds import (
    Convolution,
    DepthToSpace,
    Downsampling,
    Layer,
    Normalisation,
    Padded,
    ResidualBlock,
    SpaceToDepth,
    Upsampling,
    add_modules,
    grain,
    grid,
    held,
    least_opset,
    leaves,
    placed,
    reach,
    seen,
    widest,
)
from dpedtool.training.networks.network_description import NetworkDescription
from dpedtool.training.weights.onnx_export import as_onnx

pytestmark = pytest.mark.usefixtures("one_thread")

WIDE = 9
"""More channels than `FEW_CHANNELS`."""


def conv(name: str, *, inputs: int = WIDE, outputs: int = WIDE, side: int = 3, relu: bool = True) -> Convolution:
    return Convolution(name, inputs, outputs, side, relu)


FIRST, LAST = conv("first", inputs=3), conv("last", outputs=3, side=5, relu=False)


def norm(name: str, kind="instance", *, relu: bool = True) -> Normalisation:
    return Normalisation(name, WIDE, kind, relu)


ORDERS: dict[str, tuple[Layer, ...]] = {
    "norm of the photo": (Normalisation("norm", 3, "instance", relu=False), FIRST, LAST),
    "norms without a residual": (FIRST, conv("a", relu=False), norm("b"), norm("c", relu=False), LAST),
    "residuals within residuals": (
        FIRST,
        ResidualBlock(
            (
                norm("r.a"),
                ResidualBlock((conv("r.b.a", relu=False), norm("r.b.b", relu=False), ResidualBlock((conv("r.b.c"),)))),
                conv("r.c"),
            )
        ),
        ResidualBlock((conv("s.a"), norm("s.b"), conv("s.c", relu=False))),
        LAST,
    ),
    "norms of both kinds": (
        Normalisation("batch", 3, "batch"),
        FIRST,
        ResidualBlock((conv("r.a", relu=False), norm("r.b", "batch", relu=False), conv("r.c"))),
        ResidualBlock((conv("s.a", relu=False), norm("s.b", "batch"), conv("s.c", relu=False), norm("s.d"))),
        ResidualBlock((norm("t.a", "batch"),)),
        LAST,
    ),
    "a residual of the photo": (ResidualBlock((conv("a", inputs=3), conv("b", outputs=3, relu=False))),),
    "a pyramid": (
        FIRST,
        Padded(
            4,
            (
                Downsampling("p.a", WIDE, WIDE),
                conv("p.b"),
                ResidualBlock((Downsampling("p.c", WIDE, 5), conv("p.d", inputs=5), Upsampling(WIDE))),
                conv("p.e"),
                Upsampling(WIDE),
            ),
        ),
        LAST,
    ),
    "blocks in the channels": (
        FIRST,
        Padded(2, (SpaceToDepth(WIDE), conv("b", inputs=4 * WIDE, outputs=4 * WIDE), DepthToSpace(WIDE))),
        conv("c", relu=False),
        norm("d"),
        LAST,
    ),
}

every = pytest.mark.parametrize("layers", ORDERS.values(), ids=ORDERS)


@pytest.fixture
def made(monkeypatch, layers: tuple[Layer, ...]) -> Generator:
    @dataclass(frozen=True)
    class Made(NetworkDescription):
        @property
        def name(self) -> str:
            return "dped_made"

        def layers(self) -> tuple[Layer, ...]:
            return layers

    monkeypatch.setitem(NETWORKS, "srcnn", Made)
    torch.manual_seed(3)
    model = Architecture("srcnn").build()
    for module in model.modules():
        if isinstance(module, nn.InstanceNorm2d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model.eval()


def noise() -> Tensor:
    return torch.rand(3, 29, 17, generator=torch.Generator().manual_seed(0))


def in_one_piece(model: Generator) -> Tensor:
    with torch.inference_mode():
        whole: Tensor = model(noise()[None])[0]
    return whole


@every
@pytest.mark.parametrize("stripe_px", [1, 60, 10**6])
def test_stripes_give_what_the_whole_gives(monkeypatch, made: Generator, stripe_px: int) -> None:
    monkeypatch.setattr(whole_photo, "STRIPE_PX", stripe_px)
    striped = enhance_image(made, noise(), Settings(torch.device("cpu"), "float32"))
    torch.testing.assert_close(striped, in_one_piece(made), rtol=0, atol=1e-5)


@every
def test_bfloat16_moves_nothing_but_digits(monkeypatch, made: Generator) -> None:
    """A convolution is shifted to reduce rounding only if the norm after it removes the shift again."""
    monkeypatch.setattr(whole_photo, "has_bfloat16", lambda _: True)
    for module in made.modules():
        if isinstance(module, nn.Conv2d) and module.out_channels == WIDE:
            nn.init.constant_(module.bias, 0.5)
    striped = enhance_image(made, noise(), Settings(torch.device("cpu"), "bfloat16"))
    torch.testing.assert_close(striped, in_one_piece(made), rtol=0, atol=0.03)


@every
def test_onnx_gives_what_the_network_gives(tmp_path: Path, made: Generator) -> None:
    file = tmp_path / "made.onnx"
    file.write_bytes(as_onnx(made, {}, clip=False).SerializeToString())
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (enhanced,) = session.run(None, {"phone": noise()[None].numpy()})
    np.testing.assert_allclose(enhanced[0], in_one_piece(made).numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("order", "passes", "maps", "held"),
    [
        ("norm of the photo", 2, (3,), 4),
        ("norms without a residual", 3, (WIDE,), 4),
        ("residuals within residuals", 4, (WIDE, WIDE, WIDE), 4),
        ("norms of both kinds", 2, (WIDE, WIDE), 6),
        ("a residual of the photo", 1, (), 4),
        # 1 + (1 + 1 + 1 / 4 + 1) / 4 + 1 in full stripes are less than the least.
        ("a pyramid", 1, (), 4),
        ("blocks in the channels", 2, (WIDE,), 4),
    ],
)
def test_plans_by_hand(order: str, passes: int, maps: tuple[int, ...], held: int) -> None:
    layers = ORDERS[order]
    assert (count_passes(layers), map_channels(layers), count_held(layers)) == (passes, maps, held)


def test_sizes_by_hand() -> None:
    layers = (FIRST, ResidualBlock((conv("a", side=7), conv("b"))), LAST)
    assert (reach(layers), widest(layers), count_kept_rows(layers)) == (1 + 3 + 1 + 2, WIDE, 6)


def test_sizes_at_several_resolutions_by_hand() -> None:
    layers = ORDERS["a pyramid"]
    assert [str(px) for layer, px in placed(layers)] == ["1", "1", "2", "2", "4", "4", "2", "2", "1"]
    assert [layer for layer, _ in placed(layers)] == list(leaves(layers))
    assert (grid(layers), grain(layers), grain(layers[1:2]), least_opset(layers)) == (4, 1, 2, 13)
    assert held(layers) == 1 + (1 + (1 + Fraction(1, 4)) + 1) / Fraction(4) + 1
    # The kernel of 3 px at a quarter of the resolution keeps 2 rows, which are 8 of the photo.
    assert count_kept_rows(layers) == 8
    # The row 3: LAST sees 1 to 5, which are 0 to 2 at half resolution; p.e sees -1 to 3; at a quarter that is -1 to 1,
    # and p.d sees -2 to 2, which are -4 to 5 at half; p.b sees -5 to 6, which are -10 to 13; and FIRST sees one more.
    assert seen(layers, 3, 3) == (-11, 14)
    assert reach(layers) == 14


def test_a_network_without_convolutions_has_the_grain_of_the_photo() -> None:
    assert grain((Padded(2, (SpaceToDepth(3), DepthToSpace(3))),)) == 1


def test_blocks_become_channels_in_the_order_of_onnx() -> None:
    image = torch.arange(16.0).reshape(1, 2, 2, 4)
    deep = SpaceToDepth(2).forward(nn.Module(), image)
    # Upper left of both channels, upper right, lower left, lower right.
    assert deep[0, :, 0, 0].tolist() == [0, 8, 1, 9, 4, 12, 5, 13]
    assert deep[0, :, 0, 1].tolist() == [2, 10, 3, 11, 6, 14, 7, 15]
    assert DepthToSpace(2).forward(nn.Module(), deep).equal(image)


def test_upsampling_repeats_every_px() -> None:
    made = Upsampling(1).forward(nn.Module(), torch.tensor([[[[1.0, 2.0]]]]))
    assert made.tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]


def test_downsampling_by_hand() -> None:
    layer, network = Downsampling("down", 1, 2), nn.Module()
    add_modules(network, [layer])
    with torch.no_grad():
        network.down.weight.copy_(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]], [[[-1.0, 0.0], [0.0, 0.0]]]]))
        network.down.bias.copy_(torch.tensor([0.5, -0.5]))
        made = layer.forward(network, torch.tensor([[[[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]]]]))
    assert made.tolist() == [[[[5.5, 5.5]], [[0, 0]]]]


@dataclass(frozen=True)
class Ramp(Convolution):
    """Adds 100 to the image, and remembers what it was given."""

    def forward(self, network: nn.Module, features: Tensor) -> Tensor:
        network.given = features
        return features + 100


def test_padding_repeats_the_last_px_and_is_cut_off() -> None:
    image, network = torch.tensor([[[[1.0, 2.0, 3.0]]]]), nn.Module()
    made = Padded(2, (Ramp("ramp", 1, 1, 1),)).forward(network, image)
    assert network.given.tolist() == [[[[1, 2, 3, 3], [1, 2, 3, 3]]]]
    assert made.tolist() == [[[[101, 102, 103]]]]


def test_padding_refuses_statistics_and_layers_that_change_the_size() -> None:
    with pytest.raises(ValueError, match="statistics of the photo cannot work on a padded photo"):
        Padded(2, (ResidualBlock((norm("a"),)),))
    with pytest.raises(ValueError, match="keep the height and width, not divide them by 2"):
        Padded(2, (SpaceToDepth(3), conv("a", inputs=12)))


def test_maps_that_would_change_their_channels_are_refused() -> None:
    layers = (FIRST, norm("a"), conv("b", outputs=5, relu=False), Normalisation("c", 5, "instance"), LAST)
    with pytest.raises(ValueError, match=r"cannot have \[5, 9\] channels in turn"):
        map_channels(layers)


def test_dotted_names_lead_from_module_to_module() -> None:
    network = nn.Module()
    add_modules(network, [conv("a"), ResidualBlock((conv("b.0.c"), norm("b.0.d"))), conv("b.1.c")])
    assert [name for name, _ in network.named_parameters()][::2] == [
        f"{name}.weight" for name in ("a", "b.0.c", "b.0.d", "b.1.c")
    ]
