"""Listeners: what a job reports while it runs."""

from __future__ import annotations

from typing import Protocol

from wsi_embed.jobs.report import SlideResult


class Listener(Protocol):
    """Hears what a job does while it does it, one thing after the other; several slides may be in work."""

    def job_started(self, slides: int, how: str) -> None:
        """The job has found its slides; `how` says with what it works on them."""

    def slide_started(self, slide_id: str, tiles: int) -> None:
        """Work on a slide's tiles begins."""

    def tiles_done(self, slide_id: str, count: int) -> None:
        """More tiles of a slide are done."""

    def waiting(self, slides: int) -> None:
        """Nothing is left but slides that other processes are writing."""

    def note(self, text: str) -> None:
        """Something happened that is of no single slide."""

    def slide_finished(self, result: SlideResult) -> None:
        """A slide is done, skipped, or failed."""


class Silent:
    """A listener that does nothing."""

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
