"""The server and buckets of the storage tests, for slides that are on them."""

from tests.storage.conftest import _server, bucket, server

__all__ = ["_server", "bucket", "server"]
