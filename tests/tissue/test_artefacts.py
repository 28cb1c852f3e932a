from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.made_tissue import (
    INKS,
    MPP,
    BoolArray,
    MadeView,
    UInt8Array,
    coverslip,
    fat,
    glass,
    haematoxylin_eosin,
    immunostain,
    outline,
    pen,
)
from wsi_embed.tissue.artefacts import find_edges, find_pen
from wsi_embed.tissue.glass import divide, find_glass
from wsi_embed.tissue.recipe import TissueRecipe

OTSU = TissueRecipe()


def balanced(view: MadeView) -> UInt8Array:
    pixels = view.photograph()
    smooth = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1), np.uint8)
    return divide(smooth, find_glass(smooth) or (243.0, 243.0, 243.0))


def inked(view: MadeView, ink: str) -> BoolArray:
    before = view.light.copy()
    pen(view, ink)
    return np.asarray(((before - view.light).max(2) > 0.3 * before.max(2)), np.bool_)


@pytest.mark.parametrize("ink", INKS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ink_on_glass_is_found(ink: str, seed: int) -> None:
    view = glass(seed, (450, 600))
    where = inked(view, ink)
    found = find_pen(balanced(view), OTSU, MPP)
    assert (found & where).sum() > 0.95 * where.sum()
    assert (found & ~where).sum() < 0.15 * where.sum()  # a margin


@pytest.mark.parametrize("draw", [haematoxylin_eosin, immunostain, fat])
@pytest.mark.parametrize("seed", [4, 5])
def test_stained_tissue_is_no_ink(draw: object, seed: int) -> None:
    view = glass(seed, (450, 600))
    draw(view, outline(view.rng, view.shape, 0.4))  # type: ignore[operator]
    assert find_pen(balanced(view), OTSU, MPP).mean() < 0.0005


@pytest.mark.parametrize("strength", [2.0, 3.5])
def test_dense_haematoxylin_is_no_ink(strength: float) -> None:
    view = glass(7, (450, 600))
    haematoxylin_eosin(view, outline(view.rng, view.shape, 0.4), strength)
    assert find_pen(balanced(view), OTSU, MPP).mean() < 0.002


@pytest.mark.parametrize("name", ["idc_14306.png", "hgsc_nest.jpg", "hgsc_stromal_he.jpg"])
def test_real_tissue_is_no_ink(shared_data: Path, name: str) -> None:
    pixels = np.asarray(Image.open(shared_data / "regions" / name).convert("RGB"))
    factor = 2 if "idc" in name else 16
    size = (pixels.shape[1] // factor, pixels.shape[0] // factor)
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    assert find_pen(divide(small, find_glass(small) or (243.0, 243.0, 243.0)), OTSU, MPP).mean() < 0.001


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_edges_of_a_coverslip_are_found_along_most_of_their_length(seed: int) -> None:
    view = glass(seed, (450, 600))
    coverslip(view)
    dark = view.light.max(2) < 0.6
    found = find_edges(balanced(view), OTSU, MPP)
    assert (found & dark).sum() > 0.8 * dark.sum()


@pytest.mark.parametrize("draw", [haematoxylin_eosin, immunostain, fat])
@pytest.mark.parametrize("seed", [4, 5])
def test_tissue_has_no_edges_of_a_coverslip(draw: object, seed: int) -> None:
    view = glass(seed, (450, 600))
    draw(view, outline(view.rng, view.shape, 0.4))  # type: ignore[operator]
    assert find_edges(balanced(view), OTSU, MPP).mean() < 0.001
