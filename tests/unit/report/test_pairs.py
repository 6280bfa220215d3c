"""The list of pairs: it has every pair, the worst first, with the results of each stage."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from dpedtool.dataset import tables
from dpedtool.dataset.params import CapturesParams, Params
from dpedtool.dataset.rows import Row, columns
from dpedtool.dataset.schema import Alignment, CameraShot, Pair, Patch, Photo, Sample, Scene, Score, Shown
from dpedtool.dataset.tables import write_rows
from dpedtool.pipeline.report import results as run_module
from dpedtool.pipeline.report.pairs.contract import FrameOfMoment, PairRow
from dpedtool.pipeline.report.pairs.rows import pair_rows
from dpedtool.pipeline.report.results import RunResults
from dpedtool.pipeline.report.script_data import as_script_data

HOSTILE = "<img src=x onerror=alert(1)>.jpg"


@pytest.fixture
def run(tmp_path: Path) -> RunResults:
    captures = CapturesParams(root="x", reference="dslr", phones=("p", "q"))
    return RunResults(tmp_path / "results", Params(captures=captures))


def photos(name: str = "a.jpg") -> dict[str, Any]:
    return {
        "phone_path": Path("/photos/p") / name,
        "dslr_path": Path("/photos/dslr/d.jpg"),
        "phone_sha256": "1",
        "dslr_sha256": "2",
    }


def pair(pair_id: str, status: str = "paired", phone: str = "p", **more: Any) -> Pair:
    return Pair(pair_id=pair_id, phone=phone, status=status, **{"scene_id": "scene", **photos(), **more})


def alignment(pair_id: str, status: str = "aligned", phone: str = "p", **more: Any) -> Alignment:
    facts = {"scene_id": "scene", **photos(), **more}
    return Alignment(pair_id=pair_id, phone=phone, status=status, key="k", **facts)


def window(pair_id: str, x: int | None, status: str = "accepted", **more: Any) -> Patch:
    return Patch(
        patch_id=f"{pair_id}-{x}",
        pair_id=pair_id,
        phone="p",
        scene_id="scene",
        status=status,
        x=x,
        params_sha256="",
        key="",
        **photos(),
        **more,
    )


def sample(pair_id: str, number: int) -> Sample:
    places = {"phone_offset": 0, "phone_bytes": 1, "dslr_offset": 2, "dslr_bytes": 3}
    return Sample(
        patch_id=f"{pair_id}-{number}",
        pair_id=pair_id,
        phone="p",
        scene_id="scene",
        split="test",
        shard=Path("/shard.tar"),
        **places,
    )


def score(patch_id: str, before: float, after: float) -> Score:
    known = {"patch_id": patch_id, "psnr_before": before, "psnr_after": after}
    blanks = {float: 0.5, int: 0, str: "one"}
    return Score(**{spec.name: known.get(spec.name, blanks.get(spec.kind, ())) for spec in columns(Score)})


def photo(pair_id: str, split: str, status: str = "present") -> Photo:
    return Photo(
        pair_id=pair_id,
        phone="p",
        scene_id="scene",
        group="scene",
        status=status,
        split=split,
        thumbnail=b"",
        accepted=1,
        drawn_by="",
        near_minutes=1,
        near_keypoints=8,
        **photos(),
    )


def write(run: RunResults, folder: str, *rows: Row) -> None:
    write_rows(type(rows[0]).table_in(run.results / folder), type(rows[0]), rows)


def seen(
    pair_id: str, certain_p95_px: float | None = None, certain: int | None = None, amiss: int | None = None
) -> Shown:
    """What was made for a pair on the page."""
    measured = {"certain_p95_px": certain_p95_px, "certain": certain, "amiss": amiss}
    return Shown(pair_id=pair_id, phone="p", status="shown", pictures=3, bytes=1, key="k", **measured)


def by_id(run: RunResults, *shown: Shown) -> dict[str, PairRow]:
    found = {row.pair_id: row for row in shown}
    return {row.id: row for row in pair_rows(RunResults(run.results, run.params), found)}


def test_the_worst_come_first(run: RunResults) -> None:
    names = ["good", "fair", "poor-b", "poor-a", "unmeasured", "rejected", "failed", "waiting"]
    write(run, "pairs/p", *(pair(name) for name in names))
    write(run, "pairs/q", pair("alone", "unpaired", "q", reason="no_dslr_photo", detail="It has no mate."))
    write(
        run,
        "aligned/p",
        alignment("good", residual_px=0.3, residual_p95_px=0.4),
        alignment("fair", residual_px=0.1, residual_p95_px=0.7),
        alignment("poor-b", residual_px=0.1, residual_p95_px=0.9),
        alignment("poor-a", residual_px=0.1, residual_p95_px=0.9),
        alignment("unmeasured"),
        alignment("rejected", "rejected", reason="parallax", detail="Much depth.", residual_p95_px=3.0),
        alignment("failed", "failed", reason="worker_lost", detail="Killed."),
    )
    rows = pair_rows(run, {})
    order = ["failed", "rejected", "alone", "waiting", "unmeasured", "poor-a", "poor-b", "fair", "good"]
    assert [row.id for row in rows] == order
    assert [row.status for row in rows[:4]] == ["failed", "rejected", "unpaired", "paired"]
    assert [(row.reason, row.detail) for row in rows[:3]] == [
        ("worker_lost", "Killed."),
        ("parallax", "Much depth."),
        ("no_dslr_photo", "It has no mate."),
    ]


def test_what_is_certain_ranks_aligned_pairs(run: RunResults) -> None:
    """A sky makes the 95th percentile of the table large. It ranks a pair only if no window is certain."""
    p95 = {"sky": 1.6, "shifted": 0.9, "flat": 0.5, "moved": 0.3, "good": 0.2, "plain": 0.1}
    write(run, "pairs/p", *(pair(name) for name in p95))
    write(run, "aligned/p", *(alignment(name, residual_px=0.1, residual_p95_px=p95[name]) for name in p95))
    shown = [
        seen("sky", 0.3, 100, 5),
        seen("shifted", 0.7, 200, 0),
        seen("flat", None, 4, 0),
        seen("moved", 0.1, 90, 10),
        seen("good", 0.1, 200, 0),
        # All four windows that are certain or misplaced are misplaced, which may be chance.
        seen("plain", None, 0, 4),
    ]
    rows = by_id(run, *shown)
    assert list(rows) == ["moved", "shifted", "flat", "sky", "good", "plain"]
    assert [name for name, row in rows.items() if row.ranks_by_amiss] == ["moved"]
    assert list(by_id(run)) == ["sky", "shifted", "flat", "moved", "good", "plain"]


def test_a_row_says_what_every_stage_left(run: RunResults) -> None:
    write(run, "pairs/p", pair("a", phone_path=Path("/photos/p") / HOSTILE))
    measured = {"residual_px": 0.04, "residual_p95_px": 0.123456, "at_place": 0.9, "coverage": 0.8, "masked": 0.1}
    measured |= {"hidden": 0.12345678, "jump": 0.05}
    row = alignment("a", **measured, model="local", note="A damaged profile.", phone_path=Path("/photos/p") / HOSTILE)
    write(run, "aligned/p", row)
    write(run, "patches/p", window("a", 0), window("a", 10), window("a", 20, "rejected", reason="flat"))
    write_rows(run.results / "splits" / "p.parquet", Sample, [sample("a", 0), sample("a", 10)])
    write(run, "splits", photo("a", "test"), photo("b", "train", "absent"))
    write(run, "evaluations/p", score("a-0", 20.0, 24.0), score("a-10", 22.0, 25.0), score("gone", 1.0, 1.0))
    assert by_id(run, seen("a", 0.05, 200, 3))["a"] == PairRow(
        id="a",
        phone="p",
        scene="scene",
        phone_file=HOSTILE,
        dslr_file="d.jpg",
        status="aligned",
        reason="",
        detail="A damaged profile.",
        split="test",
        residual_px=0.04,
        residual_p95_px=0.1235,
        certain_p95_px=0.05,
        certain=200,
        amiss=3,
        at_place=0.9,
        coverage=0.8,
        masked=0.1,
        windows=3,
        accepted=2,
        psnr_before_db=21.0,
        psnr_after_db=24.5,
        pictures=True,
        model="local",
        hidden=0.1235,
        jump=0.05,
    )


def test_equal_patches_of_infinite_psnr_have_no_say(run: RunResults) -> None:
    write(run, "pairs/p", pair("a"), pair("b"))
    write(run, "aligned/p", alignment("a"), alignment("b"))
    write_rows(run.results / "splits" / "p.parquet", Sample, [sample("a", 0), sample("a", 1), sample("b", 0)])
    write(run, "evaluations/p", score("a-0", math.inf, 30.0), score("a-1", 20.0, 40.0), score("b-0", math.inf, 31.0))
    rows = by_id(run)
    assert (rows["a"].psnr_before_db, rows["a"].psnr_after_db) == (20.0, 35.0)
    assert (rows["b"].psnr_before_db, rows["b"].psnr_after_db) == (None, 31.0)
    assert "Infinity" not in as_script_data([asdict(row) for row in rows.values()])


def test_the_row_that_says_why_a_pair_gave_no_window_is_none(run: RunResults) -> None:
    write(run, "pairs/p", pair("a"), pair("b"), pair("c"))
    write(run, "aligned/p", alignment("a"), alignment("b"), alignment("c", "rejected", reason="parallax"))
    write(run, "patches/p", window("a", None, "rejected", reason="small_crop"), window("b", 0, "rejected"))
    rows = by_id(run)
    assert [(rows[name].windows, rows[name].accepted) for name in "abc"] == [(0, 0), (1, 0), (None, None)]


def test_what_is_missing_is_none(run: RunResults) -> None:
    assert pair_rows(run, {}) == []
    write(run, "pairs/p", pair("a"), pair("alone", "unpaired", phone_path=None, scene_id=None))
    rows = by_id(run)
    assert rows["a"].status == "paired"
    assert (rows["a"].windows, rows["a"].psnr_before_db, rows["a"].split, rows["a"].pictures) == (None, None, "", False)
    assert (rows["alone"].phone_file, rows["alone"].scene) == ("", "")
    write(run, "aligned/q", alignment("only-aligned", phone="q"))
    assert by_id(run)["only-aligned"].status == "aligned"
    assert by_id(run)["only-aligned"].windows is None


def test_a_row_has_the_session_of_its_pair_and_the_tags_of_its_scene(run: RunResults) -> None:
    places = {"a": "day1", "b": "day1", "c": "day2"}
    rows = [pair(name, scene_id=f"scene-{name}", session=session) for name, session in places.items()]
    write(run, "pairs/p", *rows, pair("alone", "unpaired", scene_id=None, session="day2"))
    write(run, "aligned/p", replace(alignment("a"), scene_id="scene-a", session="day1"))
    assert {name: (row.session, row.tags) for name, row in by_id(run).items()} == {
        **{name: (session, ()) for name, session in places.items()},
        "alone": ("day2", ()),
    }
    tags = ("indoor=yes", f"place={HOSTILE}", "plan=/home/me/private/plan.png")
    scenes = [Scene(scene_id=f"scene-{name}", session="day1", split="train", tags=tags, notes="x") for name in "ab"]
    write(run, "splits", *scenes)
    shown = ("indoor=yes", f"place={HOSTILE}", "plan=plan.png")
    assert {name: row.tags for name, row in by_id(run).items()} == {"a": shown, "b": shown, "c": (), "alone": ()}


def test_a_further_frame_was_not_cut_and_says_so(run: RunResults) -> None:
    """The first moment's base was cut; the second one's was not aligned, so that a further frame stands in for it."""
    rows = [
        alignment("base", role="base"),
        alignment("next", role="frame", frame=1),
        alignment("other", "rejected", role="base", reason="few_matches", scene_id="t"),
        alignment("stand-in", role="frame", frame=1, scene_id="t"),
    ]
    write(run, "pairs/p", *(pair(row.pair_id, scene_id=row.scene_id) for row in rows))
    write(run, "aligned/p", *rows)
    write(run, "patches/p", window("base", 0), window("stand-in", 0), window("stand-in", 100, "rejected"))
    found = by_id(run)
    assert (found["base"].windows, found["base"].accepted, found["base"].detail) == (1, 1, "")
    assert (found["next"].windows, found["next"].accepted) == (None, None)
    assert found["next"].detail == "A further frame of its moment, of a burst or a bracket."
    assert (found["stand-in"].windows, found["stand-in"].accepted) == (2, 1)
    assert found["stand-in"].detail == "It stands in for the base frame of its moment, which was not aligned."


def test_frames_know_their_moment_and_exposure(run: RunResults) -> None:
    def frames(*names: str, scene: str) -> list[dict[str, Any]]:
        roles = ["frame" if index else "base" for index in range(len(names))]
        return [
            {"pair_id": name, "scene_id": scene, "role": role, "frame": 2 - index}
            for index, (name, role) in enumerate(zip(names, roles, strict=True))
        ]

    def shot(frame: int, ev: float | None, scene: str = "s", camera: str = "p") -> CameraShot:
        role = "reference" if camera != "p" else "base" if frame == 2 else "frame"
        exposure = {"exposure_s": 0.01 * 2 ** (ev or 0), "iso": 100.0, "ev": ev}
        return CameraShot(camera=camera, session="", scene_id=scene, role=role, frame=frame, **exposure)

    places = [*frames("a2", "a1", "a0", scene="s"), *frames("b2", "b1", scene="t"), *frames("single", scene="u")]
    write(run, "pairs/p", *(pair(**place, frames=3) for place in places))
    found = by_id(run)
    assert found["single"].frame is None
    assert {name: row.frame.of for name, row in found.items() if row.frame} == {
        "a2": "a2", "a1": "a2", "a0": "a2", "b2": "b2", "b1": "b2"
    }  # fmt: skip
    assert found["a0"].frame == FrameOfMoment("a2", 0, is_base=False, exposure_s=None, iso=None, ev=None)
    write(run, "pairs/p", shot(0, -1.0), shot(1, None), shot(2, 0.0), shot(0, 3.0, camera="dslr"), shot(2, 0.0, "t"))
    lost = {"status": "rejected", "reason": "parallax"}
    write(run, "aligned/p", *(alignment(**place, **(lost if place["pair_id"] == "b2" else {})) for place in places))
    found = by_id(run)
    assert found["a0"].frame == FrameOfMoment("a2", 0, is_base=False, exposure_s=0.005, iso=100.0, ev=-1.0)
    assert found["a1"].frame == FrameOfMoment("a2", 1, is_base=False, exposure_s=0.01, iso=100.0, ev=None)
    assert found["b2"].frame == FrameOfMoment("b1", 2, is_base=True, exposure_s=0.01, iso=100.0, ev=0.0)
    assert found["b1"].frame == FrameOfMoment("b1", 1, is_base=False, exposure_s=None, iso=None, ev=None)


def test_photos_of_further_references_belong_to_their_moment(run: RunResults) -> None:
    rows = [
        alignment("base", role="base", scene_id="s"),
        alignment("base--sony", role="target", frame=1, reference="sony", scene_id="s"),
        alignment("single", role="base", scene_id="t"),
    ]
    shots = [
        CameraShot(camera=camera, session="", scene_id="s", role=role, frame=0, exposure_s=exposure_s, iso=100.0)
        for camera, role, exposure_s in (("p", "base", 0.01), ("sony", "target", 0.5))
    ]
    pairs = [
        pair(row.pair_id, scene_id=row.scene_id, role=row.role, frame=row.frame, reference=row.reference)
        for row in rows
    ]
    write(run, "pairs/p", *pairs)
    write(run, "pairs/p", *shots)
    write(run, "aligned/p", *rows)
    write(run, "patches/p", window("base", 0), window("single", 0))
    found = by_id(run)
    assert found["single"].frame is None
    assert found["base"].frame == FrameOfMoment("base", 0, is_base=True, exposure_s=0.01, iso=100.0, ev=None)
    assert found["base--sony"].frame == FrameOfMoment(
        "base", 3, is_base=False, exposure_s=0.5, iso=100.0, ev=None, reference="sony"
    )
    assert (found["base--sony"].windows, found["base--sony"].detail[:44]) == (
        None, "The base frame of its moment with the photo "
    )  # fmt: skip


def test_a_lone_photo_of_the_dslr_is_no_frame(run: RunResults) -> None:
    write(run, "pairs/p", pair("a", role="base", frame=0), pair("b", "unpaired", phone_path=None))
    assert [row.frame for row in by_id(run).values()] == [None, None]


def test_sentences_name_photos_without_the_folders_of_the_machine(run: RunResults) -> None:
    write(run, "pairs/p", pair("a", "unpaired", detail="/srv/my/captures/p/a.jpg is /home/me/b.jpg."), pair("b"))
    write(run, "aligned/p", alignment("b", note="/srv/my/captures/p/b.jpg has a damaged profile."))
    params = Params(captures=CapturesParams(root="/srv/my/captures", phones=("p",)))
    details = {row.id: row.detail for row in pair_rows(RunResults(run.results, params), {})}
    assert details == {"a": "p/a.jpg is b.jpg.", "b": "p/b.jpg has a damaged profile."}


def test_the_thumbnails_of_the_split_are_not_read(run: RunResults, monkeypatch: pytest.MonkeyPatch) -> None:
    write(run, "pairs/p", pair("a"))
    write(run, "splits", photo("a", "test"))
    read: list[Any] = []
    whole = tables.read_frame
    monkeypatch.setattr(run_module, "read_frame", lambda *given: read.append(given[2]) or whole(*given))
    monkeypatch.setattr(run_module, "read_rows", lambda *given: read.append(given[1]) or tables.read_rows(*given))
    assert [row.split for row in pair_rows(run, {})] == ["test"]
    assert ["pair_id", "split"] in read
    assert Photo not in read
