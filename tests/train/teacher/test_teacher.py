from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.made_models import tiny_clusters, tiny_features, tiny_onnx
from wsi_embed.encoder import load_encoder
from wsi_embed.errors import WsiEmbedError
from wsi_embed_train.teacher.cache import TeacherCache
from wsi_embed_train.teacher.teacher import Teacher

UInt8Array = npt.NDArray[np.uint8]
DIM = 8


def some_tiles(count: int = 5, px: int = 32, seed: int = 0) -> UInt8Array:
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (count, 2, 2, 3), np.uint8)
    return colours.repeat(px // 2, 1).repeat(px // 2, 2)


def make(folder: Path, cache: TeacherCache | None = None, seed: int = 0, **options: object) -> Teacher:
    path = tiny_onnx(folder / f"teacher-{seed}.onnx", dim=DIM, seed=seed, **options)  # type: ignore[arg-type]
    return Teacher(load_encoder(path, device="cpu"), cache)


def open_cache(path: Path, rows: int = 5) -> TeacherCache:
    cache = TeacherCache(path, rows, DIM)
    cache.create()
    cache.open()
    return cache


def units(tiles: UInt8Array) -> npt.NDArray[np.float32]:
    features = tiny_features(tiles, DIM).astype(np.float64)
    return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True), np.float32)


def test_it_says_the_direction_of_the_features_and_the_clusters(tmp_path: Path) -> None:
    tiles = some_tiles(130)  # more than it encodes at a time
    said = make(tmp_path)(torch.from_numpy(tiles))
    np.testing.assert_allclose(said.features.numpy(), units(tiles), atol=1e-3)
    assert said.clusters is not None
    np.testing.assert_array_equal(said.clusters.numpy(), tiny_clusters(tiles))
    assert make(tmp_path, clusters=None)(torch.from_numpy(tiles)).clusters is None


@pytest.mark.parametrize(("px", "method"), [(64, cv2.INTER_AREA), (16, cv2.INTER_CUBIC)])
def test_tiles_of_another_size_are_resized(tmp_path: Path, px: int, method: int) -> None:
    tiles = some_tiles(3, px)
    expected = np.stack([cv2.resize(tile, (32, 32), interpolation=method) for tile in tiles]).astype(np.uint8)
    said = make(tmp_path)(torch.from_numpy(tiles))
    np.testing.assert_allclose(said.features.numpy(), units(expected), atol=1e-3)


def test_what_it_said_is_kept_and_shared(tmp_path: Path) -> None:
    tiles = torch.from_numpy(some_tiles())
    first = make(tmp_path, open_cache(tmp_path / "c.npy"))(tiles, range(5))
    # another model with the same file shows which outputs are taken from it
    other = make(tmp_path, open_cache(tmp_path / "c.npy"), seed=1)
    again = other(tiles[[3, 0]], [3, 0])
    assert torch.equal(again.features, first.features[[3, 0]])
    assert first.clusters is not None
    assert again.clusters is not None
    assert torch.equal(again.clusters, first.clusters[[3, 0]])
    assert not torch.equal(other(tiles).features, first.features)


def test_outputs_are_the_same_with_and_without_a_cache(tmp_path: Path) -> None:
    tiles = torch.from_numpy(some_tiles())
    without = make(tmp_path)(tiles)
    cached = make(tmp_path, open_cache(tmp_path / "c.npy"))(tiles, range(5))
    assert torch.equal(without.features, cached.features)


def test_tiles_beyond_the_cache_are_encoded_every_time(tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "c.npy", rows=2)
    teacher = make(tmp_path, cache)
    numbers = [1, 4, 0, 2]
    teacher(torch.from_numpy(some_tiles(4)), numbers)
    shifted = some_tiles(4, seed=9)
    said = teacher(torch.from_numpy(shifted), numbers)
    old, new = units(some_tiles(4)), units(shifted)
    np.testing.assert_allclose(said.features.numpy(), [old[0], new[1], old[2], new[3]], atol=1e-3)


def test_half_written_rows_are_encoded_again(tmp_path: Path) -> None:
    tiles = torch.from_numpy(some_tiles())
    cache = open_cache(tmp_path / "c.npy")
    expected = make(tmp_path, cache)(tiles, range(5)).features
    rows = cache.get(np.array([2, 3]))
    rows["features"][0, : DIM // 2] = 0  # the page with the other half was not written
    rows["features"][1] = np.nan
    cache.put(np.array([2, 3]), rows)
    said = make(tmp_path, open_cache(tmp_path / "c.npy"))(tiles, range(5)).features
    torch.testing.assert_close(said, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("damage", ["empty", "cut", "other"])
def test_damaged_cache_is_made_anew(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "c.npy"
    open_cache(path)
    content = {"empty": b"", "cut": path.read_bytes()[:-40], "other": b"PK\x03\x04"}[damage]
    path.write_bytes(content)
    said = make(tmp_path, open_cache(path))(torch.from_numpy(some_tiles()), range(5))
    np.testing.assert_allclose(said.features.numpy(), units(some_tiles()), atol=1e-3)


def test_cache_without_a_place_is_said(tmp_path: Path) -> None:
    with pytest.raises(WsiEmbedError, match=r"no space for 0\.0 GB of the teacher's features .*teacher_sees"):
        TeacherCache(tmp_path / "missing" / "c.npy", 5, DIM).create()


def test_features_that_are_not_finite_are_said(tmp_path: Path) -> None:
    teacher = make(tmp_path, bad="nan")
    with pytest.raises(WsiEmbedError, match=r"teacher-0\.onnx: the teacher has features that are NaN"):
        teacher(torch.from_numpy(some_tiles()))
