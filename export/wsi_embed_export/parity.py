"""Comparison of an exported file with the PyTorch model in fp32."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import cv2
import numpy as np
import numpy.typing as npt
import torch

from wsi_embed.encoder import Encoded, Encoder
from wsi_embed.encoder.base import concatenated
from wsi_embed.encoder.difference import Difference, difference
from wsi_embed.errors import WsiEmbedError
from wsi_embed.slide import UInt8Array
from wsi_embed_export.graph import TileModel
from wsi_embed_export.real_tiles import packaged_tiles

BATCHES = (1, 2, 7, 64)
# Number of tiles that replaces the last, where so many do not fit into memory: they take long then, too.
FEWEST = 16
# A tile whose two largest logits differ by no more than this may get either cluster.
TIE = {"fp32": 1e-4, "fp16": 1e-2, "int8": 1e-2}


class ParityError(WsiEmbedError):
    """Raised when the outputs of an exported file differ from those of the model."""


@dataclass(frozen=True)
class Limits:
    """Limits of the difference between an exported file and PyTorch in fp32.

    Attributes:
        cosine: Minimum cosine of the features of a tile.
        centred: Minimum centred cosine of the features of a tile.
        mean_centred: Minimum mean of the centred cosines.
        clusters: Minimum share of tiles with the same cluster, without near-ties.
        confidence: Maximum difference of the probability of a cluster.
    """

    cosine: float = -1.0
    centred: float = -1.0
    mean_centred: float = -1.0
    clusters: float = 0.0
    confidence: float = 1.0


def limits_of(precision: str, min_cosine: float = 0.97) -> Limits:
    """Return the limits of a precision; `min_cosine` limits the mean centred cosine of int8."""
    return {
        "fp32": Limits(cosine=0.99999, clusters=1.0, confidence=1e-3),
        "fp16": Limits(centred=0.999, clusters=0.995, confidence=0.1),
        "int8": Limits(mean_centred=min_cosine),
    }[precision]


def check_parity(
    reference: TileModel, encoder: Encoder, limits: Limits, kinds: Iterable[Iterable[UInt8Array]]
) -> Difference:
    """Encode tiles with both models and compare the results.

    Args:
        reference: The model in PyTorch, fp32.
        encoder: The exported file, loaded by the runtime.
        limits: Limits of the difference, for each kind of tiles.
        kinds: Batches of tiles, uint8 [B, tile_px, tile_px, 3], for each kind of tiles.

    Returns:
        Their difference, with the worst value of each figure over the kinds. Of the two shares of tiles with
        the same cluster, `clear_cluster_agreement` has the limit.

    Raises:
        ParityError: If a limit is exceeded. The message names the output that exceeds its limit most.
    """
    return worst_of([_compare(reference, encoder, limits, batches) for batches in kinds])


def _compare(
    reference: TileModel, encoder: Encoder, limits: Limits, batches: Iterable[UInt8Array]
) -> Difference:
    ours, theirs, margins = [], [], []
    for tiles in batches:
        expected, margin = _reference(reference, tiles)
        found = encoder.encode(tiles)
        if found.features.shape != expected.features.shape:
            shapes = f"{list(found.features.shape)}, expected {list(expected.features.shape)}"
            raise ParityError(f"the exported model's features have shape {shapes}; no file was written")
        if (found.cluster is None) != (expected.cluster is None):
            raise ParityError("file and model disagree about having clusters; no file was written")
        ours.append(expected)
        theirs.append(found)
        margins.append(margin)
    a, b = concatenated(ours), concatenated(theirs)
    clear = np.concatenate(margins) > TIE[encoder.metadata.precision]
    apart = difference(a, b, clear=clear)
    judge([*feature_checks("features", apart, limits), *_cluster_checks(apart, limits)])
    return apart


def parity_tiles(
    px: int,
    users: UInt8Array | None = None,
    seed: int = 0,
    most: int = BATCHES[-1],
    fewest: int = FEWEST,
) -> list[Iterator[UInt8Array]]:
    """Create batches of synthetic and of real tiles, in several batch sizes.

    Args:
        px: Side of a tile, pixels.
        users: Real tiles, uint8 [N, px, px, 3]; by default tiles of the packaged tissue.
        seed: Seed of the tiles.
        most: Largest batch. Larger ones are divided, and the largest then has fewer tiles.
        fewest: Smallest number of tiles to which the largest batch is reduced.
    """
    rng = np.random.default_rng(seed)

    def real(count: int) -> UInt8Array:
        if users is None:
            return packaged_tiles(rng, count, px)
        return users[rng.permutation(len(users))[:count]]

    counts = (*BATCHES[:-1], min(BATCHES[-1], max(most, fewest)))
    made = (made_tiles(rng, count, px) for count in counts)
    return [_divided(made, most), _divided(map(real, counts), most)]


def _divided(batches: Iterable[UInt8Array], most: int) -> Iterator[UInt8Array]:
    for tiles in batches:
        yield from (tiles[start : start + most] for start in range(0, len(tiles), most))


def made_tiles(rng: np.random.Generator, count: int, px: int) -> UInt8Array:
    """Create synthetic tiles with structure at all scales in the colours of H&E, uint8 [count, px, px, 3]."""
    tiles = []
    for _ in range(count):
        stain = np.zeros((px, px, 2), np.float32)
        for cells in (2, 6, 16, 40):
            noise = rng.gamma(1.0, 0.35, (cells, cells, 2)).astype(np.float32)
            stain += cv2.resize(noise, (px, px), interpolation=cv2.INTER_CUBIC) * rng.uniform(0, 1, 2)
        # optical densities of haematoxylin and eosin (Ruifrok and Johnston, 2001)
        density = stain @ np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]], np.float32)
        tiles.append(np.clip(255 * np.exp(-density) + rng.normal(0, 4, density.shape), 0, 255))
    return np.stack(tiles).astype(np.uint8)


def worst_of(found: list[Difference]) -> Difference:
    """Return the worst value of each figure."""
    largest = {"max_error", "confidence_error"}

    def worst(name: str) -> float | None:
        values = [v for v in (getattr(each, name) for each in found) if v is not None]
        return (max if name in largest else min)(values) if values else None

    return Difference(**{field.name: worst(field.name) for field in fields(Difference)})  # type: ignore[arg-type]


def _reference(model: TileModel, tiles: UInt8Array) -> tuple[Encoded, npt.NDArray[np.float32]]:
    """Encode tiles in PyTorch; return also the margin of the largest cluster logit over the next."""
    with torch.inference_mode():
        out = model(torch.from_numpy(tiles))
        features = out[0] if isinstance(out, tuple) else out
        if model.head is None:
            return Encoded(features.numpy()), np.full(len(tiles), np.inf, np.float32)
        logits = model.head(features)
        best = logits.topk(min(2, logits.shape[1]), dim=1).values
        confidence, cluster = logits.softmax(dim=1).max(dim=1)
        margin = best[:, 0] - best[:, 1] if best.shape[1] > 1 else torch.full((len(tiles),), torch.inf)
    return Encoded(features.numpy(), cluster.numpy(), confidence.numpy()), margin.numpy()


@dataclass(frozen=True)
class Check:
    """A figure of an output, compared with its limit.

    Attributes:
        output: Name of the output.
        figure: Description of the figure and its limit.
        used: Error as a multiple of the allowed error; above 1 the limit is exceeded.
    """

    output: str
    figure: str
    used: float


def feature_checks(output: str, found: Difference, limits: Limits) -> list[Check]:
    """Return the checks of an output with one vector per tile."""

    def used(value: float, limit: float) -> float:
        return (1 - value) / max(1 - limit, 1e-9) if np.isfinite(value) else np.inf

    return [
        Check(
            output,
            f"cosine {found.min_cosine:.7f}, at least {limits.cosine}",
            used(found.min_cosine, limits.cosine),
        ),
        Check(
            output,
            f"centred cosine {found.min_centred_cosine:.6f}, at least {limits.centred}",
            used(found.min_centred_cosine, limits.centred),
        ),
        Check(
            output,
            f"mean centred cosine {found.centred_cosine:.4f}, at least {limits.mean_centred:g}",
            used(found.centred_cosine, limits.mean_centred),
        ),
    ]


def _cluster_checks(found: Difference, limits: Limits) -> list[Check]:
    same = found.clear_cluster_agreement
    if same is None or found.confidence_error is None:
        return []
    agreed = f"agreement without near-ties {same:.4f}, at least {limits.clusters}"
    off = f"off by {found.confidence_error:.6f}, at most {limits.confidence}"
    room = max(1 - limits.clusters, 1e-9)
    return [
        Check("cluster", agreed, (1 - same) / room),
        Check("cluster_confidence", off, found.confidence_error / limits.confidence),
    ]


def judge(checks: Iterable[Check]) -> None:
    """Check that no limit is exceeded.

    Raises:
        ParityError: If one is. The message names the output that exceeds its limit most.
    """
    worst = max(checks, key=lambda check: check.used)
    if not worst.used <= 1:
        raise ParityError(
            f"the exported model differs from PyTorch in {worst.output} ({worst.figure}); no file was "
            "written",
            remedy="try another precision, other calibration tiles, or another version of torch or onnx",
        )
