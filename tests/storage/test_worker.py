"""An actor of a cluster fetches its slides itself, into a cache of its own machine."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import wsi_embed
from tests.storage.server import Server
from wsi_embed.jobs.engines.ray.worker import ShippedJob, SlideWorker
from wsi_embed.jobs.job import Job
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.report import SlideResult
from wsi_embed.storage import Address


class OneActor:
    """The engine, with an actor that is not in a process of its own; the job is pickled all the same."""

    workers = 2

    def run(self, job: Job, listener: Listener, stop: threading.Event) -> list[SlideResult]:
        worker = SlideWorker(ShippedJob.pack(job, job.slides))
        assert worker.ready()[1] is None
        last = [list(worker.work(item))[-1] for item in job.slides]
        return [result for result in last if isinstance(result, SlideResult)]


@contextlib.contextmanager
def one_actor(*_: object, **__: object) -> Iterator[OneActor]:
    yield OneActor()


def test_its_tiles_are_those_of_a_folder(
    uploaded: Address, slides: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    wsi_embed.tile(slides, tmp_path / "here", tile_px=64)
    monkeypatch.setattr("wsi_embed.tiles.tile.open_engine", one_actor)
    report = wsi_embed.tile(uploaded, tmp_path / "there", tile_px=64, cache=tmp_path / "cache")
    assert report.count("done") == 3
    assert (tmp_path / "there/tiles.csv").read_text() == (tmp_path / "here/tiles.csv").read_text()
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == ["lock"]
