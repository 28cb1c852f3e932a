"""Slides are here whole as long as they are worked on, within the limit, and gone afterwards."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.made_formats.mirax import write_mirax
from tests.made_formats.ome_zarr import write_ome_zarr
from tests.made_slides import he_pixels
from tests.storage.conftest import put
from tests.storage.server import Server
from wsi_embed.errors import RemoteError, SlideError, Stopped, UsageError, WsiEmbedError
from wsi_embed.inputs import staging
from wsi_embed.inputs.slides import SlideInput, find_slides
from wsi_embed.inputs.staging import Cache, Staging
from wsi_embed.slide.fingerprint import fingerprint
from wsi_embed.storage import Address, objects
from wsi_embed.storage.lock import slide_lock

CONTENT = bytes(range(256)) * 100


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def cache(tmp_path: Path, stop: threading.Event) -> Iterator[Staging]:
    with Staging(tmp_path / "cache", 10**6, stop) as cache:
        yield cache
    assert list((tmp_path / "cache").iterdir()) == []


def one(where: Address, content: bytes = CONTENT) -> SlideInput:
    objects.write(where, content)
    return find_slides([where], remote=True)[0]


def staged_files(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.name != "lock")


@pytest.mark.parametrize("part", [staging.PART, 1000, len(CONTENT), len(CONTENT) - 1])
def test_it_is_here_and_then_gone(
    part: int, bucket: Address, cache: Staging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "PART", part)
    with cache.stage(one(bucket / "in/a b.svs")) as item:
        assert item.path.name == "a b.svs"
        assert item.path.read_bytes() == CONTENT
    assert staged_files(tmp_path) == []


def test_a_slide_of_many_files_is_the_same_slide(tmp_path: Path, bucket: Address, cache: Staging) -> None:
    (tmp_path / "m").mkdir()
    slide = write_mirax(tmp_path / "m/x.mrxs", he_pixels(256, 512))
    put(tmp_path / "m", bucket / "in")
    (item,) = find_slides([bucket / "in"], remote=True)
    with cache.stage(item) as staged:
        assert fingerprint(staged.path) == fingerprint(slide)


def test_annotations_of_a_manifest_come_along(bucket: Address, cache: Staging) -> None:
    objects.write(bucket / "in/list.csv", b"path,roi\na.svs,../roi/a.geojson\n")
    objects.write(bucket / "in/a.svs", CONTENT)
    objects.write(bucket / "roi/a.geojson", b"{}")
    (item,) = find_slides([bucket / "in/list.csv"], remote=True)
    with cache.stage(item) as staged:
        assert staged.path.read_bytes() == CONTENT
        assert staged.roi is not None
        assert staged.roi.read_bytes() == b"{}"


@pytest.mark.parametrize("what", ["500", "503", "reset", "slow", "cut"])
def test_what_passes_is_outlived(
    what: str, bucket: Address, cache: Staging, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "PART", 9000)
    item = one(bucket / "a.svs")
    with server.failing(f"GET /{bucket.host}/a", what, times=2) as fault, cache.stage(item) as staged:
        assert staged.path.read_bytes() == CONTENT
    assert fault.met == 2


@pytest.mark.parametrize("what", ["500", "reset", "expired"])
def test_what_stays_fails_the_slide(
    what: str, bucket: Address, cache: Staging, server: Server, tmp_path: Path
) -> None:
    item = one(bucket / "a.svs")
    with server.failing(f"GET /{bucket.host}/a", what), pytest.raises(RemoteError), cache.stage(item):
        pytest.fail("it was not fetched")
    assert staged_files(tmp_path) == []


def test_a_length_beyond_memory_fails_alone(bucket: Address, cache: Staging, server: Server) -> None:
    """Of an answer that announces 10^12 bytes obstore makes a buffer, and ends the process."""
    item = one(bucket / "a.svs")
    with (
        server.failing(f"GET /{bucket.host}/a", "huge"),
        pytest.raises(RemoteError, match=f"announces 1000000000000 bytes, {len(CONTENT)} at most are right"),
        cache.stage(item),
    ):
        pytest.fail("it was fetched")


def test_an_answer_without_end_fails_alone(bucket: Address, cache: Staging, server: Server) -> None:
    item = one(bucket / "a.svs")
    with (
        server.failing(f"GET /{bucket.host}/a", "endless"),
        pytest.raises(RemoteError, match="sends more than the 100 bytes it announced"),
        cache.stage(item),
    ):
        pytest.fail("it was fetched")


def test_an_object_that_changes_is_not_half_old(bucket: Address, cache: Staging) -> None:
    item = one(bucket / "a.svs")
    assert item.size == len(CONTENT)
    objects.write(bucket / "a.svs", CONTENT[::-1])
    with pytest.raises(RemoteError, match="the object was changed meanwhile"), cache.stage(item):
        pytest.fail("it was fetched")


def test_an_object_that_vanishes(bucket: Address, cache: Staging) -> None:
    item = one(bucket / "a.svs")
    assert item.size
    objects.delete([bucket / "a.svs"])
    with pytest.raises(SlideError, match="there is no such object any more"), cache.stage(item):
        pytest.fail("it was fetched")


def test_no_more_than_the_limit_is_here(bucket: Address, tmp_path: Path, stop: threading.Event) -> None:
    items = [one(bucket / f"{n}.svs", bytes(400 + n)) for n in range(8)]
    most, lock, here, two = 0, threading.Lock(), 0, threading.Event()

    def work(item: SlideInput) -> None:
        nonlocal most, here
        with limited.stage(item) as staged:
            size = staged.path.stat().st_size
            with lock:
                here += size
                most = max(most, here)
                if here > 800:
                    two.set()
            two.wait(20)  # there is room for a second one
            with lock:
                here -= size

    with Staging(tmp_path, 900, stop) as limited, ThreadPoolExecutor(4) as pool:
        list(pool.map(work, items))
    assert 800 < most <= 900


def test_one_beyond_the_limit_fails_and_says_what_to_do(bucket: Address, cache: Staging) -> None:
    item = one(bucket / "a.svs", bytes(10**6 + 1))
    with (
        pytest.raises(SlideError, match=r"a.svs: .* and the cache may hold .*cache_gb"),
        cache.stage(item),
    ):
        pytest.fail("it was fetched")


def test_stop_ends_waiting_for_room(bucket: Address, cache: Staging, stop: threading.Event) -> None:
    first, second = (one(bucket / name, bytes(600_000)) for name in ("a.svs", "b.svs"))
    with cache.stage(first):
        threading.Timer(0.05, stop.set).start()
        with pytest.raises(Stopped), cache.stage(second):
            pytest.fail("there was room")


def test_stop_ends_fetching(bucket: Address, cache: Staging, stop: threading.Event, server: Server) -> None:
    item = one(bucket / "a.svs")
    assert item.size
    server.slow = 0.4
    threading.Timer(0.05, stop.set).start()
    with (
        server.failing(f"GET /{bucket.host}/a", "slow"),
        pytest.raises(Stopped),
        cache.stage(item),
    ):
        pytest.fail("it was fetched")


def test_what_killed_jobs_left_is_removed_and_what_living_ones_hold_is_not(
    tmp_path: Path, stop: threading.Event
) -> None:
    for name in ("wsi-embed-cache-dead", "wsi-embed-cache-alive", "mine"):
        (tmp_path / name / "0").mkdir(parents=True)
        (tmp_path / name / "0/a.svs").write_bytes(b"x")
        (tmp_path / name / "lock").touch()
    alive = tmp_path / "wsi-embed-cache-alive/lock"
    with slide_lock(alive, "lock"), Staging(tmp_path, None, stop), Staging(tmp_path, None, stop):
        assert len(list(tmp_path.iterdir())) == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "wsi-embed-cache-alive"]


def test_a_folder_that_cannot_be_written(tmp_path: Path, stop: threading.Event) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"`cache='.*file'`: cannot be written"):
        Staging(tmp_path / "file", None, stop)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_is_none(limit: float) -> None:
    with pytest.raises(UsageError, match="`cache_gb="):
        Cache.of(None, limit)


class _Plain(http.server.SimpleHTTPRequestHandler):
    """A server of whole files alone."""

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def web(tmp_path: Path, server: Server) -> Iterator[tuple[Path, Address]]:
    folder = tmp_path / "web"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *a: _Plain(*a, directory=str(folder))
    ) as plain:
        threading.Thread(target=plain.serve_forever, daemon=True).start()
        yield folder, Address("http", f"127.0.0.1:{plain.server_port}", "")
        plain.shutdown()


@pytest.mark.parametrize("part", [staging.PART, 1000])
def test_from_a_web_server_without_ranges(
    part: int, web: tuple[Path, Address], cache: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "PART", part)
    (web[0] / "a b.svs").write_bytes(CONTENT)
    (item,) = find_slides([f"{web[1]}a%20b.svs"], remote=True)
    with cache.stage(item) as staged:
        assert staged.path.read_bytes() == CONTENT


def test_an_answer_without_end_is_given_up(cache: Staging) -> None:
    sent = []

    class Endless(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.send_header("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(2000):
                    self.wfile.write(bytes(2**16))
                    sent.append(1)

        def log_message(self, *args: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        (item,) = find_slides([f"http://127.0.0.1:{web.server_port}/a.svs"], remote=True)
        with pytest.raises(WsiEmbedError), cache.stage(item):
            pytest.fail("it was fetched")
        web.shutdown()
    assert len(sent) < 2000


def test_from_a_web_server_that_has_it_not(web: tuple[Path, Address], cache: Staging) -> None:
    (item,) = find_slides([web[1] / "gone.svs"], remote=True)
    with pytest.raises(SlideError, match="there is no such object"), cache.stage(item):
        pytest.fail("it was fetched")


def test_an_ome_zarr_arrives_with_its_chunks_and_few_open_files(
    bucket: Address, cache: Staging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_ome_zarr(tmp_path / "in/a.zarr", he_pixels(300, 400), chunk=32, factors=(1, 2))
    put(tmp_path / "in", bucket / "in")
    (item,) = find_slides([bucket / "in"], remote=True)
    now, most = 0, 0
    fetch = staging._fetch

    async def counted(*args: Any) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await fetch(*args)
        now -= 1

    monkeypatch.setattr(staging, "_fetch", counted)
    monkeypatch.setattr(staging, "SMALL_AT_ONCE", 5)
    with cache.stage(item) as staged:
        assert staged.path.name == "a.zarr"
        assert fingerprint(staged.path) == fingerprint(folder)
    assert 1 < most <= 5
