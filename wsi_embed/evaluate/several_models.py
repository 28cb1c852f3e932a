"""Features of the same tile images from several models, and from a colour histogram."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from wsi_embed.encoder import load_encoder
from wsi_embed.encoder.encode_images import encode_images
from wsi_embed.encoder.loading import check_exported, model_file
from wsi_embed.errors import ModelError, UsageError
from wsi_embed.evaluate.colour_histogram import histograms_of_images
from wsi_embed.evaluate.seen import seen_in_training
from wsi_embed.evaluate.tile_set import TileFeatures
from wsi_embed.evaluate.tile_table import TileTable
from wsi_embed.util.progress import Watcher, watched_by
from wsi_embed.util.text import argument

HISTOGRAM = "colour histogram"
# Function called with the name of a step, the number of items that it has just done, and that of all items.
Progress = Callable[[str, int, int], None]


def encode_with_models(
    table: TileTable,
    models: Sequence[str | Path],
    *,
    colour_histogram: bool = False,
    device: str = "auto",
    threads: int | None = None,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> dict[str, TileFeatures]:
    """Compute the features of the tiles of a table with each of several models.

    Args:
        table: The tiles.
        models: Model files, or names of packaged models, as for `load_encoder`.
        colour_histogram: Whether to add the colour histograms of the tiles, as the first features.
        device: Device, as for `load_encoder`.
        threads: Number of CPU threads; one per core by default.
        batch_size: Number of tiles to encode at once.
        progress: Function called after each batch with the name of the step, the number of tiles of the
            batch, and the number of all tiles.

    Returns:
        Features by name: that of the model's file without suffix, preceded by as many folders as it takes to
        tell the models apart.

    Raises:
        UsageError: If nothing is given to compute, or a model is given twice.
        ModelError: If a file is missing or not a model that follows the contract.
        TileError: If a tile cannot be read, or is smaller than the tiles of a model.
    """
    names = model_names(models)
    if not models and not colour_histogram:
        raise UsageError("give `model=`, `colour_histogram=True` or both")
    found = {}
    if colour_histogram:
        features = histograms_of_images(table.paths, _counting(progress, HISTOGRAM, table))
        found[HISTOGRAM] = TileFeatures(table.tiles, features)
    for name, path in zip(names, models, strict=True):
        model = load_encoder(path, device=device, threads=threads)
        seen, notes = seen_in_training(asdict(model.metadata), table.tiles.slides, table.paths)
        with watched_by(Watcher()):  # `progress` shows it
            encoded = encode_images(model, table.paths, batch_size, _counting(progress, name, table))
        notes = [f"{name}: {note}" for note in notes]
        found[name] = TileFeatures(table.tiles, encoded.features, seen, tuple(notes))
    return found


def model_names(models: Sequence[str | Path]) -> list[str]:
    """Return a short name of each model: its path without suffix, as short as it differs from the others.

    Args:
        models: Model files, or names of packaged models.

    Raises:
        ModelError: If a file is missing.
        UsageError: If a file is given twice.
    """
    files = [model_file(model).absolute() for model in models]
    same = Counter(file.resolve() for file in files)
    for given, file in zip(models, files, strict=True):
        check_exported(file)
        if not file.is_file():
            raise ModelError("no such model file", where=given, remedy="check `model=`")
        if (times := same[file.resolve()]) > 1:
            raise UsageError(
                f"the same file {times} times", where=argument("model", given), remedy="give each model once"
            )
    for parts in range(1, max((len(file.parts) for file in files), default=1) + 1):
        names = ["/".join((*file.parts[:-1], file.stem)[-parts:]) for file in files]
        if len({*names, HISTOGRAM}) > len(names):
            return names
    return [str(file) for file in files]  # they differ in nothing but the suffix


def _counting(progress: Progress | None, name: str, table: TileTable) -> Callable[[int], None] | None:
    total = len(table.paths)
    return progress and partial(_report, progress, f"{name}: tiles", total)


def _report(progress: Progress, step: str, total: int, count: int) -> None:
    progress(step, count, total)
