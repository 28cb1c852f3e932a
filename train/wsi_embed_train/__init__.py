"""Training of tile encoders (extra `train`): CluBYOL, CluSiam and the methods they are compared with."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsi_embed_train.clustering import cluster_similarity
    from wsi_embed_train.config import TrainConfig
    from wsi_embed_train.fit import train
    from wsi_embed_train.listener import Listener
    from wsi_embed_train.methods import build_method
    from wsi_embed_train.recipe import load_recipe, parse_settings

__all__ = [
    "Listener",
    "TrainConfig",
    "build_method",
    "cluster_similarity",
    "load_recipe",
    "parse_settings",
    "train",
]

# Imported on first use: worker processes that only decode tiles need neither Lightning nor the methods.
_MODULES = {
    "Listener": "listener",
    "TrainConfig": "config",
    "build_method": "methods",
    "cluster_similarity": "clustering",
    "load_recipe": "recipe",
    "parse_settings": "recipe",
    "train": "fit",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
