"""Comparison of encoders on a table of labelled tile images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wsi_embed.evaluate.cross_validation import check_folds, cross_validate
from wsi_embed.evaluate.fold_scores import CrossValidation
from wsi_embed.evaluate.folds import FOLDS, draw_folds
from wsi_embed.evaluate.several_models import Progress, encode_with_models
from wsi_embed.evaluate.tile_table import read_tile_table


def compare_encoders(
    tiles: str | Path,
    models: Sequence[str | Path],
    *,
    folds: int = FOLDS,
    group: str = "group",
    column: str = "label",
    classes: Mapping[str, str] | None = None,
    colour_histogram: bool = False,
    k: int = 1,
    probe: bool = False,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> CrossValidation:
    """Compare the features of several models by classifiers on folds disjoint by group.

    The classifiers are the nearest neighbour by cosine and a ridge classifier. Everything that can be checked
    is checked before the first model is loaded.

    Args:
        tiles: CSV, TSV or Parquet file with the columns `path`, and those of `column` and `group`.
        models: Model files, or names of packaged models, as for `load_encoder`.
        folds: Number of folds.
        group: Column that the folds are disjoint by, such as the patient.
        column: Column of the labels.
        classes: Names of the classes by label; other labels are left out. By default every label is a class.
        colour_histogram: Whether to compare with colour histograms of the tiles as well.
        k: Number of neighbours of a further classifier, if more than 1.
        probe: Whether to fit a logistic regression as well, which takes minutes.
        seed: Seed of the folds, the resamples and the logistic regression.
        device: Device, as for `load_encoder`.
        threads: Number of CPU threads; one per core by default.
        batch_size: Number of tiles to encode at once.
        progress: Function called with the name of a step, the number of items that it has just done, and the
            number of all its items.

    Raises:
        UsageError: If the table, its classes or its groups do not allow the folds, or a model is given twice.
        ModelError: If a file is missing or not a model that follows the contract.
        TileError: If a tile cannot be read, or is smaller than the tiles of a model.

    Example:
        >>> from wsi_embed.evaluate.compare_encoders import compare_encoders
        >>> result = compare_encoders(
        ...     "tiles.csv", ["model.onnx"], folds=2, group="path", colour_histogram=True, device="cpu"
        ... )
        >>> [(one.features, one.classifier) for one in result.scores][:2]
        [('colour histogram', '1-NN'), ('model', '1-NN')]
        >>> [(one.features, one.baseline, one.classifier) for one in result.differences]
        [('model', 'colour histogram', '1-NN'), ('model', 'colour histogram', 'ridge')]
    """
    table = read_tile_table(Path(tiles), classes, column=column, group=group)
    drawn = draw_folds(table.tiles, folds, seed)
    check_folds(drawn, k=k, probe=probe)
    found = encode_with_models(
        table,
        models,
        colour_histogram=colour_histogram,
        device=device,
        threads=threads,
        batch_size=batch_size,
        progress=progress,
    )
    return cross_validate(found, drawn, k=k, probe=probe, progress=progress)
