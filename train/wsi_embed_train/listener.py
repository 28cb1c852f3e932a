"""Who wants to hear how a training goes: the command line, a notebook."""

from __future__ import annotations

from collections.abc import Mapping


class Listener:
    """Hears everything and does nothing; override what is of interest.

    Called in the first process only, between steps: be quick.
    """

    def started(self, steps: int, done: int, how: str) -> None:
        """The run has so many steps, so many are done by an earlier start; `how` is for people."""

    def step_done(self, step: int) -> None:
        """A step has ended."""

    def figures(self, row: Mapping[str, float]) -> None:
        """A row of `metrics.csv`."""

    def epoch_done(self, row: Mapping[str, float]) -> None:
        """Means of the epoch's rows; `epoch` from 1."""

    def warned(self, text: str) -> None:
        """Something to look at, although the run goes on."""
