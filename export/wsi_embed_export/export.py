"""From a training run to one file that the runtime can use."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

from wsi_embed.encoder import ModelMetadata, load_encoder
from wsi_embed.errors import UsageError
from wsi_embed.files import replacing
from wsi_embed_export.checkpoint import Checkpoint, read_checkpoint
from wsi_embed_export.graph import TileModel
from wsi_embed_export.parity import Parity, check_parity
from wsi_embed_export.write import add_onnx_metadata, write_onnx, write_torchscript

PRECISIONS = ("fp32", "fp16")


def export(
    source: Path,
    out: Path,
    *,
    precision: str = "fp32",
    mpp: float | None = None,
    name: str | None = None,
    licence: str = "",
) -> ModelMetadata:
    """Export a run to ONNX or TorchScript.

    The file gets its name only after the runtime has loaded it and its outputs agree with PyTorch
    fp32 at several batch sizes.

    Args:
        source: A run folder or a checkpoint of `wsi-embed train`.
        out: Ends in `.onnx` or `.ts`.
        precision: `fp32`, or `fp16` for a backbone in half precision.
        mpp: Micrometres per pixel of the tiles; by default the training's.
        name: For people; by default the file's stem.
        licence: Of the weights.

    Returns:
        The metadata that went into the file, parity figures included.

    Raises:
        UsageError: The source is not a run, or the file's ending or precision is unknown.
        ParityError: The file does not compute what the model computes; it is not left behind.
    """
    if out.suffix not in (".onnx", ".ts"):
        raise UsageError(f"{out}: expected a name that ends in .onnx or .ts")
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: choose {' or '.join(PRECISIONS)}")
    checkpoint = read_checkpoint(source)
    mean, std = checkpoint.training["mean"], checkpoint.training["std"]
    px = checkpoint.config["tile_px"]
    reference = TileModel(checkpoint.network, mean, std, px)
    model = reference if precision == "fp32" else TileModel(checkpoint.network, mean, std, px, precision)
    metadata = _metadata(checkpoint, model, mpp, name or out.stem, licence)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as temporary:
        metadata = replace(
            metadata, parity=_write_and_compare(model, reference, metadata, temporary).to_dict()
        )
        _write_metadata(model, metadata, temporary)
    return metadata


def _write_and_compare(model: TileModel, reference: TileModel, metadata: ModelMetadata, path: Path) -> Parity:
    if path.suffix == ".onnx":
        write_onnx(model, metadata, path)
    else:
        write_torchscript(model, metadata, path)
    return check_parity(reference, load_encoder(path, device="cpu"), metadata.precision)


def _write_metadata(model: TileModel, metadata: ModelMetadata, path: Path) -> None:
    if path.suffix == ".onnx":
        add_onnx_metadata(path, metadata)
    else:
        write_torchscript(model, metadata, path)


def _metadata(
    checkpoint: Checkpoint, model: TileModel, mpp: float | None, name: str, licence: str
) -> ModelMetadata:
    config = checkpoint.config
    return ModelMetadata(
        name=name,
        method=config["method"],
        backbone=config["backbone"],
        tile_px=config["tile_px"],
        mpp=config["mpp"] if mpp is None else mpp,
        mean=tuple(checkpoint.training["mean"]),
        std=tuple(checkpoint.training["std"]),
        feature_dim=checkpoint.network.encoder.feature_dim,
        clusters=config["clusters"] if model.head is not None else None,
        precision=model.precision,
        model_id=model.digest(),
        training=checkpoint.training,
        training_slides=checkpoint.slides,
        source_checkpoint=checkpoint.name,
        licence=licence,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )
