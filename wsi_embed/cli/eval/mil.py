"""`wsi-embed eval mil STORE --labels TABLE`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsi_embed.cli.lines import echo, say
from wsi_embed.cli.options import StorePlace
from wsi_embed.cli.wording import in_flags, reworded
from wsi_embed.util.json_text import json_text

if TYPE_CHECKING:
    from wsi_embed.bags.labels import LabelledBags
    from wsi_embed.evaluate.mil.run import MilEvaluation
    from wsi_embed.store import Store

TASK, FOLDS, NETWORK = "Task", "Folds", "Networks"


def command(
    store: StorePlace,
    labels: Annotated[
        Path,
        typer.Option(
            "--labels",
            help="CSV with `slide_id` (or `patient`) and `label` (or the columns of --task), optionally "
            "`patient`, `split`, `fold`.",
            show_default=False,
        ),
    ],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="Networks: dsmil, abmil, clam (classes only), transmil. Linear models: mean (of the "
            "features), cluster-histogram.",
        ),
    ] = "dsmil",
    by: Annotated[str, typer.Option("--by", help="Whether a bag is a slide or a patient.")] = "slide",
    missing: Annotated[
        str,
        typer.Option(
            "--missing", help="Labels without a slide, slides without a label or tiles: fail, or skip them."
        ),
    ] = "fail",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for scores, predictions and attention. Default: <store>-mil-<method>."
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            help="Train once more on all labelled bags, and write the network to this .onnx file for "
            "wsi-embed predict: dsmil, abmil, clam (extra `export`).",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier evaluation in --out, and --export.")
    ] = False,
    task: Annotated[
        str,
        typer.Option("--task", help="classification, survival or regression.", rich_help_panel=TASK),
    ] = "classification",
    time: Annotated[
        str | None,
        typer.Option(
            "--time",
            help="Survival: column with the time to the event or to the end of observation. Default: time.",
            rich_help_panel=TASK,
        ),
    ] = None,
    event: Annotated[
        str | None,
        typer.Option(
            "--event",
            help="Survival: column with 1 for an observed event, 0 for a censored time. Default: event.",
            rich_help_panel=TASK,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            help="Regression: column with the number to predict. Default: target.",
            rich_help_panel=TASK,
        ),
    ] = None,
    loss: Annotated[
        str,
        typer.Option(
            "--loss", help="Regression by a network: mse (squared error) or l1.", rich_help_panel=TASK
        ),
    ] = "mse",
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds",
            min=2,
            help="Number of folds to draw, by patient. Default: the table's split or folds, else 5.",
            rich_help_panel=FOLDS,
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds", min=1, help="Number of repetitions, with other folds.", rich_help_panel=FOLDS
        ),
    ] = 1,
    epochs: Annotated[
        int, typer.Option("--epochs", min=1, help="Largest number of epochs.", rich_help_panel=NETWORK)
    ] = 200,
    patience: Annotated[
        int,
        typer.Option(
            "--patience",
            min=1,
            help="Epochs without improvement on the validation part before stopping; at least 50 are run.",
            rich_help_panel=NETWORK,
        ),
    ] = 20,
    lr: Annotated[float, typer.Option("--lr", help="Learning rate.", rich_help_panel=NETWORK)] = 2e-4,
    max_tiles: Annotated[
        int | None,
        typer.Option(
            "--max-tiles",
            min=1,
            help="Tiles drawn per bag in a training step, anew each time. Default: all.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu or cuda[:N].", rich_help_panel=NETWORK)
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            min=1,
            help="CPU threads. Default: one for small bags, else one per core.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    memory: Annotated[
        float,
        typer.Option(
            "--memory",
            min=0,
            help="GiB of features to keep in memory; the others are read at every step.",
            rich_help_panel=NETWORK,
        ),
    ] = 8.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train and test a multiple-instance method on folds of labelled bags (extra `mil`).

    Labels are classes, times and events (survival), or numbers (regression). No patient is both in training
    and test. Writes predictions of every bag, and attention that `wsi-embed plot --attention` draws.
    """
    from wsi_embed.store import open_store
    from wsi_embed.util.extras import needs_extra

    opened = open_store(store)
    folder = out or opened.near.with_name(f"{opened.near.stem}-mil-{method}")
    with needs_extra("mil", "wsi-embed eval mil"):
        from wsi_embed.evaluate.mil.output import check_mil_folder, write_mil
        from wsi_embed.evaluate.mil.run import evaluate_mil
        from wsi_embed.evaluate.mil.settings import MilSettings

        settings = MilSettings(
            method, epochs, patience, lr, max_tiles=max_tiles, device=device, threads=threads, loss=loss
        )
        check_mil_folder(folder, method, overwrite=overwrite)
        if export:
            _check_export(export, method, overwrite)
        columns = {"time": time, "event": event, "target": target}
        bags = _bags(opened, labels, task, columns, by=by, missing=missing)
        evaluation = evaluate_mil(
            opened,
            bags,
            settings,
            folds=folds,
            seeds=seeds,
            memory=round(memory * 2**30),
            on_fold=_report_fold,
        )
        files = write_mil(evaluation, opened, folder)
        if export:
            from wsi_embed.evaluate.mil.export import export_mil

            export_mil(opened, evaluation, export, round(memory * 2**30))
            files.append(export)
    if as_json:
        typer.echo(json_text(reworded(evaluation.to_dict()), indent=2))
    else:
        _show(evaluation, files)


def _bags(store: Store, labels: Path, task: str, columns: dict[str, str | None], **how: Any) -> LabelledBags:
    """Join the labels of a task to the store.

    Raises:
        UsageError: If the task is unknown, or a column was named that it does not have.
    """
    from wsi_embed.bags.labels import join_labels, join_survival, join_values
    from wsi_embed.errors import UsageError
    from wsi_embed.evaluate.mil.tasks import TASKS
    from wsi_embed.util.registry import unknown_name
    from wsi_embed.util.text import argument

    if task not in TASKS:
        raise unknown_name("task", task, TASKS)
    given: dict[str, Any] = {name: column for name, column in columns.items() if column is not None}
    own = {"survival": {"time", "event"}, "regression": {"target"}}
    for name, column in given.items():
        if name not in own.get(task, set()):
            right = next(kind for kind, names in own.items() if name in names)
            raise UsageError(f"is for {argument('task', right)}", where=argument(name, column))
    if task == "survival":
        return join_survival(store, labels, **given, **how)
    if task == "regression":
        return join_values(store, labels, **given, **how)
    return join_labels(store, labels, **how)


def _check_export(path: Path, method: str, overwrite: bool) -> None:
    """Check before the training that the network can be exported."""
    from wsi_embed.evaluate.mil.export import check_export
    from wsi_embed.util.extras import needs_extra

    check_export(path, method, overwrite=overwrite)
    with needs_extra("export", "wsi-embed eval mil --export"):
        import onnx  # noqa: F401


def _report_fold(number: int, count: int, fold: dict[str, Any]) -> None:
    """Print a line per fold to standard error, because training takes minutes to hours."""
    validated = next(name for name in fold if name.startswith("validation_"))
    main = validated.removeprefix("validation_")
    word = main.upper() if main in ("auc", "r2") else main
    how = "" if fold["epoch"] is None else f"epoch {fold['epoch']}, validation {word} {fold[validated]:.3f}, "
    where = f"[{number}/{count}] seed {fold['seed']}, fold {fold['fold']}"
    say(f"{where}: {how}{word} {fold[main]:.3f}", err=True)


def _show(evaluation: MilEvaluation, files: Sequence[Path]) -> None:
    from wsi_embed.cli.tables import show_facts
    from wsi_embed.evaluate.mil.tasks import described
    from wsi_embed.util.text import counted

    counts = described(evaluation.task.counts())
    folds, seeds = len(evaluation.folds) // evaluation.seeds, evaluation.seeds
    facts: dict[str, object] = {
        "method": evaluation.settings.method,
        "bags": f"{counted(len(evaluation.bags), evaluation.bags.by)}: {counts}",
        "tested": f"{counted(folds, 'fold')}, {counted(seeds, 'seed')}",
    }
    facts |= {name.replace("_", " "): str(interval) for name, interval in evaluation.intervals.items()}
    facts["in brackets"] = evaluation.interval_method
    show_facts(facts, [])
    for note in evaluation.notes:
        say(f"note: {in_flags(note)}")
    for path in files:
        echo(str(path))
