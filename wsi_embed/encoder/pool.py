"""Pool of encoders of one model: sessions on CPU cores, or GPUs."""

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
    """Pool that encodes each batch on a free encoder.

    Results do not depend on which encoder takes a batch. Batches start in the order of submission.

    Args:
        first: Loaded encoder, which provides the metadata.
        others: Loaders of the encoders of the other threads. Each is called in its thread, with the first
            batch that thread takes, so that creating the pool does not wait for them.
        where: Devices and sessions, for display; by default the device of `first`.
        reload: Loader of the pool in another process, used for pickling.

    Attributes:
        first: Encoder that provides the metadata.
        size: Number of batches encoded at once.
        where: Devices and sessions, for display.
    """

    def __init__(
        self,
        first: Encoder,
        others: Sequence[Load] = (),
        where: str = "",
        reload: Callable[[], EncoderPool] | None = None,
    ) -> None:
        self.first, self.size, self.where = first, 1 + len(others), where or first.device
        self._reload = reload
        self._loads: list[Load] = [lambda: first, *others]
        self._lock, self._own = threading.Lock(), threading.local()
        self._threads = ThreadPoolExecutor(self.size, "wsi-embed-encode")

    def buffer(self, shape: tuple[int, ...]) -> UInt8Array:
        """Allocate memory for a batch, pinned for GPUs."""
        if not self.first.on_gpu:
            return np.empty(shape, np.uint8)
        from wsi_embed.encoder.onnx_buffers import pinned

        return pinned(shape)

    def submit(self, tiles: UInt8Array) -> Future[tuple[Encoded, float]]:
        """Encode a batch as soon as an encoder is free.

        Args:
            tiles: RGB tiles, uint8 [B, tile_px, tile_px, 3]; must not change before the result is available.

        Returns:
            Future of the encoding and the seconds it took.
        """
        return self._threads.submit(self._encode, tiles)

    def _encode(self, tiles: UInt8Array) -> tuple[Encoded, float]:
        encoder: Encoder | None = getattr(self._own, "encoder", None)
        if encoder is None:
            encoder = self._own.encoder = self._load()
        began = time.perf_counter()
        return encoder.encode(tiles), time.perf_counter() - began

    def _load(self) -> Encoder:
        """Load the encoder of a thread. After an error the next batch of a thread without one tries again."""
        with self._lock:
            load = self._loads.pop(0)
        try:
            return load()
        except BaseException:
            with self._lock:
                self._loads.insert(0, load)
            raise

    def __reduce__(self) -> tuple[Callable[[], EncoderPool], tuple[()]]:
        if self._reload is None:
            raise TypeError("this encoder cannot be loaded in another process")
        return self._reload, ()

    def close(self) -> None:
        """Stop the threads after their current batches; cancel the others."""
        self._threads.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
