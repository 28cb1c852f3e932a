"""Check whether the model was trained on the test data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from wsi_embed.slide.tile_images import image_digest
from wsi_embed.util.text import counted, names_of


def seen_in_training(
    model: Mapping[str, Any], slides: Iterable[str], paths: Sequence[Path] = ()
) -> tuple[dict[str, Any] | None, list[str]]:
    """Compare test data with the training data recorded in the metadata of a model.

    A training records the ids of its slides, and digests of its tile images or of a random sample of them
    (`training["image_digests"]`). Test data that is recorded was seen in training; other data may have been.

    Args:
        model: Metadata of the model, plain values.
        slides: Ids of the test slides; empty ones are ignored.
        paths: Files of the test tiles.

    Returns:
        Test data seen in training, as plain values (None if the metadata do not describe the training data),
        and a note for each kind of it.
    """
    recorded: Mapping[str, Any] = model.get("training") or {}
    trained, digests = set(model.get("training_slides") or ()), set(recorded.get("image_digests") or ())
    if not trained and not digests:
        return None, ["the model does not say what it was trained on: whether it saw test tiles is not known"]
    seen_slides = sorted(trained & set(map(str, slides)))
    seen_tiles = [path.name for path, d in zip(paths, _digests(paths, digests), strict=True) if d in digests]
    notes = []
    if seen_slides:
        notes.append(
            f"the model was trained on {counted(len(seen_slides), 'slide')} of the test set "
            f"({names_of(seen_slides)}): the scores are not of unseen slides"
        )
    if seen_tiles:
        share = f", of which {len(digests):,} are known" if len(digests) < recorded.get("images", 0) else ""
        notes.append(
            f"the model was trained on {counted(len(seen_tiles), 'tile')} of the test set "
            f"({names_of(seen_tiles)}); it had {recorded.get('images', 0):,} tile images{share}"
        )
    return {"slides": seen_slides, "tiles": len(seen_tiles), "known_tiles": len(digests)}, notes


def _digests(paths: Sequence[Path], wanted: set[str]) -> list[str]:
    if not wanted:
        return [""] * len(paths)
    with ThreadPoolExecutor() as pool:
        return list(pool.map(image_digest, paths))
