"""Server of the viewer: where it listens, and its address."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from dataclasses import dataclass
from urllib.parse import quote

import uvicorn

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument
from wsi_embed.viewer.app import create_app
from wsi_embed.viewer.session import Session

LOOPBACK, PORT = "127.0.0.1", 8765
# Seconds that requests may still take after Ctrl+C.
GRACE = 2
# Seconds that connections of a browser stay open while somebody looks at the screen.
KEEP_ALIVE = 60


@dataclass(frozen=True)
class Listening:
    """Server that listens and is ready to run.

    Attributes:
        url: Address to open in a browser, with the token if there is one.
        server: The server.
        sockets: Its sockets.
    """

    url: str
    server: uvicorn.Server
    sockets: list[socket.socket]

    def run(self) -> None:
        """Serve until `stop`, or in the main thread until SIGINT or SIGTERM."""
        self.server.run(sockets=self.sockets)

    def stop(self) -> None:
        """Let `run` end."""
        self.server.should_exit = True


def listen(
    session: Session,
    *,
    host: str = LOOPBACK,
    port: int | None = None,
    token: str | None = None,
    framed: bool = False,
) -> Listening:
    """Bind a port for a session.

    Args:
        session: Stores and slides to show.
        host: Address to listen on. Other machines can reach it unless it is a loopback address.
        port: Port to listen on; by default 8765, or a free one if that is taken.
        token: Secret that a browser has to show once. If other machines can reach the server, one is made by
            default.
        framed: Whether pages of notebooks on this machine may show the viewer in a frame.

    Raises:
        UsageError: If the address cannot be used, or the token is too short.
    """
    if token is not None and (len(token) < 8 or not token.isprintable()):
        raise UsageError(
            "is no secret that can be typed", where="`token=`", remedy="use 8 printable characters or more"
        )
    bound = _bind(host, port)
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    app = create_app(session, token=token, names=[host], framed=framed)
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )
    return Listening(_url(host, bound.getsockname()[1], token), uvicorn.Server(config), [bound])


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bind(host: str, port: int | None) -> socket.socket:
    wanted = [PORT, 0] if port is None else [port]
    for number in wanted:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
            bound = socket.socket(family, kind, protocol)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(128)  # from here on, browsers can connect
        except (OSError, OverflowError, UnicodeError) as error:
            problem = error
            continue
        return bound
    where = argument("host", host) if port is None else argument("port", port)
    reason = getattr(problem, "strerror", None) or problem
    raise UsageError(f"cannot be listened on ({reason})", where=where, remedy="choose another") from problem


def _url(host: str, port: int, token: str | None) -> str:
    name = host if host not in ("0.0.0.0", "::", "") else socket.gethostname()
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{port}/" + (f"?token={quote(token, safe='')}" if token else "")
