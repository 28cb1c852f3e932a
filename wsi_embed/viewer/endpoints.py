"""Endpoints from plain functions: they run in a limited number of threads, and their errors become JSON.

A module of `wsi_embed/viewer/routes/` has a function `routes(session)`, and is listed in `TOPICS` of
`app.py`. It returns routes that `reading` and `writing` make of functions:

    def routes(session: Session) -> list[Route]:
        return [reading("/api/stores/{store:int}/slides", partial(list_slides, session))]

A function takes the request, and for `writing` also the JSON document that was sent. It returns a value for
JSON, or a response. `KeyError` becomes 404, and a `WsiEmbedError` an answer with `what`, `where` and
`remedy`, which the page shows. Functions may block: they never run in the event loop.

In the page, a tab of the panel is a module of `static/js/` with a function that fills an element, and one
call of `addPanel` in `main.js`; `app.js` lists the events that a tab can listen to.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from wsi_embed.errors import StoreError, UsageError, WsiEmbedError
from wsi_embed.util.cpu import cpu_count
from wsi_embed.util.json_text import json_text

# Array of a slide: its name is none of a folder of this machine.
_IN_STORE = re.compile(r"[^/]+/[a-z_]+")
Word = Callable[[str], str]
LOG = logging.getLogger(__name__)
# Largest JSON document that is accepted, bytes.
MOST_BYTES = 2**20
# Requests that work at the same time; the others wait. Each server has an event loop with its own limiter,
# because that of one loop does not wake up requests of another.
THREADS = max(4, 2 * cpu_count())
_LIMITER: RunVar[anyio.CapacityLimiter] = RunVar("threads of the viewer")
# Requests that may wait for a result that is being computed. The others are answered at once, and asked
# again by the page, so that threads remain for pictures.
_WAITING = threading.BoundedSemaphore(2)


def reading(path: str, function: Callable[[Request], Any]) -> Route:
    """Return a route for GET.

    Args:
        path: Path with parameters, as in Starlette.
        function: Function of the request.
    """

    async def endpoint(request: Request) -> Response:
        return await _run(request, lambda: function(request))

    return Route(path, endpoint, methods=["GET"])


def writing(path: str, function: Callable[[Request, Any], Any]) -> Route:
    """Return a route for POST with a JSON document. `Guard` has checked that the page itself sent it.

    Args:
        path: Path with parameters, as in Starlette.
        function: Function of the request and the document.
    """

    async def endpoint(request: Request) -> Response:
        try:
            document = json.loads(await _body(request))
        except (ValueError, RecursionError):
            return failure(UsageError("the request is no JSON document of a permitted size"), 400)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody receives it
        return await _run(request, lambda: function(request, document))

    return Route(path, endpoint, methods=["POST"])


@contextlib.contextmanager
def waiting(seconds: float) -> Iterator[float]:
    """Yield the time that a request may wait for a result: `seconds`, or 0 if enough others wait already."""
    may_wait = _WAITING.acquire(blocking=False)
    try:
        yield seconds if may_wait else 0
    finally:
        if may_wait:
            _WAITING.release()


def json_response(value: Any, status: int = 200) -> Response:
    """Return a response with a value as JSON."""
    text = json_text(value, separators=(",", ":"))
    return Response(text, status, {"cache-control": "no-store"}, media_type="application/json")


def failure(error: WsiEmbedError, status: int = 422, word: Word = str) -> Response:
    """Return the response for an error; see `described`."""
    return json_response({"error": described(error, word)}, status)


def described(error: WsiEmbedError, word: Word = str) -> dict[str, str | None]:
    """Return an error as JSON. It has the names of files, but not those of their folders.

    Args:
        error: The error.
        word: Function that rewords the Python arguments in a message; see `Session`.
    """
    where = error.where
    if where is not None and not (isinstance(error, StoreError) and _IN_STORE.fullmatch(where)):
        where = where.rsplit("/", 1)[-1]
    remedy = None if error.remedy is None else word(error.remedy)
    return {"what": word(error.what), "where": None if where is None else word(where), "remedy": remedy}


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise ValueError("too large")
        parts.append(part)
    return b"".join(parts)


def _limiter() -> anyio.CapacityLimiter:
    found: anyio.CapacityLimiter | None = _LIMITER.get(None)
    if found is None:
        found = anyio.CapacityLimiter(THREADS)
        _LIMITER.set(found)
    return found


async def _run(request: Request, function: Callable[[], Any]) -> Response:
    work: Awaitable[Any] = anyio.to_thread.run_sync(function, limiter=_limiter())
    try:
        value = await work
    except KeyError:
        return failure(UsageError("there is no such slide or tile"), 404)
    except WsiEmbedError as error:
        return failure(error, word=getattr(request.app.state, "word", str))
    except Exception:
        LOG.exception("a request failed")
        return failure(WsiEmbedError("internal error: the terminal of wsi-embed view shows it"), 500)
    return value if isinstance(value, Response) else json_response(value)
