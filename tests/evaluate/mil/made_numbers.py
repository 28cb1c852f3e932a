"""Bags whose risk and value depend on the share of their tiles that are of one kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.evaluate.made import MadeSlide, made_store, table
from wsi_embed.store import Store

DIM = 6


@dataclass(frozen=True)
class Shares:
    """A store, the share of each slide's tiles, and tables of times and events, and of values."""

    store: Store
    share: dict[str, float]
    survival: Path
    values: Path


def made_shares(folder: Path, count: int = 60) -> Shares:
    """The larger the share, the earlier is the event of a slide, and the higher its value."""
    rng = np.random.default_rng(3)
    slides, share, survival, values = {}, {}, [], []
    for number in range(count):
        slide_id, tiles = f"s{number:02}", int(rng.integers(8, 17))
        chosen = np.arange(tiles) < round(tiles * rng.random())
        features = (rng.normal(size=(tiles, DIM)) + 4 * chosen[:, None] * (np.arange(DIM) < 2)).astype(
            np.float32
        )
        slides[slide_id] = MadeSlide(features, chosen.astype(np.int64), f"p{number // 2}")
        share[slide_id] = float(chosen.mean())
        time, end = rng.exponential(np.exp(-8 * share[slide_id])), rng.exponential(0.3)
        survival.append(f"{slide_id},{min(time, end):.4f},{int(time <= end)}")
        values.append(f"{slide_id},{50 + 20 * share[slide_id]:.3f}")
    return Shares(
        made_store(folder / "f.zarr", slides),
        share,
        table(folder / "survival.csv", "slide_id,months,died", *survival),
        table(folder / "values.csv", "slide_id,age", *values),
    )
