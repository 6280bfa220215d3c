"""A user's folder: a network, losses and a metric of its own, beside files called like the project's packages."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dpedtool.dataset.plugins import digest_in_use

NETWORKS = '''
import torch
from own_parts import halved
from torch import nn


class UNet(nn.Module):
    """Sides must be multiples of 4; each half of it is seen by a few px around."""

    def __init__(self, width=4, dropout=0.0):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.Sequential(halved(width), nn.ReLU(), halved(width), nn.ReLU())
        self.up = nn.ConvTranspose2d(width, width, 4, stride=4)
        self.drop = nn.Dropout2d(dropout)
        self.last = nn.Conv2d(2 * width, 3, 3, padding=1)
        nn.init.normal_(self.last.weight, std=0.05)

    def forward(self, phone):
        first = self.first(phone).relu()
        return phone + self.last(torch.cat([first, self.drop(self.up(self.down(first)))], dim=1))


class Global(UNet):
    """Depends on the mean of the whole image."""

    def forward(self, phone):
        return super().forward(phone) + phone.mean(dim=(2, 3), keepdim=True)


class Placed(UNet):
    """Depends on where in the image a px is."""

    def forward(self, phone):
        return super().forward(phone) * torch.linspace(0.5, 1, phone.shape[3])


class Far(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 5, padding=200, dilation=100)

    def forward(self, phone):
        return self.conv(phone)


class Tied(nn.Module):
    """Two modules with one weight, a buffer, and a part without effect."""

    def __init__(self):
        super().__init__()
        self.one, self.other, self.unused = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.other.weight = self.one.weight
        self.register_buffer("gain", torch.tensor(2.0))

    def forward(self, phone):
        return phone + self.gain * self.other(self.one(phone))


class Triple(UNet):
    def forward(self, phone):
        return nn.functional.interpolate(super().forward(phone), scale_factor=3)


class Enlarging(UNet):
    """Gives images that are some times as large."""

    def __init__(self, times=2):
        super().__init__()
        self.finer = nn.Conv2d(3, 3 * times**2, 3, padding=1)
        self.times = times

    def forward(self, phone):
        large = nn.functional.interpolate(super().forward(phone), scale_factor=self.times)
        return large + nn.functional.pixel_shuffle(self.finer(phone), self.times)


class Moody(UNet):
    """Enlarges large images alone."""

    def forward(self, phone):
        large = nn.functional.interpolate(super().forward(phone), scale_factor=2)
        return large if phone.shape[3] > 40 else phone


class Pair(UNet):
    def forward(self, phone):
        return super().forward(phone), phone


class Grey(UNet):
    def forward(self, phone):
        return super().forward(phone).mean(dim=1, keepdim=True)


class Failing(UNet):
    def forward(self, phone):
        raise KeyError("no such thing")


class NotANumber(UNet):
    def forward(self, phone):
        return super().forward(phone) * float("nan")


class Empty(nn.Module):
    def forward(self, phone):
        return phone


class Odd(UNet):
    """Its own code fails when it is made."""

    def __init__(self):
        super().__init__()
        [].pop()


class NormedByBatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))

    def forward(self, phone):
        return self.layers(phone)


def made():
    return UNet()
'''
LOSSES = '''
import torch


def edges(output, target, power=1):
    """Mean absolute difference of the steps along rows, or that to a power."""
    difference = output - target
    return ((difference[..., 1:] - difference[..., :-1]).abs() ** power).mean()


def noisy(output, target):
    """A loss that draws random numbers."""
    return ((output - target) * torch.rand_like(output)).abs().mean()


def of_each(output, target):
    return (output - target).abs().mean(dim=(1, 2, 3))


def number(output, target):
    return 1.0


def whole(output, target):
    return (output > target).sum()


def detached(output, target):
    return (output.detach() - target).abs().mean()


def failing(output, target):
    return output.nothing
'''
METRICS = '''
def brightness(outputs, targets):
    """How much brighter or darker an output is."""
    return (outputs.mean(dim=(1, 2, 3)) - targets.mean(dim=(1, 2, 3))).abs()


brightness.better = "lower"
'''
PARTS = """
from torch import nn


def halved(width):
    return nn.Conv2d(width, width, 3, stride=2, padding=1)
"""
BAD = "raise RuntimeError('nobody asked for this')\n"


def write_folder(folder: Path) -> Path:
    """Write the modules into a folder, and return it."""
    for name, text in {"own_net": NETWORKS, "own_loss": LOSSES, "own_metric": METRICS, "own_parts": PARTS}.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    for name in ("dataset", "training", "pipeline"):
        (folder / f"{name}.py").write_text(BAD, encoding="utf-8")
    return folder


@contextmanager
def forgotten_modules() -> Iterator[None]:
    """Forget afterwards what was imported, where it was looked for, and the digests of its code."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        if name.startswith(("own_", "evil")):
            del sys.modules[name]
    sys.path[:] = path
    digest_in_use.cache_clear()
