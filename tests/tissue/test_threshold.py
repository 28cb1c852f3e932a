"""Masks of made views against their truth: every recipe where it is meant to work."""

from __future__ import annotations

import functools
from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.made_tissue import CASES, MPP, BoolArray, UInt8Array, dice, made
from wsi_embed.tissue.mask import find_tissue
from wsi_embed.tissue.recipe import TissueRecipe

EVEN = [
    "plain", "holes", "IHC", "faint", "fat", "debris", "coverslip", "black padding", "white padding",
    "pen blue", "pen green", "pen red", "pen black",
]  # fmt: skip
UNEVEN = ["vignetting", "stitching", "stitching, IHC"]
FIXED = ["plain", "debris", "coverslip", "black padding", "vignetting", "pen blue", "pen green", "pen black"]
MEANT = {"otsu": EVEN, "otsu-local": ["plain", "fat", "IHC", *UNEVEN], "hsv": FIXED}


@functools.cache
def view_of(case: str, seed: int) -> tuple[UInt8Array, BoolArray]:
    kind, steps = CASES[case]
    return made(seed, kind, *steps)


@pytest.mark.parametrize(
    ("case", "seed"),
    [(case, 101) for case in sorted(set().union(*MEANT.values()))]
    + [(case, seed) for case in ("debris", "faint", "pen blue", "stitching") for seed in (202, 303)],
)
def test_made_tissue_is_found(case: str, seed: int) -> None:
    recipes = [name for name, cases in MEANT.items() if case in cases]
    pixels, truth = view_of(case, seed)
    found = {name: dice(find_tissue(pixels, TissueRecipe(name), MPP)[0], truth) for name in recipes}
    assert min(found.values()) >= 0.95, found


def test_only_the_local_recipe_sees_through_stitching() -> None:
    pixels, truth = view_of("stitching, IHC", 7)
    plain, local = (find_tissue(pixels, TissueRecipe(n), MPP)[0] for n in ("otsu", "otsu-local"))
    assert dice(local, truth) > dice(plain, truth) + 0.02


@pytest.mark.parametrize("dim", [0.85, 0.7])
def test_a_dimmer_lamp_changes_little(dim: float) -> None:
    pixels, truth = view_of("plain", 11)
    darker = np.rint(pixels * dim).astype(np.uint8)
    assert dice(find_tissue(darker, TissueRecipe(), MPP)[0], truth) > 0.95


@pytest.mark.parametrize("tint", [(1.0, 0.97, 0.86), (0.97, 1.0, 0.99), (1.0, 0.95, 1.0)])
def test_tinted_glass_is_still_glass(tint: tuple[float, float, float]) -> None:
    pixels, truth = view_of("plain", 11)
    tinted = np.rint(pixels * np.array(tint)).astype(np.uint8)
    assert dice(find_tissue(tinted, TissueRecipe(), MPP)[0], truth) > 0.95


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
@pytest.mark.parametrize("name", ["otsu", "hsv"])
def test_which_way_a_slide_lies_does_not_matter(name: str, quarter_turns: int) -> None:
    pixels, _ = view_of("plain", 11)
    recipe = TissueRecipe(name, edges=False)
    turned, _ = find_tissue(np.ascontiguousarray(np.rot90(pixels, quarter_turns)), recipe, MPP)
    upright, _ = find_tissue(pixels, recipe, MPP)
    assert dice(turned, np.rot90(upright, quarter_turns)) > 0.995


def test_the_same_view_has_the_same_mask_with_any_number_of_threads() -> None:
    pixels, _ = view_of("everything", 14)
    before = cv2.getNumThreads()
    try:
        masks = []
        for threads in (1, 2, 4):
            cv2.setNumThreads(threads)
            masks.append(find_tissue(pixels, TissueRecipe("otsu-local"), MPP)[0])
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


@pytest.mark.parametrize(
    ("name", "key", "value", "case"),
    [
        ("otsu", "blur_um", 60.0, "plain"),
        ("otsu", "max_chroma", 60.0, "faint"),
        ("otsu", "grey", 0.9, "IHC"),
        ("otsu", "leak", 0.0, "plain"),
        ("otsu", "pen", False, "pen blue"),
        ("otsu", "pen_um", 5000.0, "pen blue"),
        ("otsu", "edges", False, "coverslip"),
        ("otsu", "edge_um", 90_000.0, "coverslip"),
        ("otsu", "close_um", 0.0, "fat"),
        ("otsu", "open_um", 300.0, "plain"),
        ("otsu", "min_area_um2", 1e8, "plain"),
        ("otsu", "max_hole_um2", 1e12, "holes"),
        ("otsu-local", "background_um", 2000.0, "stitching"),
        ("otsu-local", "max_tint", 1.0, "stitching"),
        ("hsv", "hue_from", 320.0, "plain"),
        ("hsv", "hue_to", 200.0, "plain"),
        ("hsv", "min_saturation", 120, "plain"),
        ("hsv", "min_value", 220, "plain"),
        ("hsv", "max_value", 150, "plain"),
    ],
)
def test_every_number_changes_some_mask(name: str, key: str, value: object, case: str) -> None:
    pixels, _ = view_of(case, 1)
    recipe = TissueRecipe(name)
    changes: dict[str, object] = {key: value}
    other = replace(recipe, **changes)  # type: ignore[arg-type]
    a, b = (find_tissue(pixels, r, MPP)[0] for r in (recipe, other))
    assert not np.array_equal(a, b)


def test_the_floor_decides_where_nothing_is_strongly_stained() -> None:
    pixels = np.full((300, 300, 3), 240, np.uint8)
    pixels[100:200, 100:200, 1] = 235  # chroma 5
    found = [find_tissue(pixels, TissueRecipe(min_chroma=c), MPP)[0].mean() for c in (4.0, 5.5)]
    assert found == [pytest.approx(1 / 9, abs=0.01), 0]
