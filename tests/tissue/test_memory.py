"""Memory of finding tissue: views of large slides have ten million pixels and more."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from wsi_embed.grid import make_grid, plan_read
from wsi_embed.tissue import TissueRecipe
from wsi_embed.tissue.artefacts import find_edges
from wsi_embed.tissue.glass import find_glass
from wsi_embed.tissue.mask import TissueMask

SIDE = 2000
VIEW = np.full((SIDE, SIDE, 3), 240, np.uint8)
VIEW[500:1500, 500:1500] = (200, 120, 180)
GRID = make_grid(plan_read(0.5, [1.0], 0.5, 224), (1.0, 1.0), (SIDE, SIDE), (0, 0, SIDE, SIDE))


@pytest.mark.parametrize(
    ("step", "bytes_a_pixel"),
    [
        (lambda: find_glass(VIEW), 14),
        (lambda: find_edges(VIEW, TissueRecipe(), 8.0), 9),
        (lambda: TissueMask(VIEW[..., 0] < 220, (1.0, 1.0)).coverage(GRID), 6),
    ],
    ids=["glass", "edges", "coverage"],
)
def test_a_step_takes_little_memory_for_each_pixel(step: Callable[[], object], bytes_a_pixel: int) -> None:
    step()  # what the first use keeps
    tracemalloc.start()
    try:
        step()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < bytes_a_pixel * SIDE**2
