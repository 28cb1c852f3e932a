"""Encoders of one model that share the work: sessions on a CPU's cores, or GPUs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import numpy as np

from wsi_embed.encoder.base import Encoded, Encoder
from wsi_embed.slide.base import UInt8Array

Load = Callable[[], Encoder]


class EncoderPool:
    """Encodes batches on whichever encoder is free.

    What a batch becomes does not depend on which of them takes it. Batches begin in the order in which they
    are given.

    Args:
        first: Loaded already: it says what the model is.
        others: Give the encoders of the other threads, each in its own, when the first batches come: nobody
            waits for them.
        where: Devices and sessions, for people; by default the first one's device.
        elsewhere: Loads the model in another process: what a pool is when it is sent to one (pickled).

    Attributes:
        first: Its metadata are those of all.
        size: Batches that are worked on at once.
        where: Devices and sessions, for people.
    """

    def __init__(
        self,
        first: Encoder,
        others: Sequence[Load] = (),
        where: str = "",
        elsewhere: Callable[[], EncoderPool] | None = None,
    ) -> None:
        self.first, self.size, self.where = first, 1 + len(others), where or first.device
        self._elsewhere = elsewhere
        self._loads: list[Load] = [lambda: first, *others]
        self._lock, self._own = threading.Lock(), threading.local()
        self._threads = ThreadPoolExecutor(self.size, "wsi-embed-encode")

    def buffer(self, shape: tuple[int, ...]) -> UInt8Array:
        """Memory for a batch, from which the device copies fast."""
        if not self.first.device.startswith(("cuda", "tensorrt")):
            return np.empty(shape, np.uint8)
        from wsi_embed.encoder.onnx_buffers import pinned

        return pinned(shape)

    def submit(self, tiles: UInt8Array) -> Future[tuple[Encoded, float]]:
        """Encode a batch when an encoder is free.

        Args:
            tiles: RGB, uint8 [B, tile_px, tile_px, 3]; not to be written to before the result is there.

        Returns:
            What becomes of it, and the seconds that it took.
        """
        return self._threads.submit(self._encode, tiles)

    def _encode(self, tiles: UInt8Array) -> tuple[Encoded, float]:
        encoder: Encoder | None = getattr(self._own, "encoder", None)
        if encoder is None:
            with self._lock:
                load = self._loads.pop(0)
            encoder = self._own.encoder = load()
        began = time.perf_counter()
        return encoder.encode(tiles), time.perf_counter() - began

    def __reduce__(self) -> tuple[Callable[[], EncoderPool], tuple[()]]:
        if self._elsewhere is None:
            raise TypeError("this encoder cannot be loaded in another process")
        return self._elsewhere, ()

    def close(self) -> None:
        """End the threads, after the batches in hand."""
        self._threads.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
