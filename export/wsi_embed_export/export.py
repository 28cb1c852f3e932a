"""From a trained model to one file that the runtime can use."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from wsi_embed.encoder import ModelMetadata, load_encoder
from wsi_embed.encoder.difference import Difference
from wsi_embed.errors import UsageError
from wsi_embed.slide import UInt8Array
from wsi_embed.util.atomic_files import replacing
from wsi_embed_export.further import check_further
from wsi_embed_export.graph import TileModel
from wsi_embed_export.parity import check_parity, limits_of, parity_tiles
from wsi_embed_export.quantise import quantise, quantised_id
from wsi_embed_export.real_tiles import users_tiles
from wsi_embed_export.sources import read_source
from wsi_embed_export.trained import Given, TrainedModel
from wsi_embed_export.write import add_onnx_metadata, write_onnx, write_torchscript

PRECISIONS = ("fp32", "fp16", "int8")
# Of the calibration tiles, a quarter is kept to compare on, this many at most.
KEPT = 128


def export(
    source: str | Path,
    out: Path,
    *,
    precision: str = "fp32",
    mpp: float | None = None,
    given: Given | None = None,
    weights: Path | None = None,
    settings: Mapping[str, object] | None = None,
    outputs: Sequence[str] = (),
    calibrate: Path | None = None,
    split: str | None = None,
    min_cosine: float = 0.97,
    name: str | None = None,
    licence: str = "",
) -> ModelMetadata:
    """Export a model to ONNX or TorchScript.

    The file gets its name only after the runtime has loaded it and its outputs agree with PyTorch
    fp32 at several batch sizes, on made tiles and on real ones.

    Args:
        source: A run folder or a checkpoint of `wsi-embed train`, a checkpoint of the CluSiam repository,
            `timm:NAME` or `torchvision:NAME`.
        out: Ends in `.onnx` or `.ts`.
        precision: `fp32`, `fp16` (backbone in half precision) or `int8` (backbone quantised; ONNX only).
        mpp: Micrometres per pixel of the tiles; by default the training's.
        given: What the source does not know of normalisation and tile size.
        weights: Of a named architecture: safetensors, or a state dict.
        settings: Arguments of a timm architecture.
        outputs: Further outputs: `projection`, `cluster_logits`.
        calibrate: Real tiles, as a folder, CSV or slides: they decide int8's ranges, and are compared on.
        split: Of a CSV of calibration tiles: only rows with this value in `split`.
        min_cosine: Of int8: the least mean centred cosine.
        name: For people; by default the file's stem.
        licence: Of the weights.

    Returns:
        The metadata that went into the file, parity figures included.

    Raises:
        UsageError: The source cannot be used, or an argument is wrong.
        ParityError: The file does not compute what the model computes; it is not left behind.
    """
    _check(out, precision, calibrate, min_cosine)
    given = given or Given()
    given = given if mpp is None else replace(given, mpp=mpp)
    trained = read_source(source, given, weights=weights, settings=settings)
    tiles = users_tiles(calibrate, trained, split) if calibrate else None
    reference = TileModel(trained, extra=outputs)
    model = TileModel(trained, "fp16", outputs) if precision == "fp16" else reference
    metadata = _metadata(trained, model, name or out.stem, licence)
    if precision == "int8":
        assert tiles is not None
        metadata = replace(metadata, precision="int8", model_id=quantised_id(model.digest(), tiles))
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as temporary:
        _write(model, metadata, temporary, tiles)
        found = _compare(reference, temporary, metadata, tiles, min_cosine)
        metadata = replace(metadata, parity=found.to_dict())
        if temporary.suffix == ".onnx":
            add_onnx_metadata(temporary, metadata)
        else:
            write_torchscript(model, metadata, temporary)
    return metadata


def _check(out: Path, precision: str, calibrate: Path | None, min_cosine: float) -> None:
    if out.suffix not in (".onnx", ".ts"):
        raise UsageError(f"{out}: expected a name that ends in .onnx or .ts")
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: choose {', '.join(PRECISIONS)}")
    if precision == "int8" and out.suffix != ".onnx":
        raise UsageError(f"{out}: int8 is written as .onnx only; TorchScript takes fp32 or fp16")
    if precision == "int8" and calibrate is None:
        raise UsageError("--precision int8 needs --calibrate TILES: some hundred real tiles, or slides")
    if not 0 <= min_cosine <= 1:
        raise UsageError(f"--min-cosine {min_cosine:g}: expected 0 to 1")


def _split(tiles: UInt8Array) -> tuple[UInt8Array, UInt8Array]:
    """Tiles to calibrate on, and others to compare on; the sample is in no order that matters."""
    kept = min(KEPT, len(tiles) // 4)
    step = max(1, len(tiles) // max(1, kept))
    apart = [i % step == 0 and i // step < kept for i in range(len(tiles))]
    chosen = [i for i, yes in enumerate(apart) if yes]
    rest = [i for i, yes in enumerate(apart) if not yes]
    return tiles[rest], tiles[chosen] if chosen else tiles


def _write(model: TileModel, metadata: ModelMetadata, path: Path, tiles: UInt8Array | None) -> None:
    if path.suffix == ".ts":
        write_torchscript(model, metadata, path)
    elif metadata.precision != "int8" or tiles is None:
        write_onnx(model, metadata, path)
    else:
        with TemporaryDirectory() as folder:
            exact = Path(folder) / "fp32.onnx"
            write_onnx(model, metadata, exact)
            quantise(exact, path, _split(tiles)[0])
        add_onnx_metadata(path, metadata)


def _compare(
    reference: TileModel, path: Path, metadata: ModelMetadata, tiles: UInt8Array | None, min_cosine: float
) -> Difference:
    limits = limits_of(metadata.precision, min_cosine)
    kinds = parity_tiles(reference.tile_px, None if tiles is None else _split(tiles)[1])
    if metadata.precision == "int8":  # knows real tiles only
        kinds = kinds[1:]
    tiles_of_kinds = [list(batches) for batches in kinds]
    for batches in tiles_of_kinds:
        check_further(reference, path, limits, batches)
    encoder = load_encoder(path, device="cpu", mpp=metadata.mpp or 1.0)
    return check_parity(reference, encoder, limits, tiles_of_kinds)


def _metadata(trained: TrainedModel, model: TileModel, name: str, licence: str) -> ModelMetadata:
    return ModelMetadata(
        name=name,
        method=trained.method,
        backbone=trained.architecture,
        tile_px=trained.tile_px,
        mpp=trained.mpp,
        mean=trained.mean,
        std=trained.std,
        feature_dim=trained.feature_dim,
        clusters=trained.clusters,
        precision=model.precision,
        outputs=model.outputs,
        model_id=model.digest(),
        training=trained.training,
        training_slides=trained.slides,
        source_checkpoint=trained.name,
        licence=licence,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )
