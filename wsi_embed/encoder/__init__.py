"""Exported models and the runtimes that run them."""

from __future__ import annotations

from wsi_embed.encoder.base import Encoded, Encoder
from wsi_embed.encoder.loading import PACKAGED, default_model, is_demonstration, load_encoder, load_pool
from wsi_embed.encoder.metadata import ModelMetadata
from wsi_embed.encoder.pool import EncoderPool

__all__ = [
    "PACKAGED",
    "Encoded",
    "Encoder",
    "EncoderPool",
    "ModelMetadata",
    "default_model",
    "is_demonstration",
    "load_encoder",
    "load_pool",
]
