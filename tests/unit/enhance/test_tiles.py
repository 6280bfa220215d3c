"""Networks of the user's own over whole photos: in tiles that are exact where that is proved, and fade otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from own_code import write_folder
from torch import Tensor

from dpedtool.training.enhance import tiles, whole_photo
from dpedtool.training.enhance.tiles import Tiling, in_tiles, measure
from dpedtool.training.enhance.whole_photo import Settings, enhance_image, enhance_photo, plan
from dpedtool.training.networks.generators import Architecture, OwnGenerator

pytestmark = pytest.mark.usefixtures("one_thread", "clean_modules")
WINDOWS = """
import torch
from torch import nn

class Windows(nn.Module):
    def __init__(self, window):
        super().__init__()
        self.window, self.gain = window, nn.Parameter(torch.ones(()))

    def forward(self, phone):
        height, width = phone.shape[2:]
        padded = nn.functional.pad(phone, (0, -width % self.window, 0, -height % self.window), mode="replicate")
        means = nn.functional.avg_pool2d(padded, self.window).repeat_interleave(self.window, 2)
        return self.gain * phone + means.repeat_interleave(self.window, 3)[..., :height, :width]


class Moved(nn.Module):
    def __init__(self, rows, columns):
        super().__init__()
        self.rows, self.columns, self.gain = rows, columns, nn.Parameter(torch.ones(()))

    def forward(self, phone):
        height, width = phone.shape[2:]
        row, column = torch.arange(height) + self.rows, torch.arange(width) + self.columns
        inside = ((row >= 0) & (row < height))[:, None] & ((column >= 0) & (column < width))
        return self.gain * phone[:, :, row.clamp(0, height - 1)][..., column.clamp(0, width - 1)] * inside
"""
EXACT = Settings(torch.device("cpu"), "float32")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path)


def built(folder: Path, name: str, **args: object) -> OwnGenerator:
    model = Architecture(f"{folder}:own_net:{name}", args=args).build(1).eval()
    assert isinstance(model, OwnGenerator)
    return model


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def tiled(model: OwnGenerator, tiling: Tiling, image: Tensor) -> Tensor:
    rows, size = image.permute(1, 2, 0), (image.shape[2], image.shape[1])
    bands = list(in_tiles(model, tiling, size, lambda start, stop: rows[start:stop]))
    starts = [start for start, _, _ in bands]
    assert starts == list(np.cumsum([0, *(len(made) for _, made, _ in bands)])[:-1])
    assert bands[-1][2] == 1
    return torch.cat([made for _, made, _ in bands]).permute(2, 0, 1)


def test_how_far_a_network_sees_is_measured(folder: Path) -> None:
    # The kernels of 3 px of the halved maps reach 1 + 2 px, those around them 1 + 1 px; the grid of 4 px adds up to 3.
    assert measure(built(folder, "UNet")).reach in range(5, 9)
    assert measure(built(folder, "Tied")).reach == 2


@pytest.mark.parametrize(("rows", "columns"), [(40, 0), (-40, 0), (0, 40), (0, -40)])
def test_it_may_see_to_one_side_alone(folder: Path, rows: int, columns: int) -> None:
    (folder / "own_windows.py").write_text(WINDOWS)
    args = {"rows": rows, "columns": columns}
    assert measure(Architecture(f"{folder}:own_windows:Moved", args=args).build().eval()).reach == 40


@pytest.mark.parametrize("name", ["Global", "Placed", "Far"])
def test_what_depends_on_more_than_the_px_around_is_found(folder: Path, name: str) -> None:
    assert measure(built(folder, name)).reach is None


def test_what_differs_from_run_to_run_is_found(folder: Path) -> None:
    model = built(folder, "UNet", dropout=0.5)
    model.network.drop.train()
    assert measure(model).reach is None


@pytest.mark.parametrize(("height", "width"), [(300, 129), (64, 640), (191, 257)])
def test_exact_tiles_give_what_the_whole_photo_gives(folder: Path, height: int, width: int) -> None:
    model, image = built(folder, "UNet"), noise(3, height, width)
    tiling = measure(model).tiling(64)
    assert tiling == Tiling(64 + 2 * 8, 2 * 8, is_exact=True)
    with torch.inference_mode():
        torch.testing.assert_close(tiled(model, tiling, image), model(image[None])[0], rtol=0, atol=1e-6)


def test_networks_with_windows_get_tiles_on_a_coarser_grid(folder: Path) -> None:
    (folder / "own_windows.py").write_text(WINDOWS)
    for window, grid in ((8, 8), (32, 64), (7, None)):
        model = Architecture(f"{folder}:own_windows:Windows", args={"window": window}).build().eval()
        seen = measure(model)
        assert (seen.grid if seen.reach is not None else None) == grid, window


def test_tiles_of_too_few_surroundings_do_not(folder: Path) -> None:
    model, image = built(folder, "UNet"), noise(3, 100, 100)
    with torch.inference_mode():
        difference = tiled(model, Tiling(64, 2, is_exact=True), image) - model(image[None])[0]
    assert difference.abs().max() > 1e-3


@pytest.mark.parametrize("is_exact", [True, False])
@pytest.mark.parametrize("length", [1, 63, 64, 65, 96, 200, 1000])
def test_the_shares_of_tiles_add_up_to_one(length: int, is_exact: bool) -> None:
    tiling, total = Tiling(64, 32, is_exact), torch.zeros(length)
    for start in tiling.starts(length):
        stop = min(start + 64, length)
        total[start:stop] += tiling.shares(start, stop, length)
    torch.testing.assert_close(total, torch.ones(length))


def test_other_tiles_fade_into_each_other(folder: Path) -> None:
    model = built(folder, "Global")
    image = torch.linspace(0, 1, 300).expand(3, 64, 300).contiguous()
    with torch.inference_mode():
        steps = tiled(model, Tiling(128, 64, is_exact=False), image)[:, 32, 5:-5].diff(dim=1).abs()
        hard = tiled(model, Tiling(128, 64, is_exact=True), image)[:, 32, 5:-5].diff(dim=1).abs()
    # The means of neighbouring tiles differ by 64 / 300.
    assert hard.max() > 0.2
    assert steps.max() < 0.03


def test_a_photo_as_large_as_a_tile_is_computed_in_one_piece(folder: Path, monkeypatch, capfd) -> None:
    monkeypatch.setattr(whole_photo, "TILE_PX", 128)
    monkeypatch.setattr(tiles, "TILE_PX", 128)
    model, image = built(folder, "Global"), noise(3, 128, 100)
    with torch.inference_mode():
        torch.testing.assert_close(enhance_image(model, image, EXACT), model(image[None])[0])
    assert capfd.readouterr().err == ""


def test_tiles_that_may_be_seen_are_announced_once(folder: Path, monkeypatch, capfd) -> None:
    monkeypatch.setattr(whole_photo, "TILE_PX", 192)
    monkeypatch.setattr(tiles, "TILE_PX", 192)
    model, photo = built(folder, "Global"), (255 * noise(210, 200, 3)).byte().numpy()
    enhanced = [enhance_photo(model, photo, EXACT) for _ in range(2)]
    assert np.array_equal(*enhanced)
    said = capfd.readouterr().err
    assert said.count("The network own_net:Global was not found to see only its surroundings") == 1
    assert len(said.splitlines()) == 1


def test_a_whole_photo_is_the_network_s(folder: Path, monkeypatch, capfd) -> None:
    for module in (whole_photo, tiles):
        monkeypatch.setattr(module, "TILE_PX", 64)
    model, photo = built(folder, "UNet"), (255 * noise(150, 131, 3)).byte().numpy()
    rgb = torch.from_numpy(photo[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        expected = model(rgb)[0].permute(1, 2, 0).clamp(0, 1).mul(255).numpy()[..., ::-1]
    shares: list[float] = []
    enhanced = enhance_photo(model, photo, EXACT, tell=shares.append)
    assert np.abs(enhanced - expected).max() < 0.51
    assert shares[-1] == 1
    assert capfd.readouterr().err == ""


def test_the_memory_does_not_grow_with_the_photo_beyond_its_tiles(folder: Path) -> None:
    architecture = Architecture(f"{folder}:own_net:UNet", args={"width": 64})
    small, large = (plan(architecture, size, EXACT) for size in ((3000, 2000), (3000, 4000)))
    assert small.memory > EXACT.process + 2 * 768**2 * 4 * 64
    assert large.memory - small.memory == pytest.approx(9 * 3000 * 2000, rel=0.01)
    assert small.scratch == large.scratch == 0
