"""Redirects: no credentials to another host, nothing private behind a public address."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsi_embed.errors import RemoteError, SlideError, UsageError
from wsi_embed.storage import objects, redirects
from wsi_embed.storage.address import Address, parse_address

pytest.importorskip("obstore")


class Server(http.server.ThreadingHTTPServer):
    """A web server that answers, or redirects to `target`; it keeps the headers of requests."""

    def __init__(self, target: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.target, self.length, self.seen = target, 5, list[dict[str, str]]()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def at(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append({name.lower(): value for name, value in self.headers.items()})
        if self.server.target:
            self.send_response(307)
            self.send_header("Location", f"{self.server.target}{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        for name, value in (
            ("Content-Length", str(self.server.length)),
            ("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT"),
            ("ETag", '"x"'),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"hello")

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def there() -> Iterator[Server]:
    server = Server()
    yield server
    server.shutdown()


@pytest.fixture(autouse=True)
def _default() -> Iterator[None]:
    redirects.allow_private(False)
    yield
    redirects.allow_private(False)


def redirecting(target: str) -> Server:
    return Server(target)


def test_a_redirect_to_a_private_host_is_not_followed(there: Server) -> None:
    """127.0.0.1 stands for any other host here: it is not the name that the redirect leads to."""
    first = redirecting(there.at("localhost"))
    address = parse_address(f"{first.at()}/x.svs")
    with pytest.raises(RemoteError, match="redirects to localhost, an address of this machine"):
        objects.stat(address)
    assert there.seen == []
    redirects.allow_private(True)
    assert objects.stat(address).size == 5


def test_a_redirect_on_the_same_host_is_followed(there: Server) -> None:
    first = redirecting(there.at())
    assert objects.read(parse_address(f"{first.at()}/x.svs")) == b"hello"


def test_a_redirect_to_a_file_is_named() -> None:
    first = redirecting("file:///etc/passwd")
    with pytest.raises(RemoteError, match="redirects to a file: address, which is not followed; check"):
        objects.read(parse_address(f"{first.at()}/x.svs"))


def test_a_bucket_redirected_to_another_server_gets_no_credentials(
    there: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = redirecting(there.at())
    for name, value in {
        "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token",
        "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": first.at(),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with pytest.raises(RemoteError, match="which would get credentials"):
        objects.stat(Address("s3", "redirected-bucket", "x.svs"))
    assert all("token" not in " ".join(headers.values()) for headers in there.seen + first.seen)
    assert there.seen == []


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1", True), ("localhost", True), ("169.254.169.254", True), ("10.1.2.3", True),
        ("192.168.0.1", True), ("172.16.0.1", True), ("::1", True), ("fe80::1", True), ("0.0.0.0", True),
        ("::ffff:10.0.0.1", True), ("100.64.0.1", True), ("8.8.8.8", False), ("2001:4860:4860::8888", False),
        ("no.such.host.invalid", False),
    ],
)  # fmt: skip
def test_private_hosts(host: str, private: bool) -> None:
    assert redirects.is_private(host) is private


@pytest.mark.parametrize(
    "text",
    [
        "https://server/a.svs#secret",
        "https://server#secret",
        "http://server?x=secret",
        "https://server/#secret",
    ],
)
def test_fragments_and_queries_are_never_repeated(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_address(text)
    assert "secret" not in str(error.value)


def test_a_slide_larger_than_the_disk_is_refused_before_it_is_fetched(there: Server, tmp_path: Path) -> None:
    from wsi_embed.inputs.slides import find_slides
    from wsi_embed.inputs.staging import Staging

    there.length = 10**12
    (item,) = find_slides([f"{there.at()}/x.svs"], remote=True)
    with (
        Staging(tmp_path, 10**13, threading.Event()) as staging,
        pytest.raises(SlideError, match=r"1e\+03 GB, and the disk of the cache has .* GB free"),
        staging.stage(item),
    ):
        pass
    assert [path for path in tmp_path.rglob("*") if path.stat().st_size > 1000 and path.is_file()] == []
