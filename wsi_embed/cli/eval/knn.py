"""`wsi-embed eval knn --model MODEL --tiles TABLE`, `wsi-embed eval knn --store STORE --annotations DIR`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsi_embed.cli.command import joined
from wsi_embed.cli.eval import options
from wsi_embed.cli.eval.store_labels import StoreLabels
from wsi_embed.cli.lines import echo, say
from wsi_embed.cli.wording import in_flags, reworded
from wsi_embed.util.json_text import json_text

if TYPE_CHECKING:
    from wsi_embed.evaluate.tile_set import TileFeatures
    from wsi_embed.evaluate.tiles import Classified, TileEvaluation

IMAGES, FOLDS, STORE = "Tile images", "Folds of tile images", "Tiles of a store"


def command(
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            help="An exported model, .onnx or .ts. With --folds several, each with its own --model.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    tiles: Annotated[
        Path | None,
        typer.Option(
            "--tiles",
            help="CSV of tile images: `path`, `label`, `split` (train, test; not with --folds), and "
            "optionally `group`, `patient`, `slide_id`. With --store: `slide_id`, `x`, `y` and `label`.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    column: Annotated[
        str, typer.Option("--column", help="Column of --tiles with the labels.", rich_help_panel=IMAGES)
    ] = "label",
    device: Annotated[
        str,
        typer.Option(
            "--device",
            help="auto, cpu, cuda[:N], tensorrt[:N], openvino, openvino:bf16.",
            rich_help_panel=IMAGES,
        ),
    ] = "auto",
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Tiles per batch.", rich_help_panel=IMAGES)
    ] = 32,
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, help="CPU threads. Default: one per core.", rich_help_panel=IMAGES),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds",
            min=2,
            help="Compare models on this many folds, with a ridge classifier as well.",
            rich_help_panel=FOLDS,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            help="Column of --tiles that the folds are disjoint by, such as the patient. Default: group.",
            rich_help_panel=FOLDS,
        ),
    ] = None,
    colour_histogram: Annotated[
        bool,
        typer.Option(
            "--colour-histogram", help="Compare with colour histograms as well.", rich_help_panel=FOLDS
        ),
    ] = False,
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            help="A store, instead of --model and tile images.",
            metavar="STORE",
            rich_help_panel=STORE,
        ),
    ] = None,
    annotations: options.Annotations = None,
    rest: options.Rest = None,
    splits: Annotated[
        Path | None,
        typer.Option(
            "--splits",
            help="CSV with `slide_id` (or `patient`) and `split` (train, test).",
            rich_help_panel=STORE,
        ),
    ] = None,
    max_tiles: Annotated[
        int,
        typer.Option(
            "--max-tiles",
            min=1,
            help="Size of the random sample of tiles per slide and class.",
            rich_help_panel=STORE,
        ),
    ] = 1000,
    classes: options.Classes = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Number of nearest neighbours, by cosine.")] = 1,
    probe: Annotated[bool, typer.Option("--probe", help="Also fit a logistic regression.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the samples and folds.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for scores, predictions and (without --folds) confusion matrices.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Classify labelled tiles by their nearest neighbours among training tiles (extra `train`).

    The column `split` tells training tiles from test tiles. A `group` in both is an error, and so is a
    patient of a store in both. With --folds, all tiles are tested, and several models can be compared.
    """
    from wsi_embed.errors import UsageError
    from wsi_embed.evaluate.results import check_results_folder
    from wsi_embed.util.extras import needs_extra
    from wsi_embed.util.seed import check_seed

    check_seed(seed)
    check_results_folder(out)
    models = model or []
    if folds is None and (len(models) > 1 or group or colour_histogram):
        raise UsageError("several models, --group and --colour-histogram need --folds")
    with needs_extra("train", "wsi-embed eval knn"):
        if folds is not None:
            if store is not None or tiles is None or not (models or colour_histogram):
                raise UsageError("--folds needs --tiles, and --model or --colour-histogram")
            from wsi_embed.cli.eval.folds import on_folds
            from wsi_embed.evaluate.tile_set import parse_classes

            on_folds(
                tiles, models, out, as_json, folds=folds, group=group or "group", column=column,
                classes=parse_classes(joined(classes)), colour_histogram=colour_histogram, k=k, probe=probe,
                seed=seed, device=device, threads=threads, batch_size=batch_size,
            )  # fmt: skip
            return
        from wsi_embed.evaluate.tiles import evaluate_tiles, write_evaluation

        if store is None:
            given = models[0] if models else None
            found = _of_images(given, tiles, joined(classes), column, device, threads, batch_size, k)
        elif model:
            raise UsageError("--store has features already", remedy="leave --model out")
        else:
            labels = StoreLabels(annotations, joined(classes), rest, tiles, column)
            found = _of_store(store, labels, splits, max_tiles, seed)
        evaluation = evaluate_tiles(found, k=k, probe=probe, seed=seed)
        files = write_evaluation(evaluation, found.tiles, out) if out else []
    if as_json:
        typer.echo(json_text(reworded(evaluation.to_dict()), indent=2))
    else:
        _show(evaluation, files)


def _of_images(
    model: Path | None,
    tiles: Path | None,
    classes: str | None,
    column: str,
    device: str,
    threads: int | None,
    batch_size: int,
    k: int,
) -> TileFeatures:
    from wsi_embed.encoder import load_encoder
    from wsi_embed.errors import UsageError
    from wsi_embed.evaluate.tile_set import parse_classes
    from wsi_embed.evaluate.tile_table import encode_table, read_tile_table

    if model is None or tiles is None:
        raise UsageError("give --model and --tiles, or --store with --annotations or --tiles, and --splits")
    table = read_tile_table(tiles, parse_classes(classes), column=column)
    table.tiles.check(k)  # fail before the model is loaded
    return encode_table(table, load_encoder(model, device=device, threads=threads), batch_size)


def _of_store(store: str, given: StoreLabels, splits: Path | None, max_tiles: int, seed: int) -> TileFeatures:
    from wsi_embed.errors import UsageError
    from wsi_embed.evaluate.store_tiles import read_splits, store_tiles
    from wsi_embed.store import open_store

    if (given.annotations is None and given.tiles is None) or splits is None:
        raise UsageError("--store needs --splits, and --annotations or --tiles, which say the classes")
    opened = open_store(store)
    split_of = read_splits(opened, splits)
    labels = given.read(opened)
    assert labels is not None
    return store_tiles(opened, labels, split_of, max_tiles=max_tiles, seed=seed)


def _show(evaluation: TileEvaluation, files: Sequence[Path]) -> None:
    from wsi_embed.cli.tables import show_facts

    facts: dict[str, object] = {
        "tiles": f"{evaluation.train_tiles:,} train, {evaluation.test_tiles:,} test",
    }
    for found in evaluation.classified.values():
        scores = found.scores
        facts[found.name] = (
            f"macro F1 {scores.f1_macro:.3f}, balanced accuracy {scores.balanced_accuracy:.3f}, "
            f"accuracy {scores.accuracy:.3f}"
        )
    show_facts(facts, [row for found in evaluation.classified.values() for row in _rows(found)])
    for note in evaluation.notes:
        say(f"note: {in_flags(note)}")
    for path in files:
        echo(str(path))


def _rows(found: Classified) -> list[dict[str, object]]:
    return [
        {
            "classifier": found.name,
            "class": name,
            "test tiles": f"{of.count:,}",
            "precision": f"{of.precision:.3f}",
            "recall": f"{of.recall:.3f}",
            "F1": f"{of.f1:.3f}",
        }
        for name, of in found.scores.classes.items()
    ]
