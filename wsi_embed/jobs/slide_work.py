"""A slide that is ready to be worked on, and one that is not."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass, field

from wsi_embed.grid import TileGrid
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.jobs.report import SlideResult
from wsi_embed.jobs.seconds import Seconds
from wsi_embed.tiling.plan import SlidePlan
from wsi_embed.tissue import TissueMask


@dataclass(frozen=True)
class Busy:
    """A slide that another process is writing: to be tried again later."""

    item: SlideInput


@dataclass
class SlideWork:
    """An open slide with its tiles laid out, locked until it is closed.

    Attributes:
        item: The input; `item.path` is the fetched file where the slide is remote.
        result: The slide's result, filled in so far.
        plan: The open slide and how it is read.
        grid: The tiles.
        mask: The tissue.
        held: Lock, fetched files and open slide.
        seconds: Time spent so far.
        all_read: Set once all tiles are asked of the readers, which can then begin with another slide.
    """

    item: SlideInput
    result: SlideResult
    plan: SlidePlan
    grid: TileGrid
    mask: TissueMask
    held: ExitStack
    seconds: Seconds = field(default_factory=Seconds)
    all_read: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        """Close the slide, remove fetched files and release the lock. Safe to call again."""
        self.held.close()
