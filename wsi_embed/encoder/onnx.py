"""Exported models in ONNX, run by ONNX Runtime."""

from __future__ import annotations

import contextlib
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from wsi_embed.encoder.base import Encoded, Encoder, check_tile_px, cpu_count, foreign_metadata
from wsi_embed.encoder.metadata import KEY, ModelMetadata
from wsi_embed.errors import DeviceError, ModelError
from wsi_embed.slide.base import UInt8Array

ort.set_default_logger_severity(4)  # its warnings about missing GPUs are not news


class OnnxEncoder(Encoder):
    """A model file run by ONNX Runtime, on the CPU or one CUDA device.

    Args:
        path: The `.onnx` file.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        tile_px: For a file without metadata.
        mpp: For a file that does not say it, or to use it at another resolution.
        threads: CPU threads; by default one a core.

    Raises:
        ModelError: Not a model that follows the contract.
        DeviceError: The device cannot be used.
    """

    def __init__(
        self,
        path: Path,
        *,
        device: str = "auto",
        tile_px: int | None = None,
        mpp: float | None = None,
        threads: int | None = None,
    ) -> None:
        self.path = path
        self._session, self.device = _open_session(path, device, threads or cpu_count())
        self._input = _check_input(path, self._session, tile_px)
        text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        if text is None:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            self.metadata = foreign_metadata(path, digest, tile_px, mpp)
        else:
            self.metadata = ModelMetadata.from_json(text, str(path))
        check_tile_px(self.metadata, tile_px, path)
        self.mpp = self.metadata.mpp if mpp is None else mpp
        names = [o.name for o in self._session.get_outputs()]
        self._features = "features" if "features" in names else names[0]
        clusters = {"cluster", "cluster_confidence"} <= set(names)
        self._has_clusters = clusters and self.metadata.clusters is not None
        if text is not None and clusters != (self.metadata.clusters is not None):
            raise ModelError(f"{path}: metadata and outputs disagree about the cluster head; export it again")
        self._check_outputs()

    def _encode(self, tiles: UInt8Array) -> Encoded:
        names = [self._features]
        if self._has_clusters:
            names += ["cluster", "cluster_confidence"]
        out = self._session.run(names, {self._input: tiles})
        features = np.asarray(out[0], np.float32)
        if not self._has_clusters:
            return Encoded(features)
        return Encoded(features, np.asarray(out[1], np.int64), np.asarray(out[2], np.float32))


def _check_input(path: Path, session: Any, tile_px: int | None) -> str:
    inputs = session.get_inputs()
    shape = inputs[0].shape if len(inputs) == 1 else None
    if shape is None or len(shape) != 4 or shape[3] != 3 or inputs[0].type != "tensor(uint8)":
        found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
        raise ModelError(
            f"{path.name} takes {found}; wsi-embed hands over one tensor of raw tiles, uint8 "
            "[batch, tile_px, tile_px, 3]: put normalisation and layout into the graph"
        )
    side = shape[1]
    if tile_px is not None and isinstance(side, int) and side != tile_px:
        raise ModelError(f"--tile-px {tile_px}: {path.name} takes tiles of {side} pixels only")
    return str(inputs[0].name)


def _open_session(path: Path, device: str, threads: int) -> tuple[Any, str]:
    """Open a session on the device that was asked for, or say why not."""
    name, _, index = device.partition(":")
    if name not in ("auto", "cpu", "cuda") or (index and not (name == "cuda" and index.isdigit())):
        raise DeviceError(f"--device {device}: choose auto, cpu, cuda or cuda:N")
    if name != "cpu":
        number = int(index or 0)
        try:
            return _cuda_session(path, number, threads), f"cuda:{number}"
        except DeviceError:
            if name == "cuda":
                raise
    return _session(path, ["CPUExecutionProvider"], threads), "cpu"


def _cuda_session(path: Path, number: int, threads: int) -> Any:
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise DeviceError(
            "--device cuda: this onnxruntime has no CUDA provider; install onnxruntime-gpu, "
            "or use --device cpu"
        )
    if hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it cannot find
            ort.preload_dlls(directory="")  # from the nvidia-* packages of the extra `cuda`
    provider = ("CUDAExecutionProvider", {"device_id": str(number)})
    try:
        session = _session(path, [provider, "CPUExecutionProvider"], threads)
    except ModelError as error:
        _session(path, ["CPUExecutionProvider"], threads)  # is it the file that is bad?
        raise DeviceError(f"--device cuda:{number} cannot be used ({error.__cause__})") from error
    # ONNX Runtime falls back to the CPU with no more than a warning.
    if "CUDAExecutionProvider" not in session.get_providers():
        raise DeviceError(
            f"--device cuda:{number} cannot be used: no NVIDIA driver, no such device, or CUDA libraries "
            "missing (pip install 'wsi-embed[cuda]'); use --device cpu to go on without"
        )
    return session


def _session(path: Path, providers: list[Any], threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        raise ModelError(
            f"{path}: not a model that ONNX Runtime {ort.__version__} can load ({error})"
        ) from error
