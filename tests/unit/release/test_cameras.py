"""Which cameras took the photos of a release, found by reading only a few photos."""

from __future__ import annotations

from pathlib import Path

import pytest
from photo_exif import full_exif, photo_bytes
from split_rig import frame

from dpedtool.dataset.photos.decoding import PhotoFile
from dpedtool.dataset.places import Place
from dpedtool.dataset.schema import Photo
from dpedtool.pipeline.release import whole_photos
from dpedtool.pipeline.release.whole_photos import cameras


def photo(folder: Path, scene: str, phone: str) -> Photo:
    one = frame(scene, phone)
    facts = {name: getattr(one, name) for name in ("pair_id", "phone", "scene_id", "thumbnail", "accepted")}
    facts |= {"phone_sha256": "", "dslr_sha256": "", "group": scene, "split": "train", "drawn_by": ""}
    paths = {"phone_path": folder / phone / f"{scene}.jpg", "dslr_path": folder / "dslr" / f"{scene}.jpg"}
    return Photo(**facts, **paths, near_minutes=30.0, near_keypoints=12)


def test_at_most_three_photos_of_a_camera_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {
        "a/1": photo_bytes("JPEG", full_exif()),
        **{f"b/{scene}": photo_bytes("JPEG", None) for scene in range(5)},
        "dslr/2": photo_bytes("JPEG", full_exif()),
    }
    read: list[str] = []

    def opened(path: Place) -> PhotoFile:
        name = path.relative_to(tmp_path).with_suffix("").as_posix()
        read.append(name)
        if name not in contents:
            raise FileNotFoundError(name)
        return PhotoFile(path, contents[name])

    monkeypatch.setattr(whole_photos, "open_photo", opened)
    photos = [photo(tmp_path, str(scene), phone) for phone in "ab" for scene in range(5)]
    assert cameras(photos) == {"a": "Maker Model 1", "dslr": "Maker Model 1"}
    assert read == ["a/0", "a/1", "b/0", "b/1", "b/2", "dslr/0", "dslr/1", "dslr/2"]
