"""The teacher of a run: outputs of an exported model for batches of tiles."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from wsi_embed.encoder import Encoder
from wsi_embed.errors import WsiEmbedError
from wsi_embed.slide import UInt8Array
from wsi_embed_train.methods.distil import Taught
from wsi_embed_train.teacher.cache import NO_CLUSTER, Rows, TeacherCache, known, row_type

BATCH = 64


class Teacher:
    """Exported model that gives the outputs which the student learns.

    Features have length 1 and are rounded to half precision, whether they are cached or not, so that a run
    does not depend on it.

    Args:
        encoder: The model.
        cache: Cache of the outputs of tiles that are the same in every epoch: those with numbers below its
            length. Each is filled in when its tile is first seen.
    """

    def __init__(self, encoder: Encoder, cache: TeacherCache | None = None) -> None:
        self.encoder, self.cache = encoder, cache
        self._type = row_type(encoder.feature_dim)

    def __call__(self, tiles: Tensor, numbers: Sequence[int] = ()) -> Taught:
        """Return the outputs for a batch of tiles.

        Args:
            tiles: uint8 [B, S, S, 3], on any device. They are resized to the size that the model takes.
            numbers: Number of each tile, for the cache; empty if the tiles are not to be cached.

        Returns:
            Features and clusters, on the device of the tiles.

        Raises:
            WsiEmbedError: If a feature is NaN or infinite.
        """
        pixels = tiles.cpu().numpy()
        rows = self._encoded(pixels) if self.cache is None or not numbers else self._cached(pixels, numbers)
        clusters = torch.from_numpy(rows["cluster"].astype(np.int64)).to(tiles.device)
        features = torch.from_numpy(rows["features"].astype(np.float32)).to(tiles.device)
        return Taught(features, None if self.encoder.clusters is None else clusters)

    def _cached(self, pixels: UInt8Array, numbers: Sequence[int]) -> Rows:
        assert self.cache is not None
        at = np.asarray(numbers, np.int64)
        rows = np.zeros(len(at), self._type)
        fixed = at < len(self.cache)
        rows[fixed] = self.cache.get(at[fixed])
        new = fixed & ~known(rows)
        # Apart, because the last bits of a feature can depend on the size of its batch, and a resumed run may
        # find more in the cache than the interrupted one did.
        for chosen in (new, ~fixed):
            if chosen.any():
                rows[chosen] = self._encoded(pixels[chosen])
        self.cache.put(at[new], rows[new])
        return rows

    def _encoded(self, pixels: UInt8Array) -> Rows:
        """Return rows with the outputs of the model."""
        rows = np.zeros(len(pixels), self._type)
        for start in range(0, len(pixels), BATCH):
            part = slice(start, start + BATCH)
            encoded = self.encoder.encode(resized(pixels[part], self.encoder.metadata.tile_px))
            if not np.isfinite(encoded.features).all():
                raise WsiEmbedError(
                    "the teacher has features that are NaN or infinite",
                    where=self.encoder.path.name,
                    remedy="export it with another precision",
                )
            length = np.linalg.norm(encoded.features.astype(np.float64), axis=1, keepdims=True)
            rows["features"][part] = encoded.features / np.maximum(length, np.finfo(np.float32).tiny)
            rows["cluster"][part] = NO_CLUSTER if encoded.cluster is None else encoded.cluster
        return rows


def resized(tiles: UInt8Array, px: int) -> UInt8Array:
    """Return tiles, uint8 [B, S, S, 3], resampled to a side of `px` pixels as tile images are."""
    side = tiles.shape[1]
    if side == px:
        return np.ascontiguousarray(tiles)
    method = cv2.INTER_AREA if side > px else cv2.INTER_CUBIC
    return np.stack(
        [np.asarray(cv2.resize(tile, (px, px), interpolation=method), np.uint8) for tile in tiles]
    )
