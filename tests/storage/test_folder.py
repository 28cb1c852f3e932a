"""What a store needs of where it lies: one suite for folders, S3 and Google Cloud Storage."""

from __future__ import annotations

from pathlib import Path

import pytest
import zarr

from wsi_embed.errors import UsageError
from wsi_embed.storage import Address, objects
from wsi_embed.storage.folder import Place
from wsi_embed.storage.open_folder import place_at


@pytest.fixture(params=["folder", "s3", "gs"])
def place(request: pytest.FixtureRequest, tmp_path: Path, bucket: Address) -> Place:
    if request.param == "folder":
        return place_at(tmp_path / "x/f.zarr")
    root: Address = request.getfixturevalue("google") if request.param == "gs" else bucket
    return place_at(root / "x/f.zarr")


def test_nothing_is_there(place: Place) -> None:
    assert place.name == "f.zarr"
    assert str(place).endswith("/x/f.zarr")
    assert not place.exists()
    assert not place.occupied()
    assert place.state("zarr.json") is None
    with pytest.raises(FileNotFoundError):
        place.read("zarr.json")
    place.remove()


def test_a_file_is_created_once_and_replaced_whole(place: Place) -> None:
    place.create("zarr.json", b"first")
    before = place.state("zarr.json")
    place.create("zarr.json", b"second")
    assert place.read("zarr.json") == b"first"
    assert place.state("zarr.json") == before
    assert before is not None
    assert before[0] == 5
    place.write("zarr.json", b"other")
    assert place.read("zarr.json") == b"other"
    assert place.state("zarr.json") != before
    assert place.files() == ["zarr.json"]


def test_folders_and_files(place: Place) -> None:
    place.create("zarr.json", b"")
    for slide in ("b", "a%20x", "a"):
        group = zarr.create_group((place / slide).zarr, zarr_format=3)
        group.create_array("c", shape=(3,), dtype="i4")[:] = 1
    assert place.folders() == ["a", "a%20x", "b"]
    assert (place / "a").files() == ["c/c/0", "c/zarr.json", "zarr.json"]
    assert (place / "a").folders() == ["c"]
    assert place.occupied()
    (place / "a").remove()
    assert not (place / "a").exists()
    assert (place / "a%20x").exists()
    assert place.folders() == ["a%20x", "b"]


def test_applying_keeps_the_order(place: Place) -> None:
    assert list(place.map(lambda n: n * n, range(300))) == [n * n for n in range(300)]


def test_zarr_stays_below(bucket: Address) -> None:
    group = zarr.create_group(place_at(bucket / "x/f.zarr/a").zarr, zarr_format=3, attributes={"n": 1})
    group.create_array("c", shape=(3,), dtype="i4")[:] = 1
    keys = [found.address.key for found in objects.below(bucket)]
    assert sorted(keys) == [f"x/f.zarr/a/{key}" for key in ("c/c/0", "c/zarr.json", "zarr.json")]


def test_a_web_server_holds_no_store() -> None:
    with pytest.raises(UsageError, match="not on a web server"):
        place_at(Address("https", "example.org", "f.zarr"))
