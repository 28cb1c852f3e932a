"""`wsi-embed export RUN --out FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    source: Annotated[
        Path, typer.Argument(help="A run folder, or a checkpoint of wsi-embed train.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Ends in .onnx or .ts (TorchScript).", show_default=False)
    ],
    precision: Annotated[str, typer.Option("--precision", help="Of the backbone: fp32 or fp16.")] = "fp32",
    mpp: Annotated[
        float | None, typer.Option("--mpp", help="Resolution of the tiles, um per pixel. Default: the run's.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="For people. Default: the file's.")] = None,
    licence: Annotated[str, typer.Option("--licence", help="Of the weights.", show_default=False)] = "",
) -> None:
    """Export a trained encoder to one self-describing file (extra `export`).

    The file appears only when its outputs agree with PyTorch.
    """
    from wsi_embed.cli.extras import needs_extra

    with needs_extra("export", "wsi-embed export"):
        from wsi_embed_export import export

    metadata = export(source, out, precision=precision, mpp=mpp, name=name, licence=licence)
    parity = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in metadata.parity.items())
    typer.echo(f"{out}: {metadata.method} {metadata.backbone}, {metadata.precision}, {metadata.model_id}")
    typer.echo(f"against PyTorch fp32: {parity}")
    if metadata.mpp is None:
        typer.echo(
            "the training did not know its resolution: give --mpp here, or every time the model is used"
        )
