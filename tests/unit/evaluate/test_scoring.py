"""The memory for measures: it is allocated at the start and may be filled in any order."""

from __future__ import annotations

import torch

from dpedtool.training.evaluate.scoring import Sheet
from dpedtool.training.metrics import PROTOCOLS, Measures, measure_protocols


def images(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(5, 3, 16, 16, generator=random) * 1.2, torch.rand(5, 3, 16, 16, generator=random)


def places(measures: Measures) -> list[int]:
    return [values.data_ptr() for values in (measures.squared_error, measures.ssim_terms, measures.ssim)]


def test_a_sheet_has_what_the_whole_would_give_and_takes_no_more_room() -> None:
    whole = {name: images(seed) for seed, name in enumerate(("before", "after"))}
    sheet = Sheet(5, whole)
    taken = [places(sheet.measures[name][protocol]) for name in whole for protocol in PROTOCOLS]
    assert sheet.measures["before"]["image"].squared_error.isnan().all()
    for name, (outputs, targets) in whole.items():
        for start, stop in ((3, 5), (0, 3)):
            sheet.put(start, {name: outputs[start:stop]}, targets[start:stop])
    for name, pair in whole.items():
        for protocol, expected in measure_protocols(*pair).items():
            found = sheet.measures[name][protocol]
            torch.testing.assert_close(found.squared_error, expected.squared_error)
            torch.testing.assert_close(found.ssim_terms, expected.ssim_terms)
            torch.testing.assert_close(found.ssim, expected.ssim)
    assert taken == [places(sheet.measures[name][protocol]) for name in whole for protocol in PROTOCOLS]
