"""Interface for progress events of a training, as used by the command line or a notebook."""

from __future__ import annotations

from collections.abc import Mapping


class Listener:
    """Receiver of progress events. Override the methods of interest; the others do nothing.

    Methods are called in the first process only, between steps, and should return quickly.
    """

    def started(self, steps: int, done: int, how: str) -> None:
        """Handle the start of the run.

        Args:
            steps: Number of steps of the run.
            done: Number of steps done before, if the run was resumed.
            how: Description of method, data and hardware.
        """

    def step_done(self, step: int) -> None:
        """Handle the end of a step."""

    def figures(self, row: Mapping[str, float]) -> None:
        """Handle a new row of `metrics.csv`."""

    def epoch_done(self, row: Mapping[str, float]) -> None:
        """Handle the end of an epoch, given the means of its rows; `epoch` counts from 1."""

    def noted(self, text: str) -> None:
        """Handle a fact about the run, such as the weights it starts from."""

    def warned(self, text: str) -> None:
        """Handle a warning; the run continues."""
