"""GeoJSON files of a store: several processes write what one writes, and one what they could not."""

from __future__ import annotations

import shutil
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

import wsi_embed
from tests.job_tools import make_model, make_slides
from wsi_embed.plot import geojson_files
from wsi_embed.plot.geojson_files import GeojsonFile, write_slides


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("geojson")
    slides = make_slides(folder / "slides", count=2, side=200)
    wsi_embed.embed(slides, folder / "f.zarr", model=make_model(folder))
    return folder / "f.zarr"


def written(store: Path, folder: Path) -> list[GeojsonFile]:
    opened = wsi_embed.open_store(store)
    return list(write_slides(opened, opened.slide_ids, folder))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_processes_write_the_same_files(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = written(store, tmp_path / "one")
    monkeypatch.setattr(geojson_files, "MANY_SLIDES", 1)
    monkeypatch.setattr(geojson_files, "cpu_count", lambda: 2)
    together = written(store, tmp_path / "two")
    assert (
        [file.slide_id for file in together] == [file.slide_id for file in alone] == ["batch%202__s1", "s0"]
    )
    assert [file.objects for file in together] == [file.objects for file in alone]
    assert content(tmp_path / "one") == content(tmp_path / "two")


@pytest.mark.parametrize("error", [OSError(11, "no more processes"), RuntimeError("can't start new thread")])
def test_without_processes_the_files_are_written_by_one(
    error: Exception, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any) -> None:
        raise error

    monkeypatch.setattr(geojson_files, "MANY_SLIDES", 1)
    monkeypatch.setattr(geojson_files, "cpu_count", lambda: 2)
    monkeypatch.setattr(geojson_files, "ProcessPoolExecutor", refused)
    assert len(written(store, tmp_path / "g")) == len(content(tmp_path / "g")) == 2


def test_after_a_process_was_killed_the_rest_is_written(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one(write: Any, ids: list[str]) -> Any:
        yield write(ids[0])
        raise BrokenProcessPool

    class Pool:
        def __init__(self, *args: Any) -> None: ...
        def map(self, write: Any, ids: list[str], chunksize: int) -> Any:
            return one(write, ids)

        def shutdown(self, cancel_futures: bool) -> None: ...

    monkeypatch.setattr(geojson_files, "MANY_SLIDES", 1)
    monkeypatch.setattr(geojson_files, "cpu_count", lambda: 2)
    monkeypatch.setattr(geojson_files, "ProcessPoolExecutor", Pool)
    assert [file.slide_id for file in written(store, tmp_path / "g")] == ["batch%202__s1", "s0"]
    assert len(content(tmp_path / "g")) == 2


def test_a_damaged_slide_is_told(store: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(store, tmp_path / "f.zarr"))
    (broken / "s0" / "coords" / "c" / "0" / "0").write_bytes(b"")
    whole, damaged = written(broken, tmp_path / "g")
    assert whole.error is None
    assert damaged.error is not None
    assert damaged.error.startswith("s0/coords: cannot be read")
    assert list(content(tmp_path / "g")) == ["batch%202__s1.geojson"]
