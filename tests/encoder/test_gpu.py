"""Encoders on a real GPU beside the same on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wsi_embed.encoder import load_encoder, load_pool

pytestmark = pytest.mark.gpu


def tiles_of(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)


@pytest.mark.parametrize("count", [1, 7, 64])
def test_features_are_those_of_the_cpu(tiny: Path, count: int) -> None:
    tiles = tiles_of(count)
    expected, found = (load_encoder(tiny, device=device).encode(tiles) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(found.features, expected.features, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(np.asarray(found.cluster), np.asarray(expected.cluster))


def test_threads_that_share_a_session_do_not_mix_batches(tiny: Path) -> None:
    tiles, alone = tiles_of(64), load_encoder(tiny, device="cpu")
    with load_pool(tiny, device="cuda") as pool:
        assert pool.size > 1
        futures = [pool.submit(tiles[n : n + 8]) for n in range(56)]
        for n, future in enumerate(futures):
            expected = alone.encode(tiles[n : n + 8]).features
            np.testing.assert_allclose(future.result()[0].features, expected, rtol=1e-3, atol=1e-3)


def test_torchscript_on_a_gpu_is_that_of_the_cpu(tiny_ts: Path) -> None:
    pytest.importorskip("torch")
    tiles = tiles_of(9)
    expected, found = (load_encoder(tiny_ts, device=device).encode(tiles) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(found.features, expected.features, rtol=1e-3, atol=1e-3)
