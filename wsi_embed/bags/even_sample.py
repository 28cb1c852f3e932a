"""Samples of tiles that are drawn evenly over slides."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def even_share(tiles: Sequence[int], most: int) -> int:
    """Return the largest number of tiles per slide so that all slides together give `most`, if possible.

    Args:
        tiles: Number of tiles of each slide.
        most: Largest number of tiles of the sample.
    """
    left = most
    for rank, count in enumerate(ordered := sorted(tiles)):
        others = len(ordered) - rank
        if count * others >= left:
            return math.ceil(left / others)
        left -= count
    return max(tiles)


def draw_rows(slide_id: str, tiles: int, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw rows of a slide, in order, with its id and a seed.

    Args:
        slide_id: Slide id.
        tiles: Number of tiles of the slide.
        count: Number of rows; all rows if there are fewer.
        seed: Seed of the draw.
    """
    digest = hashlib.blake2b(f"{seed}:{slide_id}".encode(), digest_size=8).digest()
    return np.sort(np.random.default_rng(int.from_bytes(digest, "little")).permutation(tiles)[:count])
