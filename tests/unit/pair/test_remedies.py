"""Every remedy that a message of pairing names, followed: the outcome is another one, or the remedy is not named."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from timed_photos import couples, pairing, photo

from dpedtool.dataset.errors import DpedtoolError


def refusal(folder: Path, **params: object) -> str:
    with pytest.raises(DpedtoolError) as refused:
        pairing(folder, **params)
    return str(refused.value)


def stated(message: str, name: str) -> float | None:
    """Return the value that a message advises for a parameter."""
    found = re.search(rf"pair\.{name} (?:\(now [^)]*\) )?to ([-\d.e+]*\d)", message)
    return float(found[1]) if found else None


def shoot(folder: Path, phone: np.ndarray, dslr: np.ndarray) -> None:
    for index, (one, other) in enumerate(zip(phone, dslr, strict=True)):
        photo(folder / "phone" / f"a{index:02d}.jpg", float(one))
        photo(folder / "dslr" / f"b{index:02d}.jpg", float(other))


def rhythm(shots: int) -> np.ndarray:
    return np.floor(np.cumsum(np.random.default_rng(0).uniform(8, 90, shots)))


def same_names(folder: Path, pairs: dict[str, str]) -> None:
    for phone, dslr in pairs.items():
        (folder / "dslr" / dslr).rename(folder / "dslr" / phone)


ALL_40 = {f"a{index:02d}.jpg": f"b{index:02d}.jpg" for index in range(40)}


@pytest.mark.parametrize("offset_s", [200_000.0, -5e8])
def test_a_limit_that_is_advised_is_enough(tmp_path: Path, offset_s: float) -> None:
    shoot(tmp_path, rhythm(40), rhythm(40) + offset_s)
    message = refusal(tmp_path)
    limit = stated(message, "max_offset_s")
    assert limit is not None
    assert couples(tmp_path, max_offset_s=limit) == ALL_40
    assert stated(message, "min_share") is None
    assert limit < abs(offset_s) + 100


def test_a_share_that_is_advised_is_enough(tmp_path: Path) -> None:
    apart = np.random.default_rng(1).uniform(50_000, 80_000, 40)
    shoot(tmp_path, rhythm(40), np.where(np.arange(40) < 14, rhythm(40), apart))
    message = refusal(tmp_path)
    share = stated(message, "min_share")
    assert share == 0.35
    assert couples(tmp_path, min_share=share)["a05.jpg"] == "b05.jpg"
    assert stated(message, "max_offset_s") is None


def test_with_few_shots_an_offset_is_advised_in_place_of_a_share(tmp_path: Path) -> None:
    """Four of six shots are common: with so few, that may be chance, and no share in the parameters helps."""
    phone, dslr = np.array([0.0, 11, 31, 80, 95, 140]), np.array([20.0, 31, 51, 100, 4000, 9000])
    shoot(tmp_path, phone, dslr)
    message = refusal(tmp_path)
    assert "explains only 4 of 6 shots, but at least 80% are needed" in message
    assert stated(message, "min_share") is None
    assert stated(message, "offset_s") == 20
    found = couples(tmp_path, offset_s=20.0)
    assert found == {f"a{index:02d}.jpg": f"b{index:02d}.jpg" for index in range(4)}


def test_an_offset_that_is_wrong_is_corrected_as_the_message_says(tmp_path: Path) -> None:
    shoot(tmp_path, rhythm(40), rhythm(40) + 37)
    message = refusal(tmp_path, offset_s=500.0)
    assert "correct pair.offset_s (now 500 s; without it, +37.0 s would be found)" in message
    assert couples(tmp_path) == couples(tmp_path, offset_s=37.0) == ALL_40


def test_one_of_two_offsets_is_set_as_the_message_says(tmp_path: Path) -> None:
    even = np.arange(12) * 10.0
    shoot(tmp_path, even, even + 5)
    message = refusal(tmp_path)
    offsets = [float(each) for each in re.findall(r"by ([+-][\d.]+) s", message)]
    assert len(offsets) == 2
    pairs = [couples(tmp_path, offset_s=each) for each in offsets]
    assert pairs[0] != pairs[1]
    assert min(len(each) for each in pairs) >= 11


def test_the_same_names_help(tmp_path: Path) -> None:
    shoot(tmp_path, np.random.default_rng(2).uniform(0, 9000, 12), np.random.default_rng(3).uniform(0, 9000, 12))
    assert "give the two photos of each pair the same name" in refusal(tmp_path)
    same_names(tmp_path, {f"a{index:02d}.jpg": f"b{index:02d}.jpg" for index in range(12)})
    assert len(couples(tmp_path)) == 12


# Neither names nor times


def plain(folder: Path, phones: int, dslrs: int, seconds: bool = False) -> None:
    for index in range(phones):
        photo(folder / "phone" / f"IMG_{index}.jpg", 50.0 * index * index if seconds else None)
    for index in range(dslrs):
        photo(folder / "dslr" / f"DSC_{index}.jpg", 50.0 * index * index + 7 if seconds else None)


def test_the_order_is_advised_for_equally_many_photos_alone(tmp_path: Path) -> None:
    plain(tmp_path, 12, 12)
    assert "set pair.by=order (both cameras have 12 photos" in refusal(tmp_path)
    found = couples(tmp_path, by="order")
    assert found == {f"IMG_{index}.jpg": f"DSC_{index}.jpg" for index in range(12)}
    photo(tmp_path / "phone/IMG_99.jpg")
    message = refusal(tmp_path)
    assert "pair.by=order" not in message
    assert "pair.by=pictures (13 x 12 photos are compared)" in message


def test_times_are_advised_where_names_were_asked_for(tmp_path: Path) -> None:
    plain(tmp_path, 12, 12, seconds=True)
    assert "set pair.by=clock" in refusal(tmp_path, by="name")
    assert len(couples(tmp_path, by="clock")) == 12
    plain(tmp_path, 12, 12)
    assert "pair.by=clock" not in refusal(tmp_path, by="name")


def test_names_are_advised_where_times_were_asked_for(tmp_path: Path) -> None:
    for name in ("phone/a.jpg", "dslr/a.jpg", "dslr/b.jpg"):
        photo(tmp_path / name)
    assert "set pair.by=name (1 file names are equal)" in refusal(tmp_path, by="clock")
    assert couples(tmp_path, by="name") == {"a.jpg": "a.jpg"}
