"""Is the exported file the model? Compare it with PyTorch in fp32 before it gets its name."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from wsi_embed.encoder import Encoder
from wsi_embed.errors import WsiEmbedError
from wsi_embed.slide import UInt8Array
from wsi_embed_export.graph import TileModel

BATCHES = (1, 2, 7, 64)
# A cluster may flip where the two best probabilities are this close.
TIE = 1e-3


class ParityError(WsiEmbedError):
    """The exported file does not compute what the model computes."""


@dataclass(frozen=True)
class Parity:
    """How far an exported file is from PyTorch fp32.

    Attributes:
        max_error: Largest difference of a feature.
        min_cosine: Of a tile's two feature vectors.
        min_centred_cosine: The same with the mean feature removed; the honest figure.
        cluster_agreement: Share of tiles with the same cluster, ties left out.
        confidence_error: Largest difference of a cluster's probability.
    """

    max_error: float
    min_cosine: float
    min_centred_cosine: float
    cluster_agreement: float
    confidence_error: float

    def to_dict(self) -> dict[str, float]:
        """Plain values for the metadata."""
        return {k: round(v, 7) for k, v in asdict(self).items()}


def check_parity(reference: TileModel, encoder: Encoder, precision: str, seed: int = 0) -> Parity:
    """Encode made tiles with both at several batch sizes.

    Args:
        reference: The model in PyTorch, fp32.
        encoder: The exported file, loaded by the runtime.
        precision: Decides the limits: fp32 cosine > 0.99999 and equal clusters; fp16 centred cosine
            > 0.999 and > 99.5 % equal clusters; probabilities within 0.001 and 0.1.
        seed: Of the tiles.

    Raises:
        ParityError: A limit is missed; the message names the output that differs.
    """
    ours: list[npt.NDArray[np.float32]] = []
    theirs: list[npt.NDArray[np.float32]] = []
    agree: list[npt.NDArray[np.bool_]] = []
    off = [0.0]
    rng = np.random.default_rng(seed)
    for batch in BATCHES:
        tiles = made_tiles(rng, batch, reference.tile_px)
        encoded = encoder.encode(tiles)
        features, probabilities = _reference(reference, tiles)
        if encoded.features.shape != features.shape:
            raise ParityError(f"features have shape {encoded.features.shape}, expected {features.shape}")
        ours.append(features)
        theirs.append(encoded.features)
        if probabilities is not None:
            if encoded.cluster is None or encoded.confidence is None:
                raise ParityError("the exported file has no clusters, and the model has a cluster head")
            best = np.sort(probabilities, axis=1)
            clear = best[:, -1] - best[:, -2] > TIE
            agree.append((encoded.cluster == probabilities.argmax(1))[clear])
            off.append(float(np.abs(encoded.confidence - best[:, -1]).max()))
    same = np.concatenate(agree or [np.ones(1, bool)])
    parity = _figures(np.concatenate(ours), np.concatenate(theirs), same, max(off))
    _judge(parity, precision)
    return parity


def made_tiles(rng: np.random.Generator, count: int, px: int) -> UInt8Array:
    """Tiles with structure at all scales in the colours of H&E, uint8 [count, px, px, 3]."""
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


def _reference(
    model: TileModel, tiles: UInt8Array
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    """Features, and the clusters' probabilities where there is a head."""
    with torch.inference_mode():
        out = model(torch.from_numpy(tiles))
        if model.head is None:
            return out.numpy(), None
        return out[0].numpy(), model.head(out[0]).softmax(dim=1).numpy()


def _figures(
    ours: npt.NDArray[np.float32],
    theirs: npt.NDArray[np.float32],
    agree: npt.NDArray[np.bool_],
    confidence_error: float,
) -> Parity:
    mean = ours.mean(0)
    return Parity(
        max_error=float(np.abs(ours - theirs).max()),
        min_cosine=_min_cosine(ours, theirs),
        min_centred_cosine=_min_cosine(ours - mean, theirs - mean),
        cluster_agreement=float(agree.mean()) if agree.size else 1.0,
        confidence_error=confidence_error,
    )


def _min_cosine(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    norms = np.linalg.norm(a64, axis=1) * np.linalg.norm(b64, axis=1)
    return float(((a64 * b64).sum(1) / np.maximum(norms, 1e-12)).min())


def _judge(parity: Parity, precision: str) -> None:
    p = parity
    if precision == "fp32":
        checks = {
            f"features (cosine {p.min_cosine:.7f}, at least 0.99999)": p.min_cosine > 0.99999,
            f"cluster (agreement {p.cluster_agreement:.4f}, 1 expected)": p.cluster_agreement == 1.0,
            f"cluster_confidence (off by {p.confidence_error:.6f}, below 0.001)": p.confidence_error < 1e-3,
        }
    else:
        checks = {
            f"features (centred cosine {p.min_centred_cosine:.6f}, at least 0.999)": p.min_centred_cosine
            > 0.999,
            f"cluster (agreement {p.cluster_agreement:.4f}, over 0.995)": p.cluster_agreement > 0.995,
            f"cluster_confidence (off by {p.confidence_error:.6f}, below 0.1)": p.confidence_error < 0.1,
        }
    for output, good in checks.items():
        if not good:
            raise ParityError(
                f"the exported model differs from PyTorch in {output}; no file was written. "
                "Try another torch or onnx version, or --precision fp32"
            )
