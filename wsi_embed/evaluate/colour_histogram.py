"""Colour histograms of tiles: a baseline that every encoder should beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from wsi_embed.slide import UInt8Array
from wsi_embed.slide.tile_images import fit_image, read_image

BINS = 6


def colour_histogram(tile: UInt8Array) -> npt.NDArray[np.float32]:
    """Compute the square root of the RGB histogram, 6 bins per channel, float32 [216].

    The cosine of two of them is the Bhattacharyya coefficient.

    Args:
        tile: Pixels, uint8 [h, w, 3].
    """
    counts = cv2.calcHist([tile], [0, 1, 2], None, [BINS] * 3, [0, 256] * 3)
    return np.sqrt(counts.ravel())


def histograms_of_images(
    paths: Sequence[Path], on_tiles: Callable[[int], None] | None = None
) -> npt.NDArray[np.float32]:
    """Compute the colour histograms of the central squares of tile images, float32 [N, 216].

    Args:
        paths: Image files.
        on_tiles: Function called after each image with 1.

    Raises:
        TileError: If an image cannot be read.
    """
    rows = []
    with ThreadPoolExecutor(thread_name_prefix="wsi-embed-tiles") as pool:
        for row in pool.map(_of_image, paths):
            rows.append(row)
            if on_tiles:
                on_tiles(1)
    return np.stack(rows)


def _of_image(path: Path) -> npt.NDArray[np.float32]:
    pixels = read_image(path)
    side = min(pixels.shape[:2])
    # images of all sizes count alike
    return colour_histogram(fit_image(pixels, side, side, path)) / np.float32(side)
