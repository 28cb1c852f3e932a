"""Input and outputs of a session in memory that is kept: no allocation and one copy a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from wsi_embed.slide.base import UInt8Array

# What ONNX Runtime does not capture as a CUDA graph.
NO_GRAPH = "-1"


class BoundSession:
    """Runs a session on buffers of one batch size, the largest so far; smaller batches go without them.

    Full batches meet the same addresses every time, which is what CUDA graphs ask for.

    Args:
        session: Of ONNX Runtime.
        device: `cuda` or `cpu`.
        index: Of the GPU.
    """

    def __init__(self, session: Any, device: str, index: int = 0) -> None:
        self._session, self._device, self._index = session, device, index
        self._input = session.get_inputs()[0].name
        self._size = self._graph = 0
        self._names: tuple[str, ...] = ()

    def run(self, names: Sequence[str], tiles: UInt8Array) -> list[npt.NDArray[Any]]:
        """Outputs by name, as `InferenceSession.run` gives them.

        Args:
            names: Of the outputs.
            tiles: uint8 [B, H, W, 3].
        """
        if len(tiles) > self._size or tuple(names) != self._names:
            self._allocate(tuple(names), tiles)
        if len(tiles) < self._size:
            options = self._options(NO_GRAPH)
            return list(self._session.run(list(names), {self._input: tiles}, options))
        np.copyto(self._staging, tiles)
        self._tiles.update_inplace(self._staging)
        self._session.run_with_iobinding(self._binding, self._options(str(self._graph)))
        # the buffers are written again by the next batch
        return [np.array(value.numpy()) for value in self._binding.get_outputs()]

    def _allocate(self, names: tuple[str, ...], tiles: UInt8Array) -> None:
        found = self._session.run(list(names), {self._input: tiles}, self._options(NO_GRAPH))
        self._binding = self._session.io_binding()
        self._staging = pinned(tiles.shape, self._index) if self._device == "cuda" else np.empty_like(tiles)
        self._tiles = self._buffer(tiles.shape, np.uint8)
        self._binding.bind_ortvalue_input(self._input, self._tiles)
        for name, array in zip(names, found, strict=True):
            self._binding.bind_ortvalue_output(name, self._buffer(array.shape, array.dtype.type))
        self._size, self._names = len(tiles), names
        self._graph += 1

    def _buffer(self, shape: tuple[int, ...], dtype: type[np.generic]) -> Any:
        return ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype, self._device, self._index)

    def _options(self, graph: str) -> Any:
        options = ort.RunOptions()
        options.add_run_config_entry("gpu_graph_id", graph)
        return options


def pinned(shape: tuple[int, ...], index: int = 0) -> UInt8Array:
    """Host memory that the GPU reads directly, where ONNX Runtime offers it; else ordinary memory."""
    try:
        devices = [d for d in ort.get_ep_devices() if d.ep_name == "CUDAExecutionProvider"]
        info = devices[index].memory_info(ort.OrtDeviceMemoryType.HOST_ACCESSIBLE)
        value = ort.OrtValue.ortvalue_from_shape_and_type(shape, np.uint8, memory_info=info)
        array: UInt8Array = np.asarray(np.from_dlpack(value), np.uint8)
    except (AttributeError, IndexError, TypeError, RuntimeError, BufferError):
        return np.empty(shape, np.uint8)
    return array if array.flags.writeable else np.empty(shape, np.uint8)
