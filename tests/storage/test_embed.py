"""From slides on object storage to a store there: what is done, what is done again, and what faults leave."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import wsi_embed
from tests.job_tools import arrays, assert_same_arrays, invoke
from tests.made_formats.mirax import write_mirax
from tests.made_formats.ome_zarr import write_ome_zarr
from tests.made_slides import he_pixels
from tests.storage.conftest import put
from tests.storage.server import Server
from wsi_embed.errors import StoreError, StoreMismatchError, UsageError
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.report import JobReport
from wsi_embed.storage import Address, objects
from wsi_embed.storage.open_folder import place_at

IDS = ["a", "batch%202__b", "c"]
MANY = 7


@pytest.fixture(scope="module")
def local(slides: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same slides from a folder, in a folder."""
    store = tmp_path_factory.mktemp("local") / "f.zarr"
    wsi_embed.embed(slides, store, model=model)
    return store


@pytest.fixture
def out(bucket: Address) -> Address:
    return bucket / "out/f.zarr"


def embed(uploaded: Address, out: Address, model: Path, **more: object) -> JobReport:
    return wsi_embed.embed(uploaded, out, model=model, workers=2, **more)  # type: ignore[arg-type]


def assert_same_as(local: Path, out: Address) -> None:
    there, here = arrays(wsi_embed.open_store(out)), arrays(local)
    assert there.keys() == here.keys()
    for name, values in here.items():
        np.testing.assert_array_equal(there[name], values, err_msg=name)


def reason(report: JobReport) -> str:
    """Of the one slide that failed."""
    (text,) = [result.reason for result in report.slides if result.status == "failed"]
    assert text is not None
    return text


def statuses(report: JobReport) -> dict[str, str]:
    return {result.slide_id: result.status for result in report.slides}


def test_many_slides_become_a_store(
    slides: Path, local: Path, bucket: Address, model: Path, tmp_path: Path, server: Server
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(MANY):
        shutil.copyfile(
            slides / ("a.tif", "batch 2/b.tif", "c.tif")[number % 3], tmp_path / f"in/{number:02}.tif"
        )
    uploaded, out = put(tmp_path / "in", bucket / "in"), bucket / "f.zarr"
    report = embed(uploaded, out, model, cache=tmp_path / "cache")
    assert report.count("done") == MANY
    assert list((tmp_path / "cache").iterdir()) == []
    store = wsi_embed.open_store(str(out))
    assert store.slide_ids == [f"{number:02}" for number in range(MANY)]
    for number, bag in enumerate(store.values()):
        expected = wsi_embed.open_store(local)[IDS[number % 3]]
        np.testing.assert_array_equal(bag.features[:], expected.features[:])
        assert bag.attrs["slide"] == f"{number:02}.tif"
    since = len(server.seen)
    assert embed(uploaded, out, model).count("skipped") == MANY
    assert server.count(f"GET /{bucket.host}/in/", since) == 0  # nothing is fetched to know that it is done
    assert server.count("PUT", since) == 0


def test_on_google(google: Address, slides: Path, model: Path, local: Path) -> None:
    out = google / "f.zarr"
    assert embed(put(slides, google / "in"), out, model).count("done") == 3
    assert_same_as(local, out)
    assert wsi_embed.verify(out) == []


def test_a_store_here_of_slides_there(uploaded: Address, model: Path, local: Path, tmp_path: Path) -> None:
    assert embed(uploaded, tmp_path / "f.zarr", model).count("done") == 3  # type: ignore[arg-type]
    assert_same_arrays(tmp_path / "f.zarr", local)
    assert embed(uploaded, tmp_path / "f.zarr", model).count("skipped") == 3  # type: ignore[arg-type]


def test_slides_with_many_files_and_annotations(bucket: Address, model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_mirax(tmp_path / "in/m.mrxs", he_pixels(256, 512))
    square = [[0, 0], [200, 0], [200, 200], [0, 200], [0, 0]]
    polygon = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [square]}, "properties": {}}
    (tmp_path / "in/m.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [polygon]}))
    (tmp_path / "in/list.csv").write_text("path,roi,mpp\nm.mrxs,m.geojson,0.5\n")
    wsi_embed.embed(tmp_path / "in/list.csv", tmp_path / "f.zarr", model=model, tissue="none")
    manifest, out = put(tmp_path / "in", bucket / "in") / "list.csv", bucket / "f.zarr"
    assert embed(manifest, out, model, tissue="none").count("done") == 1
    assert len(wsi_embed.open_store(out)["m"]) == 6 * 6  # of 32 pixels, with a quarter and more in the square
    assert_same_as(tmp_path / "f.zarr", out)
    assert embed(manifest, out, model, tissue="none").count("skipped") == 1


def test_an_ome_zarr_is_fetched_with_all_its_chunks(bucket: Address, model: Path, tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "in/a.zarr", he_pixels(256, 512), "0.5", chunk=64)
    wsi_embed.embed(tmp_path / "in", tmp_path / "f.zarr", model=model, tissue="none")
    there, out = put(tmp_path / "in", bucket / "in"), bucket / "f.zarr"
    assert embed(there, out, model, tissue="none").count("done") == 1
    assert_same_as(tmp_path / "f.zarr", out)
    assert embed(there, out, model, tissue="none").count("skipped") == 1


def test_the_next_is_fetched_while_one_is_encoded(
    uploaded: Address, out: Address, model: Path, server: Server
) -> None:
    class Slow(Listener):
        """Encoding of the first slide lasts until the second has been asked for."""

        waited = False

        def tiles_done(self, slide_id: str, count: int) -> None:
            until = time.monotonic() + 20
            while not server.count(".*/in/batch", since) and time.monotonic() < until:
                time.sleep(0.01)
            self.waited = time.monotonic() < until

    since, slow = len(server.seen), Slow()
    assert embed(uploaded, out, model, listener=slow).count("done") == 3
    assert slow.waited


def test_a_run_that_was_stopped_does_only_what_is_missing(
    uploaded: Address, out: Address, model: Path, local: Path, server: Server, bucket: Address
) -> None:
    stop = threading.Event()

    class StopAfterOne(Listener):
        def slide_finished(self, result: object) -> None:
            stop.set()

    assert embed(uploaded, out, model, stop=stop, listener=StopAfterOne()).exit_code == 75
    done = wsi_embed.open_store(out).slide_ids
    assert 1 <= len(done) < 3
    since = len(server.seen)
    report = embed(uploaded, out, model)
    assert (report.count("skipped"), report.count("done")) == (len(done), 3 - len(done))
    assert server.count(f"GET /{bucket.host}/in/a.tif", since) == 0
    assert_same_as(local, out)
    assert wsi_embed.verify(out) == []


@pytest.mark.parametrize(
    ("key", "what"),
    [("zarr.json", "503"), ("features/c/", "reset"), ("coords/zarr.json", "500")],
)
def test_a_group_that_cannot_be_written_is_never_complete(
    key: str, what: str, uploaded: Address, out: Address, model: Path, local: Path, server: Server
) -> None:
    path = f"/{out.host}/{out.key}/batch%202__b"
    with server.failing(f"PUT {path}/{key}", what) as fault:
        report = embed(uploaded, out, model)
    assert fault.met > 1  # it was tried again
    assert statuses(report) == {"a": "done", "batch%202__b": "failed", "c": "done"}
    assert "f.zarr/batch%202__b" in reason(report)
    assert "the server keeps failing" in reason(report)
    assert "s3://" not in reason(report)  # the bucket's name stays here
    assert wsi_embed.open_store(out).slide_ids == ["a", "c"]
    assert wsi_embed.verify(out) == []
    assert statuses(embed(uploaded, out, model)) == {"a": "skipped", "batch%202__b": "done", "c": "skipped"}
    assert_same_as(local, out)


def test_not_even_where_it_cannot_be_cleared_away(
    uploaded: Address, out: Address, model: Path, server: Server
) -> None:
    """The commit fails, and so does all that follows: arrays stay, without the mark."""
    path = f"/{out.host}/{out.key}/c"
    with (
        server.failing(f"PUT {path}/tissue_fraction/c", "500"),
        server.failing(f"POST /{out.host}.*delete", "500"),
    ):
        assert statuses(embed(uploaded, out, model))["c"] == "failed"
    assert (out / "c/features/zarr.json") in [found.address for found in objects.below(out / "c")]
    store = wsi_embed.open_store(out)
    assert (store.slide_ids, store.incomplete()) == (IDS[:2], ["c"])
    assert statuses(embed(uploaded, out, model))["c"] == "done"
    assert wsi_embed.verify(out) == []


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("features/c/0/0", "flip"),
        ("grid/zarr.json", "flip"),
        ("zarr.json", "flip"),
        ("tissue_mask/c/0/0", "drop"),
        ("coords/zarr.json", "drop"),
        ("zarr.json", "drop"),
    ],
)
def test_what_the_server_confirmed_and_did_not_store_is_found_before_the_slide_is_complete(
    uploaded: Address, out: Address, model: Path, local: Path, server: Server, key: str, what: str
) -> None:
    slide = uploaded / "a.tif"
    with server.failing(f"PUT /{out.host}/{out.key}/a/{key}$", what, times=2 if key == "zarr.json" else 1):
        report = embed(slide, out, model)
    assert statuses(report) == {"a": "failed"}
    assert f"{key} is not there as it was written" in reason(report) or "metadata document" in reason(report)
    assert list(wsi_embed.open_store(out)) == []
    assert wsi_embed.verify(out) == []
    assert embed(slide, out, model).count("done") == 1
    there, here = wsi_embed.open_store(out)["a"], wsi_embed.open_store(local)["a"]
    np.testing.assert_array_equal(there.features[:], here.features[:])
    np.testing.assert_array_equal(there.coords[:], here.coords[:])
    assert wsi_embed.verify(out) == []


@pytest.mark.parametrize("what", ["flip", "drop"])
def test_a_root_or_record_that_is_not_stored_is_found(
    uploaded: Address, out: Address, model: Path, server: Server, what: str
) -> None:
    with (
        server.failing(f"PUT /{out.host}/{out.key}/zarr.json$", what, times=1),
        pytest.raises(StoreError, match=r"f\.zarr"),
    ):
        embed(uploaded, out, model)
    place_at(out).delete("zarr.json")
    with server.failing(f"PUT /{out.host}/{out.key}/.wsi-embed-slides/", what, times=1):
        assert embed(uploaded, out, model).count("failed") == 1
    assert embed(uploaded, out, model).count("done") == 1
    assert wsi_embed.verify(out) == []


def test_uploads_carry_a_checksum(out: Address, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    objects.write(out / "a", b"content")
    assert (
        server.headers["HTTP_X_AMZ_CHECKSUM_SHA256"]
        == base64.b64encode(hashlib.sha256(b"content").digest()).decode()
    )


def test_a_slide_is_replaced_only_by_a_whole_one(
    uploaded: Address, out: Address, model: Path, server: Server
) -> None:
    embed(uploaded, out, model)
    before = arrays(wsi_embed.open_store(out))
    with server.failing(f"PUT /{out.host}/{out.key}/.wsi-embed-new/a/grid/zarr.json$", "denied"):
        report = embed(uploaded, out, model, overlap=8, overwrite=True)
    assert report.count("failed") == 1
    left = arrays(wsi_embed.open_store(out))
    assert all(np.array_equal(left[name], before[name]) for name in left if name.startswith("a/"))
    assert embed(uploaded, out, model, overlap=8, overwrite=True).count("done") == 1
    assert wsi_embed.verify(out) == []
    assert not [key for key in place_at(out).files() if "-new/" in key]


@pytest.mark.parametrize("what", ["slow", "reset", "cut"])
def test_what_passes_is_not_seen(
    what: str, uploaded: Address, out: Address, model: Path, local: Path, server: Server
) -> None:
    server.slow = 0.55
    gets = f"GET /{out.host}/{'in' if what == 'cut' else '(in|out)'}/.*[ce]"
    puts = f"PUT /{out.host}/out/.*(f.zarr/zarr.json|[ce])"
    with (
        server.failing(gets, what, times=2) as get,
        server.failing(puts, what, times=2 * (what != "cut")) as put,
    ):
        assert embed(uploaded, out, model).count("done") == 3
    assert (get.met, put.met) == (2, 2 * (what != "cut"))
    assert_same_as(local, out)
    assert wsi_embed.verify(out) == []


def test_credentials_that_expire_fail_what_is_left_and_nothing_is_told(
    uploaded: Address, out: Address, model: Path, server: Server, tmp_path: Path
) -> None:
    command = (
        str(uploaded),
        "--out",
        str(out),
        "--model",
        model,
        "--report",
        tmp_path / "r.json",
        "--log-json",
    )
    with server.failing(f"[A-Z]+ /{out.host}/(in|out/f.zarr)/c", "expired"):
        said = invoke(*command, "--cache", tmp_path / "cache")
    assert said.returncode == 1
    report = json.loads((tmp_path / "r.json").read_text())
    (failed,) = [slide for slide in report["slides"] if slide["status"] == "failed"]
    assert failed["reason"].endswith("renew or correct the credentials, then run again")
    for text in (said.stdout, said.stderr, (tmp_path / "r.json").read_text()):
        assert "top-secret" not in text
        assert "Traceback" not in text
    assert invoke(*command).returncode == 0


def test_a_store_that_cannot_be_reached_is_one_line(
    uploaded: Address, out: Address, model: Path, server: Server
) -> None:
    with server.failing(f"[A-Z]+ /{out.host}", "expired"):
        said = invoke(str(uploaded), "--out", str(out), "--model", model)
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1] == (
        f"error: {uploaded}: access is refused (ExpiredToken); renew or correct the credentials, "
        "then run again"
    )


def test_a_slide_that_is_missing_fails_alone(
    bucket: Address, slides: Path, out: Address, model: Path
) -> None:
    put(slides, bucket / "in")
    objects.write(bucket / "in/list.csv", b"path\na.tif\ngone.tif\n")
    report = embed(bucket / "in/list.csv", out, model)
    assert statuses(report) == {"a": "done", "gone": "failed"}
    assert report.slides[1].reason == "gone.tif: there is no such object; check the address"


def test_a_slide_that_was_replaced_is_fetched_and_compared(
    uploaded: Address, out: Address, model: Path, slides: Path
) -> None:
    embed(uploaded, out, model)
    objects.write(uploaded / "a.tif", (slides / "c.tif").read_bytes())
    report = embed(uploaded, out, model)
    assert statuses(report)["a"] == "failed"
    assert "with different settings (slide " in reason(report)
    assert statuses(embed(uploaded, out, model, overwrite=True))["a"] == "done"


def test_other_settings_are_seen_without_option_as_with_files_here(
    uploaded: Address, out: Address, model: Path
) -> None:
    embed(uploaded, out, model)
    report = embed(uploaded, out, model, overlap=8)
    assert report.count("failed") == 3
    assert "overlap 0 -> 8" in str(report.slides[0].reason)


def test_two_jobs_are_not_kept_apart_and_it_says_so(uploaded: Address, out: Address, model: Path) -> None:
    class Headline(Listener):
        said = ""

        def job_started(self, slides: int, how: str) -> None:
            self.said = how

    listener = Headline()
    embed(uploaded, out, model, listener=listener)
    assert "object storage has no locks: run no second job on f.zarr at the same time" in listener.said


def test_a_place_with_other_things_is_no_store(uploaded: Address, model: Path, bucket: Address) -> None:
    with pytest.raises(StoreMismatchError, match="exists and is not a wsi-embed store"):
        embed(uploaded, uploaded, model)
    embed(uploaded, bucket / "f.zarr", model)
    with pytest.raises(StoreMismatchError, match="was made with mpp"):
        embed(uploaded, bucket / "f.zarr", model, mpp=1.0)


def test_tiles_go_into_a_folder(uploaded: Address, bucket: Address, slides: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tile images go into a folder of this machine"):
        wsi_embed.tile(uploaded, bucket / "tiles")
    for source, name in ((uploaded, "there"), (slides, "here")):
        wsi_embed.tile(source, tmp_path / name, tile_px=64, mpp=0.5)
    assert (tmp_path / "there/tiles.csv").read_text() == (tmp_path / "here/tiles.csv").read_text()


def test_a_dry_run_writes_nothing(uploaded: Address, out: Address, model: Path, server: Server) -> None:
    since = len(server.seen)
    assert embed(uploaded, out, model, dry_run=True).count("planned") == 3
    assert server.count("PUT", since) == 0


def test_commands_take_addresses(
    uploaded: Address, out: Address, model: Path, tmp_path: Path, server: Server
) -> None:
    embed(uploaded, out, model)
    assert invoke("finalize", str(out)).stdout == f"3 slides, 133 tiles -> {out}/index.json\n"
    since = len(server.seen)
    store = wsi_embed.open_store(str(out))
    assert (store.name, store.slide_ids) == ("f.zarr", IDS)
    with pytest.raises(UsageError, match="is not a folder on this machine"):
        _ = store.path
    assert server.count("GET .*/[abc]/zarr.json", since) == 0  # the index is enough
    assert "every byte as written" in invoke("verify", str(out)).stdout
    assert json.loads(invoke("info", str(out), "--json").stdout)["slides"][0]["slide"] == "a"
    said = invoke("convert", str(out), "--to", "dsmil", "--out", tmp_path / "dsmil")
    assert said.returncode == 2  # it needs labels; the store was opened
    assert "--labels" in said.stderr
    said = invoke("plot", str(out), "--geojson", cwd=tmp_path)
    assert (tmp_path / "f-plots/a.geojson").is_file()


def test_a_damaged_store_is_found_out(uploaded: Address, out: Address, model: Path) -> None:
    embed(uploaded, out, model)
    content = bytearray(objects.read(out / "a/features/c/0/0"))
    content[5] ^= 1
    objects.write(out / "a/features/c/0/0", bytes(content))
    objects.delete([out / "c/coords/c/0/0"])
    found = {problem.where for problem in wsi_embed.verify(out)}
    assert found == {"a", "c"}


@pytest.mark.parametrize("what", ["huge", "endless"])
def test_a_chunk_of_a_wrong_length_damages_its_slide_alone(
    uploaded: Address, out: Address, model: Path, server: Server, what: str
) -> None:
    embed(uploaded, out, model)
    store = wsi_embed.open_store(out)
    with server.failing(f"GET /{out.host}/out/f.zarr/a/features/c/", what):
        with pytest.raises(StoreError, match=r"a/features/c/0/0: the server (announces|sends)"):
            np.asarray(store["a"].features[:])
        assert len(np.asarray(store["c"].features[:]))
        (found,) = wsi_embed.verify(out)
        assert "features" in str(found)
