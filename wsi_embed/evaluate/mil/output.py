"""Result files of an evaluation on bags: scores, predictions, confusion matrix and attention."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import UsageError
from wsi_embed.evaluate.mil.run import MilEvaluation
from wsi_embed.evaluate.mil.settings import NETS
from wsi_embed.evaluate.mil.slide_model import number_column, prediction_of
from wsi_embed.evaluate.mil.tasks import Classification
from wsi_embed.evaluate.results import check_results_folder, results_in, write_json, write_table
from wsi_embed.evaluate.scores import draw_confusion
from wsi_embed.store import Bag, Store
from wsi_embed.store.attention import SlideAttention, check_replaceable, write_attention
from wsi_embed.util.text import argument

SCORES, ATTENTION = "scores.json", "attention.zarr"


def check_mil_folder(folder: Path, method: str, *, overwrite: bool) -> None:
    """Check, before an evaluation, that its results can be written; nothing is created.

    Args:
        folder: Folder of the files.
        method: The method; only networks write `attention.zarr`.
        overwrite: Whether to replace an earlier evaluation.

    Raises:
        UsageError: If the folder is a file or cannot be written, its `attention.zarr` is something else, or
            it contains an earlier evaluation and `overwrite` is false.
    """
    check_results_folder(folder)
    if not overwrite and (folder / SCORES).exists():
        raise UsageError(
            "contains an earlier evaluation",
            where=argument("out", folder),
            remedy="give another `out=`, or replace it with `overwrite=True`",
        )
    if method in NETS:
        check_replaceable(folder / ATTENTION)


def write_mil(evaluation: MilEvaluation, store: Store, folder: Path) -> list[Path]:
    """Write `scores.json`, `predictions.csv`, and where they apply `confusion.png` and `attention.zarr`.

    The confusion matrix is for classes, and attention is that of networks.

    Args:
        evaluation: The result.
        store: The evaluated store.
        folder: Folder of the files, created if needed.

    Returns:
        Paths of the files.

    Raises:
        StoreMismatchError: If `attention.zarr` exists and is something else.
        WsiEmbedError: If the files cannot be written.
    """
    scores, files = folder / SCORES, [folder / "predictions.csv"]
    with results_in(folder):
        scores.unlink(missing_ok=True)  # written last: with it an evaluation is complete
        write_table(files[0], _predictions(evaluation))
        method, bags = evaluation.settings.method, len(evaluation.bags)
        if evaluation.overall:
            files.append(folder / "confusion.png")
            draw_confusion(evaluation.overall, files[-1], f"{method}, {bags} {evaluation.bags.by}s")
    if evaluation.settings.method in NETS:
        files.append(folder / ATTENTION)
        about = {"model_id": store.model_id, "method": evaluation.settings.method}
        write_attention(files[-1], about, slide_attention(evaluation, store))
    with results_in(folder):
        write_json(scores, evaluation.to_dict())
    return [scores, *files]


def slide_attention(evaluation: MilEvaluation, store: Store) -> Iterator[SlideAttention]:
    """Yield the attention of every tested slide, by networks not trained on it, averaged over the seeds."""
    bags, outputs = evaluation.bags, evaluation.task.outputs
    sums, of_bags = dict[int, npt.NDArray[np.float64]](), np.zeros((len(bags), len(outputs)))
    for found in evaluation.predictions:
        for number, of, paid in zip(
            found.fold.test.tolist(), found.outputs, found.attention or [], strict=True
        ):
            sums[number] = sums.get(number, 0) + paid.astype(np.float64)
            of_bags[number] += of / evaluation.seeds
    for number, total in sorted(sums.items()):
        bag, opened = bags[number], bags.open(store, number)
        columns = outputs if total.shape[1] > 1 else ("all",)
        mean = (total / total.sum(0)).astype(np.float32)
        predicted, named = prediction_of(evaluation.task.name, outputs, of_bags[number])
        parts = [opened] if isinstance(opened, Bag) else opened.bags
        starts = np.cumsum([0, *map(len, parts)])
        for part, start, stop in zip(parts, starts, starts[1:], strict=False):
            yield SlideAttention(
                part.slide_id, mean[start:stop], part.grid[:], columns, bag.label, predicted, named
            )


def _predictions(evaluation: MilEvaluation) -> Iterator[list[object]]:
    """Yield the rows of `predictions.csv`, the header first."""
    bags, task = evaluation.bags, evaluation.task
    classes = isinstance(task, Classification)
    truth = ["label", "predicted"] if classes else list(bags.columns)
    outputs = [f"p {name}" for name in task.outputs] if classes else [number_column(task.name, *task.outputs)]
    yield [bags.by, "patient", *truth, "seed", "fold", *outputs]
    for found in evaluation.predictions:
        for number, of in zip(found.fold.test.tolist(), found.outputs, strict=True):
            bag = bags[number]
            known: list[object] = (
                [bag.label, bags.classes[int(of.argmax())]] if classes else [f"{v:g}" for v in bag.values]
            )
            facts = [bag.id, bag.patient or "", *known, found.fold.seed, found.fold.number]
            yield [*facts, *(f"{value:.6f}" for value in of)]
