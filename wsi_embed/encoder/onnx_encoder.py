"""Exported models in ONNX, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

from wsi_embed.encoder.base import Encoded, Encoder
from wsi_embed.encoder.device import Device
from wsi_embed.encoder.onnx_buffers import BoundSession
from wsi_embed.encoder.onnx_contract import read_contract
from wsi_embed.encoder.onnx_external_files import check_external_files
from wsi_embed.encoder.onnx_session import open_session, plain_session
from wsi_embed.slide.base import UInt8Array
from wsi_embed.util.cpu import cpu_count


class OnnxEncoder(Encoder):
    """Model file run by ONNX Runtime, on the CPU or one GPU.

    Args:
        path: The `.onnx` file.
        device: Requested device, of kind `auto`, `cpu`, `cuda` or `tensorrt`.
        tile_px: Side of a tile in pixels, for a file without metadata.
        mpp: Micrometres per pixel, for a file that does not state it, or to use it at another resolution.
        threads: Number of CPU threads; one per core by default.

    Raises:
        ModelError: If the file is not a model that follows the contract.
        DeviceError: If the device cannot be used.
    """

    def __init__(
        self,
        path: Path,
        device: Device,
        *,
        tile_px: int | None = None,
        mpp: float | None = None,
        threads: int | None = None,
    ) -> None:
        self.path = path
        check_external_files(path)
        precision = ""
        if device.kind == "tensorrt":  # needs to know beforehand which types it may use
            precision = read_contract(path, plain_session(path), tile_px, mpp).metadata.precision
        self._session, used = open_session(path, device, threads or cpu_count(), precision)
        self.device = str(used)
        self._contract = read_contract(path, self._session, tile_px, mpp)
        self.metadata, self.mpp = self._contract.metadata, self._contract.mpp
        self._bound = None if used.kind == "cpu" else BoundSession(self._session, "cuda", used.index)
        self._check_outputs()

    def _encode(self, tiles: UInt8Array) -> Encoded:
        names = list(self._contract.names)
        if self._bound is not None:
            return self._contract.encoded(self._bound.run(names, tiles))
        return self._contract.encoded(self._session.run(names, {self._contract.input: tiles}))
