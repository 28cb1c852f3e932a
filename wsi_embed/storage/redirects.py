"""Redirects of servers: none carries credentials to another host, and none leads into a private network.

The client library follows redirects by itself. The first answer for an address is therefore requested here,
without credentials, before the library asks for it.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import ipaddress
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from wsi_embed.errors import RemoteError
from wsi_embed.storage.address import WEB, Address

MOST_REDIRECTS, SECONDS = 10, 10.0
_allowed = False


def allow_private(allowed: bool) -> None:
    """Set whether redirects of this process may lead to loopback, link-local and private addresses."""
    global _allowed  # clients are shared by all jobs of a process
    _allowed = allowed
    check_redirects.cache_clear()


@functools.lru_cache(maxsize=4096)
def check_redirects(address: Address, endpoint: str | None = None) -> None:
    """Check where the redirects of an address lead. Errors of the server are left to the request itself.

    Args:
        address: Address of an object.
        endpoint: Server of the bucket; None for web servers, and for a provider's own.

    Raises:
        RemoteError: If a bucket's server redirects to another host, which would get the session token; or a
            web server to another host that is private.
    """
    if address.scheme not in WEB and endpoint is None:
        return
    first = _url(address, endpoint)
    for url in _redirects(first):
        if _host(url) == _host(first):
            continue
        host = urlsplit(url).hostname
        if not host:
            raise RemoteError(
                f"the server redirects to a {urlsplit(url).scheme}: address, which is not followed",
                where=address,
                remedy="check the address",
            )
        if endpoint is not None:
            raise RemoteError(
                f"the server redirects to another host, {host}, which would get credentials",
                where=address,
                remedy="give that host as AWS_ENDPOINT_URL if it is right",
            )
        if not _allowed and host != urlsplit(first).hostname and is_private(host):
            raise RemoteError(
                f"redirects to {host}, an address of this machine or a private network",
                where=address,
                remedy="use `allow_private=True` if that is right",
            )


def is_private(host: str) -> bool:
    """Return whether a host is this machine, or in a private or link-local network."""
    with contextlib.suppress(OSError, UnicodeError):
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
        return any(not _is_public(str(address)) for address in found)
    return False  # without an address nothing can be requested


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_global)


def _host(url: str) -> tuple[str | None, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _url(address: Address, endpoint: str | None) -> str:
    path = quote(address.key)
    if endpoint is None:
        return f"{address.scheme}://{address.host}/{path}"
    return f"{endpoint.rstrip('/')}/{address.host}/{path}"


def _redirects(url: str) -> Iterator[str]:
    """Yield the addresses to which a server redirects, one after the other."""
    opener = urllib.request.build_opener(_NoRedirect)
    for _ in range(MOST_REDIRECTS):
        request = urllib.request.Request(url, headers={"Range": "bytes=0-0"})
        try:
            with opener.open(request, timeout=SECONDS):
                return
        except urllib.error.HTTPError as error:
            error.close()
            target = error.headers.get("Location") if 300 <= error.code < 400 else None
        except (OSError, http.client.HTTPException, ValueError):
            return
        if not target:
            return
        url = urljoin(url, target)
        yield url
        if urlsplit(url).scheme not in WEB:
            return


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Handler that leaves redirects to the caller."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def endpoint_of(environ: Any = os.environ) -> str | None:
    """Return the server of S3 buckets from the environment; None for that of Amazon."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return next(filter(None, map(environ.get, names)), None)
