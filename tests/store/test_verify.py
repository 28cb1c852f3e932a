from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.store.made_stores import chunk_keys, make_grid, object_bytes, open_writer
from wsi_embed.errors import StoreError
from wsi_embed.store import StoreSettings, verify


def found(path: Path) -> list[str]:
    """What `verify` says: problems, or that there is no readable store."""
    try:
        return [problem.what for problem in verify(path)]
    except StoreError as error:
        return [str(error)]


def test_a_clean_store_has_no_problems(store_path: Path) -> None:
    assert verify(store_path) == []


def test_every_missing_object_is_found(store_path: Path) -> None:
    for key, content in object_bytes(store_path).items():
        (store_path / key).unlink()
        assert found(store_path), key
        (store_path / key).write_bytes(content)
    assert verify(store_path) == []


def test_a_missing_chunk_is_named(store_path: Path) -> None:
    (store_path / "a" / "coords" / "c" / "0" / "0").unlink()
    problems = verify(store_path)
    assert {p.where for p in problems} == {"a"}
    assert problems[0].what == "coords/c/0/0 is missing"


def test_a_missing_array_is_found(store_path: Path) -> None:
    shutil.rmtree(store_path / "empty" / "grid")
    shutil.rmtree(store_path / "a" / "coords")
    shutil.rmtree(store_path / "a" / "grid")
    found = [(p.where, p.what) for p in verify(store_path)]
    assert found == [("a", "coords, grid are missing"), ("empty", "grid is missing")]


def same_json(one: bytes, other: bytes) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def test_a_flipped_bit_in_any_file_is_found(store_path: Path) -> None:
    rng = random.Random(0)
    missed: list[tuple[str, int]] = []
    neutral: list[tuple[str, int]] = []
    flips = 0
    for key, content in object_bytes(store_path).items():
        for position in rng.sample(range(len(content)), min(6, len(content))):
            flipped = bytearray(content)
            flipped[position] ^= 1 << rng.randrange(8)
            (store_path / key).write_bytes(flipped)
            flips += 1
            if not found(store_path):
                same = key.endswith("zarr.json") and same_json(content, bytes(flipped))
                (neutral if same else missed).append((key, position))
        (store_path / key).write_bytes(content)
    assert missed == []
    assert neutral == []  # none of these documents holds a number as 1e-07, where `E` is as good
    assert flips > 100
    assert verify(store_path) == []


@pytest.mark.parametrize("document", ["zarr.json", "a/zarr.json"])
def test_a_flipped_bit_all_along_a_group_document_is_found(store_path: Path, document: str) -> None:
    content = (store_path / document).read_bytes()
    missed = []
    for position in range(0, len(content), 3):
        flipped = bytearray(content)
        flipped[position] ^= 1
        (store_path / document).write_bytes(flipped)
        if not found(store_path):
            missed.append(bytes(flipped[max(0, position - 10) : position + 10]))
    assert missed == []


def test_every_truncated_object_is_found(store_path: Path) -> None:
    for key, content in object_bytes(store_path).items():
        (store_path / key).write_bytes(content[:-1])
        assert found(store_path), key
        (store_path / key).write_bytes(content)


def test_a_sound_object_in_the_wrong_place_is_found(store_path: Path) -> None:
    """A copy that was cut short: the old object of the same size under the new attributes."""
    folder = store_path / "a"
    shutil.copy(folder / "coords" / "c" / "0" / "0", folder / "grid" / "c" / "0" / "0")
    assert found(store_path) == ["grid/c/0/0 is not the object that was written"]


def test_an_extra_object_is_found(store_path: Path) -> None:
    (store_path / "a" / "features" / "c" / "9").mkdir()
    (store_path / "a" / "features" / "c" / "9" / "0").write_bytes(b"x")
    assert found(store_path) == ["features/c/9/0 was not there when the slide was written"]


def test_an_extra_array_is_found(store_path: Path) -> None:
    group = zarr.open_group(store_path / "a", mode="r+")
    group.create_array("mine", shape=(3,), dtype="int8")
    assert found(store_path) == ["attributes or array metadata were changed after they were written"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("features", np.inf, "features holds numbers that are not finite"),
        ("cluster_confidence", np.nan, "cluster_confidence holds numbers that are not finite"),
        ("cluster", 3, "cluster holds numbers outside 0 to 2"),
    ],
)
def test_wrong_numbers_written_afterwards_are_found(
    store_path: Path, name: str, value: float, message: str
) -> None:
    array = zarr.open_array(store_path / "a" / name, mode="r+")
    array[5] = value
    assert message in found(store_path)


def test_changed_attributes_are_found(store_path: Path) -> None:
    zarr.open_group(store_path / "a", mode="r+").attrs["mpp"] = 0.5
    assert found(store_path) == ["attributes or array metadata were changed after they were written"]


def test_changed_root_attributes_are_found(store_path: Path) -> None:
    zarr.open_group(store_path, mode="r+").attrs["model_id"] = "sha256:b"
    assert [p.where for p in verify(store_path)] == ["store"]


def test_an_incomplete_slide_is_no_problem(store_path: Path, settings: StoreSettings) -> None:
    with open_writer(store_path, settings).slide("b", make_grid(7)):
        assert (store_path / "b" / "zarr.json").exists()
        assert verify(store_path) == []


def test_a_slide_whose_document_is_lost_is_found(store_path: Path) -> None:
    (store_path / "a" / "zarr.json").unlink()
    assert [p.where for p in verify(store_path)] == ["a"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"{}"])
def test_an_unreadable_root_is_an_error(store_path: Path, content: bytes) -> None:
    (store_path / "zarr.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"feats\.zarr"):
        verify(store_path)


def test_one_damaged_slide_does_not_hide_another(store_path: Path) -> None:
    (store_path / "a" / "zarr.json").write_text("{")
    (store_path / "empty" / "coords" / "zarr.json").write_text("{")
    assert [p.where for p in verify(store_path)] == ["a", "empty"]


def test_the_store_has_several_shards(store_path: Path) -> None:
    """Or the tests above would not say much."""
    assert len([key for key in chunk_keys(store_path / "a") if key.startswith("features/")]) > 1
