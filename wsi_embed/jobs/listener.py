"""Listeners for the progress of a job."""

from __future__ import annotations

from typing import Protocol

from wsi_embed.jobs.report import SlideResult


class Listener(Protocol):
    """Interface for the progress of a job. Calls come one at a time; several slides may be in progress.

    Example:
        >>> import wsi_embed
        >>> from wsi_embed.jobs.listener import Silent
        >>> class PrintSlides(Silent):
        ...     def slide_finished(self, result: wsi_embed.SlideResult) -> None:
        ...         print(result.slide, result.status)
        >>> report = wsi_embed.tile("slides/a.tiff", "patches/", listener=PrintSlides())
        a.tiff done
    """

    def job_started(self, slides: int, how: str) -> None:
        """Receive the number of slides, and a description of model, device and threads."""

    def slide_started(self, slide_id: str, tiles: int) -> None:
        """Receive the number of tiles of a slide that is started."""

    def tiles_done(self, slide_id: str, count: int) -> None:
        """Receive the number of further tiles of a slide that are done."""

    def waiting(self, slides: int) -> None:
        """Receive the number of remaining slides if all of them are being written by other processes."""

    def note(self, text: str) -> None:
        """Receive a remark that does not concern a single slide."""

    def slide_finished(self, result: SlideResult) -> None:
        """Receive the result of a slide."""


class Silent:
    """Listener that ignores everything; a base class for listeners that handle some events."""

    def job_started(self, slides: int, how: str) -> None:
        """Ignore."""

    def slide_started(self, slide_id: str, tiles: int) -> None:
        """Ignore."""

    def tiles_done(self, slide_id: str, count: int) -> None:
        """Ignore."""

    def waiting(self, slides: int) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""

    def slide_finished(self, result: SlideResult) -> None:
        """Ignore."""
