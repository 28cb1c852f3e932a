"""The interface of an encoder: raw tiles in, features and clusters out."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_embed.encoder.device import parse_device
from wsi_embed.encoder.metadata import ModelMetadata
from wsi_embed.errors import DeviceMemoryError, ModelError, UsageError
from wsi_embed.slide.base import UInt8Array
from wsi_embed.util.text import argument

# Rounding error of a softmax in half precision.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Encoded:
    """Encoding of a batch of tiles.

    Attributes:
        features: Features, float32 [B, D].
        cluster: Cluster of each tile, int64 [B]; None without a cluster head.
        confidence: Softmax probability of that cluster, float32 [B]; None without a cluster head.
    """

    features: npt.NDArray[np.float32]
    cluster: npt.NDArray[np.int64] | None = None
    confidence: npt.NDArray[np.float32] | None = None


class Encoder(abc.ABC):
    """Loaded model, ready to encode tiles. See `load_encoder`.

    Attributes:
        path: Model file.
        metadata: Metadata of the file; for a file without metadata, derived from the arguments.
        model_id: Digest that identifies weights, graph, preprocessing, outputs and precision.
        device: Device the model runs on: `cpu`, `cuda:0`.
        mpp: Micrometres per pixel of the tiles: the caller's, else the file's; None if neither is known.
        most: Largest number of tiles that fits into device memory; None until a batch did not fit.
    """

    most: int | None = None
    path: Path
    metadata: ModelMetadata
    device: str
    mpp: float | None = None

    @property
    def model_id(self) -> str:
        """Digest that identifies weights, graph, preprocessing, outputs and precision."""
        return self.metadata.model_id

    @property
    def on_gpu(self) -> bool:
        """Whether the model runs on an NVIDIA GPU."""
        return parse_device(self.device).on_gpu

    @property
    def feature_dim(self) -> int:
        """Number of features per tile."""
        return self.metadata.feature_dim

    @property
    def clusters(self) -> int | None:
        """Number of clusters; None without a cluster head."""
        return self.metadata.clusters

    def encode(self, tiles: UInt8Array) -> Encoded:
        """Encode a batch of tiles.

        A batch that does not fit into device memory is halved, and so are later batches of that size.

        Args:
            tiles: RGB tiles at the model's resolution, uint8 [B, tile_px, tile_px, 3].

        Returns:
            Features and clusters of the tiles.

        Raises:
            ValueError: If the tiles have another shape or dtype.
            ModelError: If the model returns another number of rows, a cluster that it does not have, or a
                confidence that is not a probability.
            DeviceMemoryError: If not even one tile fits into device memory.

        Example:
            >>> import numpy as np
            >>> import wsi_embed
            >>> encoder = wsi_embed.load_encoder("model.onnx", device="cpu")
            >>> px = encoder.metadata.tile_px
            >>> encoded = encoder.encode(np.zeros((2, px, px, 3), np.uint8))
            >>> encoded.features.shape == (2, encoder.feature_dim)
            True
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
                part = self._encode(tiles[start : start + size])
            except Exception as error:  # runtimes raise different types, some only RuntimeError
                if not is_out_of_memory(error):
                    raise
                if size <= 1:
                    raise DeviceMemoryError(
                        f"out of memory on {self.device} with one tile of {px} pixels",
                        remedy="use a smaller model",
                    ) from error
                self.most = size // 2
                continue
            self._check(part, size)
            parts.append(part)
            start += size
        return concatenated(parts)

    @abc.abstractmethod
    def _encode(self, tiles: UInt8Array) -> Encoded:
        """Run the model on checked tiles."""

    def _check(self, encoded: Encoded, size: int) -> None:
        """Check the outputs for a batch of `size` tiles. Features are checked when they are stored."""
        features, cluster, confidence = encoded.features, encoded.cluster, encoded.confidence
        what = None
        if features.shape != (size, self.feature_dim):
            what = f"features of shape {features.shape} for {size} tiles, expected {(size, self.feature_dim)}"
        elif cluster is not None and confidence is not None:
            if cluster.shape != (size,) or confidence.shape != (size,):
                what = f"clusters of shape {cluster.shape} and {confidence.shape} for {size} tiles"
            elif not ((cluster >= 0) & (cluster < (self.clusters or 0))).all():
                what = f"clusters {cluster.min()} to {cluster.max()}, of which there are {self.clusters}"
            elif not ((confidence >= -TOLERANCE) & (confidence <= 1 + TOLERANCE)).all():  # NaN too
                what = f"a cluster_confidence of {confidence.min():g} to {confidence.max():g}, not 0 to 1"
        if what:
            raise ModelError(f"returns {what}", where=self.path.name, remedy="export it again")

    def _check_outputs(self) -> None:
        """Encode one white tile and compare the outputs with the metadata."""
        px, where = self.metadata.tile_px, self.path
        try:
            out = self._encode(np.full((1, px, px, 3), 255, np.uint8))
        except Exception as error:
            raise ModelError(f"cannot encode a tile of {px} x {px} pixels ({error})", where=where) from error
        if out.features.ndim != 2:
            raise ModelError(f"features have shape {out.features.shape}, expected [batch, D]", where=where)
        if self.metadata.feature_dim == 0:
            self.metadata = replace(self.metadata, feature_dim=out.features.shape[1])
        if out.features.shape != (1, self.feature_dim):
            raise ModelError(
                f"features have shape {out.features.shape}, its metadata say {self.feature_dim}", where=where
            )
        if not np.isfinite(out.features).all():
            raise ModelError(
                "the features of a white tile are not finite", where=where, remedy="export it again"
            )
        self._check(out, 1)


def concatenated(parts: Sequence[Encoded]) -> Encoded:
    """Concatenate the encodings of several batches."""
    if len(parts) == 1:
        return parts[0]
    clusters = [part.cluster for part in parts if part.cluster is not None]
    confidences = [part.confidence for part in parts if part.confidence is not None]
    return Encoded(
        np.concatenate([part.features for part in parts]),
        np.concatenate(clusters) if clusters else None,
        np.concatenate(confidences) if confidences else None,
    )


# Parts of the out-of-memory messages of ONNX Runtime (arena, CUDA, cuBLAS, cuDNN) and PyTorch.
_OUT_OF_MEMORY = (
    "out of memory",
    "failed to allocate memory",
    "not enough memory",
    "is smaller than requested bytes",
    "bad allocation",
    "bad_alloc",
    "alloc_failed",
)


def is_out_of_memory(error: Exception) -> bool:
    """Return whether a library raised an error for lack of memory, of the machine or of a device."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY)


def check_tile_px(metadata: ModelMetadata, tile_px: int | None, where: Path) -> None:
    """Check the tile size that the user chose against the model's.

    Raises:
        UsageError: If they differ.
    """
    if tile_px is not None and tile_px != metadata.tile_px:
        raise UsageError(
            f"{where.name} takes tiles of {metadata.tile_px} pixels only", where=argument("tile_px", tile_px)
        )


def foreign_metadata(where: Path, digest: str, tile_px: int | None, mpp: float | None) -> ModelMetadata:
    """Return metadata for a file that has none, from command-line options.

    Args:
        where: Model file.
        digest: SHA-256 of the file.
        tile_px: Side of a tile, pixels.
        mpp: Micrometres per pixel of a tile.

    Raises:
        ModelError: If `tile_px` or `mpp` is missing.
    """
    if tile_px is None or mpp is None:
        raise ModelError(
            "was not exported by wsi-embed",
            where=where.name,
            remedy="pass the `tile_px=` and `mpp=` of the tiles it takes",
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
