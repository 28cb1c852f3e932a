"""obstore clients for object storage and web servers, with retries and credentials."""

from __future__ import annotations

import datetime
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsi_embed.errors import RemoteError
from wsi_embed.storage.address import WEB, Address
from wsi_embed.storage.redirects import check_redirects, endpoint_of
from wsi_embed.util.extras import needs_extra
from wsi_embed.util.home import home

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

# 0.5 to 20 s between attempts, about two minutes in all: long enough for a server to restart.
RETRY: RetryConfig = {
    "max_retries": 10,
    "backoff": {
        "init_backoff": datetime.timedelta(seconds=0.5),
        "max_backoff": datetime.timedelta(seconds=20),
        "base": 2,
    },
    "retry_timeout": datetime.timedelta(minutes=3),
}
# `timeout` limits a whole request with its body, `read_timeout` the wait for a silent server.
CLIENT: ClientConfig = {
    "timeout": datetime.timedelta(hours=1),
    "read_timeout": datetime.timedelta(seconds=60),
    "connect_timeout": datetime.timedelta(seconds=10),
}
_used_by: list[int] = []


def client(address: Address) -> ObjectStore:
    """Return the obstore client for an address, one per bucket and process.

    Raises:
        MissingExtraError: If the extra `cloud` is not installed.
        RemoteError: If this process was forked from one that used obstore, credentials cannot be read, or
            the server redirects to where it must not.
    """
    check_process()
    if address.scheme in WEB:
        check_redirects(address)
    elif address.scheme == "s3":
        check_redirects(Address(address.scheme, address.host, ""), endpoint_of())
    return _client(address.scheme, address.host)


def check_process() -> None:
    """Check that obstore works in this process: after a fork its threads are missing, and it would hang.

    Raises:
        RemoteError: If this process was forked from one that used obstore.
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
    endpoint = endpoint_of()
    options: ClientConfig = {**CLIENT}
    if endpoint and endpoint.startswith("http://"):
        options["allow_http"] = True
    # the server compares the checksum of each upload
    more: dict[str, Any] = {"checksum_algorithm": "SHA256"}
    if endpoint:
        more["endpoint"] = endpoint
    if _has_profile():
        with needs_extra("cloud", "a profile of the AWS command line"):
            from obstore.auth.boto3 import Boto3CredentialProvider
        try:
            more["credential_provider"] = Boto3CredentialProvider()
        except Exception as error:  # botocore's own exceptions, and ValueError
            raise RemoteError(f"no credentials in the AWS profile ({error})", where=f"s3://{host}") from error
    return S3Store(host, client_options=options, retry_config=RETRY, **more)


def _has_profile() -> bool:
    """Return whether there are AWS command-line credentials files, which obstore does not read by itself."""
    if "AWS_ACCESS_KEY_ID" in os.environ or "AWS_SKIP_SIGNATURE" in os.environ:
        return False
    file = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or (home() or Path()) / ".aws" / "credentials"
    return "AWS_PROFILE" in os.environ or Path(file).is_file()
