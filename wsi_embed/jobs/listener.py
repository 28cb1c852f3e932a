"""Listeners for the progress of a job."""

from __future__ import annotations

from collections.abc import Callable

from wsi_embed.grid import TileGrid
from wsi_embed.jobs.report import SlideResult
from wsi_embed.tiling.plan import SlidePlan
from wsi_embed.tissue import TissueMask

DrawPreview = Callable[[SlidePlan, TileGrid, TissueMask], dict[str, bytes]]


class Listener:
    """Receiver of the progress of a job. Override the methods of interest; the others do nothing.

    Methods are called one at a time; several slides may be in progress.

    Example:
        >>> import wsi_embed
        >>> class PrintSlides(wsi_embed.Listener):
        ...     def slide_finished(self, result: wsi_embed.SlideResult) -> None:
        ...         print(result.slide, result.status)
        >>> report = wsi_embed.tile("slides/a.tiff", "patches/", listener=PrintSlides())
        a.tiff done
    """

    # draws a prepared slide for the report, in the process that is about to read its tiles
    preview: DrawPreview | None = None

    def job_started(self, slides: int, how: str) -> None:
        """Handle the start of a job, given its slides and a description of model and device."""

    def slide_started(self, slide_id: str, tiles: int) -> None:
        """Handle the start of a slide, given its number of tiles."""

    def tiles_done(self, slide_id: str, count: int) -> None:
        """Handle a number of further tiles of a slide that are done."""

    def waiting(self, slides: int) -> None:
        """Handle a wait: all remaining slides are being written by other processes."""

    def note(self, text: str) -> None:
        """Handle a remark that does not concern a single slide."""

    def slide_finished(self, result: SlideResult) -> None:
        """Handle the result of a slide."""
