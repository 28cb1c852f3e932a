"""Requests to object storage and web servers, with clear errors."""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from wsi_embed.errors import RemoteError
from wsi_embed.storage.address import Address
from wsi_embed.storage.answers import LARGEST, content
from wsi_embed.storage.client import client

_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3}[^:\n]*)")
_CREDENTIALS = {
    "AccessDenied", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken",
    "RequestExpired", "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired",
}  # fmt: skip
# Parts of errors that happen before there is an answer.
_UNREACHED = ("kind: Connect,", "ConnectError(")
# Requests to cloud metadata servers, made if the environment has no credentials.
_METADATA_SERVERS = ("/latest/api/token", "/latest/meta-data", "computeMetadata")


@dataclass(frozen=True)
class RemoteObject:
    """Remote object and its state.

    Attributes:
        address: Address of the object.
        size: Size in bytes.
        tag: Text that changes with the content: the ETag, or else the modification time.
        etag: The ETag, if the server sends one.
    """

    address: Address
    size: int
    tag: str
    etag: str | None

    @property
    def state(self) -> list[int]:
        """Two integers that change with the content, the first of them the size."""
        return [self.size, zlib.crc32(self.tag.encode())]


@contextlib.contextmanager
def remote_errors(address: Address | str) -> Iterator[None]:
    """Turn an obstore error into a RemoteError of one line, without secrets.

    FileNotFoundError, which obstore raises itself, and FileExistsError are passed on.

    Raises:
        RemoteError: If the server cannot be reached, refuses, or still fails after all retries.
    """
    from obstore.exceptions import AlreadyExistsError, BaseError

    try:
        yield
    except AlreadyExistsError:
        raise FileExistsError(str(address)) from None
    except BaseError as error:
        raise RemoteError(_reason(error), where=address) from None  # the cause would show whole requests


def _reason(error: Exception) -> str:
    text = str(error)
    first = re.sub(r"\?\S*", "", text.partition("\n")[0])  # a query may contain a signature
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
    if status and status[1].startswith("400") and not code:  # the response to HEAD has no body
        return "the server refuses (400 Bad Request); are the credentials valid, and AWS_REGION right?"
    if kind == "PreconditionError":
        return "the object was changed meanwhile; run again when nobody writes to it"
    if (status and status[1].startswith("30")) or what == "PermanentRedirect":
        return "the bucket is in another region; set AWS_REGION"
    if any(words in text for words in _UNREACHED):
        return (
            "the server cannot be reached; check the address, and the endpoint and proxy in the environment"
        )
    return f"the server keeps failing ({what}); run again later"


def read(address: Address) -> bytes:
    """Return the content of an object.

    Raises:
        FileNotFoundError: If there is no such object.
        RemoteError: If the object cannot be read.
    """
    store = client(address)
    with remote_errors(address):
        return content(store.get(address.key), LARGEST, address)


def read_head(address: Address, size: int) -> bytes:
    """Return the first bytes of an object, fewer if it is smaller.

    Raises:
        FileNotFoundError: If there is no such object.
        RemoteError: If the object cannot be read.
    """
    store = client(address)
    with remote_errors(address):
        return content(store.get(address.key, options={"range": (0, size)}), size, address)


def write(address: Address, data: bytes, *, replace: bool = True) -> None:
    """Write an object in one request.

    Raises:
        FileExistsError: If the object exists and `replace` is false.
        RemoteError: If the object cannot be written.
    """
    store = client(address)
    try:
        with remote_errors(address):
            store.put(address.key, data, mode="overwrite" if replace else "create", use_multipart=False)
    except FileNotFoundError:
        raise RemoteError("there is no such bucket", where=address, remedy="check the address") from None


def stat(address: Address) -> RemoteObject:
    """Return the state of an object.

    Raises:
        FileNotFoundError: If there is no such object.
        RemoteError: If the request fails.
    """
    store = client(address)
    with remote_errors(address):
        return _object(address, store.head(address.key))


def below(address: Address) -> Iterator[RemoteObject]:
    """Yield all objects below an address, at any depth, in the order of the server.

    Raises:
        RemoteError: If the objects cannot be listed.
    """
    store = client(address)
    with remote_errors(address):
        for batch in store.list(address.key or None, chunk_size=1000):
            for found in batch:
                yield _object(Address(address.scheme, address.host, found["path"]), found)


def beside(address: Address) -> tuple[list[str], list[RemoteObject]]:
    """Return the names of the folders and the objects directly below an address.

    Raises:
        RemoteError: If the objects cannot be listed.
    """
    store = client(address)
    with remote_errors(address):
        found = store.list_with_delimiter(address.key or None)
    names = [prefix.rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"]]
    objects = [_object(Address(address.scheme, address.host, o["path"]), o) for o in found["objects"]]
    return names, objects


def delete(addresses: Sequence[Address]) -> None:
    """Delete objects of one bucket.

    Raises:
        RemoteError: If the objects cannot be deleted.
    """
    if addresses:
        store = client(addresses[0])
        with remote_errors(addresses[0].parent), contextlib.suppress(FileNotFoundError):
            store.delete([address.key for address in addresses])


def _object(address: Address, found: Any) -> RemoteObject:
    etag = found["e_tag"]
    return RemoteObject(address, found["size"], etag or found["last_modified"].isoformat(), etag)
