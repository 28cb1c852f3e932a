"""Comparison of an exported file with features that the user computed as the model card says."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_embed.encoder import Encoded, Encoder
from wsi_embed.encoder.difference import difference
from wsi_embed.errors import UsageError
from wsi_embed.slide import UInt8Array
from wsi_embed_export.parity import Limits, ParityError, feature_checks
from wsi_embed_export.trained import TrainedModel

# Many cards compute in half precision, so the limits are wider than those of the comparison with PyTorch.
LIMITS = Limits(cosine=0.999, centred=0.98)
_BATCH = 8


@dataclass(frozen=True)
class Golden:
    """Tiles and their features by the code of a model card.

    Attributes:
        name: Name of the file, for messages.
        tiles: RGB, uint8 [N, tile_px, tile_px, 3].
        features: Features, float32 [N, D].
    """

    name: str
    tiles: UInt8Array
    features: npt.NDArray[np.float32]


def read_golden(path: Path, model: TrainedModel) -> Golden:
    """Read tiles and features of an `.npz` file with the arrays `tiles` and `features`.

    Args:
        path: The file, as of `numpy.savez`.
        model: Model that they are for.

    Raises:
        UsageError: If the file cannot be read, or its arrays do not fit each other or the model.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            tiles, features = arrays["tiles"], arrays["features"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"not an .npz file with `tiles` and `features` ({error})",
            where=path.name,
            remedy="np.savez(FILE, tiles=uint8 [N, H, W, 3], features=float [N, D])",
        ) from error
    if tiles.dtype != np.uint8 or tiles.ndim != 4 or tiles.shape[3] != 3:
        raise UsageError(
            f"tiles are {tiles.dtype} {list(tiles.shape)}, expected uint8 [N, H, W, 3]", where=path.name
        )
    if features.ndim != 2 or len(features) != len(tiles) or len(tiles) < 2:
        raise UsageError(
            f"features {list(features.shape)} do not belong to tiles {list(tiles.shape)}; "
            "at least two of each are needed",
            where=path.name,
        )
    if tiles.shape[1:3] != (model.tile_px, model.tile_px):
        raise UsageError(
            f"tiles have {tiles.shape[1]} x {tiles.shape[2]} pixels, those of the model {model.tile_px}",
            where=path.name,
            remedy="save the tiles before the transform of the card, or give `tile_px=`",
        )
    if features.shape[1] != model.feature_dim:
        raise UsageError(
            f"{features.shape[1]} features for each tile, the model has {model.feature_dim}",
            where=path.name,
            remedy="is it another `pooling=`?",
        )
    return Golden(path.name, tiles, features.astype(np.float32))


def check_golden(encoder: Encoder, golden: Golden, min_cosine: float | None = None) -> dict[str, float]:
    """Compare an exported file with the features of the user.

    Args:
        encoder: The exported file, loaded by the runtime.
        golden: Tiles and features.
        min_cosine: Minimum mean centred cosine, in place of the limits of fp32 and fp16.

    Returns:
        Number of tiles, minimum cosine and minimum centred cosine, with names that begin with `golden_`.

    Raises:
        ParityError: If the features differ. No file is written.
    """
    starts = range(0, len(golden.tiles), _BATCH)
    found = np.concatenate([encoder.encode(golden.tiles[at : at + _BATCH]).features for at in starts])
    apart = difference(Encoded(golden.features), Encoded(found))
    limits = LIMITS if min_cosine is None else Limits(mean_centred=min_cosine)
    worst = max(feature_checks("features", apart, limits), key=lambda check: check.used)
    if not worst.used <= 1:
        raise ParityError(
            f"the exported model differs from the features of {golden.name} ({worst.figure}); "
            "no file was written",
            remedy="compare mean, std, pooling, resizing and resolution with those of the card",
        )
    return {
        "golden_tiles": float(len(golden.tiles)),
        "golden_cosine": apart.min_cosine,
        "golden_centred_cosine": apart.min_centred_cosine,
    }
