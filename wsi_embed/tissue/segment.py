"""Tissue of a view by a segmentation network: by one class, or by several with names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wsi_embed.slide.base import UInt8Array
from wsi_embed.tissue.glass import BoolArray
from wsi_embed.tissue.network import network_of
from wsi_embed.tissue.recipe import TissueRecipe

# Names of classes that are no part of the specimen, so that nobody misses them.
NOTHING = frozenset({"background", "glass", "empty", "white"})
# Smallest area of a class that is reported as left out, mm2.
NOTED_MM2 = 0.1


@dataclass(frozen=True)
class Segmented:
    """Result of a segmentation network.

    Attributes:
        tissue: True for tissue, bool [h, w].
        left_out: True for classes that are neither tissue nor glass, such as folds, bool [h, w].
        note: Areas of these classes, for the report; None if there are none.
    """

    tissue: BoolArray
    left_out: BoolArray
    note: str | None = None


def segment(view: UInt8Array, recipe: TissueRecipe, view_mpp: float) -> Segmented:
    """Find the tissue of a view by the network of a recipe.

    Args:
        view: RGB, uint8 [h, w, 3].
        recipe: Recipe with the name `model`.
        view_mpp: Micrometres per pixel of the view.

    Raises:
        ModelError: If the file of the network is not available or has changed.
        SlideError: If the output of the network is not a probability.
    """
    network = network_of(recipe)
    if not recipe.keep:
        tissue = np.asarray(network.probability(view, recipe) > recipe.threshold, np.bool_)
        return Segmented(tissue, np.zeros_like(tissue))
    found = network.classes(view, recipe)
    kept = np.array([name in recipe.keep for name in recipe.classes])
    left_out = np.array([name.lower() not in NOTHING for name in recipe.classes]) & ~kept
    areas = np.bincount(found.ravel(), minlength=len(kept)) * (view_mpp / 1000) ** 2
    noted = [
        f"{areas[number]:.1f} mm2 of {recipe.classes[number]}"
        for number in np.flatnonzero(left_out & (areas >= NOTED_MM2)).tolist()
    ]
    note = f"{', '.join(noted)} left out (`tissue_set=['keep=...']` keeps classes)" if noted else None
    return Segmented(np.asarray(kept[found], np.bool_), np.asarray(left_out[found], np.bool_), note)
