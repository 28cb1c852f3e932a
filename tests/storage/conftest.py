"""A server, buckets of a test's own, and the environment as a user has it."""

from __future__ import annotations

import datetime
import itertools
import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.job_tools import make_model
from tests.made_slides import he_pixels, write_tiff
from tests.storage.server import Server
from wsi_embed.storage import Address, objects
from wsi_embed.storage.address import parse_address
from wsi_embed.storage.client import _client

_number = itertools.count()


@pytest.fixture(scope="session")
def _server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def server(_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, as the one that `s3://` means, with retries that take no time."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "top-secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": _server.url,  # over plain http: that it says so is enough
    }.items():
        monkeypatch.setenv(name, value)
    quick = datetime.timedelta(milliseconds=5)
    retry = {"max_retries": 4, "backoff": {"init_backoff": quick, "max_backoff": 4 * quick, "base": 2}}
    monkeypatch.setattr("wsi_embed.storage.client.RETRY", retry)
    client = {"read_timeout": datetime.timedelta(seconds=0.5), "allow_http": True}
    monkeypatch.setattr("wsi_embed.storage.client.CLIENT", client)
    _client.cache_clear()
    _server.slow, _server.faults = 1.0, []
    yield _server
    _client.cache_clear()


@pytest.fixture
def bucket(server: Server) -> Address:
    """A new bucket."""
    name = f"bucket-{next(_number)}"
    urllib.request.urlopen(urllib.request.Request(f"{server.url}/{name}", method="PUT")).close()
    return parse_address(f"s3://{name}")


@pytest.fixture
def google(server: Server, bucket: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Address:
    """The same bucket as Google's."""
    key = tmp_path / "google.json"
    account = {"client_email": "", "private_key": "", "private_key_id": "", "disable_oauth": True}
    key.write_text(json.dumps({**account, "gcs_base_url": server.url}))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(key))
    return Address("gs", bucket.host, "")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small slides, one in a subfolder."""
    folder = tmp_path_factory.mktemp("slides")
    (folder / "batch 2").mkdir()
    for number, name in enumerate(("a.tif", "batch 2/b.tif", "c.tif")):
        write_tiff(folder / name, he_pixels(260, 300 + 40 * number, seed=number), mpp=0.5)
    return folder


def put(folder: Path, where: Address) -> Address:
    """Copy a folder's files below an address."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            objects.write(where / path.relative_to(folder).as_posix(), path.read_bytes())
    return where


@pytest.fixture
def uploaded(slides: Path, bucket: Address) -> Address:
    """The slides, at `s3://bucket/in`."""
    return put(slides, bucket / "in")


Upload = Callable[[Path, Address], Address]
