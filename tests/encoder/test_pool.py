"""Encoders that share the work give what one gives, each in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_embed.encoder import Encoded, Encoder, EncoderPool, load_encoder, load_pool
from wsi_embed.encoder import loading as loading_module
from wsi_embed.encoder.device import Device
from wsi_embed.encoder.loading import MOST_MODEL_BYTES, cpu_sessions
from wsi_embed.errors import DeviceError, ModelError
from wsi_embed.slide import UInt8Array


def batches(count: int) -> list[UInt8Array]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (4, 32, 32, 3), np.uint8) for _ in range(count)]


def test_results_are_those_of_one_encoder(tiny: Path) -> None:
    one = load_encoder(tiny, device="cpu", threads=1)
    with load_pool(tiny, device="cpu", cores=3) as pool:
        assert pool.size == 3
        given = batches(12)
        futures = [pool.submit(tiles) for tiles in given]
        for tiles, future in zip(given, futures, strict=True):
            encoded, seconds = future.result()
            expected = one.encode(tiles)
            np.testing.assert_array_equal(encoded.features, expected.features)
            assert encoded.cluster is not None
            assert expected.cluster is not None
            np.testing.assert_array_equal(encoded.cluster, expected.cluster)
            assert seconds > 0


def test_each_thread_has_its_encoder_and_loads_it_when_it_is_needed(tiny: Path) -> None:
    loaded: list[int] = []
    together = threading.Barrier(2)

    def load() -> Encoder:
        loaded.append(threading.get_ident())
        return load_encoder(tiny, device="cpu", threads=1)

    first = load_encoder(tiny, device="cpu", threads=1)
    original = type(first)._encode
    seen: dict[int, set[int]] = {}

    def noted(self: Any, tiles: UInt8Array) -> Encoded:
        seen.setdefault(threading.get_ident(), set()).add(id(self))
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(5)  # both are at work at once
        return original(self, tiles)

    with EncoderPool(first, [load]) as pool, pytest.MonkeyPatch.context() as patch:
        assert not loaded
        patch.setattr(type(first), "_check_outputs", lambda self: None)
        patch.setattr(type(first), "_encode", noted)
        for future in [pool.submit(tiles) for tiles in batches(8)]:
            future.result()
    assert len(loaded) == 1
    assert len(seen) == 2
    assert all(len(encoders) == 1 for encoders in seen.values())


def test_a_session_that_cannot_be_loaded_fails_the_batch(tiny: Path) -> None:
    def fail() -> Encoder:
        raise ModelError("gone")

    first = load_encoder(tiny, device="cpu", threads=1)
    hold = threading.Event()
    with EncoderPool(first, [fail]) as pool, pytest.MonkeyPatch.context() as patch:
        original = first._encode
        patch.setattr(first, "_encode", lambda tiles: (hold.wait(5), original(tiles))[1])
        futures = [pool.submit(tiles) for tiles in batches(2)]
        failed = [f for f in futures if f is not futures[0]]
        with pytest.raises(ModelError, match="gone"):
            failed[0].result()
        hold.set()
        futures[0].result()


def test_a_session_that_could_not_be_loaded_once_is_loaded_at_the_next_batch(tiny: Path) -> None:
    calls = []

    def flaky() -> Encoder:
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError("no room just now")
        return load_encoder(tiny, device="cpu", threads=1)

    with EncoderPool(load_encoder(tiny, device="cpu", threads=1), [flaky]) as pool:
        failed = [future.exception() for future in [pool.submit(tiles) for tiles in batches(12)]]
    assert [type(error) for error in failed if error is not None] == [MemoryError] * (len(calls) > 0)


@pytest.mark.parametrize(
    ("cores", "size", "expected"),
    [
        (1, 50_000_000, (1, 1)),
        (2, 50_000_000, (2, 1)),
        (16, 50_000_000, (8, 2)),
        (64, 50_000_000, (8, 8)),
        (16, 1_200_000_000, (1, 16)),
        (16, MOST_MODEL_BYTES // 4, (4, 4)),
        (4, 10 * MOST_MODEL_BYTES, (1, 4)),
        (4, 0, (4, 1)),
    ],
)
def test_sessions_of_a_cpu(cores: int, size: int, expected: tuple[int, int]) -> None:
    assert cpu_sessions(cores, size) == expected


def test_a_pool_says_where_it_works(tiny: Path) -> None:
    with load_pool(tiny, device="cpu", cores=4) as pool:
        assert pool.where == "cpu in 4 sessions of 1 thread"
    with load_pool(tiny, device="cpu", cores=1) as pool:
        assert (pool.where, pool.size) == ("cpu", 1)


def test_several_gpus_have_two_threads_each(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    original = loading_module._load

    def load(path: Path, device: Device, *rest: Any) -> Encoder:
        asked.append(str(device))
        encoder = original(path, Device("cpu"), *rest)
        encoder.device = str(device)
        return encoder

    monkeypatch.setattr(loading_module, "_load", load)
    with load_pool(tiny, device="cuda:0,2") as pool:
        assert (asked, pool.size, pool.where) == (["cuda:0", "cuda:2"], 4, "cuda:0, cuda:2")
        for future in [pool.submit(tiles) for tiles in batches(6)]:
            assert future.result()[0].features.shape == (4, 8)
    assert asked == ["cuda:0", "cuda:2"]  # nothing is loaded twice


def test_a_device_that_is_not_there_is_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for device in ("cuda:0,1", "cuda:7"):
        with pytest.raises(DeviceError, match=r"cannot be used|has no CUDA"):
            load_pool(tiny, device=device)


def test_close_ends_the_threads(tiny: Path) -> None:
    before = threading.active_count()
    pool = load_pool(tiny, device="cpu", cores=2)
    for future in [pool.submit(tiles) for tiles in batches(4)]:
        future.result()
    pool.close()
    assert threading.active_count() == before
