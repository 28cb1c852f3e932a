"""Contours: where the annotator drew them, visible on every colour, and only on their own slide."""

from __future__ import annotations

import numpy as np
import pytest

from wsi_embed.plot import cluster_colour
from wsi_embed.plot.annotations import draw_contours
from wsi_embed.plot.views import View
from wsi_embed.regions import Polygon

BLUE = (0, 0, 205)
SQUARE = np.array([[40.0, 40.0], [160.0, 40.0], [160.0, 160.0], [40.0, 160.0]])
HOLE = np.array([[80.0, 80.0], [120.0, 80.0], [120.0, 120.0], [80.0, 120.0]])


def drawn(background: tuple[int, int, int], polygons: list[Polygon], line: int = 4) -> np.ndarray:
    pixels = np.full((400, 400, 3), background, np.uint8)
    draw_contours(pixels, View(pixels, (2.0, 2.0)), polygons, {"Tumor": BLUE, "Fat": (0, 0, 0)}, line)
    return pixels


@pytest.mark.parametrize("cluster", range(0, 100, 9))
def test_a_contour_is_seen_on_any_cluster(cluster: int) -> None:
    background = cluster_colour(cluster)
    pixels = drawn(background, [Polygon([SQUARE], "Tumor")])
    across = pixels[200, 70:91]  # the left edge lies at x = 80
    assert tuple(across[10]) == BLUE
    assert tuple(across[6]) == tuple(across[14]) == (255, 255, 255)
    assert tuple(across[0]) == tuple(across[20]) == background
    assert tuple(pixels[130, 130]) == background  # the inside stays filled


def test_holes_are_drawn_and_halos_cover_no_other_line() -> None:
    pixels = drawn((200, 100, 50), [Polygon([SQUARE, HOLE], "Tumor"), Polygon([SQUARE + 2], "Fat")])
    assert tuple(pixels[200, 160]) == BLUE
    assert tuple(pixels[200, 80]) == BLUE
    assert tuple(pixels[200, 84]) == (0, 0, 0)


def test_absurd_coordinates_are_no_problem() -> None:
    far = np.array([[1e12, 1e12], [-1e12, 40.0], [40.0, 1e300]])
    drawn((200, 100, 50), [Polygon([far], "Tumor")])
