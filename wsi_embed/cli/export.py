"""`wsi-embed export SOURCE --out FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsi_embed.cli.command import joined
from wsi_embed.cli.exported import show_exported
from wsi_embed.cli.lines import echo, say


def _list(wanted: bool) -> None:
    """Print the presets and end the command."""
    if not wanted:
        return
    from wsi_embed.util.extras import needs_extra

    with needs_extra("export", "wsi-embed export --list"):
        from wsi_embed_export.presets import preset_rows

    rows = preset_rows()
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    raise typer.Exit


def command(
    source: Annotated[
        str,
        typer.Argument(
            help="A run folder or checkpoint of wsi-embed train, a checkpoint of the CluSiam repository, "
            "a preset (see --list), timm:NAME or torchvision:NAME (with --weights), weights of timm beside "
            "their config.json, an .onnx of another tool (with --mean and --std); with --cluster-head an "
            "exported .onnx.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Output file, .onnx or .ts (TorchScript).", show_default=False)
    ],
    precision: Annotated[
        str, typer.Option("--precision", help="Precision of the backbone: fp32, fp16 or int8 (.onnx only).")
    ] = "fp32",
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            "--outputs",
            help="Further outputs: projection,cluster_logits,tokens; may be repeated.",
            show_default=False,
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            "--calibrate",
            help="Real tiles for int8 calibration and for the comparison: a folder, a CSV or slides.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Use only rows of --calibrate with this value in `split`.")
    ] = None,
    min_cosine: Annotated[
        float, typer.Option("--min-cosine", help="int8: fail below this mean centred cosine.")
    ] = 0.97,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            help="Weights for a preset, timm:NAME or torchvision:NAME: .safetensors or a state dict.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Argument of a timm architecture; may be repeated.",
            show_default=False,
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            "--mean", metavar="R,G,B", help="Mean of the normalisation, if the file does not contain it."
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(
            "--std", metavar="R,G,B", help="Std of the normalisation, if the file does not contain it."
        ),
    ] = None,
    tile_px: Annotated[
        int | None,
        typer.Option("--tile-px", help="Side of a tile in pixels, if the file does not contain it."),
    ] = None,
    pooling: Annotated[
        str | None,
        typer.Option(
            "--pooling",
            help="Pooling of a vision transformer: token, mean, token+mean or map.",
            show_default=False,
        ),
    ] = None,
    resize: Annotated[
        int | None,
        typer.Option(
            "--resize",
            metavar="PX",
            help="Resize tiles to this side inside the model, as Pillow does.",
            show_default=False,
        ),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(
            "--crop", metavar="PX", help="Side of the centre that the network sees.", show_default=False
        ),
    ] = None,
    interpolation: Annotated[
        str | None,
        typer.Option(
            "--interpolation",
            help="bilinear or bicubic. Default: the preset's, or bicubic.",
            show_default=False,
        ),
    ] = None,
    mpp: Annotated[
        float | None, typer.Option("--mpp", help="Resolution of the tiles, um per pixel. Default: the run's.")
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option("--layout", help="Layout of the images that another tool's .onnx takes: nchw or nhwc."),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            "--features",
            metavar="NAME",
            help="Output of another tool's .onnx with the features; NAME[0] is a token, NAME[1:] their mean.",
        ),
    ] = None,
    cluster_head: Annotated[
        Path | None,
        typer.Option(
            "--cluster-head",
            help="Folder of wsi-embed cluster, whose clusters are added to SOURCE, an exported .onnx.",
            show_default=False,
        ),
    ] = None,
    golden: Annotated[
        Path | None,
        typer.Option(
            "--golden",
            help="Tiles and their features by the model card (.npz), which the file must agree with.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Display name. Default: the file's.")] = None,
    licence: Annotated[
        str, typer.Option("--licence", help="Licence of the weights.", show_default=False)
    ] = "",
    _: Annotated[
        bool,
        typer.Option("--list", help="List the presets of published encoders.", callback=_list, is_eager=True),
    ] = False,
) -> None:
    """Export a trained or a published encoder to one self-describing file (extra `export`).

    The file is written only if its outputs agree with PyTorch. Nothing is downloaded.
    """
    from wsi_embed.util.extras import needs_extra

    with needs_extra("export", "wsi-embed export"):
        from wsi_embed_export import Given, add_cluster_head, export, wrap_onnx
        from wsi_embed_train import parse_settings

    if cluster_head is not None:
        with_clusters = add_cluster_head(Path(source), cluster_head, out, name=name)
        echo(f"{out}: {with_clusters.clusters} clusters, {with_clusters.model_id}")
        return
    given = Given(
        _colour("--mean", mean), _colour("--std", std), tile_px, mpp,
        pooling=pooling, resize=resize, crop=crop, interpolation=interpolation,
    )  # fmt: skip
    if source.endswith(".onnx"):
        others = {
            "precision": precision != "fp32",
            "outputs": outputs,
            "weights": weights,
            "settings": settings,
            "calibrate": calibrate,
            "golden": golden,
            "pooling": pooling,
            "resize": resize,
            "crop": crop,
            "interpolation": interpolation,
        }
        _refuse(source, [option for option, value in others.items() if value])
        wrapped = wrap_onnx(
            Path(source), out, given=given, layout=layout, features=features, name=name, licence=licence
        )
        show_exported(out, wrapped, f"against {Path(source).name}")
        return
    _refuse(source, [key for key, value in (("layout", layout), ("features", features)) if value])
    wanted = dict.fromkeys(part.strip() for part in (joined(outputs) or "").split(","))
    metadata = export(
        source, out, precision=precision, weights=weights, settings=parse_settings(settings or ()),
        given=given,
        outputs=[part for part in wanted if part],
        calibrate=calibrate, split=split, min_cosine=min_cosine, name=name, licence=licence, golden=golden,
    )  # fmt: skip
    show_exported(out, metadata, "against PyTorch fp32")
    if golden is not None:
        figures = (
            f"{k[7:].replace('_', ' ')} {v:g}" for k, v in metadata.parity.items() if k.startswith("golden")
        )
        say(f"against {golden.name}: {', '.join(figures)}")


def _refuse(source: str, options: list[str]) -> None:
    """Refuse options that this kind of source does not take."""
    from wsi_embed.errors import UsageError

    if options:
        raise UsageError(f"`{options[0]}=` does not apply to this source", where=Path(source).name)


def _colour(flag: str, text: str | None) -> tuple[float, ...] | None:
    """Parse three numbers, R,G,B."""
    from wsi_embed.errors import UsageError

    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError("expected three numbers, R,G,B", where=f"{flag} {text}") from error
