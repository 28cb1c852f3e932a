"""`wsi-embed train SOURCE --out RUN`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def command(
    source: Annotated[
        Path,
        typer.Argument(help="Folder of tile images, or a CSV with a column `path`.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", help="The run folder.", show_default=False)],
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe",
            help="clubyol, clubyol-paper, clusiam, byol, simsiam, simclr, swav, barlow, pcl, supervised "
            "(wants a column `label`), or a YAML file.",
        ),
    ] = "clubyol",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any setting of the recipe; may be repeated.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Of a CSV: only rows with this value in `split`.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Recipe: 50.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Tiles a step. Recipe: 512.")] = None,
    tile_px: Annotated[
        int | None, typer.Option("--tile-px", help="Side of a view, pixels. Recipe: 224.")
    ] = None,
    mpp: Annotated[
        float | None,
        typer.Option("--mpp", help="Resolution at which the model will be given tiles, um per pixel."),
    ] = None,
    clusters: Annotated[int | None, typer.Option("--clusters", help="clubyol, clusiam: 100.")] = None,
    feat_size: Annotated[
        int | None, typer.Option("--feat-size", help="Width of the projection. clubyol: 256; clusiam: 2048.")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option("--alpha", help="Weight of the cluster term. clubyol: 0.9; clusiam: 0.5.")
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="For a batch of 256. Recipe: 0.05.")] = None,
    backbone: Annotated[
        str | None,
        typer.Option("--backbone", help="One of torchvision's or timm's by name. Recipe: resnet18."),
    ] = None,
    devices: Annotated[str | None, typer.Option("--devices", help="auto, cpu or cuda.")] = None,
    precision: Annotated[str | None, typer.Option("--precision", help="32, bf16 or 16. Recipe: 32.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Decoding processes. Recipe: 8.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Recipe: 0.")] = None,
    on_collapse: Annotated[
        str,
        typer.Option("--on-collapse", help="When the representation or the clusters collapse: warn, stop."),
    ] = "warn",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
) -> None:
    """Train a tile encoder on a folder of tile images (extra `train`).

    A flag replaces the recipe's value, and --set does so for every other setting (docs/training.md).
    """
    from wsi_embed.cli.extras import needs_extra
    from wsi_embed.errors import UsageError

    with needs_extra("train", "wsi-embed train"):
        from wsi_embed_train import load_recipe, parse_settings, train

    flags = {
        "epochs": epochs, "batch_size": batch_size, "tile_px": tile_px, "mpp": mpp, "clusters": clusters,
        "feat_size": feat_size, "alpha": alpha, "lr": lr, "backbone": backbone, "devices": devices,
        "precision": precision, "workers": workers, "seed": seed,
    }  # fmt: skip
    given = parse_settings(settings or ())
    if twice := [name for name in given if flags.get(name) is not None]:
        raise UsageError(f"{twice[0]} is given twice, by its own option and by --set; keep one")
    config = load_recipe(recipe, **(flags | given))

    def line(row: dict[str, float]) -> None:
        text = f"epoch {row['epoch']:.0f}/{config.epochs}: loss {row['loss']:.4f}"
        if "clusters_used" in row:
            text += f", clusters used {row['clusters_used']:.1f}, largest share {row['largest_share']:.2f}"
        typer.echo(text)

    terminal = sys.stdout.isatty()
    try:
        checkpoint = train(
            source,
            out,
            config,
            split=split,
            resume=resume,
            progress=terminal,
            on_collapse=on_collapse,
            on_epoch=None if terminal else line,
            on_warning=lambda text: typer.echo(f"warning: {text}", err=True),
        )
    except KeyboardInterrupt:
        typer.echo("stopped early; go on with --resume", err=True)
        raise typer.Exit(75) from None
    typer.echo(f"trained: {checkpoint}; next: wsi-embed export {out} --out model.onnx")
