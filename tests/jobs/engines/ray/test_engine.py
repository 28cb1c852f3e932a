"""The Ray engine on a real cluster of this machine: workers that are killed, stopped, or see other files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import wsi_embed
from tests.job_tools import COMMAND, hold, make_model, make_slides, tree
from wsi_embed.errors import UsageError
from wsi_embed.jobs.engines.ray import cluster, connected, dispatch
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.report import JobReport, SlideResult

ray = pytest.importorskip("ray", reason="Ray is not installed: its engine is NOT tested")
pytestmark = pytest.mark.cluster
linux = pytest.mark.skipif(sys.platform != "linux", reason="who writes a slide is found in /proc")
FIRST, SECOND, THIRD = "batch%202__s1", "s0", "s2"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two cores that the tests share: starting one takes as long as all of them."""
    with (
        tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("RAY_TMPDIR", folder)  # not pytest's own: names of sockets may not be long
        patch.setenv("HOME", folder)  # Ray writes the cluster's token there
        patch.setattr(cluster, "cpu_count", lambda: 2)
        before = signal.getsignal(signal.SIGTERM)
        with connected("local"):
            assert signal.getsignal(signal.SIGTERM) is before
            yield ray.get_runtime_context().gcs_address


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three slides of about half a second: long enough to be hit in the middle."""
    return make_slides(tmp_path_factory.mktemp("made") / "slides", side=1200)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_slides(tmp_path_factory.mktemp("made") / "small", side=160)


@pytest.fixture(scope="module")
def calm(slides: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The store that the local engine makes."""
    out = tmp_path_factory.mktemp("calm") / "f.zarr"
    assert embed(slides, out, model, engine="local").exit_code == 0
    return tree(out)


def embed(slides: Path, out: Path, model: Path, **more: object) -> JobReport:
    """Two actors of one core each."""
    options = {"engine": "ray", "workers": 1, "batch_size": 8, "overlap": 24, **more}
    return wsi_embed.embed(slides, out, model=model, **options)  # type: ignore[arg-type]


class Watcher(Listener):
    """Notes what happens, and calls functions when a slide is started, or when the job waits."""

    def __init__(
        self, on_started: Callable[[str], None] | None = None, on_waiting: Callable[[], None] | None = None
    ) -> None:
        self._on_started, self._on_waiting = on_started, on_waiting
        self.how, self.notes, self.order = "", list[str](), list[str]()
        self.started, self.tiles = Counter[str](), Counter[str]()

    def job_started(self, slides: int, how: str) -> None:
        self.how = how

    def slide_started(self, slide_id: str, tiles: int) -> None:
        self.started[slide_id] += 1
        if self._on_started is not None:
            self._on_started(slide_id)

    def tiles_done(self, slide_id: str, count: int) -> None:
        self.tiles[slide_id] += count

    def waiting(self, slides: int) -> None:
        if self._on_waiting is not None:
            self._on_waiting()

    def note(self, text: str) -> None:
        self.notes.append(text)

    def slide_finished(self, result: SlideResult) -> None:
        self.order.append(result.slide_id)


def writer_of(store: Path, slide_id: str) -> int:
    """The process that holds a slide's lock."""
    document, byte = str(store / "zarr.json"), str(zlib.crc32(slide_id.encode()))
    for process in Path("/proc").iterdir():
        try:
            for link in (process / "fd").iterdir() if process.name.isdigit() else ():
                if os.readlink(link) == document and byte in (process / "fdinfo" / link.name).read_text():
                    return int(process.name)
        except OSError:  # it has ended, or is not ours
            continue
    raise AssertionError(f"nobody writes {slide_id}")


def kill_writer_of(store: Path, slide_id: str) -> None:
    process = writer_of(store, slide_id)
    assert process != os.getpid()
    os.kill(process, signal.SIGKILL)


def statuses(report: JobReport) -> dict[str, str]:
    return {result.slide_id: result.status for result in report.slides}


def test_the_store_is_that_of_the_local_engine(
    address: str, slides: Path, model: Path, calm: dict[str, bytes], tmp_path: Path
) -> None:
    """Also with an actor for which there is no room, and bad slides among the others."""
    mixed = shutil.copytree(slides, tmp_path / "slides")
    (mixed / "empty.svs").touch()
    (mixed / "text.svs").write_text("hello")
    out, watcher = tmp_path / "f.zarr", Watcher()
    report = embed(mixed, out, model, actors=3, listener=watcher)
    assert tree(out) == calm
    assert list(statuses(report)) == [FIRST, "empty", SECOND, THIRD, "text"]
    assert Counter(statuses(report).values()) == {"done": 3, "failed": 2}
    assert report.exit_code == 1
    assert all(len(str(s.reason).splitlines()) == 1 for s in report.slides if s.status == "failed")
    assert "tiny on cpu in 3 Ray actors of 1 core (there is room for 2 now), 1 reader thread" in watcher.how
    assert watcher.tiles == {s.slide_id: s.tiles for s in report.slides if s.status == "done"}
    assert str(tmp_path) not in json.dumps(report.to_dict())

    again = Watcher()
    report = embed(slides, out, model, listener=again)
    assert set(statuses(report).values()) == {"skipped"}
    assert not again.started


def test_relative_paths_a_dry_run_and_tiles(
    address: str, small: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(small, "slides")
    report = embed(Path("slides"), Path("f.zarr"), model, dry_run=True)
    assert set(statuses(report).values()) == {"planned"}
    assert not Path("f.zarr").exists()
    for engine in ("local", "ray"):
        done = wsi_embed.tile("slides", engine, tile_px=32, engine=engine, workers=1)
        assert done.count("done") == 3
    assert tree(Path("ray")) == tree(Path("local"))


@linux
def test_a_worker_killed_in_mid_slide_costs_that_slide_only(
    address: str, slides: Path, model: Path, calm: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "f.zarr"

    def kill_once(slide_id: str) -> None:
        if slide_id == SECOND and watcher.started[SECOND] == 1:
            kill_writer_of(out, SECOND)

    watcher = Watcher(kill_once)
    report = embed(slides, out, model, listener=watcher)
    assert report.exit_code == 0
    assert watcher.started == {FIRST: 1, SECOND: 2, THIRD: 1}
    (note,) = watcher.notes
    assert "died while processing s0.tif; it is started again" in note
    assert tree(out) == calm


@linux
def test_a_slide_that_kills_its_workers_fails_and_the_others_are_done(
    address: str, slides: Path, model: Path, calm: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "f.zarr"

    def kill(slide_id: str) -> None:
        if slide_id == SECOND:
            kill_writer_of(out, SECOND)

    watcher = Watcher(kill)
    report = embed(slides, out, model, listener=watcher)
    assert statuses(report) == {FIRST: "done", SECOND: "failed", THIRD: "done"}
    assert watcher.started == {FIRST: 1, SECOND: dispatch.TRIES, THIRD: 1}
    assert report.exit_code == 1
    assert f"s0.tif: {dispatch.TRIES} Ray actors died while processing it" in str(report.slides[1].reason)
    assert wsi_embed.open_store(out).slide_ids == [FIRST, THIRD]
    assert embed(slides, out, model, engine="local").exit_code == 0
    assert tree(out) == calm


def test_a_job_that_is_stopped_drops_its_slides(
    address: str, slides: Path, model: Path, calm: dict[str, bytes], tmp_path: Path
) -> None:
    out, stop = tmp_path / "f.zarr", threading.Event()
    report = embed(slides, out, model, listener=Watcher(lambda _: stop.set()), stop=stop)
    assert report.exit_code == 75
    assert report.count("stopped") >= 2
    assert {s.reason for s in report.slides if s.status == "stopped"} == {"the job was stopped before"}
    assert wsi_embed.verify(out) == []
    assert not any((out / name).exists() for name, status in statuses(report).items() if status == "stopped")
    assert embed(slides, out, model, engine="local").exit_code == 0
    assert tree(out) == calm


def test_a_job_gives_up_after_too_many_failures(
    address: str, small: Path, model: Path, tmp_path: Path
) -> None:
    many = shutil.copytree(small, tmp_path / "slides")
    for name in "abcdefgh":
        (many / f"{name}.svs").touch()
    report = embed(many, tmp_path / "f.zarr", model, max_failures=1)
    assert 2 <= report.count("failed") <= 3  # each actor had one in hand
    assert report.count("stopped") >= 5
    assert {s.reason for s in report.slides if s.status == "stopped"} == {"too many slides had failed before"}
    assert (report.exit_code, report.stopped) == (1, False)


@linux
def test_a_slide_that_another_process_writes_comes_last(
    address: str, small: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "RETRY_SECONDS", 0.05)
    out = tmp_path / "f.zarr"
    embed(small / "s0.tif", out, model, engine="local")
    with hold(out / "zarr.json", FIRST) as other:
        watcher = Watcher(on_waiting=other.kill)
        report = embed(small, out, model, listener=watcher)
    assert watcher.order == [SECOND, THIRD, FIRST]
    assert statuses(report) == {FIRST: "done", SECOND: "skipped", THIRD: "done"}


@linux
@pytest.mark.parametrize("what", ["model", "store"])
def test_a_machine_that_sees_other_files_is_told_in_one_line(
    what: str, address: str, small: Path, model: Path, tmp_path: Path
) -> None:
    """What a number of an open file stands for is each process's own matter."""
    (tmp_path / "store").mkdir()
    places = {"model": model.parent, "store": tmp_path / "store"}
    descriptor = os.open(places[what], os.O_RDONLY)
    try:
        places[what] = Path(f"/proc/self/fd/{descriptor}")
        with pytest.raises(UsageError) as refused:
            embed(small, places["store"] / "f.zarr", places["model"] / model.name)
    finally:
        os.close(descriptor)
    (line,) = str(refused.value).splitlines()
    assert "no Ray actor can do the job; " in line
    assert (
        "no such model file" if what == "model" else "put slides and store on a file system that all"
    ) in line


@linux
def test_the_command_logs_lines_of_json_and_ends_in_time(
    address: str, slides: Path, model: Path, tmp_path: Path
) -> None:
    """A worker is killed, of which Ray would speak amid the lines; then the command is told to end."""
    out = tmp_path / "f.zarr"
    arguments = [slides, "--out", out, "--model", model, "--batch-size", "8", "--overlap", "24"]
    ray_options = ["--engine", "ray", "--address", address, "--workers", "1", "--log-json"]
    command = [*COMMAND, *map(str, arguments), *ray_options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        assert job.stderr is not None
        events, asked = [], 0.0
        for line in job.stdout:
            event = json.loads(line)
            events.append(event["event"])
            if event["event"] == "slide_started" and events.count("slide_started") == 1:
                kill_writer_of(out, event["slide_id"])
            elif event["event"] == "note":
                asked = time.monotonic()
                job.send_signal(signal.SIGTERM)
        stderr = job.stderr.read()
    assert time.monotonic() - asked < 10
    assert (job.returncode, stderr) == (75, "")
    assert events[0] == "job_started"
    assert events[-1] == "job_finished"
    assert wsi_embed.verify(out) == []
