"""Pen marks and darkness of tiles, by the colours of small blocks."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from wsi_embed.quality.measures import COLOUR_MPP
from wsi_embed.slide.base import UInt8Array
from wsi_embed.tissue.artefacts import ink_pixels
from wsi_embed.tissue.glass import Colour, divide

Float32Array = npt.NDArray[np.float32]

# Share of a tile's blocks that may be darker than its `dark`: a fold covers a part of a tile.
DARKER_SHARE = 0.1
# Largest number of blocks along the side of a tile; those of coarse tiles are larger than `COLOUR_MPP`.
MOST_BLOCKS = 32
# Optical density by grey value; the darkest value stands for half of a grey level.
DENSITY = -np.log10(np.maximum(np.arange(256), 0.5) / 255).astype(np.float32)


def blocks_across(tile_px: int, mpp: float) -> int:
    """Return the number of blocks of about `COLOUR_MPP` along the side of a tile, at most `MOST_BLOCKS`."""
    return min(tile_px, MOST_BLOCKS, max(1, round(tile_px * mpp / COLOUR_MPP)))


def block_colours(tile: UInt8Array, across: int) -> UInt8Array:
    """Return the mean colours of the blocks of a tile, uint8 [across, across, 3]."""
    return np.asarray(cv2.resize(tile, (across, across), interpolation=cv2.INTER_AREA), np.uint8)


def balanced(blocks: UInt8Array, glass: Colour) -> UInt8Array:
    """Divide blocks by the colour of the glass, uint8 [B, n, n, 3]; glass becomes white."""
    number, rows, cols, _ = blocks.shape
    return divide(blocks.reshape(number * rows, cols, 3), glass).reshape(blocks.shape)


def pen_shares(blocks: UInt8Array) -> Float32Array:
    """Return the share of each tile that has the colour of green, blue, red or orange ink.

    Black ink has the colour of dark nuclei and counts as darkness only; violet ink has that of haematoxylin.

    Args:
        blocks: Colours of the blocks of tiles relative to the glass, uint8 [B, n, n, 3].

    Returns:
        float32 [B], 0 to 1.
    """
    number, rows, cols, _ = blocks.shape
    joined = blocks.reshape(number * rows, cols, 3)
    return np.asarray(ink_pixels(joined).reshape(number, -1).mean(1), np.float32)


def darkness(blocks: UInt8Array) -> Float32Array:
    """Return the optical density that a tenth of each tile exceeds.

    Folds, where light crosses the tissue twice, have about twice the density of what lies beside them
    (Kothari et al., "Eliminating tissue-fold artifacts in histopathological whole-slide images for improved
    image-based prediction of cancer grade", Journal of Pathology Informatics 4:22, 2013, finds them by
    intensity and saturation). Black ink, pigment and crushed nuclei are dark too.

    Args:
        blocks: Colours of the blocks of tiles relative to the glass, uint8 [B, n, n, 3].

    Returns:
        Mean optical density of the channels, base 10, float32 [B]: 0 for glass, about 0.2 to 0.7 for tissue.
    """
    density = DENSITY[blocks].mean(-1).reshape(len(blocks), -1)
    kept = density.shape[1] - 1 - int(DARKER_SHARE * density.shape[1])
    return np.asarray(np.partition(density, kept, axis=1)[:, kept], np.float32)
