"""The local engine: slides that another process writes, jobs that give up, and several jobs at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Literal

import pytest

import wsi_embed
from tests.job_tools import COMMAND, hold, make_model, make_slides, run, tree
from wsi_embed.jobs.engines import local
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.report import JobReport, SlideResult
from wsi_embed.storage import lock

linux = pytest.mark.skipif(sys.platform != "linux", reason="open file description locks are Linux's")
FIRST, SECOND, THIRD = "batch%202__s1", "s0", "s2"
Kind = Literal["embed", "tile"]


@pytest.fixture(autouse=True)
def ask_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "RETRY_SECONDS", 0.01)


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    return make_slides(tmp_path / "slides", side=160)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


class Watcher(Listener):
    """Notes what becomes of which slide, and calls a function when the job waits."""

    def __init__(self, on_waiting: Any = None) -> None:
        self.order: list[str] = []
        self.waited: list[int] = []
        self.how, self._on_waiting = "", on_waiting

    def job_started(self, slides: int, how: str) -> None:
        self.how = how

    def waiting(self, slides: int) -> None:
        self.waited.append(slides)
        if self._on_waiting is not None:
            self._on_waiting()

    def slide_finished(self, result: SlideResult) -> None:
        self.order.append(result.slide_id)


def do(kind: Kind, slides: Path, out: Path, model: Path, **more: Any) -> JobReport:
    """A job of either kind."""
    if kind == "embed":
        return wsi_embed.embed(slides, out, model=model, **more)
    return wsi_embed.tile(slides, out, tile_px=32, **more)


def document(kind: Kind, out: Path) -> Path:
    return out / {"embed": "zarr.json", "tile": ".wsi-embed-tiles"}[kind]


@linux
@pytest.mark.parametrize("kind", ["embed", "tile"])
def test_a_slide_that_another_process_writes_comes_last(
    kind: Kind, slides: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    do(kind, slides / "s0.tif", out, model)
    with hold(document(kind, out), FIRST) as other:
        watcher = Watcher(on_waiting=other.kill)
        report = do(kind, slides, out, model, listener=watcher)
    assert watcher.order == [SECOND, THIRD, FIRST]
    assert watcher.waited == [1]
    assert {s.slide_id: s.status for s in report.slides} == {
        FIRST: "done",
        SECOND: "skipped",
        THIRD: "done",
    }
    do(kind, slides, tmp_path / "calm", model)
    assert tree(out) == tree(tmp_path / "calm")


@linux
def test_what_the_other_process_has_done_is_not_done_again(slides: Path, model: Path, tmp_path: Path) -> None:
    calm, out = tmp_path / "calm.zarr", tmp_path / "f.zarr"
    wsi_embed.embed(slides, calm, model=model)
    wsi_embed.embed(slides / "s0.tif", out, model=model)
    with hold(out / "zarr.json", FIRST) as other:

        def commit_and_go() -> None:
            shutil.copytree(calm / FIRST, out / FIRST)
            shutil.copytree(calm / ".wsi-embed-slides", out / ".wsi-embed-slides", dirs_exist_ok=True)
            other.kill()

        report = wsi_embed.embed(slides, out, model=model, listener=Watcher(commit_and_go))
    assert (report.slides[0].status, report.slides[0].reason) == ("skipped", "complete already")
    assert tree(out) == tree(calm)


@linux
def test_a_job_that_waits_can_be_stopped(slides: Path, model: Path, tmp_path: Path) -> None:
    out, stop = tmp_path / "f.zarr", threading.Event()
    wsi_embed.embed(slides / "s0.tif", out, model=model)
    with hold(out / "zarr.json", FIRST) as other:
        report = wsi_embed.embed(slides, out, model=model, listener=Watcher(stop.set), stop=stop)
        other.kill()
    assert report.exit_code == 75
    assert [s.status for s in report.slides] == ["stopped", "skipped", "done"]


@linux
def test_a_dry_run_asks_nobody(slides: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.zarr"
    wsi_embed.embed(slides / "s0.tif", out, model=model)
    with hold(out / "zarr.json", FIRST) as other:
        report = wsi_embed.embed(slides, out, model=model, dry_run=True)
        other.kill()
    assert [s.status for s in report.slides] == ["planned", "skipped", "planned"]


def test_slides_are_free_again_when_the_job_ends(slides: Path, model: Path, tmp_path: Path) -> None:
    """Also those that were prepared but not reached, and those that failed."""
    (slides / "empty.svs").touch()
    out, stop = tmp_path / "f.zarr", threading.Event()

    class StopAtOnce(Watcher):
        def slide_finished(self, result: SlideResult) -> None:
            stop.set()

    wsi_embed.embed(slides, out, model=model, listener=StopAtOnce(), stop=stop)
    for slide_id in (FIRST, "empty", SECOND, THIRD):
        with lock.slide_lock(out / "zarr.json", slide_id) as free:
            assert free, slide_id


@pytest.mark.parametrize("kind", ["embed", "tile"])
def test_without_locks_a_job_goes_on_and_says_so(
    kind: Kind, slides: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher()
    do(kind, slides / "s0.tif", tmp_path / "with", model, listener=watcher)
    assert sys.platform != "linux" or "locks" not in watcher.how
    monkeypatch.setattr(lock, "_OFD", False)
    report = do(kind, slides, tmp_path / "without", model, listener=watcher)
    assert "no locks: run no second job on without at the same time, except with `shard=`" in watcher.how
    assert report.count("done") == 3


def finished(stdout: str) -> list[str]:
    """Slides that a job's log says it has done."""
    lines = [json.loads(line) for line in stdout.splitlines()]
    return [x["slide_id"] for x in lines if x["event"] == "slide_finished" and x["status"] == "done"]


@linux
def test_two_jobs_on_one_store_share_the_slides(model: Path, tmp_path: Path) -> None:
    """Two commands without --shard, started at once on a store that is not there yet."""
    slides = make_slides(tmp_path / "many", count=12, side=300)
    args = [*COMMAND, str(slides), "--model", str(model), "--batch-size", "8", "--log-json"]
    jobs = [
        subprocess.Popen([*args, "--out", str(tmp_path / "f.zarr")], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    done = [finished(job.communicate(timeout=100)[0]) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0]
    assert sorted(done[0] + done[1]) == wsi_embed.open_store(tmp_path / "f.zarr").slide_ids
    wsi_embed.embed(slides, tmp_path / "calm.zarr", model=model, batch_size=8)
    assert tree(tmp_path / "f.zarr") == tree(tmp_path / "calm.zarr")


@pytest.mark.parametrize(
    ("kind", "most", "failed", "stopped"),
    [("embed", 0, 1, 5), ("embed", 2, 3, 2), ("tile", 2, 3, 2), ("embed", 3, 3, 0)],
)
def test_a_job_gives_up_after_too_many_failures(
    kind: Kind, most: int, failed: int, stopped: int, slides: Path, model: Path, tmp_path: Path
) -> None:
    for name in ("a", "b", "c"):  # before the others
        (slides / f"{name}.svs").touch()
    report = do(kind, slides, tmp_path / "out", model, max_failures=most)
    assert (report.count("failed"), report.count("stopped")) == (failed, stopped)
    assert report.exit_code == 1
    assert len(report.slides) == 6
    reasons = {s.reason for s in report.slides if s.status == "stopped"}
    if stopped:
        assert reasons == {"too many slides had failed before"}
        assert f"more slides failed than `max_failures={most}`" in str(report.error)
        assert "run the same command again" in str(report.error)
    else:
        assert report.error is None

    for name in ("a", "b", "c"):  # the cause is mended
        (slides / f"{name}.svs").unlink()
    assert do(kind, slides, tmp_path / "out", model, max_failures=most).exit_code == 0
    do(kind, slides, tmp_path / "calm", model)
    assert tree(tmp_path / "out") == tree(tmp_path / "calm")


def test_slides_with_other_settings_are_failures_too(slides: Path, model: Path, tmp_path: Path) -> None:
    wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    report = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model, overlap=8, max_failures=1)
    assert [s.status for s in report.slides] == ["failed", "failed", "stopped"]


def test_complete_slides_come_first(slides: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.zarr"
    wsi_embed.embed([slides / "s0.tif", slides / "s2.tif"], out, model=model)
    watcher = Watcher()
    report = wsi_embed.embed(slides, out, model=model, listener=watcher)
    assert watcher.order == [SECOND, THIRD, FIRST]
    assert [s.slide_id for s in report.slides] == [FIRST, SECOND, THIRD]


def test_max_failures_on_the_command_line(slides: Path, model: Path, tmp_path: Path) -> None:
    (slides / "a.svs").touch()
    out = tmp_path / "f.zarr"
    done = run(slides, "--out", out, "--model", model, "--max-failures", "0", "--log-json")
    assert done.returncode == 1
    last = [json.loads(line) for line in done.stdout.splitlines()][-2:]
    assert [(line["event"], line["level"]) for line in last] == [
        ("error", "error"),
        ("job_finished", "error"),
    ]
    assert "more slides failed than --max-failures 0" in last[0]["message"]
    assert (last[1]["failed"], last[1]["stopped"], last[1]["exit_code"]) == (1, 3, 1)
