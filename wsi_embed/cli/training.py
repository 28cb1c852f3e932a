"""What people see of a training: a bar on a terminal, a line an epoch in a log, JSON where asked for."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from wsi_embed.cli.log import log_line
from wsi_embed_train.listener import Listener

# Of an epoch's figures, what a line says, and in which words.
SHOWN = (
    ("loss", "loss {:.4f}"),
    ("effective_rank", "effective rank {:.1f}"),
    ("clusters_used", "clusters used {:.1f}"),
    ("largest_share", "largest share {:.2f}"),
    ("knn_f1", "kNN F1 {:.3f}"),
    ("images_per_s", "{:.0f} images/s"),
)


def figures_text(row: Mapping[str, float]) -> str:
    """Figures in a few words."""
    return ", ".join(words.format(row[name]) for name, words in SHOWN if name in row)


class PlainTraining(Listener):
    """One line an epoch; warnings go to standard error.

    Args:
        epochs: Of the run.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.console, self.errors = Console(), Console(stderr=True)

    def __enter__(self) -> PlainTraining:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def started(self, steps: int, done: int, how: str) -> None:
        """Say what is about to happen."""
        self._line(f"{how}: {steps} steps" + (f", going on after step {done}" if done else ""))

    def epoch_done(self, row: Mapping[str, float]) -> None:
        """Say how the epoch was."""
        self._line(f"epoch {row['epoch']:.0f}/{self.epochs}: {figures_text(row)}")

    def warned(self, text: str) -> None:
        """Say it at once."""
        self.errors.print(f"warning: {text}", markup=False, highlight=False, soft_wrap=True)

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


class BarTraining(PlainTraining):
    """A bar of steps with the latest figures; epochs stay on the screen as lines."""

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
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=step)

    def figures(self, row: Mapping[str, float]) -> None:
        """Show loss and speed beside the bar."""
        if self._task is not None:
            text = f"loss {row['loss']:.4f}, {row['images_per_s']:.0f} images/s"
            self._progress.update(self._task, figures=text)


class JsonTraining(PlainTraining):
    """JSON lines: `started`, `figures`, `epoch` and warnings."""

    def started(self, steps: int, done: int, how: str) -> None:
        """One line."""
        log_line("started", message=how, steps=steps, done=done)

    def figures(self, row: Mapping[str, float]) -> None:
        """One line every so many steps."""
        log_line("figures", "info", **dict(row))

    def epoch_done(self, row: Mapping[str, float]) -> None:
        """One line."""
        log_line("epoch", "info", **dict(row))

    def warned(self, text: str) -> None:
        """One line."""
        log_line("warning", "warning", message=text)


def open_training(epochs: int, log_json: bool) -> PlainTraining:
    """JSON lines where they are asked for, a bar on a terminal, else plain lines."""
    if log_json:
        return JsonTraining(epochs)
    return (BarTraining if sys.stdout.isatty() else PlainTraining)(epochs)
