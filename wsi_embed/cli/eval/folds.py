"""`wsi-embed eval knn --folds N`: display of its progress and its results."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from wsi_embed.cli.lines import echo, say
from wsi_embed.cli.wording import in_flags, reworded
from wsi_embed.evaluate.interval import LEVEL, Interval
from wsi_embed.util.json_text import json_text

if TYPE_CHECKING:
    from wsi_embed.evaluate.fold_scores import CrossValidation, FoldScores, PairedDifference

# Seconds between lines of a log.
INTERVAL = 30.0


class PlainSteps:
    """Progress of the steps of an evaluation as lines on standard error."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}
        self._said = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def __call__(self, step: str, count: int, total: int) -> None:
        """Print a line when a step ends, and at intervals before."""
        self._done[step] = self._done.get(step, 0) + count
        if self._done[step] == total or time.monotonic() - self._said >= INTERVAL:
            echo(f"{step} {self._done[step]:,} of {total:,}", err=True)
            self._said = time.monotonic()


class BarSteps(PlainSteps):
    """Progress of the steps of an evaluation as bars on standard error."""

    def __init__(self) -> None:
        super().__init__()
        self._bars: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True, emoji=False),
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def __call__(self, step: str, count: int, total: int) -> None:
        """Advance the bar of a step."""
        if step not in self._bars:
            self._bars[step] = self._progress.add_task(escape(step), total=total)
        self._progress.advance(self._bars[step], count)


def open_steps() -> PlainSteps:
    """Return a display of steps: bars on a terminal, else lines."""
    return (BarSteps if sys.stderr.isatty() else PlainSteps)()


def on_folds(tiles: Path, models: Sequence[Path], out: Path | None, as_json: bool, **settings: Any) -> None:
    """Compare models on folds of a table of tile images, and print and write the results.

    Args:
        tiles: The table.
        models: The models.
        out: Folder for the results, or None.
        as_json: Whether to print JSON.
        settings: Further arguments of `compare_encoders`.
    """
    from wsi_embed.evaluate.compare_encoders import compare_encoders
    from wsi_embed.evaluate.fold_scores import write_cross_validation

    with open_steps() as steps:
        result = compare_encoders(tiles, models, progress=steps, **settings)
    files = write_cross_validation(result, out) if out else []
    if as_json:
        typer.echo(json_text(reworded(result.to_dict()), indent=2))
    else:
        show(result, files)


def show(result: CrossValidation, files: Sequence[Path]) -> None:
    """Print scores and differences: tables on a terminal, else a line each."""
    from wsi_embed.cli.tables import show_facts, show_rows

    known = result.to_dict()
    show_facts(
        {
            "tiles": f"{known['tiles']:,} of {known['groups']:,} groups, {len(known['classes'])} classes",
            "folds": f"{known['folds']}, disjoint by group, seed {known['seed']}",
            "in brackets": f"{100 * LEVEL:.0f} % interval by {known['resamples']:,} resamples of the groups; "
            "for the mean of folds the lowest and highest",
        },
        [],
    )
    if sys.stdout.isatty():
        show_rows([_score_row(one) for one in result.scores])
        if result.differences:
            show_rows([_difference_row(one) for one in result.differences])
    else:
        for line in _lines(result):
            say(line)
    for note in result.notes:
        say(f"note: {in_flags(note)}")
    for path in files:
        echo(str(path))


def _score_row(one: FoldScores) -> dict[str, object]:
    return {
        "classifier": one.classifier,
        "features": one.features,
        "balanced accuracy": str(one.balanced_accuracy),
        "mean of folds": _range(one.folds),
    }


def _difference_row(one: PairedDifference) -> dict[str, object]:
    return {
        "classifier": one.classifier,
        "features": one.features,
        "compared with": one.baseline,
        "difference": _signed(one.balanced_accuracy),
        "verdict": one.verdict,
    }


def _lines(result: CrossValidation) -> Iterator[str]:
    for score in result.scores:
        yield (
            f"{score.classifier}, {score.features}: balanced accuracy {score.balanced_accuracy}, "
            f"mean of folds {_range(score.folds)}"
        )
    for one in result.differences:
        yield (
            f"{one.classifier}, {one.features} compared with {one.baseline}: "
            f"{_signed(one.balanced_accuracy)}, {one.verdict}"
        )


def _range(values: Sequence[float]) -> str:
    return str(Interval(sum(values) / len(values), min(values), max(values)))


def _signed(interval: Interval) -> str:
    values = (interval.mean, interval.low or 0.0, interval.high or 0.0)
    return "{:+.3f} ({:+.3f} to {:+.3f})".format(*values)
