from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from zarr.codecs import Crc32cCodec
from zarr.storage import LocalStore

from tests.store.made_stores import (
    DIM,
    chunk_keys,
    make_encoded,
    make_grid,
    make_settings,
    object_bytes,
    open_writer,
    write_slide,
)
from wsi_embed.encoder.base import Encoded
from wsi_embed.errors import SlideError, StoreError, StoreMismatchError
from wsi_embed.store import StoreSettings, open_store, verify
from wsi_embed.store.layout import array_layouts
from wsi_embed.tissue import TissueMask

REPO = Path(__file__).parents[2]

# Tiles at the edges of the small layout's chunks (8 rows of float16) and shards (24), and beyond several.
COUNTS = [0, 1, 7, 8, 9, 23, 24, 25, 71]


def stored(path: Path, slide_id: str) -> dict[str, npt.NDArray[Any]]:
    group = zarr.open_group(path / slide_id, mode="r")
    return {name: np.asarray(array[:]) for name, array in group.arrays()}


def run_python(code: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *args], cwd=REPO, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("n", COUNTS)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_every_array_comes_back(tmp_path: Path, small_layout: None, n: int, dtype: str) -> None:
    settings = make_settings(dtype)
    encoded, grid = make_encoded(n, settings), make_grid(n)
    write_slide(open_writer(tmp_path / "s", settings), "a", encoded)
    assert encoded.cluster is not None
    assert encoded.confidence is not None
    expected = {
        "features": encoded.features.astype(dtype),
        "coords": grid.coords,
        "grid": grid.grid,
        "tissue_fraction": grid.tissue_fraction.astype(np.float16),
        "cluster": encoded.cluster.astype(np.int16),
        "cluster_confidence": encoded.confidence.astype(np.float16),
    }
    arrays = stored(tmp_path / "s", "a")
    assert arrays.keys() == expected.keys()
    for name, values in expected.items():
        assert arrays[name].dtype == values.dtype
        np.testing.assert_array_equal(arrays[name], values)
    assert verify(tmp_path / "s") == []


@pytest.mark.parametrize("batch", [1, 3, 25, 71])
def test_batch_sizes_never_show(
    tmp_path: Path, small_layout: None, settings: StoreSettings, batch: int
) -> None:
    encoded = make_encoded(71, settings)
    write_slide(open_writer(tmp_path / "one", settings), "a", encoded, batch=8)
    write_slide(open_writer(tmp_path / "two", settings), "a", encoded, batch=batch)
    assert object_bytes(tmp_path / "one") == object_bytes(tmp_path / "two")


def test_chunks_of_the_real_size_come_back(tmp_path: Path) -> None:
    """Several 2 MiB chunks in one shard, the last one not full."""
    settings = make_settings("float32", dim=256, clusters=None)
    encoded = make_encoded(9001, settings)
    assert array_layouts(9001, settings)["features"].chunk_rows == 1801
    write_slide(open_writer(tmp_path / "s", settings), "a", encoded, batch=256)
    assert [key for key in chunk_keys(tmp_path / "s" / "a") if "features" in key] == ["features/c/0/0"]
    np.testing.assert_array_equal(stored(tmp_path / "s", "a")["features"], encoded.features)


@pytest.mark.parametrize("shape", [(1, 1), (700, 9000)])
def test_the_tissue_mask_comes_back(tmp_path: Path, settings: StoreSettings, shape: tuple[int, int]) -> None:
    mask = TissueMask(np.random.default_rng(0).random(shape) < 0.5, (16.0, 16.02))
    with open_writer(tmp_path / "s", settings).slide("a", make_grid(7), mask) as writer:
        writer.append(make_encoded(7, settings))
        writer.commit({})
    bag = open_store(tmp_path / "s")["a"]
    assert bag.tissue_mask is not None
    np.testing.assert_array_equal(bag.tissue_mask[:], mask.mask)
    assert bag.attrs["tissue_mask_scale"] == [16.0, 16.02]
    assert verify(tmp_path / "s") == []
    next(p for p in (tmp_path / "s" / "a" / "tissue_mask" / "c").rglob("*") if p.is_file()).unlink()
    assert verify(tmp_path / "s")
    with pytest.raises(StoreError, match="missing"):
        bag.tissue_mask[:]


def test_an_empty_bag_is_complete(tmp_path: Path, settings: StoreSettings) -> None:
    write_slide(open_writer(tmp_path / "s", settings), "a", make_encoded(0, settings))
    bag = open_store(tmp_path / "s")["a"]
    assert len(bag) == 0
    assert np.asarray(bag.features[:]).shape == (0, DIM)


def test_every_object_is_written_once(
    tmp_path: Path, small_layout: None, settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    really_set = LocalStore.set

    async def set_and_note(self: LocalStore, key: str, value: Any) -> None:
        written.append(key)
        await really_set(self, key, value)

    store = open_writer(tmp_path / "s", settings)
    monkeypatch.setattr(LocalStore, "set", set_and_note)
    write_slide(store, "a", make_encoded(71, settings), batch=5)
    assert sorted(key for key in written if "/c/" in key) == sorted(chunk_keys(tmp_path / "s" / "a"))


def test_all_zero_features_are_stored(tmp_path: Path, small_layout: None) -> None:
    settings = make_settings(clusters=None)
    write_slide(open_writer(tmp_path / "s", settings), "a", Encoded(np.zeros((71, DIM), np.float32)))
    layout = array_layouts(71, settings)["features"]
    shards = -(-71 // layout.shard_rows)
    assert len(list((tmp_path / "s" / "a" / "features" / "c").glob("*/*"))) == shards
    assert not np.asarray(open_store(tmp_path / "s")["a"].features[:]).any()


def test_rows_equal_to_the_fill_value_are_stored(tmp_path: Path, small_layout: None) -> None:
    """Zarr leaves out chunks of fill values unless told otherwise."""
    path = tmp_path / "s"
    settings = make_settings()
    encoded = make_encoded(16, settings)
    assert encoded.cluster is not None
    encoded.cluster[:] = -1
    write_slide(open_writer(path, settings), "a", encoded)
    assert "cluster/c/0" in chunk_keys(path / "a")


def test_every_array_carries_checksums(store_path: Path) -> None:
    names = set()
    for slide_id in ("a", "empty"):
        for name, array in zarr.open_group(store_path / slide_id, mode="r").arrays():
            names.add(name)
            assert [type(codec) for codec in array.compressors] == [Crc32cCodec]
    assert len(names) == 6


# Slides that fail


def test_what_is_not_committed_does_not_exist(tmp_path: Path, settings: StoreSettings) -> None:
    with open_writer(tmp_path / "s", settings).slide("a", make_grid(7)) as writer:
        writer.append(make_encoded(7, settings))
    assert not (tmp_path / "s" / "a").exists()
    assert list(open_store(tmp_path / "s")) == []


def test_an_exception_removes_the_slide_and_is_not_hidden(tmp_path: Path, settings: StoreSettings) -> None:
    store = open_writer(tmp_path / "s", settings)
    with pytest.raises(ZeroDivisionError), store.slide("a", make_grid(7)) as writer:  # noqa: PT012
        writer.append(make_encoded(7, settings))
        raise ZeroDivisionError
    assert not (tmp_path / "s" / "a").exists()


def test_missing_rows_cannot_be_committed(tmp_path: Path, settings: StoreSettings) -> None:
    with open_writer(tmp_path / "s", settings).slide("a", make_grid(7)) as writer:
        writer.append(make_encoded(6, settings))
        with pytest.raises(RuntimeError, match="6 of 7 rows"):
            writer.commit({})
    assert list(open_store(tmp_path / "s")) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_features_that_are_not_finite_are_refused(tmp_path: Path, dtype: str, value: float) -> None:
    settings = make_settings(dtype)
    encoded = make_encoded(7, settings)
    encoded.features[4, 1] = value
    with open_writer(tmp_path / "s", settings).slide("a", make_grid(14)) as writer:
        writer.append(make_encoded(7, settings))
        with pytest.raises(SlideError, match=r"not finite \(tile 11\)"):
            writer.append(encoded)


def test_features_too_large_for_float16_are_refused_with_a_way_out(tmp_path: Path) -> None:
    settings = make_settings("float16")
    encoded = make_encoded(7, settings)
    encoded.features[2, 0] = 70_000
    with (
        open_writer(tmp_path / "s", settings).slide("a", make_grid(7)) as writer,
        pytest.raises(SlideError, match="tile 2 are too large for float16; use `dtype='float32'`"),
    ):
        writer.append(encoded)


def test_float32_holds_what_float16_cannot(tmp_path: Path) -> None:
    settings = make_settings("float32")
    encoded = make_encoded(7, settings)
    encoded.features[2, 0] = 70_000
    write_slide(open_writer(tmp_path / "s", settings), "a", encoded)
    assert float(stored(tmp_path / "s", "a")["features"][2, 0]) == 70_000


def test_clusters_that_do_not_come_are_refused(tmp_path: Path) -> None:
    settings = make_settings(clusters=3)
    only_features = Encoded(np.ones((7, DIM), np.float32))
    with (
        open_writer(tmp_path / "s", settings).slide("a", make_grid(7)) as writer,
        pytest.raises(SlideError, match="gives no clusters"),
    ):
        writer.append(only_features)


# The root


def test_the_root_says_nothing_of_time_and_place(tmp_path: Path, settings: StoreSettings) -> None:
    open_writer(tmp_path / "one", settings)
    open_writer(tmp_path / "sub" / "two", settings)
    root = (tmp_path / "one" / "zarr.json").read_bytes()
    assert root == (tmp_path / "sub" / "two" / "zarr.json").read_bytes()
    assert str(tmp_path).encode() not in root


def test_a_second_writer_with_the_same_settings_changes_nothing(
    store_path: Path, settings: StoreSettings
) -> None:
    before = object_bytes(store_path)
    open_writer(store_path, settings)
    assert object_bytes(store_path) == before


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (make_settings(model_id="sha256:b"), "model_id = sha256:a, this run has sha256:b"),
        (make_settings(mpp=1.0), r"mpp = 0\.5, this run has 1\.0"),
        (make_settings("float32"), "dtype = float16, this run has float32"),
    ],
)
def test_other_settings_are_refused_by_name(store_path: Path, other: StoreSettings, difference: str) -> None:
    with pytest.raises(StoreMismatchError, match=difference):
        open_writer(store_path, other)


CREATE_AT_THE_SAME_TIME = """
import sys, time
from pathlib import Path
from tests.store.made_stores import make_settings, open_writer
from wsi_embed.errors import StoreMismatchError
folder, me, other, model_id = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
for i in range(30):
    (folder / f"ready-{me}-{i}").touch()
    while not (folder / f"ready-{other}-{i}").exists():
        pass
    try:
        open_writer(folder / f"store{i}", make_settings(model_id=model_id))
        print("made", flush=True)
    except StoreMismatchError as error:
        print("model_id" if "model_id" in str(error) else error, flush=True)
"""


@pytest.mark.parametrize("models", [("sha256:a", "sha256:a"), ("sha256:a", "sha256:b")])
def test_two_processes_may_make_a_store_at_once(tmp_path: Path, models: tuple[str, str]) -> None:
    """With the same settings both go on; with other settings exactly one."""
    processes = [
        run_python(CREATE_AT_THE_SAME_TIME, str(tmp_path), *names, model)
        for names, model in zip([("0", "1"), ("1", "0")], models, strict=True)
    ]
    outputs = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    expected = ["made", "made"] if models[0] == models[1] else ["made", "model_id"]
    assert [sorted(pair) for pair in zip(*outputs, strict=True)] == [expected] * 30
    for i in range(30):
        assert verify(tmp_path / f"store{i}") == []
        assert [p.name for p in (tmp_path / f"store{i}").iterdir()] == ["zarr.json"]


def test_a_folder_that_is_not_a_store_is_refused_and_left_alone(
    tmp_path: Path, settings: StoreSettings
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreMismatchError, match="is not a wsi-embed store"):
        open_writer(tmp_path, settings)
    assert object_bytes(tmp_path) == {"notes.txt": b"mine"}


def test_a_file_is_refused(tmp_path: Path, settings: StoreSettings) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(StoreMismatchError, match="is not a wsi-embed store"):
        open_writer(tmp_path / "s", settings)


def test_another_zarr_group_is_refused(tmp_path: Path, settings: StoreSettings) -> None:
    zarr.create_group(tmp_path / "s", zarr_format=3, attributes={"mine": 1})
    with pytest.raises(StoreMismatchError, match="not a store of format 1"):
        open_writer(tmp_path / "s", settings)


def test_an_empty_folder_becomes_a_store(tmp_path: Path, settings: StoreSettings) -> None:
    open_writer(tmp_path, settings)
    assert list(open_store(tmp_path)) == []


def test_a_store_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path, settings: StoreSettings) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot make the store"):
        open_writer(tmp_path / "file" / "s", settings)


def test_a_slide_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path, settings: StoreSettings) -> None:
    store = open_writer(tmp_path / "s", settings)
    (tmp_path / "s" / "a").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        store.slide("a", make_grid(7))
