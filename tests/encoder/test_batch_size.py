"""A trial finds the batch after which larger ones gain little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wsi_embed.encoder import Encoded, batch_size, load_encoder
from wsi_embed.encoder.batch_size import CPU_BATCH, default_batch, find_batch
from wsi_embed.slide import UInt8Array


class Clock:
    """Time that passes as an encoder says."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("fixed", "a_tile", "expected"),
    [
        (0.0, 1e-3, 64),  # nothing gained
        (0.2, 1e-3, 1024),  # the fixed cost of a batch counts to the end
        (0.02, 1e-3, 256),  # 84 -> 16 -> 8 % gained, then 4 %
    ],
)
def test_the_batch_after_which_little_is_gained(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, fixed: float, a_tile: float, expected: int
) -> None:
    clock, encoder = Clock(), load_encoder(tiny, device="cpu", threads=1)

    def timed(tiles: UInt8Array) -> Encoded:
        clock.now += fixed + a_tile * len(tiles)
        return Encoded(np.zeros((len(tiles), 8), np.float32))

    monkeypatch.setattr(encoder, "_encode", timed)
    monkeypatch.setattr(batch_size, "time", clock)
    assert find_batch(encoder, (64, 128, 256, 512, 1024)) == expected


def test_a_batch_that_does_not_fit_is_not_taken(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, encoder = Clock(), load_encoder(tiny, device="cpu", threads=1)

    def limited(tiles: UInt8Array) -> Encoded:
        if len(tiles) > 200:
            raise RuntimeError("CUDA failure 2: out of memory")
        clock.now += 1.0
        return Encoded(np.zeros((len(tiles), 8), np.float32))

    monkeypatch.setattr(encoder, "_encode", limited)
    monkeypatch.setattr(batch_size, "time", clock)
    assert find_batch(encoder, (64, 128, 256, 512)) == 128


def test_a_real_encoder_is_tried(tiny: Path) -> None:
    assert find_batch(load_encoder(tiny, device="cpu", threads=1), (4, 8)) in (4, 8)


def test_a_cpu_needs_no_trial(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_encoder(tiny, device="cpu", threads=1)
    monkeypatch.setattr(encoder, "_encode", None)
    assert default_batch(encoder) == CPU_BATCH
