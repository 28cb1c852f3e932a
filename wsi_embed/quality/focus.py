"""Sharpness of a tile, by its Laplacian."""

from __future__ import annotations

import cv2
import numpy as np

from wsi_embed.quality.measures import FOCUS_MPP
from wsi_embed.slide.base import UInt8Array


def reduction(mpp: float) -> int:
    """Return the whole factor that reduces tiles to about `FOCUS_MPP`.

    Args:
        mpp: Micrometres per pixel of a tile.
    """
    return max(1, round(FOCUS_MPP / mpp))


def focus(tile: UInt8Array, factor: int = 1) -> float:
    """Measure how sharp a tile is: the standard deviation of the Laplacian of its grey values.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative study", ICPR 2000,
    equation 5 (LAP_VAR, of which this is the square root, so that it fits float16).

    Args:
        tile: RGB, uint8 [h, w, 3].
        factor: Factor by which it is reduced first, by area averages; see `reduction`.

    Returns:
        Grey levels: 0 for a flat tile, about 10 to 50 for sharp tissue at 0.5 um per pixel.
    """
    grey = cv2.cvtColor(tile, cv2.COLOR_RGB2GRAY)
    if factor > 1:
        size = max(1, grey.shape[1] // factor), max(1, grey.shape[0] // factor)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    _, deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    return float(np.asarray(deviation)[0, 0])
