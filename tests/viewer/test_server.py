"""Where the server listens, and the viewer of Python and notebooks."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import wsi_embed
from tests.job_tools import COMMAND, invoke
from tests.test_doc_commands import parse
from tests.viewer.conftest import Cohort
from wsi_embed import UsageError
from wsi_embed.util.extras import install_command
from wsi_embed.viewer.server import is_loopback, listen
from wsi_embed.viewer.session import Session


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
    with pytest.raises(UsageError, match="too short"):
        listen(session, token="1234567")


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
