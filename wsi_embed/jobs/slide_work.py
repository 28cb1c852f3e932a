"""Prepared slides, and slides that have to wait."""

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
    """Slide that another process is writing, to be tried again later."""

    item: SlideInput


@dataclass
class SlideWork:
    """Open slide with its tiles laid out, locked until it is closed.

    Attributes:
        item: Input slide; for a remote slide, `item.path` is the fetched file.
        result: Result of the slide so far.
        plan: Open slide and how to read it.
        grid: Tiles of the slide.
        mask: Tissue mask.
        resources: Lock, fetched files and open slide.
        seconds: Time spent so far.
        all_read: Event that is set once all tiles are submitted to the readers, which may then start another
            slide.
    """

    item: SlideInput
    result: SlideResult
    plan: SlidePlan
    grid: TileGrid
    mask: TissueMask
    resources: ExitStack
    seconds: Seconds = field(default_factory=Seconds)
    all_read: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        """Close the slide, remove fetched files and release the lock. May be called several times."""
        self.resources.close()
