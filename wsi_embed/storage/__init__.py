"""Local folders and object storage (S3, Google Cloud Storage, web servers) behind one interface.

Object storage needs the extra `cloud`; obstore is imported when an address is first used.
"""

from wsi_embed.storage.address import Address, Location, is_address, location

__all__ = ["Address", "Location", "is_address", "location"]
