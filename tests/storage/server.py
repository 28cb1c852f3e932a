"""An S3 server in this process, with faults on demand; it passes for Google's XML interface too.

The server is moto's. Faults are injected in front of it, where a real network and a real server have them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
logging.getLogger("moto").setLevel(logging.CRITICAL)

_SIGNED = "AWS4-HMAC-SHA256 Credential=id/20260101/us-east-1/s3/aws4_request"
_ERRORS = {
    "500": ("500 Internal Server Error", "InternalError"),
    "503": ("503 Slow Down", "SlowDown"),
    "429": ("429 Too Many Requests", "TooManyRequests"),
    "expired": ("400 Bad Request", "ExpiredToken"),
    "denied": ("403 Forbidden", "AccessDenied"),
}


@dataclass
class Fault:
    """What happens to some requests.

    Attributes:
        requests: Which, a pattern that `METHOD /bucket/key` begins with.
        what: 500, 503, 429, expired, denied, slow, reset (before an answer), cut (in mid-answer),
            huge (announces 10^12 bytes), endless (sends without end, and announces 100 bytes), or for an
            upload that is confirmed: flip (a bit of it is stored otherwise) or drop (it is not stored).
        times: To so many of them.
        met: So many it happened to.
    """

    requests: str
    what: str
    times: int = 1_000_000
    met: int = 0


@dataclass
class Server:
    """The server.

    Attributes:
        faults: In force.
        seen: Requests so far, `METHOD /bucket/key?query`.
        headers: Of the last upload, as WSGI names them.
        slow: Seconds that a slow answer takes.
    """

    faults: list[Fault] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    slow: float = 1.0
    url: str = ""

    def __post_init__(self) -> None:
        # its dispatcher would look through the folders of all of Amazon's services at every request
        self._moto = create_backend_app("s3")
        self._server = make_server("127.0.0.1", 0, self, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()

    @contextlib.contextmanager
    def failing(self, requests: str, what: str, times: int = 1_000_000) -> Iterator[Fault]:
        """A fault, as long as it lasts."""
        fault = Fault(requests, what, times)
        self.faults.append(fault)
        try:
            yield fault
        finally:
            self.faults.remove(fault)

    def count(self, requests: str, since: int = 0) -> int:
        """How many requests were of a kind."""
        return sum(re.match(requests, one) is not None for one in self.seen[since:])

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}{query}"
        self.seen.append(request)
        if environ["REQUEST_METHOD"] == "PUT":
            self.headers = {name: value for name, value in environ.items() if name.startswith("HTTP_")}
        # what Google's client says otherwise than Amazon's
        environ["HTTP_AUTHORIZATION"] = _SIGNED
        if environ.pop("HTTP_X_GOOG_IF_GENERATION_MATCH", None) == "0":
            environ["HTTP_IF_NONE_MATCH"] = "*"
        environ["RAW_URI"] = environ["REQUEST_URI"] = quote(environ["PATH_INFO"]) + query
        for fault in self.faults:
            if fault.met < fault.times and re.match(fault.requests, request):
                fault.met += 1
                return self._fail(fault.what, environ, start)
        answer: Iterable[bytes] = self._moto(environ, start)
        return answer

    def _fail(self, what: str, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if what in ("flip", "drop"):
            return self._lie(what, environ, start)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        connection: socket.socket = environ["werkzeug.socket"]
        if what in _ERRORS:
            status, code = _ERRORS[what]
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [body]
        if what == "slow":
            time.sleep(self.slow)
            answer: Iterable[bytes] = self._moto(environ, start)
            return answer
        if what == "huge":
            start(
                "200 OK",
                [("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT"), ("Content-Length", str(10**12))],
            )
            return [b"only this"]
        if what == "endless":
            return _endless(connection)
        if what == "cut":
            return self._cut(environ, start, connection)
        connection.shutdown(socket.SHUT_RDWR)
        raise ConnectionResetError

    def _lie(self, what: str, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = bytearray(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        if what == "drop":
            start("200 OK", [("ETag", f'"{hashlib.md5(body).hexdigest()}"'), ("Content-Length", "0")])
            return [b""]
        body[len(body) // 2] ^= 4
        environ["wsgi.input"] = io.BytesIO(body)
        answer: Iterable[bytes] = self._moto(environ, start)
        return answer

    def _cut(
        self, environ: dict[str, Any], start: Callable[..., Any], connection: socket.socket
    ) -> Iterator[bytes]:
        body = b"".join(self._moto(environ, start))
        yield body[: len(body) // 2]
        connection.shutdown(socket.SHUT_RDWR)
        raise ConnectionResetError


def _endless(connection: socket.socket) -> Iterator[bytes]:
    """An answer in chunks that has a length too, which only the client's `Content-Length` limits."""
    head = "HTTP/1.1 200 OK\r\nLast-Modified: Wed, 01 Jan 2025 00:00:00 GMT\r\nContent-Length: 100\r\n"
    connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
    sent = 0
    while sent < 2**30:  # to end the test if nobody hangs up
        connection.sendall(b"10000\r\n" + bytes(2**16) + b"\r\n")
        sent += 2**16
    yield b""
    raise ConnectionResetError
