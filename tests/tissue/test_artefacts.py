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
    FloatArray,
    MadeView,
    UInt8Array,
    coverslip,
    fat,
    glass,
    haematoxylin_eosin,
    immunostain,
    noise,
    outline,
    pen,
)
from wsi_embed.tissue.artefacts import find_edges, find_pen
from wsi_embed.tissue.glass import divide, find_glass
from wsi_embed.tissue.recipe import TissueRecipe

OTSU = TissueRecipe()


def balanced(view: MadeView, mpp: float = MPP) -> UInt8Array:
    pixels = view.photograph()
    sigma = OTSU.blur_um / mpp
    smooth = np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8) if sigma > 0.3 else pixels
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


def stroke(shape: tuple[int, int], mpp: float, width_um: float, way: str) -> FloatArray:
    """Share of each pixel that a stroke covers, float32 [h, w]; it crosses the whole view or is a ring."""
    fine, (h, w) = 4, shape
    across = np.linspace(-0.1, 1.1, 200)
    turn = np.linspace(0, 2 * np.pi, 200)
    points = {
        "straight": (across, np.full_like(across, 0.4)),
        "diagonal": (across, across),
        "curved": (across, 0.5 + 0.2 * np.sin(7 * across)),
        "ring": (0.5 + 0.3 * np.cos(turn), 0.5 + 0.3 * np.sin(turn)),
    }[way]
    drawn = np.zeros((h * fine, w * fine), np.uint8)
    line = np.rint(np.stack(points, 1) * (w * fine, h * fine)).astype(np.int32)
    cv2.polylines(drawn, [line], False, 1, round(width_um / mpp * fine))
    return np.asarray(cv2.resize(drawn.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA))


@pytest.mark.parametrize("way", ["straight", "diagonal", "curved", "ring"])
@pytest.mark.parametrize(("width_um", "mpp"), [(150, 8.0), (200, 8.0), (150, 16.0), (200, 24.0), (300, 32.0)])
def test_thin_strokes_are_found(way: str, width_um: float, mpp: float) -> None:
    """From `pen_um` on, although a stroke of a few pixels is all edge."""
    for ink in INKS:
        view = glass(1, (round(3200 / mpp),) * 2)
        share = stroke(view.shape, mpp, width_um, way)
        layers = share * np.clip(1 + 0.1 * noise(view.rng, view.shape, 480 / mpp), 0.5, 1.5)
        view.light *= np.asarray(INKS[ink], np.float32) ** layers[..., None]
        found = find_pen(balanced(view, mpp), OTSU, mpp)
        assert (found & (share > 0.5)).sum() > 0.95 * (share > 0.5).sum(), ink
        assert not (found & (cv2.dilate(share, np.ones((9, 9))) == 0)).any(), ink


@pytest.mark.parametrize("ink", INKS)
def test_a_thin_stroke_across_tissue_takes_no_tissue_along(ink: str) -> None:
    view = glass(1, (400, 400))
    haematoxylin_eosin(view, outline(view.rng, view.shape, 0.35))
    share = stroke(view.shape, MPP, 200, "diagonal")
    view.light *= np.asarray(INKS[ink], np.float32) ** share[..., None]
    found = find_pen(balanced(view), OTSU, MPP)
    beside = view.truth & (cv2.dilate(share, np.ones((9, 9))) == 0)
    least = 0.7 if ink == "orange" else 0.8  # over dark tissue it is as brown as DAB
    assert (found & (share > 0.5)).sum() > least * (share > 0.5).sum()
    assert (found & beside).sum() < 0.01 * beside.sum()


@pytest.mark.parametrize("width_um", [150, 600])
@pytest.mark.parametrize(
    "colour", [(0, 0, 255), (30, 30, 200), (20, 40, 160), (0, 128, 0), (200, 30, 40), (240, 130, 20)]
)
def test_pure_colours_are_ink(colour: tuple[int, int, int], width_um: int) -> None:
    pixels = np.full((200, 200, 3), 240, np.uint8)
    pixels[60 : 60 + round(width_um / MPP)] = colour
    assert find_pen(divide(pixels, (240.0, 240.0, 240.0)), OTSU, MPP)[60 : 60 + round(width_um / MPP)].all()


@pytest.mark.parametrize("ink", INKS)
def test_a_spot_no_wider_than_a_pen_is_no_stroke(ink: str) -> None:
    """Pigment, a clot or a fold may be as small and as smooth."""
    view = glass(1, (300, 300))
    spot = np.zeros(view.shape, np.uint8)
    cv2.circle(spot, (150, 150), 10, 1, -1)
    view.light *= np.asarray(INKS[ink], np.float32) ** spot[..., None]
    assert not find_pen(balanced(view), OTSU, MPP).any()


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
