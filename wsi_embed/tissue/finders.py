"""Functions that find the tissue in the low-resolution view of a slide, one for each recipe."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from wsi_embed.slide.base import UInt8Array
from wsi_embed.tissue.areas import tidy
from wsi_embed.tissue.artefacts import find_edges, find_pen
from wsi_embed.tissue.glass import (
    NEUTRAL,
    BoolArray,
    Colour,
    chroma_of,
    divide,
    divide_local,
    find_glass,
    local_glass,
    padding,
    refuse_dark,
)
from wsi_embed.tissue.recipe import KEEP_PEN, TissueRecipe
from wsi_embed.tissue.threshold import by_chroma, by_hsv

# Tissue, bool [h, w], and a note for the user.
Found = tuple[BoolArray, str | None]
# In a scan of more than 4 mm without glass, a wrong mask is more likely than a crop.
ALL_TISSUE, CROP_UM = 0.98, 4000.0
NOTED_PEN_MM2 = 0.5

# Function from the smoothed view, the colour of its glass, the scanned pixels, the recipe and the resolution
# to the stained pixels, bool [h, w], and the view divided by its glass, uint8 [h, w, 3].
Stain = Callable[[UInt8Array, Colour | None, BoolArray, TissueRecipe, float], tuple[BoolArray, UInt8Array]]


def find_by_otsu(view: UInt8Array, recipe: TissueRecipe, view_mpp: float) -> Found:
    """Find pixels with more colour than the glass, by one threshold per slide; see `find_tissue`."""
    return _find_stained(view, recipe, view_mpp, _otsu)


def find_by_local_otsu(view: UInt8Array, recipe: TissueRecipe, view_mpp: float) -> Found:
    """Find pixels with more colour than the glass around them; see `find_tissue`."""
    return _find_stained(view, recipe, view_mpp, _local_otsu)


def find_by_hsv(view: UInt8Array, recipe: TissueRecipe, view_mpp: float) -> Found:
    """Find pixels with colours between fixed limits; see `find_tissue`."""
    return _find_stained(view, recipe, view_mpp, _hsv)


def find_by_network(view: UInt8Array, recipe: TissueRecipe, view_mpp: float) -> Found:
    """Find tissue with the network of the recipe; see `find_tissue`."""
    from wsi_embed.tissue.segment import segment  # imports ONNX Runtime

    found = segment(view, recipe, view_mpp)
    return tidy(found.tissue, recipe, view_mpp) & ~found.left_out, found.note


def find_everything(view: UInt8Array, recipe: TissueRecipe, view_mpp: float) -> Found:
    """Take the whole view; see `find_tissue`."""
    return np.ones(view.shape[:2], np.bool_), None


def _find_stained(view: UInt8Array, recipe: TissueRecipe, view_mpp: float, stain: Stain) -> Found:
    """Find tissue by its stain, without pen marks, edges of coverslips and small parts."""
    sigma = recipe.blur_um / view_mpp
    smooth = np.asarray(cv2.GaussianBlur(view, (0, 0), sigma), np.uint8) if sigma > 0.3 else view
    glass = find_glass(smooth)
    if glass is None:
        refuse_dark(view, recipe.dark)
    stained, balanced = stain(smooth, glass, ~padding(view), recipe, view_mpp)
    if recipe.edges:
        stained &= ~find_edges(balanced, recipe, view_mpp)
    pen = find_pen(balanced, recipe, view_mpp) if recipe.pen else np.zeros_like(stained)
    del smooth, balanced  # as large as the view
    mask = tidy(stained & ~pen, recipe, view_mpp) & ~pen
    return mask, _note(mask, pen, view_mpp)


def _otsu(
    smooth: UInt8Array, glass: Colour | None, seen: BoolArray, recipe: TissueRecipe, view_mpp: float
) -> tuple[BoolArray, UInt8Array]:
    balanced = divide(smooth, glass or NEUTRAL)
    return by_chroma(chroma_of(balanced), balanced, seen, recipe, view_mpp), balanced


def _local_otsu(
    smooth: UInt8Array, glass: Colour | None, seen: BoolArray, recipe: TissueRecipe, view_mpp: float
) -> tuple[BoolArray, UInt8Array]:
    if glass is None:
        return _otsu(smooth, glass, seen, recipe, view_mpp)
    side = max(4, round(recipe.background_um / view_mpp))
    blocks = local_glass(smooth, glass, side, recipe.max_tint)
    balanced, chroma = divide_local(smooth, blocks, side)
    return by_chroma(chroma, balanced, seen, recipe, view_mpp), balanced


def _hsv(
    smooth: UInt8Array, glass: Colour | None, seen: BoolArray, recipe: TissueRecipe, view_mpp: float
) -> tuple[BoolArray, UInt8Array]:
    return by_hsv(smooth, seen, recipe), divide(smooth, glass or NEUTRAL)


def _note(mask: BoolArray, pen: BoolArray, view_mpp: float) -> str | None:
    notes = []
    if mask.mean() > ALL_TISSUE and min(mask.shape) * view_mpp > CROP_UM:
        notes.append(
            f"{100 * mask.mean():.0f} % of the slide counts as tissue: if there is glass in it, its colours "
            "are odd (look with `wsi-embed plot`; `tissue='otsu-local'` may help)"
        )
    area = pen.sum() * (view_mpp / 1000) ** 2
    if area >= NOTED_PEN_MM2:
        notes.append(f"{area:.1f} mm2 of pen marks left out ({KEEP_PEN})")
    return "; ".join(notes) or None
