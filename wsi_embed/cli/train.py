"""`wsi-embed train SOURCE --out RUN`."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsi_embed.cli.lines import say
from wsi_embed.cli.signals import StopSignals
from wsi_embed.cli.wording import errors_in_flags

if TYPE_CHECKING:
    from wsi_embed_train import TrainConfig

DATA, RECIPE, WEIGHTS, RUN = "Data", "Recipe", "Weights", "Run"
DEFAULT = "clubyol"
TOO_EARLY = "stopped before the first step, and nothing is saved; run the same command again"
LAST_WORDS = "stopped early, without saving; --resume goes on from the last checkpoint"


def command(
    source: Annotated[
        Path,
        typer.Argument(
            help="Slides or tile images: a file, a folder (any depth), or a CSV with a column `path`.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Run folder; created.", show_default=False, rich_help_panel=RUN)
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="clubyol, clubyol-paper, clusiam, byol, simsiam, simclr, swav, barlow, pcl, dino, distil "
            "(needs --teacher), supervised (needs a column `label`), or a YAML file. "
            "Default: clubyol; with --resume the settings of the run.",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any setting of the recipe; may be repeated.",
            show_default=False,
            rich_help_panel=RECIPE,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split", help="Use only rows of a CSV with this value in `split`.", rich_help_panel=DATA
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Number of epochs. Recipe: 50.", rich_help_panel=RECIPE)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", help="Tiles per step. Recipe: 512.", rich_help_panel=RECIPE)
    ] = None,
    tile_px: Annotated[
        int | None,
        typer.Option("--tile-px", help="Side of a view, pixels. Recipe: 224.", rich_help_panel=DATA),
    ] = None,
    mpp: Annotated[
        float | None,
        typer.Option(
            "--mpp",
            help="Resolution of the tiles that the model is meant for, um per pixel.",
            rich_help_panel=DATA,
        ),
    ] = None,
    clusters: Annotated[
        int | None,
        typer.Option("--clusters", help="Number of clusters. clubyol, clusiam: 100.", rich_help_panel=RECIPE),
    ] = None,
    feat_size: Annotated[
        int | None,
        typer.Option(
            "--feat-size",
            help="Width of the projection. clubyol: 256; clusiam: 2048.",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            "--alpha", help="Weight of the cluster term. clubyol: 0.9; clusiam: 0.5.", rich_help_panel=RECIPE
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option("--lr", help="Learning rate for a batch of 256. Recipe: 0.05.", rich_help_panel=RECIPE),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone",
            help="Name of a torchvision or timm architecture. Recipe: resnet18.",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option(
            "--devices", help="auto, cpu, cpu:N, cuda (all GPUs) or a number of GPUs.", rich_help_panel=RUN
        ),
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="32, bf16 or 16. Recipe: 32.", rich_help_panel=RUN)
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Decoding processes. Recipe: 8.", rich_help_panel=RUN)
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Random seed. Recipe: 0.", rich_help_panel=RUN)
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            "--init",
            help="Weights to start from: a state dict, safetensors file, run, or checkpoint (also of the "
            "CluSiam repository).",
            show_default=False,
            rich_help_panel=WEIGHTS,
        ),
    ] = None,
    init_licence: Annotated[
        str,
        typer.Option(
            "--init-license",
            "--init-licence",
            help="Licence of these weights; recorded.",
            show_default=False,
            rich_help_panel=WEIGHTS,
        ),
    ] = "",
    teacher: Annotated[
        Path | None,
        typer.Option(
            "--teacher",
            help="Exported model (.onnx, .ts) whose features the encoder learns. distil only.",
            show_default=False,
            rich_help_panel=WEIGHTS,
        ),
    ] = None,
    knn: Annotated[
        Path | None,
        typer.Option(
            "--knn",
            help="CSV of labelled tiles (`path`, `label`, `split`) for evaluation, which selects best.ckpt.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    on_collapse: Annotated[
        str,
        typer.Option(
            "--on-collapse",
            help="Action if the representation or the clusters collapse: warn or stop.",
            rich_help_panel=RUN,
        ),
    ] = "warn",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue an interrupted run at its step, with its settings.",
            rich_help_panel=RUN,
        ),
    ] = False,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Log JSON lines, for containers.", rich_help_panel=RUN)
    ] = False,
) -> None:
    """Train a tile encoder on slides or tile images (extra `train`).

    Options override values of the recipe; --set does so for every other setting (docs/training.md).
    """
    stop = threading.Event()
    slurm = (signal.SIGUSR1,) if "SLURM_JOB_ID" in os.environ else ()  # sbatch --signal=USR1@120
    with StopSignals(stop, LAST_WORDS, also=slurm, again=3.0):  # before the imports: they take seconds
        from wsi_embed.errors import Stopped
        from wsi_embed.util.extras import needs_extra

        with needs_extra("train", "wsi-embed train"):
            from wsi_embed.cli.training import open_training, settings_without_flag
            from wsi_embed_train import train
            from wsi_embed_train.trainer import rank_here

        flags = {
            "epochs": epochs, "batch_size": batch_size, "tile_px": tile_px, "mpp": mpp, "clusters": clusters,
            "feat_size": feat_size, "alpha": alpha, "lr": lr, "backbone": backbone, "devices": devices,
            "precision": precision, "workers": workers, "seed": seed,
        }  # fmt: skip
        resume = resume or _requeued(out)
        with errors_in_flags(settings_without_flag()):
            config, split = _settings(out if resume else None, recipe, flags, settings, split)
        if stop.is_set():
            raise Stopped(TOO_EARLY)
        with open_training(config.epochs, log_json) as listener, errors_in_flags(settings_without_flag()):
            try:
                checkpoint = train(
                    source, out, config, split=split, knn=knn, init=init, init_licence=init_licence,
                    teacher=teacher, resume=resume, on_collapse=on_collapse, listener=listener, stop=stop,
                )  # fmt: skip
            except Stopped as stopped:
                saved = (out / "checkpoints" / "last.ckpt").exists()
                words = f"stopped early at {stopped}, and saved; go on with --resume"
                raise Stopped(words if saved else TOO_EARLY) from None
    if rank_here() == 0:
        say(f"trained: {checkpoint}; next: wsi-embed export {out} --out model.onnx")


def _settings(
    run: Path | None,
    recipe: str | None,
    flags: Mapping[str, Any],
    settings: Sequence[str] | None,
    split: str | None,
) -> tuple[TrainConfig, str | None]:
    """Return the settings of a run and the split of its table.

    Args:
        run: Run folder to resume, whose settings are taken unless a recipe is given; None for a new run.
        recipe: Recipe.
        flags: Settings that have an option of their own.
        settings: Settings as KEY=VALUE.
        split: Split of the table.
    """
    from wsi_embed.errors import UsageError
    from wsi_embed_train import TrainConfig, load_recipe, parse_settings
    from wsi_embed_train.run_folder import RunFolder

    given = parse_settings(settings or ())
    if twice := [name for name in given if flags.get(name) is not None]:
        raise UsageError(f"{twice[0]} is given twice, by its own option and by --set", remedy="keep one")
    given |= {name: value for name, value in flags.items() if value is not None}
    if run is None or recipe is not None:
        return load_recipe(recipe or DEFAULT, **given), split
    values, before = RunFolder(run).settings()
    return TrainConfig.from_dict(values | given), split or before


def _requeued(run: Path) -> bool:
    """Return whether Slurm restarted this job, which then resumes, because its command cannot be changed."""
    again = int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0
    return again and (run / "checkpoints" / "last.ckpt").exists()
