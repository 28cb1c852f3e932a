"""The interface of an encoder: raw tiles in, features and clusters out."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_embed.encoder.metadata import ModelMetadata
from wsi_embed.errors import DeviceMemoryError, ModelError, UsageError
from wsi_embed.slide.base import UInt8Array


@dataclass(frozen=True)
class Encoded:
    """What a batch of tiles became.

    Attributes:
        features: float32 [B, D].
        cluster: int64 [B]; None without a cluster head.
        confidence: Softmax probability of that cluster, float32 [B]; None without a cluster head.
    """

    features: npt.NDArray[np.float32]
    cluster: npt.NDArray[np.int64] | None = None
    confidence: npt.NDArray[np.float32] | None = None


class Encoder(abc.ABC):
    """A loaded model.

    Attributes:
        path: The file.
        metadata: What it says about itself; made up from flags for a foreign file.
        model_id: Digest that identifies weights, preprocessing, outputs and precision.
        device: Where it runs: `cpu`, `cuda:0`.
        mpp: Micrometres per pixel of its tiles: the user's, else the file's; None if nobody says it.
        most: Tiles that fit into the device's memory at once; None until too many were tried.
    """

    most: int | None = None
    path: Path
    metadata: ModelMetadata
    device: str
    mpp: float | None = None

    @property
    def model_id(self) -> str:
        """Digest that identifies weights, preprocessing, outputs and precision."""
        return self.metadata.model_id

    @property
    def feature_dim(self) -> int:
        """Numbers a tile."""
        return self.metadata.feature_dim

    @property
    def clusters(self) -> int | None:
        """Outputs of the cluster head, None without one."""
        return self.metadata.clusters

    def encode(self, tiles: UInt8Array) -> Encoded:
        """Encode a batch; where it does not fit into memory, in halves, and so from then on.

        Args:
            tiles: RGB, uint8 [B, tile_px, tile_px, 3], at the model's mpp.

        Raises:
            ValueError: The tiles have another shape or type.
            DeviceMemoryError: Not even one tile fits into the device's memory.
        """
        px = self.metadata.tile_px
        if tiles.dtype != np.uint8 or tiles.ndim != 4 or tiles.shape[1:] != (px, px, 3):
            raise ValueError(
                f"{self.path.name} wants uint8 [B, {px}, {px}, 3], got {tiles.dtype} {list(tiles.shape)}"
            )
        parts: list[Encoded] = []
        start = 0
        while start < len(tiles) or not parts:
            size = min(self.most or len(tiles), len(tiles) - start)
            try:
                parts.append(self._encode(tiles[start : start + size]))
                start += size
            except Exception as error:  # each runtime has an exception of its own, some none but RuntimeError
                if not _is_out_of_memory(error):
                    raise
                if size <= 1:
                    raise DeviceMemoryError(
                        f"out of memory on {self.device} with one tile of {px} pixels; use a smaller model"
                    ) from error
                self.most = size // 2
        return concatenated(parts)

    @abc.abstractmethod
    def _encode(self, tiles: UInt8Array) -> Encoded:
        """Run the model on checked tiles."""

    def _check_outputs(self) -> None:
        """Encode one white tile: is what comes out what the metadata say?"""
        px, where = self.metadata.tile_px, self.path
        try:
            out = self._encode(np.full((1, px, px, 3), 255, np.uint8))
        except Exception as error:
            raise ModelError(f"{where}: cannot encode a tile of {px} x {px} pixels ({error})") from error
        if out.features.ndim != 2:
            raise ModelError(f"{where}: features have shape {out.features.shape}, expected [batch, D]")
        if self.metadata.feature_dim == 0:
            self.metadata = replace(self.metadata, feature_dim=out.features.shape[1])
        if out.features.shape != (1, self.feature_dim):
            raise ModelError(
                f"{where}: features have shape {out.features.shape}, its metadata say {self.feature_dim}"
            )
        if not np.isfinite(out.features).all():
            raise ModelError(f"{where}: the features of a white tile are not finite; export it again")


def concatenated(parts: Sequence[Encoded]) -> Encoded:
    """Encodings of several batches as one."""
    if len(parts) == 1:
        return parts[0]
    clusters = [part.cluster for part in parts if part.cluster is not None]
    confidences = [part.confidence for part in parts if part.confidence is not None]
    return Encoded(
        np.concatenate([part.features for part in parts]),
        np.concatenate(clusters) if clusters else None,
        np.concatenate(confidences) if confidences else None,
    )


# What ONNX Runtime (its arena, CUDA, cuBLAS, cuDNN) and PyTorch say when memory runs out.
_OUT_OF_MEMORY = (
    "out of memory",
    "failed to allocate memory",
    "not enough memory",
    "is smaller than requested bytes",
    "bad allocation",
    "bad_alloc",
    "alloc_failed",
)


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY)


def check_tile_px(metadata: ModelMetadata, tile_px: int | None, where: Path) -> None:
    """A model takes tiles of one size.

    Raises:
        UsageError: The user says another.
    """
    if tile_px is not None and tile_px != metadata.tile_px:
        raise UsageError(f"--tile-px {tile_px}: {where.name} takes tiles of {metadata.tile_px} pixels only")


def foreign_metadata(where: Path, digest: str, tile_px: int | None, mpp: float | None) -> ModelMetadata:
    """Metadata for a file that has none, from flags.

    Raises:
        ModelError: A flag is missing.
    """
    if tile_px is None or mpp is None:
        raise ModelError(
            f"{where.name} was not exported by wsi-embed: say what tiles it takes with --tile-px and --mpp"
        )
    return ModelMetadata(
        name=where.stem,
        method="unknown",
        backbone="unknown",
        tile_px=tile_px,
        mpp=mpp,
        mean=(),
        std=(),
        feature_dim=0,
        clusters=None,
        precision="unknown",
        model_id=f"sha256:{digest}",
    )
