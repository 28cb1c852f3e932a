"""Slides, manifests and stores elsewhere: S3, Google Cloud Storage, web servers (extra `cloud`).

Nothing here imports obstore before an address is really used: runs on local files never need it.
"""

from wsi_embed.remote.address import Address, Location, is_address, location

__all__ = ["Address", "Location", "is_address", "location"]
