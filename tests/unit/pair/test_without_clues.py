"""Photos without capture times and common names: by the order of names, by the pictures, or by a list to correct."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from timed_photos import couples, pairing, photo

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import PairParams
from dpedtool.dataset.schema import Pair
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.cli import main
from dpedtool.pipeline.pair.by_pictures import compare_all
from dpedtool.pipeline.pair.intake import Folders, pair_into
from dpedtool.pipeline.pair.likeness import UNLIKE, Pictures
from dpedtool.pipeline.pair.shots import Shot


def plain(folder: Path, phones: list[str], dslrs: list[str]) -> None:
    for name in phones:
        photo(folder / "phone" / name)
    for name in dslrs:
        photo(folder / "dslr" / name)


# The order of names


def test_names_in_order_are_pairs(tmp_path: Path) -> None:
    phones = ["I.jpg", "I (1).jpg", "I (2).jpg", "I (10).jpg"]
    dslrs = ["IMG_9998.JPG", "IMG_9999.JPG", "IMG_0001.JPG", "IMG_0002.JPG"]
    plain(tmp_path, phones, dslrs)
    found = pairing(tmp_path, by="order")
    assert couples(tmp_path, by="order") == dict(zip(phones, dslrs, strict=True))
    assert found.note == (
        "paired by the order of the file names alone, since both cameras have 4 photos (pair.by=order)"
    )
    assert {row.matched_by for row in found.rows} == {"sequence"}


def test_the_order_of_unequally_many_photos_tells_nothing(tmp_path: Path) -> None:
    plain(tmp_path, ["a.jpg", "b.jpg", "c.jpg"], ["x.jpg", "y.jpg"])
    with pytest.raises(DpedtoolError, match=r"the phone has 3 photos and the DSLR 2.*remove the photos without a mate"):
        pairing(tmp_path, by="order")
    (tmp_path / "phone/b.jpg").unlink()
    assert couples(tmp_path, by="order") == {"a.jpg": "x.jpg", "c.jpg": "y.jpg"}


# The pictures


def view(scene: int) -> np.ndarray:
    blots = np.random.default_rng(scene).integers(0, 256, (26, 40, 3)).astype(np.uint8)
    return cv2.resize(blots, (400, 260), interpolation=cv2.INTER_CUBIC)


def take(path: Path, scene: int, camera: int) -> None:
    """A photo of a scene, a little turned, in the camera's own size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = ((240, 180), (360, 240))[camera]
    turn = cv2.getRotationMatrix2D((200, 130), 2.0 * camera - 1, width / 360)
    turn[:, 2] += np.array([width - 400, height - 260]) / 2
    cv2.imwrite(str(path), cv2.warpAffine(view(scene), turn, (width, height), flags=cv2.INTER_AREA))


def test_pictures_are_pairs_whatever_their_names_and_numbers(tmp_path: Path) -> None:
    for scene in range(9):
        if scene != 4:
            take(tmp_path / "phone" / f"p{scene}.png", scene, 0)
        if scene != 7:
            take(tmp_path / "dslr" / f"d{8 - scene}.png", scene, 1)
    found = pairing(tmp_path, by="pictures")
    both = [scene for scene in range(9) if scene not in (4, 7)]
    assert couples(tmp_path, by="pictures") == {f"p{scene}.png": f"d{8 - scene}.png" for scene in both}
    lone = {row.reason: row.detail for row in found.rows if row.status == "unpaired"}
    assert lone["no_dslr_photo"].endswith("p7.png has no mate: the DSLR has no photo that clearly shows the same.")
    assert lone["no_phone_photo"].endswith("d4.png has no mate: the phone has no photo that clearly shows the same.")
    assert {row.matched_by for row in found.rows if row.status == "paired"} == {"likeness"}


def test_views_that_were_taken_twice_are_named_and_stay_alone(tmp_path: Path) -> None:
    for index, scene in enumerate([0, 1, 1, 2]):
        take(tmp_path / "phone" / f"p{index}.png", scene, 0)
        take(tmp_path / "dslr" / f"d{index}.png", scene, 1)
    found = pairing(tmp_path, by="pictures")
    assert couples(tmp_path, by="pictures") == {"p0.png": "d0.png", "p3.png": "d3.png"}
    assert found.notes == [
        "2 photos of the phone are left without a mate, because several photos show the same, or too little of it: "
        "p1.png, p2.png; name their mates in a list of pairs (pair.csv or --csv)."
    ]
    reasons = {(row.phone_path or row.dslr_path).name: (row.reason, row.detail) for row in found.rows if row.reason}
    assert reasons["p1.png"] == (
        "ambiguous_picture",
        f"{tmp_path}/phone/p1.png has no mate: of the DSLR's photos, d1.png, d2.png show the same, and none clearly "
        "more; name its pair in a list of pairs (pair.csv or --csv).",
    )
    assert reasons["d2.png"][0] == "ambiguous_picture"


def test_black_photos_are_no_pairs_by_their_pictures(tmp_path: Path) -> None:
    plain(tmp_path, ["a.jpg", "b.jpg"], ["x.jpg", "y.jpg"])
    with pytest.raises(DpedtoolError, match="no photo of the phone and no photo of the DSLR clearly show the same"):
        pairing(tmp_path, by="pictures")


class Known(Pictures):
    """Likenesses by hand."""

    def __init__(self, table: list[list[float | None]]) -> None:
        super().__init__()
        self.table = table

    def likeness(self, phone: Path, dslr: Path) -> float | None:  # type: ignore[override]
        return self.table[int(phone.stem)][int(dslr.stem)]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ([[3.0, UNLIKE], [UNLIKE, 1.0]], {0: 0, 1: 1}),
        # Fewer inliers than twice those of photos of different things prove nothing.
        ([[3.0, UNLIKE], [UNLIKE, 0.9]], {0: 0}),
        # Another candidate of the same row, or of the same column, is nearly as good.
        ([[3.0, 2.1], [UNLIKE, UNLIKE]], {}),
        ([[3.0, UNLIKE], [2.1, UNLIKE]], {}),
        ([[3.0, 2.0], [UNLIKE, 3.5]], {0: 0, 1: 1}),
        ([[3.0, None], [None, None]], {0: 0}),
    ],
)
def test_a_pair_is_proven_by_its_likeness_and_that_of_the_others(
    table: list[list[float | None]], expected: dict[int, int]
) -> None:
    shots = [Shot(Path(f"{index}.jpg"), str(index)) for index in range(2)]
    assert compare_all(shots, shots, Known(table)).partners == expected


# The list to correct


def refused_with_list(folder: Path, out: Path, *more: str) -> str:
    done = CliRunner().invoke(main, ["pair", str(folder / "phone"), str(folder / "dslr"), "-o", str(out), *more])
    assert done.exit_code == 1
    return " ".join(done.output.split())


def lines(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [*csv.reader(file)]


def test_a_list_is_written_in_the_order_of_names_and_can_be_named(tmp_path: Path) -> None:
    plain(tmp_path, ["I_2.jpg", "I_10.jpg", "I_1.jpg"], ["é 9999.jpg", "é 0001.jpg", "é 0002.jpg"])
    out = tmp_path / "out"
    assert (
        f"or correct the list of pairs {tmp_path}/proposed_pairs-out.csv and name it with --csv"
        in refused_with_list(tmp_path, out)
    )
    assert lines(tmp_path / "proposed_pairs-out.csv") == [
        ["phone", "dslr"],
        ["I_1.jpg", "é 9999.jpg"],
        ["I_2.jpg", "é 0001.jpg"],
        ["I_10.jpg", "é 0002.jpg"],
    ]
    folders = [str(tmp_path / name) for name in ("phone", "dslr")]
    listed = ["--csv", str(tmp_path / "proposed_pairs-out.csv")]
    assert CliRunner().invoke(main, ["pair", *folders, "-o", str(out), *listed]).exit_code == 0
    assert [row.status for row in read_rows(Pair.table_in(out), Pair)] == ["paired"] * 3


def test_a_list_that_was_corrected_is_never_overwritten(tmp_path: Path) -> None:
    plain(tmp_path, ["a.jpg", "b.jpg"], ["x.jpg", "y.jpg", "z.jpg"])
    out = tmp_path / "out"
    refused_with_list(tmp_path, out)
    assert lines(tmp_path / "proposed_pairs-out.csv")[1:] == [["a.jpg", "x.jpg"], ["b.jpg", "y.jpg"], ["", "z.jpg"]]
    assert "proposed_pairs-out.csv" in refused_with_list(tmp_path, out)
    (tmp_path / "proposed_pairs-out.csv").write_text("phone;dslr\na.jpg;z.jpg\n")
    assert "proposed_pairs-out-2.csv" in refused_with_list(tmp_path, out)
    assert (tmp_path / "proposed_pairs-out.csv").read_text() == "phone;dslr\na.jpg;z.jpg\n"
    assert couples(tmp_path, csv=str(tmp_path / "proposed_pairs-out.csv")) == {"a.jpg": "z.jpg"}


def test_the_list_of_several_sessions_has_the_pairs_of_all(tmp_path: Path) -> None:
    plain(tmp_path / "day-1", ["a.jpg", "b.jpg"], ["x.jpg", "y.jpg"])
    plain(tmp_path / "day-2", ["c.jpg", "d.jpg"], ["c.jpg", "e.jpg"])
    folders = [Folders(tmp_path / day / "phone", tmp_path / day / "dslr", day) for day in ("day-1", "day-2")]
    with pytest.raises(DpedtoolError, match=r"proposed_pairs-out\.csv"):
        pair_into(tmp_path / "out", folders, PairParams())
    path = tmp_path / "proposed_pairs-out.csv"
    assert lines(path) == [
        ["session", "phone", "dslr"],
        ["day-1", "a.jpg", "x.jpg"],
        ["day-1", "b.jpg", "y.jpg"],
        ["day-2", "c.jpg", "c.jpg"],
    ]
    found = pair_into(tmp_path / "out", folders, PairParams(csv=str(path)))
    assert sum(row.status == "paired" for row in found.rows) == 3
