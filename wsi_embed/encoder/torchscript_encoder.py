"""Exported models in TorchScript, run by PyTorch (extra `torchscript`)."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from wsi_embed.encoder.base import Encoded, Encoder, check_tile_px, foreign_metadata
from wsi_embed.encoder.device import Device
from wsi_embed.encoder.metadata import FILE, ModelMetadata
from wsi_embed.errors import DeviceError, MissingExtraError, ModelError
from wsi_embed.slide.base import UInt8Array
from wsi_embed.util.cpu import cpu_count
from wsi_embed.util.extras import install_command
from wsi_embed.util.text import argument


class TorchScriptEncoder(Encoder):
    """Model file run by PyTorch, on the CPU or one CUDA device. Arguments are those of `OnnxEncoder`.

    Raises:
        ModelError: If the file is not a model that follows the contract.
        DeviceError: If the device cannot be used.
        MissingExtraError: If PyTorch is not installed.
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
        self._torch = _import_torch(path)
        self._torch.set_num_threads(threads or cpu_count())
        self.device = _choose_device(self._torch, device)
        extra: dict[str, Any] = {FILE: ""}
        try:
            with warnings.catch_warnings():  # TorchScript is deprecated
                warnings.simplefilter("ignore", FutureWarning)
                self._module = self._torch.jit.load(str(path), self.device, _extra_files=extra).eval()
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(f"not a TorchScript model ({reason})", where=path) from error
        if not extra[FILE]:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            self.metadata = foreign_metadata(path, digest, tile_px, mpp)
        else:
            self.metadata = ModelMetadata.from_json(_text(extra[FILE]), str(path))
        check_tile_px(self.metadata, tile_px, path)
        self.mpp = self.metadata.mpp if mpp is None else mpp
        self._check_outputs()

    def _encode(self, tiles: UInt8Array) -> Encoded:
        torch = self._torch
        with torch.inference_mode():
            out = self._module(torch.from_numpy(np.ascontiguousarray(tiles)).to(self.device))
        arrays = [o.cpu().numpy() for o in (out if isinstance(out, tuple) else (out,))]
        features = np.asarray(arrays[0], np.float32)
        if self.metadata.clusters is None or len(arrays) < 3:
            return Encoded(features)
        return Encoded(features, np.asarray(arrays[1], np.int64), np.asarray(arrays[2], np.float32))


def _import_torch(path: Path) -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "is a TorchScript model, which needs PyTorch",
            where=path.name,
            remedy=f"{install_command('torchscript')}, or export the model to .onnx",
        ) from error
    return torch


def _choose_device(torch: Any, device: Device) -> str:
    if device.kind in ("openvino", "tensorrt"):
        raise DeviceError(
            "runs ONNX models only",
            where=argument("device", device),
            remedy="export the model to .onnx, or use cuda or cpu",
        )
    if device.kind == "cpu" or (device.kind == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available() or device.index >= torch.cuda.device_count():
        raise DeviceError(
            f"{argument('device', device)} cannot be used: PyTorch sees no such device",
            remedy="use `device='cpu'`",
        )
    return f"cuda:{device.index}"


def _text(content: str | bytes) -> str:
    return content.decode("utf-8") if isinstance(content, bytes) else content
