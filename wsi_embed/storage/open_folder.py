"""Opening of a local or remote folder."""

from __future__ import annotations

from wsi_embed.storage.address import Address, Location
from wsi_embed.storage.folder import LocalPlace, Place
from wsi_embed.storage.remote_folder import RemotePlace


def place_at(where: Location | Place) -> Place:
    """Return the folder at a path or an address.

    Raises:
        UsageError: If the address is of a web server, which cannot hold a store.
        MissingExtraError: If the extra `cloud` is needed and not installed.
    """
    if isinstance(where, Place):
        return where
    return RemotePlace(where) if isinstance(where, Address) else LocalPlace(where)
