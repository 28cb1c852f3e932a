"""Loading of model files: which runtime, on which devices, in how many sessions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from wsi_embed.encoder.base import Encoder
from wsi_embed.encoder.content import check_content
from wsi_embed.encoder.device import Device, parse_device, parse_devices
from wsi_embed.encoder.onnx_external_files import external_files
from wsi_embed.encoder.pool import EncoderPool
from wsi_embed.errors import ModelError, UsageError
from wsi_embed.util.cpu import cpu_count
from wsi_embed.util.registry import Registry

# Two threads per GPU: one copies its batch to the device while the other's is computed.
THREADS_A_GPU = 2
# On a CPU one thread per session is fastest, as long as that many copies of the model fit into memory.
MOST_SESSIONS = 8
MOST_MODEL_BYTES = 2 * 1024**3


# Suffixes of weights, which a training writes and an export reads.
WEIGHTS = frozenset({".ckpt", ".pt", ".pth", ".safetensors", ".tar"})
OPENVINO = "openvino"
# By file suffix; ONNX files run on OpenVINO if that device is requested.
ENCODERS: Registry[Callable[..., Encoder]] = Registry(
    "model",
    {
        ".onnx": "wsi_embed.encoder.onnx_encoder:OnnxEncoder",
        ".ts": "wsi_embed.encoder.torchscript_encoder:TorchScriptEncoder",
        ".torchscript": "wsi_embed.encoder.torchscript_encoder:TorchScriptEncoder",
        OPENVINO: "wsi_embed.encoder.openvino_encoder:OpenVinoEncoder",
    },
)
# Packaged models: the same network in single and half precision, and in int8, which is faster on CPUs.
PACKAGED = ("default", "default-fp16", "default-int8")


def default_model(name: str = "default") -> Path:
    """Return the path of a packaged demonstration model, by a name of `PACKAGED`."""
    return Path(__file__).parents[1] / "models" / f"{name}.onnx"


def is_demonstration(model: object) -> bool:
    """Return whether the requested model is a packaged one: requested by name, or by default."""
    return model is None or str(model) in PACKAGED


def model_file(model: str | Path | None) -> Path:
    """Return the file of a model: a packaged one for its name or None, else the path itself.

    Raises:
        UsageError: If the path is empty.
    """
    if model == "":
        raise UsageError("the path of the model is empty")
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

    An ONNX file is data. A TorchScript file is a program: load only files from people you trust.

    Args:
        path: An `.onnx` or `.ts` file, or the name of a packaged demonstration model: `default` (as None),
            `default-fp16` or `default-int8`.
        device: `auto` (CUDA if it works, else the CPU), `cpu`, `cuda[:N]`, `tensorrt[:N]`, `openvino` or
            `openvino:bf16`.
        tile_px: Side of a tile in pixels; required for files without wsi-embed metadata.
        mpp: Micrometres per pixel of a tile; required for files that do not state it.
        threads: Number of CPU threads; one per core by default.

    Returns:
        The encoder, after a trial run on one white tile.

    Raises:
        ModelError: If the file is missing or not a model that follows the contract.
        DeviceError: If the device cannot be used.
        MissingExtraError: If PyTorch or OpenVINO is needed and not installed.

    Example:
        >>> import wsi_embed
        >>> encoder = wsi_embed.load_encoder("model.onnx", device="cpu")
        >>> encoder.device
        'cpu'
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
        path: Model file or name, as for `load_encoder`.
        device: Device name, as for `load_encoder`, or several GPUs: `cuda:0,1`, `cuda:all`.
        tile_px: Side of a tile, pixels.
        mpp: Micrometres per pixel of a tile.
        cores: Number of CPU cores to use; by default all that this process may use.

    Raises:
        ModelError: If the file is missing or not a model that follows the contract.
        DeviceError: If a device cannot be used.
        MissingExtraError: If PyTorch or OpenVINO is needed and not installed.
    """
    path = model_file(path)
    size = _size(path) if path.is_file() else 0
    sessions, threads = cpu_sessions(cores or cpu_count(), size)
    devices = parse_devices(device)
    if path.suffix.lower() != ".onnx" or devices[0].kind == "openvino":
        # PyTorch has one thread pool per process, and OpenVINO is fastest with all threads in one session
        sessions, threads = 1, cores or cpu_count()
    encoders = [_load(path, each, tile_px, mpp, threads) for each in devices]
    first, names = encoders[0], ", ".join(each.device for each in encoders)
    if first.on_gpu:
        return EncoderPool(first, [partial(_same, e) for e in encoders * THREADS_A_GPU][1:], names)
    more = partial(_load, path, parse_device(first.device), tile_px, mpp, threads)
    many = f"{sessions} sessions of {threads} thread{'s' * (threads != 1)}"
    return EncoderPool(first, [more] * (sessions - 1), f"{names} in {many}" if sessions > 1 else names)


def cpu_sessions(cores: int, model_bytes: int) -> tuple[int, int]:
    """Return the number of sessions, and of threads per session, that use a CPU best.

    Args:
        cores: Number of cores to use.
        model_bytes: Size of the model, of which each session holds a copy.
    """
    sessions = max(1, min(cores, MOST_SESSIONS, MOST_MODEL_BYTES // max(1, model_bytes)))
    return sessions, max(1, cores // sessions)


def _size(path: Path) -> int:
    """Return the size of a model with the weights beside it, bytes."""
    names = external_files(path) if path.suffix.lower() == ".onnx" else []
    return sum(file.stat().st_size for file in (path, *(path.parent / name for name in names)))


def _same(encoder: Encoder) -> Encoder:
    return encoder


def check_exported(path: Path) -> None:
    """Check that a path is no training run or checkpoint, which has to be exported first.

    Raises:
        ModelError: If it is one.
    """
    run = path.is_dir() and any((path / name).exists() for name in ("checkpoints", "config.yaml"))
    if run or (path.suffix.lower() in WEIGHTS and path.is_file()):
        raise ModelError(
            "a training run, not a model" if run else "weights, not a model",
            where=path,
            remedy=f"export it first: wsi-embed export {path} --out model.onnx",
        )


def _load(path: Path, chosen: Device, tile_px: int | None, mpp: float | None, threads: int | None) -> Encoder:
    try:
        check_exported(path)
        if not path.is_file():
            raise ModelError("no such model file", where=path, remedy="check the path")
        check_content(path)
    except OSError as error:
        raise ModelError(
            f"cannot be opened ({error.strerror})", where=path, remedy="check its permissions"
        ) from error
    kind = path.suffix.lower()
    if kind not in ENCODERS:
        raise ModelError(
            "not a model", where=path, remedy="expected a file that ends in .onnx or .ts (TorchScript)"
        )
    if kind == ".onnx" and chosen.kind == "openvino":
        kind = OPENVINO
    return ENCODERS.get(kind)(path, chosen, tile_px=tile_px, mpp=mpp, threads=threads)
