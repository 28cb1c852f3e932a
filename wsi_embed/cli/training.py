"""Display of a training run: a bar on a terminal, one line per epoch in a log, JSON on request."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from dataclasses import fields

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from wsi_embed.cli.lines import print_line
from wsi_embed.cli.log import log_line
from wsi_embed.cli.wording import flags, in_flags
from wsi_embed_train.config import TrainConfig
from wsi_embed_train.listener import Listener

# Figures of an epoch that are shown, and their format.
SHOWN = (
    ("loss", "loss {:.4f}"),
    ("effective_rank", "effective rank {:.1f}"),
    ("clusters_used", "clusters used {:.1f}"),
    ("largest_share", "largest share {:.2f}"),
    ("knn_f1", "kNN F1 {:.3f}"),
    ("images_per_s", "{:.0f} images/s"),
)


@functools.cache
def settings_without_flag() -> frozenset[str]:
    """Return the settings of a recipe that the command takes by `--set` alone."""
    return frozenset(field.name for field in fields(TrainConfig)) - flags("train").keys()


def figures_text(row: Mapping[str, float]) -> str:
    """Describe figures in a few words."""
    return ", ".join(words.format(row[name]) for name, words in SHOWN if name in row)


class PlainTraining(Listener):
    """Listener that prints one line per epoch; warnings go to standard error.

    Args:
        epochs: Number of epochs of the run.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.console, self.errors = Console(), Console(stderr=True)

    def __enter__(self) -> PlainTraining:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def started(self, steps: int, done: int, how: str) -> None:
        """Print the number of steps and how they are run."""
        self._line(f"{how}: {steps} steps" + (f", going on after step {done}" if done else ""))

    def epoch_done(self, row: Mapping[str, float]) -> None:
        """Print the figures of an epoch."""
        self._line(f"epoch {row['epoch']:.0f}/{self.epochs}: {figures_text(row)}")

    def noted(self, text: str) -> None:
        """Print a fact about the run."""
        self._line(in_flags(text, settings_without_flag()))

    def warned(self, text: str) -> None:
        """Print a warning immediately."""
        print_line(self.errors, f"warning: {in_flags(text, settings_without_flag())}")

    def _line(self, text: str) -> None:
        print_line(self.console, text)


class BarTraining(PlainTraining):
    """Listener with a progress bar of steps and the latest figures; epochs stay on the screen as lines."""

    def __init__(self, epochs: int) -> None:
        super().__init__(epochs)
        self._progress = Progress(
            TextColumn("step"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> BarTraining:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def started(self, steps: int, done: int, how: str) -> None:
        """Show the bar."""
        super().started(steps, done, how)
        self._task = self._progress.add_task("", total=steps, completed=done, figures="")

    def step_done(self, step: int) -> None:
        """Advance the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=step)

    def figures(self, row: Mapping[str, float]) -> None:
        """Show loss and speed beside the bar."""
        if self._task is not None:
            text = f"loss {row['loss']:.4f}, {row['images_per_s']:.0f} images/s"
            self._progress.update(self._task, figures=text)


class JsonTraining(PlainTraining):
    """Listener that logs JSON lines: `noted`, `started`, `figures`, `epoch` and warnings."""

    def started(self, steps: int, done: int, how: str) -> None:
        """Log the start."""
        log_line("started", message=how, steps=steps, done=done)

    def figures(self, row: Mapping[str, float]) -> None:
        """Log figures at intervals of steps."""
        log_line("figures", "info", **dict(row))

    def epoch_done(self, row: Mapping[str, float]) -> None:
        """Log an epoch."""
        log_line("epoch", "info", **dict(row))

    def noted(self, text: str) -> None:
        """Log a fact about the run."""
        log_line("noted", message=in_flags(text, settings_without_flag()))

    def warned(self, text: str) -> None:
        """Log a warning."""
        log_line("warning", "warning", message=in_flags(text, settings_without_flag()))


def open_training(epochs: int, log_json: bool) -> PlainTraining:
    """Return a listener: JSON lines if requested, a bar on a terminal, else plain lines."""
    if log_json:
        return JsonTraining(epochs)
    return (BarTraining if sys.stdout.isatty() else PlainTraining)(epochs)
