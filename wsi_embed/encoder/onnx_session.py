"""ONNX Runtime sessions on the requested device and no other."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import onnxruntime as ort

from wsi_embed.encoder.base import is_out_of_memory
from wsi_embed.encoder.cuda import cuda_driver
from wsi_embed.encoder.device import Device
from wsi_embed.errors import DeviceError, ModelError
from wsi_embed.util.cpu import has_vnni
from wsi_embed.util.extras import install_command
from wsi_embed.util.home import home
from wsi_embed.util.text import argument

CPU = "CPUExecutionProvider"
PROVIDERS = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
MISSING = {
    "cuda": f"no NVIDIA driver, no such device, or CUDA libraries missing ({install_command('cuda')})",
    "tensorrt": "no NVIDIA driver, no such device, or TensorRT's libraries missing (pip install tensorrt)",
}


def open_session(path: Path, device: Device, threads: int, precision: str = "") -> tuple[Any, Device]:
    """Open a session on the requested device.

    Args:
        path: The `.onnx` file.
        device: Requested device; `auto` is CUDA if it works, else the CPU.
        threads: Number of CPU threads.
        precision: Precision of the file, if known.

    Returns:
        The session, and the device it runs on.

    Raises:
        DeviceError: If the device cannot be used.
        ModelError: If ONNX Runtime cannot load the file.
    """
    if device.kind == "cpu":
        return _session(path, [CPU], threads), device
    if device.kind == "auto" and not cuda_driver()[1]:  # CUDA's libraries take 1 GB of address space
        return _session(path, [CPU], threads), Device("cpu")
    wanted = Device("cuda") if device.kind == "auto" else device
    try:
        return _gpu_session(path, wanted, threads, precision), wanted
    except DeviceError:
        if device.kind != "auto":
            raise
    return _session(path, [CPU], threads), Device("cpu")


def _gpu_session(path: Path, device: Device, threads: int, precision: str) -> Any:
    name = PROVIDERS[device.kind]
    if name not in ort.get_available_providers():
        raise DeviceError(
            f"this onnxruntime has no {name}",
            where=argument("device", device),
            remedy="install onnxruntime-gpu, or use `device='cpu'`",
        )
    if hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints the libraries it cannot find
            ort.preload_dlls(directory="")  # from the nvidia-* packages of the extra `cuda`
    for graphs in (True, False):  # a model with an operator that has no CUDA kernel cannot be captured
        try:
            session = _session(path, gpu_providers(device, precision, graphs), threads)
        except ModelError as error:
            failure = error
            continue
        # ONNX Runtime falls back to the CPU with only a warning.
        if name not in session.get_providers():
            raise DeviceError(
                f"{argument('device', device)} cannot be used: {MISSING[device.kind]}",
                remedy="use `device='cpu'` to go on without",
            )
        return session
    _session(path, [CPU], threads)  # raises if the file itself cannot be loaded
    raise DeviceError(f"{argument('device', device)} cannot be used ({failure.__cause__})") from failure


def gpu_providers(device: Device, precision: str, graphs: bool) -> list[Any]:
    """Return execution providers in order of preference, with their options.

    The file decides the precision: TF32, which rounds float32 to 10 bits, is off, and TensorRT may use only
    the types that occur in the file.
    """
    cuda = {
        "device_id": str(device.index),
        "use_tf32": "0",
        "prefer_nhwc": "1",  # the layout of tensor cores
        "enable_cuda_graph": str(int(graphs)),
    }
    providers: list[Any] = [(PROVIDERS["cuda"], cuda), CPU]
    if device.kind == "tensorrt":
        cuda["enable_cuda_graph"] = "0"
        cache = cache_folder() / "tensorrt"
        cache.mkdir(parents=True, exist_ok=True)
        tensorrt = {
            "device_id": str(device.index),
            "trt_fp16_enable": str(int(precision == "fp16")),
            "trt_int8_enable": str(int(precision == "int8")),
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(cache),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(cache),
            "trt_cuda_graph_enable": str(int(graphs)),
        }
        providers.insert(0, (PROVIDERS["tensorrt"], tensorrt))
    return providers


def cache_folder() -> Path:
    """Return the cache folder for TensorRT engines: `wsi-embed` in the user's cache folder.

    Without a home folder, it is in the system's folder for temporary files.
    """
    caches = os.environ.get("XDG_CACHE_HOME") or (home() or Path(tempfile.gettempdir())) / ".cache"
    return Path(caches) / "wsi-embed"


def plain_session(path: Path) -> Any:
    """Open an unoptimised CPU session, for reading a file's inputs, outputs and metadata.

    Raises:
        ModelError: If ONNX Runtime cannot load the file.
    """
    return _session(path, [CPU], 1, optimise=False)


def _session(path: Path, providers: list[Any], threads: int, *, optimise: bool = True) -> Any:
    ort.set_default_logger_severity(4)  # hides warnings about missing GPUs
    options = ort.SessionOptions()
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    # On x86 processors without VNNI the sums of uint8 x int8 products saturate at 16 bits and features are
    # silently wrong. With this option uint8 x uint8 is used, which is exact. With VNNI both are, and
    # uint8 x uint8 can take four times as long.
    options.add_session_config_entry("session.x64quantprecision", "0" if has_vnni() else "1")
    # ONNX Runtime prints when it falls back to another provider; hide that. CPU sessions have no fallback and
    # are opened by several threads at once, where redirecting stdout would swallow lines of other threads.
    alone = providers == [CPU]
    try:
        with contextlib.nullcontext() if alone else contextlib.redirect_stdout(io.StringIO()):
            return ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        if is_out_of_memory(error):
            raise ModelError(
                "not enough memory to load this model",
                where=path,
                remedy="use fewer `workers=`, or raise the limit (ulimit -v, or the container's)",
            ) from error
        raise ModelError(
            f"not a model that ONNX Runtime {ort.__version__} can load ({error})", where=path
        ) from error
