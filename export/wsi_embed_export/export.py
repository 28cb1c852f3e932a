"""Export of a trained model to one file for the runtime."""

from __future__ import annotations

import datetime
import gc
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from wsi_embed.encoder import ModelMetadata, load_encoder
from wsi_embed.encoder.difference import Difference
from wsi_embed.errors import UsageError
from wsi_embed.slide import UInt8Array
from wsi_embed.util.memory import give_back
from wsi_embed.util.progress import stage
from wsi_embed.util.text import argument
from wsi_embed_export.activations import budget_for, largest_batch
from wsi_embed_export.beside import data_file
from wsi_embed_export.destination import check_destination, check_space, writing
from wsi_embed_export.finite import check_finite
from wsi_embed_export.further import check_further
from wsi_embed_export.golden import check_golden, read_golden
from wsi_embed_export.graph import TileModel
from wsi_embed_export.parity import BATCHES, FEWEST, check_parity, limits_of, parity_tiles
from wsi_embed_export.quantise import quantise, quantised_id
from wsi_embed_export.real_tiles import users_tiles
from wsi_embed_export.sources import read_source
from wsi_embed_export.trained import Given, TrainedModel
from wsi_embed_export.write import (
    LARGEST,
    add_onnx_metadata,
    save_onnx,
    weight_bytes,
    write_onnx,
    write_torchscript,
)

PRECISIONS = ("fp32", "fp16", "int8")
# A quarter of the calibration tiles, but at most this many, is set aside for the comparison.
KEPT = 128


def export(
    source: str | Path | TrainedModel,
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
    largest_file: int = LARGEST,
    golden: Path | None = None,
) -> ModelMetadata:
    """Export a model to ONNX or TorchScript.

    The file only appears under its name once the runtime has loaded it and its outputs agree with PyTorch
    in fp32, at several batch sizes, on synthetic and real tiles.

    Args:
        source: A run folder or a checkpoint of `wsi-embed train`, a checkpoint of the CluSiam repository,
            the name of a preset, `timm:NAME` or `torchvision:NAME`; or a network of your own with its
            properties.
        out: File to write, `.onnx` or `.ts` (TorchScript).
        precision: `fp32`, `fp16` (backbone in half precision) or `int8` (backbone quantised; ONNX only).
        mpp: Micrometres per pixel of the tiles; by default that of the training.
        given: Normalisation, tile size and pooling, if the source does not contain them.
        weights: Weights of a preset or a named architecture: a safetensors file or a state dict.
        settings: Arguments of a timm architecture.
        outputs: Additional outputs: `projection`, `cluster_logits`, `tokens`.
        calibrate: Real tiles: a folder, a CSV or slides. They calibrate int8 and are used in the comparison.
        split: Value of the column `split` of a calibration CSV; other rows are ignored.
        min_cosine: Minimum mean centred cosine of int8 features.
        name: Readable name of the model; by default the stem of `out`.
        licence: Licence of the weights; by default that of the preset, or those of the weights that the
            training started from and of the teacher.
        largest_file: Size of the weights, bytes, beyond which an ONNX file `NAME.onnx` has them beside it in
            `NAME.onnx.data`; by default what one ONNX file can hold, 2 GiB.
        golden: An `.npz` file with `tiles` and their `features` as the model card computes them, which the
            file is compared with.

    Returns:
        The metadata of the file, including the figures of the comparison.

    Raises:
        UsageError: If the source cannot be used, or an argument is wrong.
        ParityError: If the outputs of the file differ from those of the model. No file is written.

    Example:
        >>> from pathlib import Path
        >>> from wsi_embed_export import export
        >>> metadata = export("runs/first", Path("clubyol.onnx"))  # doctest: +SKIP
        >>> metadata.feature_dim  # doctest: +SKIP
        512
    """
    _check(out, precision, calibrate, min_cosine)
    check_destination(out)
    given = given or Given()
    given = given if mpp is None else replace(given, mpp=mpp)
    if isinstance(source, TrainedModel):
        trained = source
    else:
        trained = read_source(source, given, weights=weights, settings=settings)
    wanted = read_golden(golden, trained) if golden else None
    reference = TileModel(trained, extra=outputs)
    tiles = users_tiles(calibrate, trained, split) if calibrate else None
    model = TileModel(trained, "fp16", outputs) if precision == "fp16" else reference
    check_finite(reference, model, out.name)
    metadata = _metadata(trained, model, name or out.stem, licence or trained.licence)
    if precision == "int8":
        assert tiles is not None
        check_space(Path(gettempdir()), 4 * weight_bytes(model))
        identity = quantised_id(model.digest(), tiles, linear_only=model.has_layer_norms)
        metadata = replace(metadata, precision="int8", model_id=identity)
    del trained  # its weights, if nobody else has them: the models have copies
    check_space(out.parent, weight_bytes(model))
    with writing(out) as temporary:
        with stage("writing the model"):
            _write(model, metadata, temporary, tiles, largest_file)
        if temporary.suffix == ".onnx":
            del model  # TorchScript is written once more below
        with stage("comparing the model with PyTorch"):
            found = _compare(reference, temporary, metadata, tiles, min_cosine)
        give_back()  # memory of the session, before the file is read and written once more
        metadata = replace(metadata, parity=found.to_dict())
        if wanted is not None:
            encoder = load_encoder(temporary, device="cpu", mpp=metadata.mpp or 1.0)
            limit = min_cosine if precision == "int8" else None
            metadata = replace(metadata, parity=metadata.parity | check_golden(encoder, wanted, limit))
        if temporary.suffix == ".onnx":
            add_onnx_metadata(temporary, metadata)
        else:
            write_torchscript(model, metadata, temporary)
    return metadata


def _check(out: Path, precision: str, calibrate: Path | None, min_cosine: float) -> None:
    if out.suffix not in (".onnx", ".ts"):
        raise UsageError("expected a name that ends in .onnx or .ts", where=out)
    if precision not in PRECISIONS:
        raise UsageError(f"choose {', '.join(PRECISIONS)}", where=argument("precision", precision))
    if precision == "int8" and out.suffix != ".onnx":
        raise UsageError("int8 is written as .onnx only; TorchScript takes fp32 or fp16", where=out)
    if precision == "int8" and calibrate is None:
        raise UsageError("`precision='int8'` needs `calibrate=TILES`: some hundred real tiles, or slides")
    if not 0 <= min_cosine <= 1:
        raise UsageError("expected 0 to 1", where=f"`min_cosine={min_cosine:g}`")


def _split(tiles: UInt8Array) -> tuple[UInt8Array, UInt8Array]:
    """Split tiles into those for calibration and those for the comparison."""
    kept = min(KEPT, len(tiles) // 4)
    step = max(1, len(tiles) // max(1, kept))
    apart = [i % step == 0 and i // step < kept for i in range(len(tiles))]
    chosen = [i for i, yes in enumerate(apart) if yes]
    rest = [i for i, yes in enumerate(apart) if not yes]
    return tiles[rest], tiles[chosen] if chosen else tiles


def _write(
    model: TileModel, metadata: ModelMetadata, path: Path, tiles: UInt8Array | None, largest: int
) -> None:
    if path.suffix == ".ts":
        write_torchscript(model, metadata, path)
    elif metadata.precision != "int8" or tiles is None:
        write_onnx(model, metadata, path, largest)
    else:
        with TemporaryDirectory() as folder:
            exact = Path(folder) / "fp32.onnx"
            write_onnx(model, metadata, exact, largest)
            beside, calibration = data_file(exact).exists(), _split(tiles)[0]
            proto = quantise(exact, calibration, linear_only=model.has_layer_norms, beside=beside)
        save_onnx(proto, metadata, path, largest)


def _compare(
    reference: TileModel, path: Path, metadata: ModelMetadata, tiles: UInt8Array | None, min_cosine: float
) -> Difference:
    limits = limits_of(metadata.precision, min_cosine)
    most = largest_batch(reference, reference.tile_px, budget_for(weight_bytes(reference)))
    gc.collect()  # the exporters leave their copies of the weights in circles of references
    give_back()
    real, int8 = None if tiles is None else _split(tiles)[1], metadata.precision == "int8"
    # int8 is judged by a mean, for which a few tiles are too few
    kinds = parity_tiles(reference.tile_px, real, most=most, fewest=BATCHES[-1] if int8 else FEWEST)
    if int8:  # calibrated on real tiles, so it is compared on real tiles only
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
