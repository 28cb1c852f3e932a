"""The feature store: Zarr format 3, one group a slide."""

from wsi_embed.store.array import LazyArray
from wsi_embed.store.bag import Bag
from wsi_embed.store.layout import FORMAT_VERSION, StoreSettings
from wsi_embed.store.patient import PatientBag
from wsi_embed.store.reader import Store, finalize, open_store
from wsi_embed.store.root import StoreWriter
from wsi_embed.store.verify import Problem, verify
from wsi_embed.store.writer import SlideWriter

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
