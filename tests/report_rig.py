"""A run made by hand, one table at a time, for tests of the report's figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dpedtool.dataset.io import write_json
from dpedtool.dataset.params import CapturesParams, Params
from dpedtool.dataset.schema import Alignment, Pair, Patch, Photo, Sample, Scene, Timing
from dpedtool.dataset.tables import write_rows
from dpedtool.pipeline.report.page import environment
from dpedtool.pipeline.report.results import RunResults

HOSTILE = "<img src=x onerror=alert(1)>"
VERSIONS = ("before", "colour", "oracle", "after")
HISTORY = (
    "iteration,validation_psnr_db,validation_ms_ssim,train_loss\n"
    "10,20.123456789012345,0.9123456789012345,0.5\n20,nan,0.92,0.25\n"
)


def run_of(root: Path, *phones: str) -> RunResults:
    """Return the run in a folder, with a phone `a` unless others are named."""
    captures = CapturesParams(root=str(root / "captures"), phones=phones or ("a",))
    return RunResults(root / "results", Params(captures=captures))


def pair(name: str, phone: str = "a", **changes: Any) -> Pair:
    facts = {"pair_id": f"{phone}--{name}", "phone": phone, "scene_id": name, "status": "paired"}
    return Pair(**facts | changes)


def alignment(name: str, residual_px: float | None = None, phone: str = "a", **changes: Any) -> Alignment:
    facts: dict[str, Any] = {
        "pair_id": f"{phone}--{name}",
        "phone": phone,
        "scene_id": name,
        "status": "aligned",
        "phone_path": Path(f"/photos/{phone}/{name}.jpg"),
        "dslr_path": Path(f"/photos/dslr/{name}.jpg"),
        "phone_sha256": f"{phone}/{name}",
        "dslr_sha256": f"dslr/{name}",
        "phone_width": 2000,
        "phone_height": 1000,
        "dslr_width": 3000,
        "dslr_height": 2000,
        "residual_px": residual_px,
        "residual_p95_px": None if residual_px is None else 2 * residual_px,
        "key": "k",
    }
    return Alignment(**facts | changes)


def window(number: int, reason: str = "", phone: str = "a", **changes: Any) -> Patch:
    facts: dict[str, Any] = {
        "patch_id": f"{phone}--one--{number}",
        "pair_id": f"{phone}--one",
        "phone": phone,
        "scene_id": "one",
        "status": "rejected" if reason else "accepted",
        "reason": reason,
        "x": 100 * number,
        "y": 0,
        "size": 100,
        "phone_path": Path(f"/photos/{phone}/one.jpg"),
        "dslr_path": Path("/photos/dslr/one.jpg"),
        "phone_sha256": "p",
        "dslr_sha256": "d",
        "params_sha256": "s",
        "key": "k",
    }
    return Patch(**facts | changes)


def photo(name: str, split: str, accepted: int, phone: str = "a", **changes: Any) -> Photo:
    facts: dict[str, Any] = {
        "pair_id": f"{phone}--{name}",
        "phone": phone,
        "scene_id": name,
        "group": "" if split == "excluded" else name,
        "split": split,
        "phone_path": Path(f"/photos/{phone}/{name}.jpg"),
        "dslr_path": Path(f"/photos/dslr/{name}.jpg"),
        "phone_sha256": f"{phone}/{name}",
        "dslr_sha256": f"dslr/{name}",
        "thumbnail": b"",
        "accepted": accepted,
        "drawn_by": "seed 0; test 0.15",
        "near_minutes": 30.0,
        "near_keypoints": 12,
    }
    return Photo(**facts | changes)


def scene(name: str, session: str = "", *tags: str, **changes: Any) -> Scene:
    """A scene of the split, with tags as key=value."""
    return Scene(**{"scene_id": name, "session": session, "split": "train", "tags": tags} | changes)


def sample(number: int, split: str, phone: str = "a") -> Sample:
    return Sample(
        patch_id=f"{phone}--one--{number}",
        pair_id=f"{phone}--one",
        phone=phone,
        scene_id="one",
        split=split,
        shard=Path("/patches/a.tar"),
        phone_offset=0,
        phone_bytes=1,
        dslr_offset=1,
        dslr_bytes=1,
    )


def synchronisation(**changes: Any) -> dict[str, Any]:
    clock = {
        "offset_start_s": -37.125,
        "offset_end_s": -36.0,
        "drift_s_per_day": 11.6321,
        "drift_standard_error_s_per_day": 0.25,
        "pieces": 1,
        "stray_pairs": 0,
        "error_s": {"median": 0.5, "p95": 1.25, "max": 1.5},
    }
    return {
        "shots": {"phone": 4, "dslr": 3},
        "paired": 3,
        "matched_by": {"clock": 3},
        "ties": {"by_picture": 0, "by_order": 0},
        "unpaired": {"no_dslr_photo": 1},
        "unpaired_photos": {},
        "exif_resolution_s": {"phone": 1.0, "dslr": 0.01},
        "clocks": {"": clock},
    } | changes


def selection(windows: int, accepted: int, rejected: dict[str, int], **params: Any) -> dict[str, Any]:
    bins = [{"from": 0, "to": 50, "windows": 3, "accepted": 1, "share": 0.3333}]
    bins += [{"from": 50, "to": 256, "windows": 0, "accepted": 0, "share": None}]
    return {
        "windows": windows,
        "accepted": accepted,
        "rejected": rejected,
        "by": {"brightness": bins},
        "params": {"size_px": 100, "max_residual_px": 0.5, "min_ncc": 0.9} | params,
        "params_sha256": "s",
    }


def card(**changes: Any) -> dict[str, Any]:
    training = {
        "key": "k",
        "params": {"iterations": 20, "batch": 8, "preset": "fidelity"},
        "patches": 291,
        "validation_patches": 40,
        "data_sha256": "d",
        "start_sha256": None,
        "vgg_sha256": None,
        "best_validation": {"iteration": 10, "psnr_db": 20.123456789012345, "ms_ssim": 0.9},
        "precision": "float32",
        "torch": "2.6.0",
    }
    return untrained() | {"trained": True, "training": training} | changes


def untrained(**changes: Any) -> dict[str, Any]:
    network = {"network": "resnet", "channels": 16, "blocks": 4, "norm": "instance"}
    about = {"name": "dped_resnet_12_16", "parameters": 31251, "input": "RGB", "network": network}
    return about | {"trained": False} | changes


def imported(**changes: Any) -> dict[str, Any]:
    """imported.json."""
    return {
        "patches": {"train": 2, "validation": 1, "test": 1},
        "held_out": 0,
        "rejected": {},
        "first_rejected": "",
        "stored_as_png": 0,
        "residual_px": {"measured": 0, "median": None, "p90": None, "p95": None},
        "params": {"mode": "imported"},
        "params_sha256": "s",
    } | changes


def scores(pairs: int = 2, by_tag: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """metrics.json, in which every figure is different."""
    found: dict[str, Any] = {}
    for base, protocol in ((20.0, "batch"), (21.0, "image")):
        found[protocol] = {"pairs": pairs, "constant_targets": 0}
        for place, version in enumerate(("before", "colour", "oracle", "after")):
            found[protocol] |= {
                f"psnr_{version}_db": base + place + 0.123456789,
                f"ms_ssim_{version}": 0.9 + (base + place) / 1000,
                f"ssim_{version}": 0.8 + (base + place) / 1000,
                f"infinite_psnr_{version}": 0,
            }
        found[protocol] |= changes
    return found | {"by_tag": by_tag or {}, "metrics": {}, "differences": {}, "scenes": 0}


def record(**changes: Any) -> dict[str, Any]:
    return {
        "command": "align",
        "wall_s": 12.5,
        "cpu_s": 20.25,
        "memory_mb": 300,
        "processors": 2,
        "finished": "2026-05-02T09:12:44+00:00",
        "versions": {"dpedtool": "0.8.0", "numpy": "2.1.0"},
        "platform": "Linux x86_64",
    } | changes


def write_pairs(run: RunResults, rows: Sequence[Pair], told: dict[str, Any], phone: str = "a") -> None:
    folder = run.results / "pairs" / phone
    write_rows(Pair.table_in(folder), Pair, rows)
    write_json(folder / "synchronisation.json", told)


def write_alignments(run: RunResults, rows: Sequence[Alignment], phone: str = "a") -> None:
    folder = run.results / "aligned" / phone
    write_rows(Alignment.table_in(folder), Alignment, rows)
    times = [Timing(pair_id=row.pair_id, key="k", read_s=0.25, total_s=1.5) for row in rows]
    write_rows(Timing.table_in(folder), Timing, times)


def write_windows(run: RunResults, rows: Sequence[Patch], told: dict[str, Any], phone: str = "a") -> None:
    folder = run.results / "patches" / phone
    write_rows(Patch.table_in(folder), Patch, rows)
    write_json(folder / "selection.json", told)


def write_splits(run: RunResults, photos: Sequence[Photo], samples: Sequence[Sample], phone: str = "a") -> None:
    write_rows(Photo.table_in(run.results / "splits"), Photo, photos)
    write_rows(run.results / "splits" / f"{phone}.parquet", Sample, samples)


def write_scenes(run: RunResults, *rows: Scene) -> None:
    write_rows(Scene.table_in(run.results / "splits"), Scene, rows)


def write_network(run: RunResults, told: dict[str, Any], metrics: dict[str, Any], phone: str = "a") -> None:
    folder = run.results / "models" / phone
    write_json(folder / "model.json", told)
    (folder / "history.csv").write_text(HISTORY)
    write_json(run.results / "evaluations" / phone / "metrics.json", metrics)


def whole_run(root: Path) -> RunResults:
    """A small run with some of everything: 4 photos, 3 pairs, 2 aligned, 6 windows, 4 patches."""
    run = run_of(root)
    times = [(f"2026-05-01T10:0{minute}:00", f"2026-05-01T10:0{minute}:{36 + minute}") for minute in range(3)]
    pairs = [
        pair(name, dslr_time=dslr, phone_time=phone, matched_by="clock")
        for name, (dslr, phone) in zip(("one", "two", "three"), times, strict=True)
    ]
    lone = pair("four", scene_id=None, status="unpaired", reason="no_dslr_photo", detail=HOSTILE)
    write_pairs(run, [*pairs, lone], synchronisation())
    rejected = alignment("three", status="rejected", reason="wrong_pair", detail=HOSTILE)
    write_alignments(run, [alignment("one", 0.1, masked=0.2), alignment("two", 0.3, masked=0.0), rejected])
    measured = [(0.95, 0.02), (0.97, 0.04), (0.99, 0.06), (0.96, None)]
    windows = [window(number, ncc=ncc, residual_px=left) for number, (ncc, left) in enumerate(measured)]
    windows += [window(4, "shifted", ncc=0.94, residual_px=0.8), window(5, "low_ncc", ncc=0.5, residual_px=0.1)]
    windows += [window(0, "small_crop", patch_id="a--two", pair_id="a--two", x=None, y=None)]
    write_windows(run, windows, selection(6, 4, {"low_ncc": 1, "shifted": 1}))
    photos = [photo("one", "train", 3), photo("two", "test", 1), photo("three", "excluded", 2, reason="two_sides")]
    write_splits(run, photos, [*(sample(number, "train") for number in range(3)), sample(3, "test")])
    write_network(run, card(), scores())
    write_json(run.results / "records" / "align.a.json", record())
    return run


def run_with_bursts(root: Path) -> RunResults:
    """Three moments: one with three frames, the last rejected; one whose base a frame stands in for; one rejected."""
    run = run_of(root)
    frames = [
        ("one", "one-0", "frame", 0, ""),
        ("one", "one", "base", 1, ""),
        ("one", "one-2", "frame", 2, "motion_blur"),
        ("two", "two", "base", 0, "few_matches"),
        ("two", "two-1", "frame", 1, ""),
        ("three", "three", "base", 0, "wrong_pair"),
    ]
    residuals = {"one-0": 0.9, "one": 0.1, "two-1": 0.3}
    many = {"one": 3, "two": 2, "three": 1}
    places = {name: {"scene_id": scene, "role": role, "frame": number} for scene, name, role, number, _ in frames}
    pairs = [
        pair(name, **place, frames=many[place["scene_id"]], matched_by="name" if place["role"] == "base" else "frame")
        for name, place in places.items()
    ]
    write_pairs(run, pairs, synchronisation(frames=3))
    fared = {
        name: {"status": "rejected" if reason else "aligned", "reason": reason} for _, name, _, _, reason in frames
    }
    write_alignments(run, [alignment(name, residuals.get(name), **places[name], **fared[name]) for name in places])
    windows = [window(number) for number in range(3)]
    windows += [window(3, pair_id="a--two-1", patch_id="a--two-1--3", scene_id="two")]
    write_windows(run, windows, selection(4, 4, {}))
    return run


def render_part(template: str, **context: Any) -> str:
    """Fill one template in the same way as the page."""
    return environment().get_template(template).render(context)
