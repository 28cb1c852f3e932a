"""Callbacks of a training run, each with one task."""

from wsi_embed_train.callbacks.checkpoints import Checkpoints
from wsi_embed_train.callbacks.collapse import CollapseError, CollapseMonitor
from wsi_embed_train.callbacks.finite import DivergedError, FiniteLoss
from wsi_embed_train.callbacks.knn import OnlineKnn
from wsi_embed_train.callbacks.record import Recorder
from wsi_embed_train.callbacks.stop import StopOnRequest
from wsi_embed_train.callbacks.unreadable import UnreadableTiles

__all__ = [
    "Checkpoints",
    "CollapseError",
    "CollapseMonitor",
    "DivergedError",
    "FiniteLoss",
    "OnlineKnn",
    "Recorder",
    "StopOnRequest",
    "UnreadableTiles",
]
