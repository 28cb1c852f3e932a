"""Whole-slide images to tile embeddings and cluster assignments, without PyTorch.

Example:
    >>> import wsi_embed
    >>> report = wsi_embed.embed("slides/", "feats.zarr", model="model.onnx")
    >>> for slide_id, bag in wsi_embed.open_store("feats.zarr").items():
    ...     features = bag.features[:]  # (N, D)
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from typing import TYPE_CHECKING, Any

# ONNX Runtime's GPU wheel collects usage data from its import on, which must not happen with patient data.
# Set for the whole process here, because other libraries (onnxscript, for example) may import it first.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from wsi_embed.bags.dataset import BagDataset
    from wsi_embed.bags.labels import LabelledBag, LabelledBags, join_labels
    from wsi_embed.bags.patient import JoinedArray
    from wsi_embed.encoder import Encoded, Encoder, ModelMetadata, load_encoder
    from wsi_embed.errors import (
        DeviceError,
        DeviceMemoryError,
        MissingExtraError,
        MissingStoreError,
        ModelError,
        NoRegionsError,
        RemoteError,
        ResolutionError,
        SlideError,
        Stopped,
        StoreError,
        StoreMismatchError,
        UsageError,
        WsiEmbedError,
    )
    from wsi_embed.evaluate.mil.predict import PredictionReport, SlidePrediction, predict
    from wsi_embed.evaluate.mil.slide_model import MilMetadata
    from wsi_embed.explore.similar import SimilarTile, TileSearch, similar_tiles
    from wsi_embed.features.embed import embed
    from wsi_embed.jobs.listener import Listener
    from wsi_embed.jobs.report import JobReport, SlideResult
    from wsi_embed.slide import Slide, open_slide
    from wsi_embed.store import Bag, LazyArray, PatientBag, Problem, Store, finalize, open_store, verify
    from wsi_embed.tiles.tile import tile
    from wsi_embed.tissue import TissueRecipe
    from wsi_embed.viewer.handle import Viewer, view

__version__ = "0.3.0"

# Imported at first use, so that `wsi-embed --help` and `import wsi_embed` are instant.
_HOME = {
    "embed": "features.embed",
    "tile": "tiles.tile",
    "Encoded": "encoder",
    "Encoder": "encoder",
    "ModelMetadata": "encoder",
    "load_encoder": "encoder",
    "DeviceError": "errors",
    "DeviceMemoryError": "errors",
    "MissingExtraError": "errors",
    "MissingStoreError": "errors",
    "ModelError": "errors",
    "NoRegionsError": "errors",
    "RemoteError": "errors",
    "ResolutionError": "errors",
    "SlideError": "errors",
    "Stopped": "errors",
    "StoreError": "errors",
    "StoreMismatchError": "errors",
    "UsageError": "errors",
    "WsiEmbedError": "errors",
    "MilMetadata": "evaluate.mil.slide_model",
    "PredictionReport": "evaluate.mil.predict",
    "SlidePrediction": "evaluate.mil.predict",
    "predict": "evaluate.mil.predict",
    "SimilarTile": "explore.similar",
    "TileSearch": "explore.similar",
    "similar_tiles": "explore.similar",
    "BagDataset": "bags.dataset",
    "JoinedArray": "bags.patient",
    "LabelledBag": "bags.labels",
    "LabelledBags": "bags.labels",
    "join_labels": "bags.labels",
    "JobReport": "jobs.report",
    "Listener": "jobs.listener",
    "SlideResult": "jobs.report",
    "Slide": "slide",
    "open_slide": "slide",
    "Bag": "store",
    "LazyArray": "store",
    "PatientBag": "store",
    "Problem": "store",
    "Store": "store",
    "finalize": "store",
    "open_store": "store",
    "verify": "store",
    "TissueRecipe": "tissue",
    "Viewer": "viewer.handle",
    "view": "viewer.handle",
}

__all__ = [
    "Bag",
    "BagDataset",
    "DeviceError",
    "DeviceMemoryError",
    "Encoded",
    "Encoder",
    "JobReport",
    "JoinedArray",
    "LabelledBag",
    "LabelledBags",
    "LazyArray",
    "Listener",
    "MilMetadata",
    "MissingExtraError",
    "MissingStoreError",
    "ModelError",
    "ModelMetadata",
    "NoRegionsError",
    "PatientBag",
    "PredictionReport",
    "Problem",
    "RemoteError",
    "ResolutionError",
    "SimilarTile",
    "Slide",
    "SlideError",
    "SlidePrediction",
    "SlideResult",
    "Stopped",
    "Store",
    "StoreError",
    "StoreMismatchError",
    "TileSearch",
    "TissueRecipe",
    "UsageError",
    "Viewer",
    "WsiEmbedError",
    "__version__",
    "embed",
    "finalize",
    "join_labels",
    "load_encoder",
    "open_slide",
    "open_store",
    "predict",
    "similar_tiles",
    "tile",
    "verify",
    "view",
]


class _Moved(types.ModuleType):
    """Module under its former name; the current one is imported at first use."""

    def __init__(self, old: str, new: str) -> None:
        super().__init__(old)
        self._new = new

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # tools that inspect all modules (inspect, pickle) must not import it
            raise AttributeError(name)
        return getattr(importlib.import_module(self._new), name)


attention = sys.modules["wsi_embed.attention"] = _Moved("wsi_embed.attention", "wsi_embed.store.attention")


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'wsi_embed' has no attribute {name!r}")
    return getattr(importlib.import_module(f"wsi_embed.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
