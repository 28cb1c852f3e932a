"""From a model file to what runs it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from wsi_embed.encoder.base import Encoder
from wsi_embed.encoder.device import Device, parse_device, parse_devices
from wsi_embed.encoder.pool import EncoderPool
from wsi_embed.errors import ModelError
from wsi_embed.util.cpu import cpu_count
from wsi_embed.util.registry import Registry

# A GPU has two threads: one copies a batch to it while the other's is computed.
THREADS_A_GPU = 2
# On a CPU one thread a session is fastest, as long as so many copies of the model and its activations fit.
MOST_SESSIONS = 8
MOST_MODEL_BYTES = 2 * 1024**3


OPENVINO = "openvino"
# By the suffix of the model's file; ONNX files run on OpenVINO where that device is asked for.
ENCODERS: Registry[Callable[..., Encoder]] = Registry(
    "--model",
    {
        ".onnx": "wsi_embed.encoder.onnx_encoder:OnnxEncoder",
        ".ts": "wsi_embed.encoder.torchscript_encoder:TorchScriptEncoder",
        ".torchscript": "wsi_embed.encoder.torchscript_encoder:TorchScriptEncoder",
        OPENVINO: "wsi_embed.encoder.openvino_encoder:OpenVinoEncoder",
    },
)
# Models of the package: in half precision, which a CPU computes in single, and in int8 for speed on CPUs.
PACKAGED = ("default", "default-int8")


def default_model(name: str = "default") -> Path:
    """Path of a demonstration model that comes with the package, `default` or `default-int8`."""
    return Path(__file__).parents[1] / "models" / f"{name}.onnx"


def is_demonstration(model: object) -> bool:
    """Whether a model that was asked for comes with the package: by name, or because none was named."""
    return model is None or str(model) in PACKAGED


def model_file(model: str | Path | None) -> Path:
    """The file of a model: one of the package by its name, None for `default`, else a path."""
    return default_model(str(model or "default")) if is_demonstration(model) else Path(str(model))


def load_encoder(
    path: str | Path | None = None,
    *,
    device: str = "auto",
    tile_px: int | None = None,
    mpp: float | None = None,
    threads: int | None = None,
) -> Encoder:
    """Load an exported model, ready to encode tiles.

    An ONNX file is data. A TorchScript file is a program: load those of people you trust.

    Args:
        path: An `.onnx` or `.ts` file; `default` (as None) and `default-int8` are the demonstration models
            of the package.
        device: `auto` (CUDA where it works, else the CPU), `cpu`, `cuda[:N]`, `tensorrt[:N]`, `openvino`, or
            `openvino:bf16`.
        tile_px: Side of a tile, pixels; needed by files without wsi-embed's metadata.
        mpp: Micrometres per pixel of a tile; needed where the file does not say it.
        threads: CPU threads of the model; by default one a core.

    Raises:
        ModelError: The file is missing or not a model that follows the contract.
        DeviceError: The device cannot be used.
        MissingExtraError: PyTorch or OpenVINO is needed and not installed.
    """
    path = model_file(path)
    return _load(path, parse_device(device), tile_px, mpp, threads)


def load_pool(
    path: str | Path | None = None,
    *,
    device: str = "auto",
    tile_px: int | None = None,
    mpp: float | None = None,
    cores: int | None = None,
) -> EncoderPool:
    """Load an exported model for a job: on all cores, or on one or several GPUs.

    Args:
        path: As for `load_encoder`, and so are `tile_px` and `mpp`.
        device: As for `load_encoder`, or several GPUs: `cuda:0,1`, `cuda:all`.
        tile_px: Side of a tile, pixels.
        mpp: Micrometres per pixel of a tile.
        cores: CPU cores to use; by default all that this process may.

    Raises:
        ModelError: The file is missing or not a model that follows the contract.
        DeviceError: A device cannot be used.
        MissingExtraError: PyTorch or OpenVINO is needed and not installed.
    """
    path = model_file(path)
    size = path.stat().st_size if path.is_file() else 0
    sessions, threads = cpu_sessions(cores or cpu_count(), size)
    devices = parse_devices(device)
    if path.suffix.lower() != ".onnx" or devices[0].kind == "openvino":
        # PyTorch's threads are the process's, and OpenVINO is fastest with all threads in one session
        sessions, threads = 1, cores or cpu_count()
    encoders = [_load(path, each, tile_px, mpp, threads) for each in devices]
    first, names = encoders[0], ", ".join(each.device for each in encoders)
    if first.device.startswith(("cuda", "tensorrt")):
        return EncoderPool(first, [partial(_given, e) for e in encoders * THREADS_A_GPU][1:], names)
    more = partial(_load, path, parse_device(first.device), tile_px, mpp, threads)
    many = f"{sessions} sessions of {threads} thread{'s' * (threads != 1)}"
    return EncoderPool(first, [more] * (sessions - 1), f"{names} in {many}" if sessions > 1 else names)


def cpu_sessions(cores: int, model_bytes: int) -> tuple[int, int]:
    """How many sessions, and threads of each, use a CPU best.

    Args:
        cores: To use.
        model_bytes: Size of the model, which every session holds.
    """
    sessions = max(1, min(cores, MOST_SESSIONS, MOST_MODEL_BYTES // max(1, model_bytes)))
    return sessions, max(1, cores // sessions)


def _given(encoder: Encoder) -> Encoder:
    return encoder


def _load(path: Path, chosen: Device, tile_px: int | None, mpp: float | None, threads: int | None) -> Encoder:
    try:
        if not path.is_file():
            raise ModelError(f"{path}: no such model file; check --model")
        with path.open("rb"):
            pass
    except OSError as error:
        raise ModelError(f"{path}: cannot be opened ({error.strerror}); check its permissions") from error
    kind = path.suffix.lower()
    if kind not in ENCODERS:
        raise ModelError(f"{path}: not a model; expected a file that ends in .onnx or .ts (TorchScript)")
    if kind == ".onnx" and chosen.kind == "openvino":
        kind = OPENVINO
    return ENCODERS.get(kind)(path, chosen, tile_px=tile_px, mpp=mpp, threads=threads)
