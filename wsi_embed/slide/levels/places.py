"""Places of a level that have content, where two levels can be compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from wsi_embed.errors import SlideError

UInt8Array = npt.NDArray[np.uint8]
Place = tuple[float, float]

PLACES = 6
PARTS = 3, 2  # of the width and of the height: a place is chosen in each part
# Side of a place in pixels.
SIDE = 64
# A level of at most this many pixels is read completely to find places with content.
MOST_WHOLE = 1 << 20
SAMPLED = 6  # otherwise, places per side
# Grey values: below this deviation there is nothing to compare.
FLAT = 4.0


@dataclass(frozen=True)
class Picture:
    """Level as a picture.

    Attributes:
        size: (width, height), pixels.
        scale: Level-0 pixels per pixel, (x, y).
        read: Function that reads a region (x, y, width, height) inside the level, RGB uint8 [h, w, 3].
    """

    size: tuple[int, int]
    scale: tuple[float, float]
    read: Callable[[int, int, int, int], UInt8Array]


def places_of(picture: Picture, most: int = PLACES) -> list[Place]:
    """Return the places of a picture with the most content, by the deviation of grey values.

    Args:
        picture: The coarsest level.
        most: Number of places.

    Returns:
        Centres of the places, (x, y), level-0 pixels.
    """
    blocks = _content(picture)
    best = sorted(blocks, key=lambda place: -blocks[place])[:most]
    return [_on_level0(picture, place) for place in best]


def spread_places(picture: Picture) -> list[Place]:
    """Return the place with the most content in each part of a picture that has any.

    Args:
        picture: The finer one of two levels: the coarser may lack what it shows.

    Returns:
        Centres of at most 6 places, (x, y), level-0 pixels.
    """
    best: dict[tuple[int, int], Place] = {}
    blocks = _content(picture)
    for place in sorted(blocks, key=lambda place: -blocks[place]):
        if blocks[place] >= FLAT:
            x, y = (
                int(at * parts // side) for at, parts, side in zip(place, PARTS, picture.size, strict=True)
            )
            best.setdefault((x, y), place)
    return [_on_level0(picture, place) for place in best.values()]


def _on_level0(picture: Picture, place: Place) -> Place:
    return place[0] * picture.scale[0], place[1] * picture.scale[1]


def _content(picture: Picture) -> dict[Place, float]:
    """Return the deviation of grey values at places of a picture, by their centres."""
    if picture.size[0] * picture.size[1] > MOST_WHOLE:
        return _sample(picture)
    try:
        return _blocks(picture)
    except SlideError:
        return _sample(picture)


def _blocks(picture: Picture) -> dict[Place, float]:
    """Return the deviation in every block of a picture, by the block's centre."""
    width, height = picture.size
    grey = cv2.cvtColor(picture.read(0, 0, width, height), cv2.COLOR_RGB2GRAY)
    side = max(4, min(SIDE // 2, width // 6, height // 6))
    return {
        (x + side / 2, y + side / 2): float(grey[y : y + side, x : x + side].std())
        for y in range(0, max(1, height - side + 1), side)
        for x in range(0, max(1, width - side + 1), side)
    }


def _sample(picture: Picture) -> dict[Place, float]:
    """Return the deviation in some places of a picture, by their centres."""
    w, h = (min(SIDE, side) for side in picture.size)
    found = {}
    for row, column in np.ndindex(SAMPLED, SAMPLED):
        x = (picture.size[0] - w) * column // (SAMPLED - 1)
        y = (picture.size[1] - h) * row // (SAMPLED - 1)
        try:
            found[x + w / 2, y + h / 2] = float(picture.read(x, y, w, h).std())
        except SlideError:
            continue
    return found
