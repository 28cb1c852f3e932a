"""Exported models and what runs them."""

from __future__ import annotations

from pathlib import Path

from wsi_embed.encoder.base import Encoded, Encoder
from wsi_embed.encoder.device import parse_device
from wsi_embed.encoder.metadata import ModelMetadata
from wsi_embed.errors import ModelError

__all__ = ["Encoded", "Encoder", "ModelMetadata", "default_model", "load_encoder"]


def default_model() -> Path:
    """Path of the demonstration model that comes with the package."""
    return Path(__file__).parent.parent / "models" / "default.onnx"


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
        path: An `.onnx` or `.ts` file; None takes the demonstration model of the package.
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
    path = default_model() if path is None else Path(path)
    chosen = parse_device(device)
    try:
        if not path.is_file():
            raise ModelError(f"{path}: no such model file; check --model")
        with path.open("rb"):
            pass
    except OSError as error:
        raise ModelError(f"{path}: cannot be opened ({error.strerror}); check its permissions") from error
    suffix = path.suffix.lower()
    if suffix == ".onnx" and chosen.kind == "openvino":
        from wsi_embed.encoder.openvino import OpenVinoEncoder

        return OpenVinoEncoder(path, chosen, tile_px=tile_px, mpp=mpp, threads=threads)
    if suffix == ".onnx":
        from wsi_embed.encoder.onnx import OnnxEncoder

        return OnnxEncoder(path, chosen, tile_px=tile_px, mpp=mpp, threads=threads)
    if suffix in (".ts", ".torchscript"):
        from wsi_embed.encoder.torchscript import TorchScriptEncoder

        return TorchScriptEncoder(path, chosen, tile_px=tile_px, mpp=mpp, threads=threads)
    raise ModelError(f"{path}: not a model; expected a file that ends in .onnx or .ts (TorchScript)")
