"""Requests that are broken, broken off, or wait for a result."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from wsi_embed.viewer.app import create_app
from wsi_embed.viewer.endpoints import MOST_BYTES, reading, waiting
from wsi_embed.viewer.in_process import get
from wsi_embed.viewer.session import Session

NAMES = "/api/stores/0/clusters"
WRITE = {"x-wsi-embed": "1"}


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"1" * (MOST_BYTES + 1), b"9" * 5000],
    ids=["deep list", "deep object", "no UTF-8", "too large", "long number"],
)
def test_what_is_no_document_is_refused(session: Session, body: bytes) -> None:
    client = TestClient(create_app(session), base_url="http://localhost")
    answer = client.post(NAMES, content=body, headers=WRITE)
    assert answer.status_code == 400
    assert answer.json()["error"]["what"] == "the request is no JSON document of a permitted size"


def test_a_request_that_is_broken_off_is_no_error(session: Session) -> None:
    headers = [(b"host", b"localhost"), (b"x-wsi-embed", b"1")]
    scope = {"type": "http", "method": "POST", "path": NAMES, "query_string": b"", "headers": headers}
    parts = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    anyio.run(create_app(session), scope, receive, send)
    assert sent[0]["status"] == 400


def test_servers_of_one_process_do_not_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limiter that the event loops of several viewers share would not wake up their requests."""
    monkeypatch.setattr("wsi_embed.viewer.endpoints.THREADS", 1)
    app = Starlette(routes=[reading("/", lambda request: time.sleep(0.02))])

    async def ask() -> int:
        answers = []

        async def one() -> None:
            answers.append(await get(app, ""))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one)
        return len(answers)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda number: anyio.run(ask), range(4))) == [5] * 4


def test_only_some_requests_wait_so_that_threads_remain_for_pictures() -> None:
    for _ in range(2):
        with waiting(2) as first, waiting(2) as second, waiting(2) as third:
            assert (first, second, third) == (2, 2, 0)
