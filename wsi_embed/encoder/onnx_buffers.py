"""Reusable input and output buffers for a session: no allocation and one copy per batch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from wsi_embed.encoder.cuda import CUDA
from wsi_embed.slide.base import UInt8Array

# Graph id of runs that ONNX Runtime does not capture as a CUDA graph.
NO_GRAPH = "-1"
# ONNX Runtime warms up and captures in its first runs with a buffer.
CAPTURING_RUNS = 3


class BoundSession:
    """Session that runs on buffers of one batch size, the largest so far; smaller batches run without them.

    Full batches use the same addresses every time, as CUDA graphs require. Every thread has its own buffers
    and graph: one thread copies its batch to the device while another's is computed.

    Args:
        session: ONNX Runtime session.
        device: `cuda` or `cpu`.
        index: Index of the GPU.
    """

    def __init__(self, session: Any, device: str, index: int = 0) -> None:
        self._session, self._device, self._index = session, device, index
        self._input = session.get_inputs()[0].name
        self._computing, self._own = threading.Lock(), threading.local()
        self._graphs = 0

    def run(self, names: Sequence[str], tiles: UInt8Array) -> list[npt.NDArray[Any]]:
        """Run the model and return its outputs in the order of `names`, like `InferenceSession.run`.

        Args:
            names: Names of the outputs.
            tiles: Tiles, uint8 [B, H, W, 3].
        """
        tiles = np.ascontiguousarray(tiles)
        slot: _Slot | None = getattr(self._own, "slot", None)
        if slot is None or len(tiles) > slot.size or tuple(names) != slot.names:
            slot = self._own.slot = self._allocate(tuple(names), tiles)
        if len(tiles) < slot.size:
            with CUDA.shared(), self._computing:
                return self._plain(names, tiles)
        with slot.lock():
            slot.tiles.update_inplace(tiles)
        with slot.lock(), self._computing:
            self._session.run_with_iobinding(slot.binding, _options(slot.graph))
        slot.runs += 1
        with CUDA.shared():
            # copied, because the next batch overwrites the buffers
            return [np.array(value.numpy()) for value in slot.binding.get_outputs()]

    def _plain(self, names: Sequence[str], tiles: UInt8Array) -> list[npt.NDArray[Any]]:
        return list(self._session.run(list(names), {self._input: tiles}, _options(NO_GRAPH)))

    def _allocate(self, names: tuple[str, ...], tiles: UInt8Array) -> _Slot:
        with CUDA.shared(), self._computing:
            found = self._plain(names, tiles)
            binding = self._session.io_binding()
            buffer = self._buffer(tiles.shape, np.uint8)
            binding.bind_ortvalue_input(self._input, buffer)
            for name, array in zip(names, found, strict=True):
                binding.bind_ortvalue_output(name, self._buffer(array.shape, array.dtype.type))
            self._graphs += 1
            return _Slot(len(tiles), names, buffer, binding, str(self._graphs))

    def _buffer(self, shape: tuple[int, ...], dtype: type[np.generic]) -> Any:
        return ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype, self._device, self._index)


class _Slot:
    """Buffers of one thread for one batch size, and the CUDA graph captured on them."""

    def __init__(self, size: int, names: tuple[str, ...], tiles: Any, binding: Any, graph: str) -> None:
        self.size, self.names, self.tiles, self.binding, self.graph = size, names, tiles, binding, graph
        self.runs = 0

    def lock(self) -> AbstractContextManager[None]:
        """Return the lock for the next run: exclusive while it may be captured, else shared."""
        return CUDA.exclusive() if self.runs < CAPTURING_RUNS else CUDA.shared()


def _options(graph: str) -> Any:
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", graph)
    return options


def pinned(shape: tuple[int, ...], index: int = 0) -> UInt8Array:
    """Allocate host memory that the GPU reads directly, if ONNX Runtime supports it; else ordinary memory."""
    try:
        devices = [d for d in ort.get_ep_devices() if d.ep_name == "CUDAExecutionProvider"]
        info = devices[index].memory_info(ort.OrtDeviceMemoryType.HOST_ACCESSIBLE)
        value = ort.OrtValue.ortvalue_from_shape_and_type(shape, np.uint8, memory_info=info)
        array: UInt8Array = np.asarray(np.from_dlpack(value), np.uint8)
    except (AttributeError, IndexError, TypeError, RuntimeError, BufferError):
        return np.empty(shape, np.uint8)
    return array if array.flags.writeable else np.empty(shape, np.uint8)
