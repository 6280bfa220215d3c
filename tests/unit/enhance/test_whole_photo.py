"""Whole photos in stripes of rows: the results equal those of photos in one piece, and memory limits are kept."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dpedtool.dataset.errors import Rejection
from dpedtool.training.enhance import memory, whole_photo
from dpedtool.training.enhance.feature_map import FeatureMap, Scratch, open_scratch
from dpedtool.training.enhance.memory import Need, Plan
from dpedtool.training.enhance.whole_photo import Settings, enhance_image, enhance_photo, plan
from dpedtool.training.networks.generators import Architecture, Generator
from dpedtool.training.networks.streams import (
    Blocks,
    Chain,
    EachRow,
    PaddedStream,
    ResidualStream,
    Statistics,
    convolution,
    depth_to_space,
    doubled,
    space_to_depth,
    strided,
)

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
EXACT, HALF = Settings(CPU, "float32"), Settings(CPU, "bfloat16")
LEVEL = 1 / 255
SAME = 1e-4 * LEVEL

KINDS = {
    "instance norm": {},
    "no blocks": {"blocks": 0},
    "one channel": {"channels": 1, "blocks": 1},
    "batch norm": {"norm": "batch"},
    "batch norm, no blocks": {"norm": "batch", "blocks": 0},
    "SRCNN": {"network": "srcnn"},
    "mobile": {"network": "mobile"},
}


def generator(**fields) -> Generator:
    """Return a network whose norms have random scales, shifts and statistics, unlike new norms."""
    torch.manual_seed(1)
    model = Architecture(**{"channels": 8, "blocks": 2, **fields}).build()
    for module in model.modules():
        if isinstance(module, nn.InstanceNorm2d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model.eval()


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def in_one_piece(model: Generator, image: Tensor) -> Tensor:
    with torch.inference_mode():
        whole: Tensor = model(image[None])[0]
    return whole


def rows_of(image: Tensor) -> Tensor:
    return image.permute(1, 2, 0)


def pushed(stream, rows: Tensor, heights: list[int]) -> Tensor:
    """Return the output of a stream for rows in stripes of these heights."""
    given = [stream.push(part) for part in rows.split(heights)]
    last = stream.finish()
    return torch.cat([part for part in (*given, last) if part is not None and len(part)])


# Exactness


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stripe_px", [1, 50, 170, 10**6])
def test_in_stripes_it_is_the_same_as_in_one_piece(monkeypatch, kind: str, stripe_px: int) -> None:
    monkeypatch.setattr(whole_photo, "STRIPE_PX", stripe_px)
    model, image = generator(**KINDS[kind]), noise(37, 17)
    torch.testing.assert_close(enhance_image(model, image, EXACT), in_one_piece(model, image), rtol=0, atol=SAME)


def test_it_is_nearer_to_the_truth_than_the_usual_way() -> None:
    """Both results are rounded. The sums of the statistics lose most, so they are in float64 here."""
    model, image = generator(channels=16), noise(200, 300)
    with torch.inference_mode():
        truth = generator(channels=16).double()(image[None].double())[0]
    ours = (enhance_image(model, image, EXACT) - truth).abs()
    assert ours.max() < SAME
    assert ours.mean() <= 1.5 * (in_one_piece(model, image) - truth).abs().mean()


def test_tiles_would_change_the_picture() -> None:
    """Stripes are needed because the upper half alone gives another picture than the upper half of the whole photo."""
    model, image = generator(), noise(64, 64) * torch.linspace(0.1, 1, 64)[:, None]
    alone = enhance_image(model, image[:, :32], EXACT)
    whole = enhance_image(model, image, EXACT)[:, :32]
    assert (alone - whole)[:, :16].abs().max() > 5 * LEVEL


@pytest.mark.parametrize("multiplies", [True, False])
def test_a_plain_photo_is_not_drowned_by_the_rounding_of_bfloat16(
    monkeypatch: pytest.MonkeyPatch, multiplies: bool
) -> None:
    """Instance norm enlarges channels that lie far from 0 and hardly vary; tested for processors of both kinds."""
    monkeypatch.setattr(whole_photo, "has_bfloat16", lambda _: multiplies)
    model = generator(channels=16)
    nn.init.constant_(model.get_parameter("blocks.0.conv1.bias"), 30)
    nn.init.constant_(model.get_parameter("blocks.1.conv2.bias"), -30)
    image = 0.5 + 0.01 * noise(60, 80)
    away = enhance_image(model, image, HALF) - in_one_piece(model, image)
    assert away.abs().max() < LEVEL


def test_bfloat16_is_within_a_grey_level(texture) -> None:
    model = generator(channels=16)
    photo = texture(160, 200)
    exact, half = (enhance_photo(model, photo, settings).astype(int) for settings in (EXACT, HALF))
    assert np.abs(exact - half).max() == 1


def test_where_nothing_multiplies_bfloat16_only_the_maps_are_of_it(monkeypatch, texture) -> None:
    model, photo = generator(channels=16), texture(60, 80)
    monkeypatch.setattr(whole_photo, "has_bfloat16", lambda _: True)
    exact, half = (enhance_photo(model, photo, settings).astype(int) for settings in (EXACT, HALF))
    monkeypatch.setattr(whole_photo, "has_bfloat16", lambda _: False)
    stored = enhance_photo(model, photo, HALF).astype(int)
    assert 0 < np.abs(stored - exact).mean() < np.abs(half - exact).mean()


def test_a_photo_is_rounded_and_cut_to_what_files_hold() -> None:
    model = generator()
    nn.init.constant_(model.tail.bias, 1.2)
    photo = np.random.default_rng(0).integers(0, 256, (31, 23, 3), np.uint8)
    image = torch.from_numpy(photo[..., ::-1].copy()).permute(2, 0, 1).float() / 255
    expected = in_one_piece(model, image).clamp(0, 1).mul(255).round().permute(1, 2, 0).flip(-1).numpy()
    enhanced = enhance_photo(model, photo, EXACT)
    assert enhanced.dtype == np.uint8
    assert 255 in enhanced
    # If a value lies midway between two levels, rounding errors decide.
    assert (enhanced != expected).mean() < 0.001


def test_the_bytes_do_not_depend_on_the_memory(tmp_path: Path, texture) -> None:
    model, photo = generator(), texture(90, 70)
    whole = plan(model.architecture, (70, 90), HALF)
    pieces = [Plan(whole.memory, 1, rows) for rows in (0, 1, 40, 89)]
    with_file = replace(HALF, scratch=tmp_path)
    expected = enhance_photo(model, photo, HALF)
    for planned in pieces:
        np.testing.assert_array_equal(enhance_photo(model, photo, with_file, planned), expected)
    assert not list(tmp_path.iterdir())


def test_progress_is_told_from_start_to_end() -> None:
    shares: list[float] = []
    enhance_photo(generator(), np.zeros((100, 50, 3), np.uint8), EXACT, tell=shares.append)
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.3
    assert shares[-1] == 1


# Streams


@pytest.mark.parametrize("channels", [3, 16])
@pytest.mark.parametrize("side", [1, 3, 5, 9])
@pytest.mark.parametrize("heights", [[12], [1] * 12, [1, 5, 6], [9, 3]])
def test_a_convolution_in_stripes(channels: int, side: int, heights: list[int]) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(5, channels, side, padding=side // 2)
    image = torch.rand(5, 12, 7)
    with torch.inference_mode():
        made = pushed(convolution(layer, torch.float32), rows_of(image), heights)
        torch.testing.assert_close(made, rows_of(layer(image[None])[0]), rtol=0, atol=1e-6)


def test_a_photo_lower_than_the_kernel() -> None:
    layer = nn.Conv2d(2, 16, 9, padding=4)
    image = torch.rand(2, 2, 3)
    with torch.inference_mode():
        made = pushed(convolution(layer, torch.float32), rows_of(image), [1, 1])
        torch.testing.assert_close(made, rows_of(layer(image[None])[0]), rtol=0, atol=1e-6)


def test_a_residual_adds_the_row_that_belongs_there() -> None:
    layer = nn.Conv2d(16, 16, 3, padding=1)
    image = torch.rand(16, 9, 4)
    with torch.inference_mode():
        stream = ResidualStream(Chain([convolution(layer, torch.float32), convolution(layer, torch.float32)]))
        expected = layer(layer(image[None]))[0] + image
        torch.testing.assert_close(pushed(stream, rows_of(image), [4, 1, 4]), rows_of(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("heights", [[12], [1] * 12, [1, 5, 6], [9, 3]])
def test_a_strided_convolution_in_stripes(heights: list[int]) -> None:
    layer, image = nn.Conv2d(5, 16, 2, stride=2), noise(12, 8).repeat(2, 1, 1)[:5]
    with torch.inference_mode():
        made = pushed(Blocks(2, strided(layer)), rows_of(image), heights)
        torch.testing.assert_close(made, rows_of(layer(image[None])[0].relu()), rtol=0, atol=1e-6)


def test_blocks_of_rows_become_channels_and_back() -> None:
    rows = torch.arange(16.0).reshape(2, 4, 2)
    deep = space_to_depth(rows)
    assert deep.tolist() == [[[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]]]
    assert depth_to_space(deep).equal(rows)
    assert doubled(torch.tensor([[[1.0], [2.0]]]))[..., 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]


def test_a_photo_of_incomplete_blocks_is_a_mistake() -> None:
    stream = Blocks(2, space_to_depth)
    assert not len(stream.push(torch.zeros(1, 2, 3)))
    with pytest.raises(RuntimeError, match="blocks of 2 rows"):
        stream.finish()


@pytest.mark.parametrize("heights", [[5], [1] * 5, [4, 1], [2, 3]])
def test_a_padded_chain_is_given_whole_blocks_and_nothing_of_the_padding_comes_out(heights: list[int]) -> None:
    given: list[Tensor] = []

    def keep(rows: Tensor) -> Tensor:
        given.append(rows.clone())
        return rows + 100

    rows = torch.arange(15.0).reshape(5, 3, 1)
    made = pushed(PaddedStream(4, Chain([EachRow(keep)])), rows, heights)
    assert made.equal(rows + 100)
    expected = [[0, 1, 2, 2], [3, 4, 5, 5], [6, 7, 8, 8], [9, 10, 11, 11], *[[12, 13, 14, 14]] * 4]
    assert torch.cat(given)[..., 0].tolist() == expected


def test_a_padded_chain_without_rows_gives_none() -> None:
    assert PaddedStream(4, Chain([EachRow(doubled)])).finish() is None


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (8, 8), (15, 17), (16, 7)])
@pytest.mark.parametrize("stripe_px", [1, 30, 10**6])
def test_the_network_for_phones_takes_photos_of_any_size(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], stripe_px: int
) -> None:
    monkeypatch.setattr(whole_photo, "STRIPE_PX", stripe_px)
    model, image = generator(network="mobile"), noise(*size)
    torch.testing.assert_close(enhance_image(model, image, EXACT), in_one_piece(model, image), rtol=0, atol=SAME)


def test_what_a_chain_holds_back_passes_through_the_rest_of_it() -> None:
    chain = Chain([convolution(nn.Conv2d(1, 16, 3, padding=1), torch.float32), EachRow(lambda rows: rows * 0 + 2)])
    with torch.inference_mode():
        assert pushed(chain, torch.rand(5, 3, 1), [2, 3]).tolist() == torch.full((5, 3, 16), 2.0).tolist()


def test_statistics_by_hand() -> None:
    statistics = Statistics()
    for row in ([1.0, 2.0], [3.0, 6.0]):
        statistics.push(torch.tensor(row).reshape(1, 2, 1))
    mean, variance = statistics.mean_and_variance()
    assert (mean.item(), variance.item()) == (3.0, 3.5)


def test_statistics_far_from_zero_keep_their_variance() -> None:
    values = 1000 + torch.rand(40, 30, 2, generator=torch.Generator().manual_seed(0))
    statistics = Statistics()
    for part in values.split(7):
        statistics.push(part)
    mean, variance = statistics.mean_and_variance()
    truth = values.double().flatten(0, 1)
    torch.testing.assert_close(mean.double(), truth.mean(0), rtol=1e-7, atol=0)
    torch.testing.assert_close(variance.double(), truth.var(0, correction=0), rtol=1e-5, atol=0)


def test_statistics_of_nothing_are_a_mistake() -> None:
    with pytest.raises(RuntimeError, match="no row"):
        Statistics().mean_and_variance()


# Feature maps


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [0, 3, 10])
def test_a_feature_map_gives_back_what_was_written(tmp_path: Path, dtype: torch.dtype, rows: int) -> None:
    values = torch.rand(10, 4, 5).to(dtype)
    with open_scratch(tmp_path / "made" / "if missing") as scratch:
        one, other = (FeatureMap((10, 4, 5), dtype, rows=rows, scratch=scratch, device=CPU) for _ in range(2))
        for start in range(0, 10, 4):
            one.write(start, values[start : start + 4])
            other.write(start, -values[start : start + 4].float())
        for start, stop in ((0, 10), (2, 5), (3, 4), (9, 10), (5, 5)):
            assert one.read(start, stop, CPU).equal(values[start:stop])
            assert other.read(start, stop, CPU).equal(-values[start:stop])


def test_rows_without_a_place_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="2 of 3 rows"):
        FeatureMap((3, 1, 1), torch.float32, rows=1, scratch=None, device=CPU)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full to write to")
def test_a_device_that_is_full_is_one_sentence(tmp_path: Path) -> None:
    with Path("/dev/full").open("r+b", buffering=0) as full:
        scratch = Scratch(full, tmp_path)
        values = FeatureMap((2, 3, 4), torch.float32, rows=1, scratch=scratch, device=CPU)
        with pytest.raises(Rejection, match=f"scratch file in {tmp_path} cannot grow .No space left") as caught:
            values.write(0, torch.zeros(2, 3, 4))
    assert caught.value.reason == "too_little_disk"


@pytest.mark.skipif(resource is None, reason="this system limits no files")
@pytest.mark.parametrize("room", [0, 100, 8000, 8192, 12_000, 16_383])
def test_a_full_disk_is_one_sentence(tmp_path: Path, room: int) -> None:
    """The disk may be full at any place within a stripe."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(Rejection, match="cannot grow") as caught:
            fill_a_scratch_file(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.reason == "too_little_disk"


def fill_a_scratch_file(folder: Path) -> None:
    """Write four rows of 4096 bytes."""
    with open_scratch(folder) as scratch:
        values = FeatureMap((4, 64, 16), torch.float32, rows=0, scratch=scratch, device=CPU)
        for row in range(4):
            values.write(row, torch.zeros(1, 64, 16))


def test_a_scratch_file_that_lost_its_end_is_one_sentence(tmp_path: Path) -> None:
    with open_scratch(tmp_path) as scratch:
        values = FeatureMap((2, 3, 4), torch.float32, rows=0, scratch=scratch, device=CPU)
        values.write(0, torch.zeros(1, 3, 4))
        with pytest.raises(Rejection, match=r"cannot be read \(its end is missing\)"):
            values.read(0, 2, CPU)


# Memory

PROCESS = 500 * 10**6
NEED = Need((1000, 2000), map_row=10**6, stripes=50 * 10**6)
"""2 MP: the maps take 2 GB; the network takes another 68 MB, or a codec 42 MB; with the process it is 568 MB."""


@pytest.fixture
def much_memory(monkeypatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 10**11)


@pytest.mark.usefixtures("much_memory")
@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (2568 * 10**6, Plan(2568 * 10**6, 0, 2000)),
        (3000 * 10**6, Plan(2568 * 10**6, 0, 2000)),
        (2567 * 10**6, Plan(2567 * 10**6, 1 * 10**6, 1999)),
        (1000 * 10**6, Plan(1000 * 10**6, 1568 * 10**6, 432)),
        (568 * 10**6, Plan(568 * 10**6, 2000 * 10**6, 0)),
    ],
)
def test_what_does_not_fit_goes_to_the_scratch_file(tmp_path: Path, limit: int, expected: Plan) -> None:
    assert NEED.plan(PROCESS, limit, tmp_path) == expected


@pytest.mark.usefixtures("much_memory")
@pytest.mark.parametrize(
    ("limit", "has_file", "expected"),
    [
        (567 * 10**6, True, "1000x2000 px need at least 0.57 GB of memory, but --max-memory allows 0.56 GB."),
        (
            2567 * 10**6,
            False,
            "1000x2000 px need at least 2.57 GB of memory (0.57 GB with a scratch file), "
            "but --max-memory allows 2.56 GB.",
        ),
    ],
)
def test_too_little_memory_is_refused_with_the_least_that_would_do(
    tmp_path: Path, limit: int, has_file: bool, expected: str
) -> None:
    with pytest.raises(Rejection) as caught:
        NEED.plan(PROCESS, limit, tmp_path if has_file else None)
    assert (caught.value.reason, caught.value.detail) == ("too_little_memory", expected)


@pytest.mark.parametrize("limit", [None, 1500 * 10**6])
def test_no_more_is_taken_than_is_free(tmp_path: Path, monkeypatch, limit: int | None) -> None:
    monkeypatch.setattr(memory, "_held", lambda: 400 * 10**6)
    monkeypatch.setattr(memory, "free_memory", lambda: 1000 * 10**6)
    assert NEED.plan(PROCESS, limit, tmp_path) == Plan(1300 * 10**6, 1268 * 10**6, 732)
    with pytest.raises(Rejection) as caught:
        NEED.plan(PROCESS, limit, None)
    assert caught.value.detail.endswith(", but only 1.30 GB is free: close other programs.")


@pytest.mark.usefixtures("much_memory")
def test_too_little_disk_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10**9})())
    folder = tmp_path / "not yet there"
    with pytest.raises(Rejection) as caught:
        NEED.plan(PROCESS, 568 * 10**6, folder)
    assert caught.value.reason == "too_little_disk"
    assert caught.value.detail == (
        f"1000x2000 px need 2.57 GB of memory, or a scratch file of 2.00 GB in {folder}, where only 1.00 GB is free: "
        "choose another folder, or allow more memory."
    )
    assert not folder.exists()
    assert NEED.plan(PROCESS, 1600 * 10**6, folder).scratch == 968 * 10**6


@pytest.mark.usefixtures("much_memory")
def test_maps_are_two_and_only_for_instance_norm() -> None:
    size = (4032, 3024)
    two_maps = 2 * 4032 * 3024 * 64
    stripe = (8 + 8) * 4032 * 64 * 4
    photo = PROCESS + 9 * 4032 * 3024
    exact, half = (replace(settings, process=PROCESS) for settings in (EXACT, HALF))
    assert plan(Architecture(), size, exact).memory == photo + 7 * stripe + two_maps * 4
    assert plan(Architecture(), size, half).memory == photo + 7 * stripe + two_maps * 2
    assert plan(Architecture(channels=32, blocks=2), size, half).memory == photo + 7 * stripe + two_maps
    for other in (Architecture(blocks=0), Architecture(network="srcnn")):
        assert plan(other, size, exact).memory == PROCESS + max(9 * 4032 * 3024 + 7 * stripe, 21 * 4032 * 3024)
    # 32 rows of the photo, and 16 that the coarsest kernels keep; what is in hand has half the height and width.
    for_phones = int(4.75 * (32 + 16) * 4032 * 64 * 4)
    mobile = Architecture("mobile", channels=24)
    assert plan(mobile, size, exact).memory == plan(mobile, size, half).memory == photo + for_phones
    # Without statistics to wait for, all blocks work at the same time.
    assert plan(Architecture(norm="batch"), size, exact).memory == photo + (7 + 12) * stripe


def test_what_the_process_takes_is_measured_once_and_rounded_up(monkeypatch) -> None:
    monkeypatch.setattr(memory, "_held", lambda: 445 * 10**6)
    settings = Settings(CPU, "float32")
    assert settings.process == 600 * 10**6
    monkeypatch.setattr(memory, "_held", lambda: 300 * 10**6)
    assert (settings.process, Settings(CPU, "float32").process) == (600 * 10**6, memory.PROCESS)
