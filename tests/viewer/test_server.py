"""Where the server listens, and the viewer of Python and notebooks."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.testclient import TestClient

import wsi_embed
from tests.job_tools import COMMAND, invoke
from tests.made_models import tiny_onnx
from tests.test_doc_commands import parse
from tests.viewer.conftest import Cohort
from wsi_embed import TileSearch, UsageError
from wsi_embed.util.extras import install_command
from wsi_embed.viewer.app import create_app
from wsi_embed.viewer.server import is_loopback, listen
from wsi_embed.viewer.session import Session, open_session


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        found: bytes = answer.read()
        return found


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("", False), ("10.0.0.1", False), ("localhost.evil.example", False)],
)  # fmt: skip
def test_loopback(host: str, own: bool) -> None:
    assert is_loopback(host) == own


def test_other_machines_need_a_token_that_is_made(session: Session) -> None:
    listening = listen(session, host="0.0.0.0", port=0)
    token = re.fullmatch(r"http://[^/]+:\d+/\?token=([\w-]+)", listening.url)
    assert token
    assert len(token[1]) >= 32
    assert "token" not in listen(session, port=0).url
    assert listen(session, port=0, token="12345678").url.endswith("/?token=12345678")
    for secret in ("1234567", "12345678\x07", "12345678\udcff"):
        with pytest.raises(UsageError, match="no secret that can be typed"):
            listen(session, token=secret)


def test_any_printable_token_is_in_the_address(session: Session) -> None:
    secret = "a&b=c#d e+f/?%41 é"
    found = urlsplit(listen(session, port=0, token=secret).url)
    assert (found.path, found.fragment, parse_qsl(found.query)) == ("/", "", [("token", secret)])
    client = TestClient(create_app(session, token=secret), base_url="http://localhost")
    assert client.get(f"/api/session?{found.query}", follow_redirects=False).status_code == 303
    assert client.get("/api/session").status_code == 200


def test_a_port_that_is_taken_is_an_error_only_if_it_was_asked_for(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"`port={taken}`: cannot be listened on"):
            listen(session, port=taken)
        monkeypatch.setattr("wsi_embed.viewer.server.PORT", taken)
        assert f":{taken}/" not in listen(session).url


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7", "a" * 80])
def test_an_address_of_another_machine_is_an_error(session: Session, host: str) -> None:
    with pytest.raises(UsageError, match="cannot be listened on"):
        listen(session, host=host)


def test_a_viewer_serves_until_it_is_closed(cohort: Cohort) -> None:
    with wsi_embed.view(cohort.store, slides=cohort.slides, port=0) as viewer:
        stores = json.loads(fetch(f"{viewer.url}api/session"))["stores"]
        assert stores == [{"name": "feats.zarr", "clusters": 4}]
        assert viewer._repr_html_().startswith(f'<iframe src="{viewer.url}"')
        url = viewer.url
    viewer.close()
    with pytest.raises(urllib.error.URLError):
        fetch(url)


def test_two_viewers_run_at_the_same_time(cohort: Cohort) -> None:
    store = wsi_embed.open_store(cohort.store)
    with (
        wsi_embed.view(store, slides=cohort.slides) as one,
        wsi_embed.view([store, cohort.store], slides=[cohort.slides], read_only=True) as two,
    ):
        assert one.url != two.url
        assert json.loads(fetch(f"{one.url}api/session"))["read_only"] is False
        assert len(json.loads(fetch(f"{two.url}api/session"))["stores"]) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_address_and_ends_quietly(cohort: Cohort, number: int) -> None:
    command = [*COMMAND, "view", str(cohort.store), "--slides", str(cohort.slides), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        url = re.match(r"http://127\.0\.0\.1:\d+/", line)
        assert url, line
        assert b"<title>wsi-embed</title>" in fetch(url[0])
        process.send_signal(number)
        assert process.wait(20) in (0, -number)
        assert process.stderr.read() == ""


def test_without_the_extra_the_command_names_it(cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] in ("uvicorn", "starlette")]:
        monkeypatch.delitem(sys.modules, module)
    for module in [name for name in sys.modules if name.startswith("wsi_embed.viewer.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = invoke("view", cohort.store, "--slides", cohort.slides)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"error: the viewer needs uvicorn, which is not installed; {install_command('view')}"
    ]


def test_the_demo_names_the_command_that_views_its_result() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text("utf-8")
    command = re.search(r'@echo ".*?/wsi-embed (view .*)"', makefile)
    assert command
    assert "$(DEMO)/feats.zarr" in command[1]
    parse(command[1].replace("$(DEMO)", "demo").split())


def test_the_files_of_the_search_are_in_the_given_folder(
    copied: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsi_embed.viewer.explored.TileSearch", partial(TileSearch, in_memory=0))
    with wsi_embed.view(copied.store, slides=copied.slides, port=0, cache=tmp_path / "cache") as viewer:
        while not (found := json.loads(fetch(f"{viewer.url}api/stores/0/similar?like=a:1")))["complete"]:
            pass
    assert found["cache"] == "feats-search"
    assert len(list((tmp_path / "cache" / "feats-search").iterdir())) == 1
    assert not copied.store.with_name("feats-search").exists()


def test_stores_that_clusters_are_not_for_are_named(cohort: Cohort, tmp_path: Path) -> None:
    model = tiny_onnx(tmp_path / "other.onnx", clusters=None, seed=1)
    wsi_embed.embed(cohort.slides / "b.tiff", tmp_path / "other.zarr", model=model, device="cpu")
    names = tmp_path / "names.json"
    names.write_text('{"names": {"0": "stroma"}}')
    done = invoke(
        "view", cohort.store, tmp_path / "other.zarr", "--slides", cohort.slides / "b.tiff",
        "--clusters", names, "--static", tmp_path / "site",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "other.zarr is shown with its own clusters; those given: names clusters of the model, but the model "
        "of other.zarr has none"
    ]


def test_slides_that_the_store_records_are_found(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "results" / "feats.zarr"
    shutil.copytree(cohort.store, store)
    done = invoke("view", store, "--static", "site", "--static-um", "8")
    assert done.returncode == 2
    assert "feats.zarr is in its folder or the current one; use --slides with the files" in done.stderr
    shutil.copytree(cohort.slides, tmp_path / "results" / "scans")
    session = open_session([store])
    (shown,) = session.stores
    for slide_id in shown.store:
        with session.reading(shown, slide_id) as found:
            assert found.slide.path.is_relative_to(tmp_path / "results" / "scans")
    session.close()


def test_wrong_arguments_are_one_line(tmp_path: Path, cohort: Cohort) -> None:
    for arguments in (
        (tmp_path / "none.zarr", "--slides", cohort.slides),
        (cohort.store, "--slides", tmp_path),
        (cohort.store, "--slides", cohort.slides, "--attention", tmp_path),
        (cohort.store, "--slides", cohort.slides, "--host", "no.such.host.invalid"),
    ):
        done = invoke("view", *arguments)
        assert done.returncode in (1, 2)
        assert len(done.stderr.splitlines()) == 1, done.stderr
