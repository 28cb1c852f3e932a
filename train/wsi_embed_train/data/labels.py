"""Labels of tiles for supervised training, from the column `label` of a CSV."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import UsageError
from wsi_embed_train.data.sources import Source


def class_names(source: Source) -> list[str]:
    """Return the sorted names of the classes of a source.

    Raises:
        UsageError: If the source is not a CSV or has no column `label`, a row has no label, or there is only
            one class.
    """
    if source.columns is None:
        raise UsageError("supervised training needs a CSV with columns `path` and `label`", where=source.name)
    if "label" not in source.columns:
        raise UsageError(f"no column 'label'; it has {', '.join(source.columns)}", where=source.name)
    labels = {**dict(zip(source.images, source.image_labels, strict=True)), **source.slide_labels}
    if twice := [a for a, b in itertools.pairwise(source.images) if a == b]:
        raise UsageError(
            f"{twice[0]} is listed twice, with different labels", where=source.name, remedy="keep one"
        )
    if nameless := next((name for name, label in labels.items() if not label), None):
        raise UsageError(f"{nameless} has no label", where=source.name)
    names = sorted(set(labels.values()))
    if len(names) < 2:
        raise UsageError(
            f"all tiles have the label {names[0]!r}", where=source.name, remedy="give two classes at least"
        )
    return names


def tile_labels(
    source: Source, names: Sequence[str], slides: Sequence[tuple[str, int]]
) -> npt.NDArray[np.int64]:
    """Return the class of every tile, int64 [N]: of the images, then of the tiles of slides.

    Args:
        source: Source with labels.
        names: Names of the classes.
        slides: Id and number of tiles of each slide with tiles, in order.
    """
    number = {name: index for index, name in enumerate(names)}
    of_images = [number[label] for label in source.image_labels]
    of_slides = [number[source.slide_labels[slide_id]] for slide_id, _ in slides]
    counts = [count for _, count in slides]
    return np.concatenate([np.array(of_images, np.int64), np.repeat(np.array(of_slides, np.int64), counts)])
