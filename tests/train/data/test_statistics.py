from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsi_embed_train.data.statistics import STATS_SAMPLE, pixel_statistics, sample_of


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 99))
def test_equal_to_numpys(sides: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    tiles = [rng.integers(0, 256, (side, side, 3), np.uint8) for side in sides]
    pixels = np.concatenate([tile.reshape(-1, 3) for tile in tiles]) / 255
    mean, std = pixel_statistics(tiles)
    np.testing.assert_allclose(mean, pixels.mean(0), atol=5.1e-5)
    np.testing.assert_allclose(std, np.maximum(pixels.std(0), 1e-4), atol=5.1e-5)


def test_uniform_tiles_can_be_divided_by() -> None:
    mean, std = pixel_statistics([np.full((8, 8, 3), 255, np.uint8)])
    assert mean == (1.0, 1.0, 1.0)
    assert min(std) > 0


def test_the_sample_is_bounded_spread_and_of_the_seed() -> None:
    assert sample_of(10, 0) == list(range(10))
    sample = sample_of(100_000, 1)
    assert len(set(sample)) == STATS_SAMPLE
    assert sample == sorted(sample) == sample_of(100_000, 1) != sample_of(100_000, 2)
    assert sample[0] < 2000
    assert sample[-1] > 98_000
