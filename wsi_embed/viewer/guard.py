"""Protection of the viewer's server: who may read, who may write, and what a page may load.

A web page of somebody else, open in the same browser, can send requests to this server. It cannot read the
answers, unless its own name is made to lead here (DNS rebinding): so names that are not this machine's are
refused. Requests that change something need a header that a foreign page cannot set.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Collection, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

WRITE_HEADER = "x-wsi-embed"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors {frames}"
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
NO_TOKEN = "This viewer needs its token: open the address that wsi-embed view printed, with ?token=...\n"


class Guard:
    """Middleware that checks every request, and adds headers to every response.

    Args:
        app: The application.
        token: Secret that a browser has to show once; None for a server that needs none.
        read_only: Whether requests that change something are refused.
        names: Further names of this machine.
        framed: Whether pages of notebooks on this machine may show the viewer in a frame.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str | None = None,
        read_only: bool = False,
        names: Collection[str] = (),
        framed: bool = False,
    ) -> None:
        self._app, self._token, self._read_only = app, token, read_only
        own = {"localhost", socket.gethostname(), socket.getfqdn(), *names}
        self._names = {name.lower() for name in own}
        # the cookie is no copy of the token, and its name differs between servers of one machine
        self._cookie, self._secret = f"wsi-embed-{secrets.token_hex(4)}", secrets.token_urlsafe(32)
        frames = "'self' http://localhost:* http://127.0.0.1:*" if framed else "'self'"
        self._headers = {"content-security-policy": POLICY.format(frames=frames), **HEADERS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._answer(scope)
        await (self._app if answer is None else answer)(scope, receive, send_with_headers)

    def _answer(self, scope: Scope) -> Response | None:
        """Return the answer to a request that is not passed on."""
        headers = Headers(scope=scope)
        if not self._is_own(headers.get("host", "")):
            return PlainTextResponse("The address is not one of this machine's names.\n", 421)
        if self._token is not None and (answer := self._check_token(scope, headers)) is not None:
            return answer
        if scope["path"].startswith("/api/") and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return _refused(403, "the request comes from the page of another server")
        if scope["method"] not in ("GET", "HEAD"):
            return self._check_write(headers)
        return None

    def _is_own(self, host: str) -> bool:
        """Return whether a Host header is a name of this machine or an IP address, which is beyond DNS."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name not in self._names:
                ipaddress.ip_address(name)
        except ValueError:
            return False
        return "@" not in host

    def _check_token(self, scope: Scope, headers: Headers) -> Response | None:
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        given = query.pop("token", None)
        if given is not None and _same(given, self._token):
            # quoted, because browsers take a backslash for a slash, and two for another server
            to = "/" + quote(scope["path"].lstrip("/")) + (f"?{urlencode(query)}" if query else "")
            answer = Response(status_code=303, headers={"location": to})
            answer.set_cookie(self._cookie, self._secret, httponly=True, samesite="strict")
            return answer
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(bearer, self._token):
            return None
        if _same(_cookies(headers).get(self._cookie), self._secret):
            return None
        return PlainTextResponse(NO_TOKEN, 401)

    def _check_write(self, headers: Headers) -> Response | None:
        if self._read_only:
            return _refused(403, "this viewer changes nothing: it was started read-only")
        origin = headers.get("origin")
        if WRITE_HEADER not in headers:
            return _refused(403, f"a change needs the header {WRITE_HEADER}")
        own = {f"{scheme}://{headers.get('host', '')}".lower() for scheme in ("http", "https")}
        if origin is not None and origin.lower() not in own:
            return _refused(403, "the change was asked for by the page of another server")
        return None


def _refused(status: int, what: str) -> Response:
    return JSONResponse({"error": {"what": what, "where": None, "remedy": None}}, status)


def _same(given: str | None, secret: str | None) -> bool:
    """Compare a secret in a time that does not depend on where they differ."""
    return hmac.compare_digest((given or "").encode(), (secret or "").encode()) and bool(secret)


def _cookies(headers: Headers) -> Mapping[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}
