"""Levels of a slide as they are found while it is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from wsi_embed.slide.base import LevelsState
from wsi_embed.slide.levels.choice import Size
from wsi_embed.slide.levels.places import UInt8Array

# (level of OpenSlide, x, y, width, height), pixels of that level
ReadLevel = Callable[[int, int, int, int, int], UInt8Array]


@dataclass
class Settled:
    """Levels of a slide.

    Attributes:
        numbers: OpenSlide's number of each level.
        sizes: (width, height) of each level without padding, pixels.
        scales: Level-0 pixels per pixel of each level, (x, y).
        left_out: Images in the file that are not levels, each with the reason.
        scans: Images in the file that may be further scans.
        warnings: Warnings for the user.
        state: State of the levels; see `Slide.levels_state`.
    """

    numbers: list[int] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    scales: list[tuple[float, float]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    scans: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    state: LevelsState = "alike"
