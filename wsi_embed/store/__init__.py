"""Feature store: Zarr format 3, one group per slide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsi_embed.bags.array import LazyArray
from wsi_embed.bags.bag import Bag
from wsi_embed.bags.patient import PatientBag
from wsi_embed.store.finalizing import finalize
from wsi_embed.store.layout import FORMAT_VERSION, StoreSettings
from wsi_embed.store.opening import open_named_store, open_store
from wsi_embed.store.reader import Store
from wsi_embed.store.verify import Problem, verify

if TYPE_CHECKING:
    from wsi_embed.store.slide_writer import SlideWriter
    from wsi_embed.store.store_writer import StoreWriter

__all__ = [
    "FORMAT_VERSION",
    "Bag",
    "LazyArray",
    "PatientBag",
    "Problem",
    "SlideWriter",
    "Store",
    "StoreSettings",
    "StoreWriter",
    "finalize",
    "open_named_store",
    "open_store",
    "verify",
]


def __getattr__(name: str) -> Any:
    # Writing needs the encoder and OpenCV; reading should not have to import them.
    if name == "SlideWriter":
        from wsi_embed.store.slide_writer import SlideWriter

        return SlideWriter
    if name == "StoreWriter":
        from wsi_embed.store.store_writer import StoreWriter

        return StoreWriter
    raise AttributeError(f"module 'wsi_embed.store' has no attribute {name!r}")
