"""The feature store: Zarr format 3, one group a slide."""

from wsi_embed.bags.array import LazyArray
from wsi_embed.bags.bag import Bag
from wsi_embed.bags.patient import PatientBag
from wsi_embed.store.layout import FORMAT_VERSION, StoreSettings
from wsi_embed.store.reader import Store, finalize, open_store
from wsi_embed.store.slide_writer import SlideWriter
from wsi_embed.store.store_writer import StoreWriter
from wsi_embed.store.verify import Problem, verify

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
    "open_store",
    "verify",
]
