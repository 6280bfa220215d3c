"""Networks of the user's own: how they are made, what they must return, and what is measured about them.

A network is a class that the parameters name as `package.module:Class`. Nothing is known about its layers.
"""

from __future__ import annotations

import functools
import inspect
import json
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.own_code import called
from dpedtool.dataset.params import TARGET_SCALES
from dpedtool.dataset.plugins import PluginName
from dpedtool.training.networks.layer_kinds import Layer
from dpedtool.training.networks.network_description import NetworkDescription

MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
"""What sides of images may have to be a multiple of, in px: networks that halve them several times need that."""
_LEAST_PX = 48
"""Images on which this is tried have sides of at least this many px."""
_MEASURED_PX = 128
"""Side of the image on which the memory is measured."""


@dataclass(frozen=True)
class Measured:
    """What was measured about a network with images of noise."""

    multiple: int
    """What the sides of images must be a multiple of, one of `MULTIPLES`."""
    bytes_px: int
    """Memory that it takes for a px of the image, in bytes: the most that its tensors hold at once."""
    scale: int = 1
    """Px of the output for each px of the image, along a side, one of `TARGET_SCALES`."""


@dataclass(frozen=True)
class OwnNetwork(NetworkDescription):
    """A network of the user's own: its class, and what the class is given."""

    network: str
    """`package.module:Class`, as it stands in the parameters."""
    args: Mapping[str, Any] = field(hash=False)

    @property
    def plugin(self) -> PluginName:
        """The class, and where its module is."""
        return PluginName.parse(self.network)

    @property
    def name(self) -> str:
        """`package.module:Class`, without the folder of this machine."""
        return str(self.plugin)

    def layers(self) -> tuple[Layer, ...]:
        """As `NetworkDescription.layers`; none of them is known."""
        return ()

    @property
    def onnx_megabytes(self) -> int:
        """As `NetworkDescription.onnx_megabytes`; it is what PyTorch takes."""
        return self.measured().bytes_px

    def make(self, seed: int) -> nn.Module:
        """Return the user's module with its own first weights, which depend on the seed of torch's random numbers.

        Raises
        ------
        ParamsError
            There is no such class, it is no torch.nn.Module, or it does not take these arguments.
        DpedtoolError
            The class raised an error.

        """
        kind = self.plugin.load("class")
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
            raise ParamsError(f"{self.name} is not a class of torch.nn.Module: name the class of a network.")
        try:
            inspect.signature(kind).bind(**self.args)
        except TypeError as error:
            raise ParamsError(
                f"The class {self.name} does not take these arguments ({error}): write those that it takes into "
                "train.network_args."
            ) from None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made: nn.Module = called(self._said, kind, **self.args)
        return made

    def run(self, module: nn.Module, phone: Tensor) -> Tensor:
        """Return what the module makes of images, (N, 3, H, W), whose sides are multiples of what it needs.

        It is as large as the images, or one of `TARGET_SCALES` times as large.

        Raises
        ------
        DpedtoolError
            The module raised an error, or it returned anything but such images.

        """
        found = called(self._said, module, phone)
        if not isinstance(found, Tensor):
            raise DpedtoolError(
                f"{self._said} returned {_kind(found)}, but one tensor (N, 3, H, W) is needed: return the image alone."
            )
        if scale_of(found, phone) is None:
            wanted = tuple(phone.shape)
            raise DpedtoolError(
                f"{self._said} returned a tensor {tuple(found.shape)} for images {wanted}: it must return images of "
                f"the same number, in three colours, that are {_or(TARGET_SCALES)} times as large."
            )
        if not found.is_floating_point():
            raise DpedtoolError(f"{self._said} returned {found.dtype}, but float values are needed.")
        return found

    def measured(self) -> Measured:
        """Measure a network of this class on noise.

        Raises
        ------
        DpedtoolError
            The class or its network raised an error, or the network does not return images of the size that it got, or
            of a multiple of it.

        """
        return _measured(self.network, json.dumps(dict(self.args), sort_keys=True))

    @property
    def _said(self) -> str:
        return f"The network {self.name}"


@functools.lru_cache(maxsize=16)
def _measured(network: str, args: str) -> Measured:
    description = OwnNetwork(network, json.loads(args))
    module = description.make(0).eval()
    multiple = _find_multiple(description, module)
    if not any(weights.requires_grad for weights in module.parameters()):
        raise DpedtoolError(f"The network {description.name} has no weights that could be trained.")
    with torch.no_grad(), _Held() as held:
        image = _noise(_MEASURED_PX, _MEASURED_PX)
        scale = scale_of(description.run(module, image), image)
    return Measured(multiple, -(-held.most // _MEASURED_PX**2), scale or 1)


def scale_of(output: Tensor, images: Tensor) -> int | None:
    """Return how many times as large an output is as the images (N, 3, H, W); None if it is none of `TARGET_SCALES`."""
    count, colours, height, width = images.shape
    sizes = {(count, colours, scale * height, scale * width): scale for scale in TARGET_SCALES}
    return sizes.get(tuple(output.shape))  # type: ignore[arg-type]


def _or(scales: Sequence[int]) -> str:
    *others, last = map(str, scales)
    return f"{', '.join(others)} or {last}"


def _find_multiple(description: OwnNetwork, module: nn.Module) -> int:
    """Return the smallest of `MULTIPLES` that lets a network keep the size of images."""
    refused: DpedtoolError | None = None
    for multiple in MULTIPLES:
        try:
            with torch.no_grad():
                description.run(module, _noise(*_sides(multiple)))
        except DpedtoolError as error:
            refused = error
        else:
            return multiple
    raise refused or RuntimeError("there are no multiples to try")


def _noise(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


def _sides(multiple: int) -> tuple[int, int]:
    """Return two sides that are a multiple of this number, and of no other power of two."""
    odd = -(-_LEAST_PX // multiple) | 1
    return odd * multiple, (odd + 2) * multiple


def reflected(images: Tensor, height: int, width: int) -> Tensor:
    """Return images (N, C, H, W) continued at the bottom and on the right by their reflection, whatever their size."""
    for axis, side in ((2, height), (3, width)):
        if side > images.shape[axis]:
            images = images.index_select(axis, _reflected_index(images.shape[axis], side, images.device))
    return images


def _reflected_index(length: int, wanted: int, device: torch.device) -> Tensor:
    there_and_back = max(2 * (length - 1), 1)
    index = torch.arange(wanted, device=device) % there_and_back
    return torch.minimum(index, there_and_back - index) if length > 1 else torch.zeros_like(index)


def _kind(value: Any) -> str:
    kind = type(value).__name__
    return f"a {kind} of {len(value)}" if isinstance(value, tuple | list | dict) else kind


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that are made within and exist at once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        found = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, Tensor):
                self._take(tensor.untyped_storage())
        return found

    def _take(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._known:
            self._known.add(key)
            self._now += storage.nbytes()
            self.most = max(self.most, self._now)
            weakref.finalize(storage, self._drop, key, storage.nbytes())

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size
