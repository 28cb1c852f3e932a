"""Requests to object storage and web servers, through obstore, which retries and finds credentials."""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsi_embed.errors import RemoteError
from wsi_embed.extras import needs_extra
from wsi_embed.remote.address import Address

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

# 0.5 to 20 s between two tries, about two minutes in all: a server that is being restarted is outlived.
RETRY: RetryConfig = {
    "max_retries": 10,
    "backoff": {
        "init_backoff": datetime.timedelta(seconds=0.5),
        "max_backoff": datetime.timedelta(seconds=20),
        "base": 2,
    },
    "retry_timeout": datetime.timedelta(minutes=3),
}
# The first is of one request with its body, the second of a server that says nothing.
CLIENT: ClientConfig = {
    "timeout": datetime.timedelta(hours=1),
    "read_timeout": datetime.timedelta(seconds=60),
    "connect_timeout": datetime.timedelta(seconds=10),
}
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3}[^:\n]*)")
_CREDENTIALS = {
    "AccessDenied", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken",
    "RequestExpired", "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired",
}  # fmt: skip
# What is asked on a cloud's own machines where the environment has no credentials.
_METADATA_SERVERS = ("/latest/api/token", "/latest/meta-data", "computeMetadata")
_used_by: list[int] = []


@dataclass(frozen=True)
class RemoteObject:
    """An object and its state.

    Attributes:
        address: Where it lies.
        size: In bytes.
        tag: Changes with its content, as far as the server says: the ETag, or else the time of change.
        etag: The ETag, where the server has one.
    """

    address: Address
    size: int
    tag: str
    etag: str | None

    @property
    def state(self) -> list[int]:
        """Two numbers that change with its content."""
        return [self.size, zlib.crc32(self.tag.encode())]


def client(address: Address) -> ObjectStore:
    """The store of obstore that an address is in; one a bucket and process.

    Raises:
        MissingExtraError: The extra `cloud` is not installed.
        RemoteError: This process was forked from one that used it, or credentials cannot be read.
    """
    check_process()
    return _client(address.scheme, address.host)


def check_process() -> None:
    """Refuse to hang: obstore's threads are not there in a process that was forked.

    Raises:
        RemoteError: This is such a process.
    """
    if not _used_by:
        _used_by.append(os.getpid())
    if _used_by[0] != os.getpid():
        raise RemoteError(
            "object storage cannot be used in forked processes: start the workers by spawning, for example "
            "DataLoader(..., multiprocessing_context='spawn')"
        )


@functools.lru_cache(maxsize=64)
def _client(scheme: str, host: str) -> ObjectStore:
    with needs_extra("cloud", f"{scheme}://"):
        from obstore.store import GCSStore, HTTPStore, S3Store
    if scheme == "gs":
        return GCSStore(host, client_options=CLIENT, retry_config=RETRY)
    if scheme in ("http", "https"):
        plain: ClientConfig = {**CLIENT, "allow_http": scheme == "http"}
        return HTTPStore(f"{scheme}://{host}", client_options=plain, retry_config=RETRY)
    endpoint = next(filter(None, map(os.environ.get, _ENDPOINTS)), None)
    options: ClientConfig = {**CLIENT}
    if endpoint and endpoint.startswith("http://"):
        options["allow_http"] = True
    more: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
    if _has_profile():
        with needs_extra("cloud", "a profile of the AWS command line"):
            from obstore.auth.boto3 import Boto3CredentialProvider
        try:
            more["credential_provider"] = Boto3CredentialProvider()
        except Exception as error:  # botocore's own tree, and ValueError
            raise RemoteError(f"s3://{host}: no credentials in the AWS profile ({error})") from error
    return S3Store(host, client_options=options, retry_config=RETRY, **more)


def _has_profile() -> bool:
    """Whether credentials are in the AWS command line's files: those obstore does not read by itself."""
    if "AWS_ACCESS_KEY_ID" in os.environ or "AWS_SKIP_SIGNATURE" in os.environ:
        return False
    file = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials"
    return "AWS_PROFILE" in os.environ or Path(file).is_file()


@contextlib.contextmanager
def told(address: Address | str) -> Iterator[None]:
    """Turn an error of obstore into one line without anything secret.

    FileNotFoundError, which obstore raises itself, and FileExistsError are for the caller.

    Raises:
        RemoteError: The server cannot be reached, refuses, or goes on failing after all retries.
    """
    from obstore.exceptions import AlreadyExistsError, BaseError

    try:
        yield
    except AlreadyExistsError:
        raise FileExistsError(str(address)) from None
    except BaseError as error:
        raise RemoteError(f"{address}: {_reason(error)}") from None  # the cause shows whole requests


def _reason(error: Exception) -> str:
    text = str(error)
    first = re.sub(r"\?\S*", "", text.partition("\n")[0])  # a query may hold a signature
    code, status = _CODE.search(text), _STATUS.search(text)
    what = code[1] if code else status[1].strip() if status else first[:200]
    kind = type(error).__name__
    if any(server in text for server in _METADATA_SERVERS):
        return (
            "no credentials in the environment; set them (docs/cloud.md says which variables), then run again"
        )
    if what in _CREDENTIALS or kind in ("PermissionDeniedError", "UnauthenticatedError"):
        return f"access is refused ({what}); renew or correct the credentials, then run again"
    if what == "NoSuchBucket":
        return "there is no such bucket; check the address"
    if status and status[1].startswith("400") and not code:  # an answer to HEAD says no more
        return "the server refuses (400 Bad Request); are the credentials valid, and AWS_REGION right?"
    if kind == "PreconditionError":
        return "the object was changed meanwhile; run again when nobody writes to it"
    if (status and status[1].startswith("30")) or what == "PermanentRedirect":
        return "the bucket is in another region; set AWS_REGION"
    return f"the server goes on failing ({what}); run again when it is well"


def read(address: Address) -> bytes:
    """Content of an object.

    Raises:
        FileNotFoundError: There is none.
        RemoteError: It cannot be read.
    """
    store = client(address)
    with told(address):
        return bytes(store.get(address.key).bytes())


def read_head(address: Address, size: int) -> bytes:
    """The first bytes of an object, fewer where it is smaller.

    Raises:
        FileNotFoundError: There is none.
        RemoteError: It cannot be read.
    """
    store = client(address)
    with told(address):
        return bytes(store.get(address.key, options={"range": (0, size)}).bytes())


def write(address: Address, content: bytes, *, replace: bool = True) -> None:
    """Write an object whole.

    Raises:
        FileExistsError: There is one, and it is not to be replaced.
        RemoteError: It cannot be written.
    """
    store = client(address)
    try:
        with told(address):
            store.put(address.key, content, mode="overwrite" if replace else "create", use_multipart=False)
    except FileNotFoundError:
        raise RemoteError(f"{address}: there is no such bucket; check the address") from None


def stat(address: Address) -> RemoteObject:
    """State of an object.

    Raises:
        FileNotFoundError: There is none.
        RemoteError: It cannot be asked for.
    """
    store = client(address)
    with told(address):
        return _object(address, store.head(address.key))


def below(address: Address) -> Iterator[RemoteObject]:
    """All objects below an address, at any depth, as the server sorts them.

    Raises:
        RemoteError: They cannot be listed.
    """
    store = client(address)
    with told(address):
        for batch in store.list(address.key or None, chunk_size=1000):
            for found in batch:
                yield _object(Address(address.scheme, address.host, found["path"]), found)


def beside(address: Address) -> tuple[list[str], list[RemoteObject]]:
    """Names of the folders directly in an address, and the objects.

    Raises:
        RemoteError: They cannot be listed.
    """
    store = client(address)
    with told(address):
        found = store.list_with_delimiter(address.key or None)
    names = [prefix.rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"]]
    objects = [_object(Address(address.scheme, address.host, o["path"]), o) for o in found["objects"]]
    return names, objects


def delete(addresses: Sequence[Address]) -> None:
    """Delete objects of one bucket.

    Raises:
        RemoteError: They cannot be deleted.
    """
    if addresses:
        store = client(addresses[0])
        with told(addresses[0].parent), contextlib.suppress(FileNotFoundError):
            store.delete([address.key for address in addresses])


def _object(address: Address, found: Any) -> RemoteObject:
    etag = found["e_tag"]
    return RemoteObject(address, found["size"], etag or found["last_modified"].isoformat(), etag)
