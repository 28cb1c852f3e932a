"""Answers of the viewer's application without a server."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import anyio
from starlette.applications import Starlette

from wsi_embed.errors import WsiEmbedError

AGAIN_SECONDS = 0.2


async def get(app: Starlette, path: str, *, complete: bool = False) -> bytes:
    """Return the answer to a request for GET.

    Args:
        app: The application.
        path: Path with its query, without a leading slash.
        complete: Whether to ask again until packed columns are complete.

    Raises:
        WsiEmbedError: If the answer is an error.
    """
    while True:
        status, body = await _answer(app, path)
        if status != 200:
            error = json.loads(body)["error"]
            raise WsiEmbedError(error["what"], where=error["where"], remedy=error["remedy"])
        if not complete or _header(body).get("complete", True):
            return body
        await anyio.sleep(AGAIN_SECONDS)


async def get_json(app: Starlette, path: str) -> Any:
    """Return the JSON value of an answer, as soon as it is complete; see `get`."""
    while True:
        value = json.loads(await get(app, path))
        if value.get("complete", True):
            return value
        await anyio.sleep(AGAIN_SECONDS)


def _header(body: bytes) -> Any:
    """Return the header of packed columns."""
    size = int.from_bytes(body[:4], "little")
    return json.loads(body[4 : 4 + size])


async def _answer(app: Starlette, path: str) -> tuple[int, bytes]:
    name, _, query = path.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "root_path": "",
        "path": f"/{unquote(name)}", "raw_path": f"/{name}".encode(), "query_string": query.encode(),
        "headers": [(b"host", b"localhost")], "client": None, "server": None,
    }  # fmt: skip
    status, parts = 0, list[bytes]()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)
        parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return status, b"".join(parts)
