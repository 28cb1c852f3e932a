"""Sharpness: equal to a plain computation, and in the order of known blurs on real tissue."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy.stats import spearmanr

import wsi_embed.slide
from tests.made_tissue import EOSIN, HAEMATOXYLIN
from wsi_embed.quality.focus import focus, reduction
from wsi_embed.quality.measures import BLURRED

UInt8Array = npt.NDArray[np.uint8]
TISSUE = Path(wsi_embed.slide.__file__).parent / "tissue.jpg"
# Standard deviations of Gaussian blurs, pixels of 0.5 um.
SIGMAS = (0.0, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


def slow_focus(tile: UInt8Array, factor: int) -> float:
    """The same by its definition, without OpenCV."""
    grey = np.rint(tile.astype(np.float64) @ [0.299, 0.587, 0.114])
    rows, cols = (side // factor for side in grey.shape)
    grey = np.rint(grey.reshape(rows, factor, cols, factor).mean((1, 3)))
    around = np.pad(grey, 1, "reflect")
    laplacian = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:] - 4 * grey
    return float(laplacian.std())


def cut(pixels: UInt8Array, px: int = 224) -> list[UInt8Array]:
    """Cut a picture into tiles."""
    height, width = pixels.shape[:2]
    corners = [(y, x) for y in range(0, height - px + 1, px) for x in range(0, width - px + 1, px)]
    return [np.ascontiguousarray(pixels[y : y + px, x : x + px]) for y, x in corners]


def blurred(tile: UInt8Array, sigma: float) -> UInt8Array:
    return np.asarray(cv2.GaussianBlur(tile, (0, 0), sigma), np.uint8) if sigma else tile


def order(tiles: list[UInt8Array]) -> float:
    """Rank correlation between the focus of blurred tiles and their blur, all tiles together."""
    values = [(focus(blurred(tile, sigma)), sigma) for tile in tiles for sigma in SIGMAS]
    return float(-spearmanr(*zip(*values, strict=True)).statistic)


def restained(tile: UInt8Array, haematoxylin: float, eosin: float) -> UInt8Array:
    """Change the strength of the stains of a tile (colour deconvolution by Ruifrok and Johnston)."""
    rest = np.cross(HAEMATOXYLIN, EOSIN)
    stains = np.stack([HAEMATOXYLIN, EOSIN, rest / np.linalg.norm(rest)])
    density = -np.log((tile.astype(np.float64) + 1) / 256) @ np.linalg.inv(stains)
    changed = density * [haematoxylin, eosin, 1.0]
    return np.asarray((256 * np.exp(-changed @ stains) - 1).clip(0, 255), np.uint8)


@pytest.fixture(scope="module")
def tissue() -> list[UInt8Array]:
    return cut(np.asarray(Image.open(TISSUE).convert("RGB")))[:40]


@given(arrays(np.uint8, (12, 18, 3)), st.sampled_from([1, 2, 3]))
def test_the_focus_is_the_deviation_of_the_laplacian(tile: UInt8Array, factor: int) -> None:
    # grey values and means may be rounded the other way, which moves a Laplacian by 8 at most
    assert focus(tile, factor) == pytest.approx(slow_focus(tile, factor), abs=2.0)


def test_the_oracle_holds_to_the_digit_where_nothing_is_rounded() -> None:
    grey = np.random.default_rng(0).integers(0, 64, (24, 24), dtype=np.uint8) * 4
    tile = np.repeat(np.repeat(np.repeat(grey, 2, 0), 2, 1)[..., None], 3, 2)
    assert focus(tile, 2) == pytest.approx(slow_focus(tile, 2), abs=1e-9)
    assert focus(tile, 1) == pytest.approx(slow_focus(tile, 1), abs=1e-9)


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_flat_tile_has_no_focus(grey: int) -> None:
    assert focus(np.full((32, 32, 3), grey, np.uint8)) == 0


@pytest.mark.parametrize(
    ("mpp", "factor"),
    [(0.5, 1), (0.499, 1), (1.0, 1), (4.0, 1), (0.25, 2), (0.2528, 2), (0.23, 2), (0.17, 3)],
)
def test_fine_tiles_are_reduced_to_about_half_a_micrometre(mpp: float, factor: int) -> None:
    assert reduction(mpp) == factor


def test_a_scan_at_twice_the_resolution_has_about_the_same_focus(tissue: list[UInt8Array]) -> None:
    for tile in tissue[:6]:
        fine = np.asarray(cv2.resize(tile, (448, 448), interpolation=cv2.INTER_CUBIC), np.uint8)
        assert focus(fine, reduction(0.25)) == pytest.approx(focus(tile), rel=0.25)


@pytest.mark.parametrize("stains", [(1.0, 1.0), (0.5, 1.2), (1.5, 0.6), (0.7, 0.7), (1.3, 1.3)])
def test_the_focus_orders_blurs_of_real_tissue(tissue: list[UInt8Array], stains: tuple[float, float]) -> None:
    assert order([restained(tile, *stains) for tile in tissue]) >= 0.95


def test_more_blur_is_less_focus_on_every_tile(tissue: list[UInt8Array]) -> None:
    for tile in tissue:
        values = [focus(blurred(tile, sigma)) for sigma in SIGMAS]
        assert values == sorted(values, reverse=True)


def test_blurred_tiles_are_below_the_limit_and_sharp_ones_above(tissue: list[UInt8Array]) -> None:
    assert min(focus(tile) for tile in tissue) > BLURRED
    assert max(focus(blurred(tile, 3.0)) for tile in tissue) < BLURRED  # 1.5 um


def test_real_tiles_of_many_stains_are_ordered(shared_data: Path) -> None:
    rng = np.random.default_rng(0)
    found = {}
    for folder in sorted((shared_data / "tiles").iterdir()):
        files = sorted(folder.iterdir())
        chosen = (files[i] for i in rng.permutation(len(files))[:20])
        found[folder.name] = [np.asarray(Image.open(file).convert("RGB")) for file in chosen]
    for name in ("hgsc_nest.jpg", "hgsc_stromal_he.jpg"):
        found[name] = cut(np.asarray(Image.open(shared_data / "regions" / name).convert("RGB")))[:20]
    for name, tiles in found.items():
        assert order(tiles) >= 0.95, name
    assert order([tile for tiles in found.values() for tile in tiles[:8]]) >= 0.95
