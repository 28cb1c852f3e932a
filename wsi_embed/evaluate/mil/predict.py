"""Predictions of all slides of a store by an exported multiple-instance network, without PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.damage import damage_named
from wsi_embed.errors import SlideError, StoreError, UsageError
from wsi_embed.evaluate.mil.slide_model import MilMetadata, MilModel, number_column, prediction_of
from wsi_embed.evaluate.results import check_results_folder, results_in, write_table
from wsi_embed.storage.address import Location
from wsi_embed.store import Bag, Store, open_store
from wsi_embed.store.attention import SlideAttention, check_replaceable, write_attention
from wsi_embed.util.progress import tracked
from wsi_embed.util.text import argument, counted, names_of

TABLE, ATTENTION = "predictions.csv", "attention.zarr"


@dataclass(frozen=True)
class SlidePrediction:
    """Prediction of a slide.

    Attributes:
        slide_id: Slide id.
        patient: Patient from the manifest; None if it named none.
        prediction: Class with the largest probability, or the number in words.
        probabilities: Probability of each class; empty for a number.
        value: Predicted risk (log hazard ratio) or value; None for a class.
    """

    slide_id: str
    patient: str | None
    prediction: str
    probabilities: dict[str, float]
    value: float | None = None


@dataclass
class PredictionReport:
    """Result of `predict`.

    Attributes:
        metadata: Metadata of the network.
        slides: Predictions of the slides, by id.
        failed: Message for each slide that could not be read or predicted.
        empty: Ids of the slides without tiles, which have no prediction.
        notes: Notes on the interpretation of the predictions.
        files: Files that were written.
    """

    metadata: MilMetadata
    slides: list[SlidePrediction] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def predict(
    store: Store | str | Location, mil: str | Path, out: str | Path, *, overwrite: bool = False
) -> PredictionReport:
    """Predict every slide of a store with an exported multiple-instance network.

    Writes `predictions.csv` with a row for each slide, and `attention.zarr`, which `wsi-embed plot
    --attention` draws. A slide that cannot be read fails alone.

    Args:
        store: Store, or its folder or address.
        mil: File written by `wsi-embed eval mil --export`.
        out: Folder for the results, created if needed.
        overwrite: Whether to replace earlier predictions in `out`.

    Returns:
        Predictions, failures and notes.

    Raises:
        ModelError: If the file is not such a network.
        StoreMismatchError: If the store has features of another encoder or resolution.
        UsageError: If the folder contains earlier predictions, or cannot be written.
        WsiEmbedError: If the results cannot be written.

    Example:
        >>> import wsi_embed
        >>> try:
        ...     wsi_embed.predict("feats.zarr", "missing.onnx", "predictions/")
        ... except wsi_embed.ModelError as error:
        ...     print(error)
        missing.onnx: no such file; check the path
    """
    folder = Path(out)
    model = MilModel(mil)
    opened = store if isinstance(store, Store) else open_store(store)
    model.check_store(opened)
    _check_folder(folder, overwrite)
    report = PredictionReport(model.metadata, files=[folder / TABLE, folder / ATTENTION])
    with results_in(folder):
        about = {"model_id": opened.model_id, "method": model.metadata.method}
        write_attention(folder / ATTENTION, about, _predicted(opened, model, report))
        write_table(folder / TABLE, _rows(report))
    report.notes += _notes(report)
    return report


def _check_folder(folder: Path, overwrite: bool) -> None:
    check_results_folder(folder)
    if not overwrite and (folder / TABLE).exists():
        raise UsageError(
            f"contains earlier predictions ({TABLE})",
            where=argument("out", folder),
            remedy="give another `out=`, or replace them with `overwrite=True`",
        )
    check_replaceable(folder / ATTENTION)


def _predicted(store: Store, model: MilModel, report: PredictionReport) -> Iterator[SlideAttention]:
    """Predict slide by slide: yield the attention, and add the prediction to the report."""
    task, names = model.metadata.task, model.metadata.classes
    for slide_id in tracked(store.slide_ids, "slides predicted"):
        try:
            with damage_named(slide_id):
                bag = store[slide_id]
                if not len(bag):
                    report.empty.append(slide_id)
                    continue
                features, grid = _sound(bag), bag.grid[:]
            outputs, attention = model.predict(features)
        except StoreError as error:
            report.failed[slide_id] = str(error)
            continue
        except SlideError as error:
            report.failed[slide_id] = str(error.at(slide_id))
            continue
        prediction, named = prediction_of(task, names, outputs)
        value = None if named else float(outputs[0])
        report.slides.append(SlidePrediction(slide_id, bag.patient, prediction, named, value))
        columns = names if attention.shape[1] > 1 else ("all",)
        yield SlideAttention(slide_id, attention, grid, columns, "", prediction, named)


def _sound(bag: Bag) -> npt.NDArray[np.floating]:
    """Return the features of a slide.

    Raises:
        StoreError: If a feature is not finite.
    """
    features = bag.features[:]
    bad = np.flatnonzero(~np.isfinite(features).all(1))
    if len(bad):
        raise StoreError(
            f"features of {counted(len(bad), 'tile')} are not finite, such as those of tile {bad[0]}",
            where=bag.slide_id,
            remedy="run wsi-embed verify, then delete that slide and embed it again",
        )
    return features


def _rows(report: PredictionReport) -> Iterator[list[object]]:
    """Yield the rows of `predictions.csv`, the header first."""
    if report.metadata.task != "classification":
        yield ["slide_id", "patient", number_column(report.metadata.task, *report.metadata.classes)]
        for slide in report.slides:
            yield [slide.slide_id, slide.patient or "", f"{slide.value:.6f}"]
        return
    yield ["slide_id", "patient", "prediction", *(f"p {name}" for name in report.metadata.classes)]
    for slide in report.slides:
        chances = (f"{value:.6f}" for value in slide.probabilities.values())
        yield [slide.slide_id, slide.patient or "", slide.prediction, *chances]


def _notes(report: PredictionReport) -> list[str]:
    notes = []
    if report.empty:
        names = ", ".join(report.empty)
        notes.append(f"no prediction for {counted(len(report.empty), 'slide')} without tiles: {names}")
    trained = set(report.metadata.training_slides)
    seen = [slide.slide_id for slide in report.slides if slide.slide_id in trained]
    if seen:
        notes.append(
            f"the network was trained on {counted(len(seen), 'slide')} of these ({names_of(seen)}): their "
            "predictions say nothing about new slides"
        )
    if report.metadata.by == "patient":
        notes.append("the network was trained on all slides of a patient together, and predicts each slide")
    return notes
