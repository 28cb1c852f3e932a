r"""Reproduction of the tables of the paper on your data: all methods, each with the same number of steps.

    export PYTHONPATH=.:train:export
    python benchmarks/table.py slides.csv --split train --slides slides.csv --labels slides.csv --mpp 0.5 \
        --annotations xml/ --classes _2=normal,_0=tumour,_1=tumour --rest normal \
        --out table --epochs 50 --seeds 0 1 2

trains each method on SOURCE (slides, tile images or a CSV, as for `wsi-embed train`; `supervised` needs a
column `label`, and is skipped without one), exports it, makes a store of its features of `--slides`, and

- classifies tiles by their nearest neighbour (k = 1, cosine): either tiles of the stores, labelled by the
  region that contains their centre and split by the column `split` of `--labels`; or labelled tile images,
  with `--tiles` (as for `wsi-embed eval knn`) instead of `--annotations`;
  with `--folds`, by balanced accuracy of nearest neighbour and ridge over folds disjoint by `--group`;
- trains and tests DSMIL on the `--labels` of the slides (as for `wsi-embed eval mil`).

Either may be left out. With `--init FILE` all methods start from these weights, and a row `frozen` has the
features of the weights as they are; without it they start untrained. Results that exist in `--out` are not
computed again: run the same command after an interruption. The tables also show the figures of Wu et al.,
ICCV 2023 (CAMELYON16, 224 px, batch 512, 50 epochs).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.table_slides import Slides, print_slides
from benchmarks.table_tiles import FoldedTiles, ImageTiles, StoreTiles, print_tiles
from wsi_embed.errors import WsiEmbedError
from wsi_embed.evaluate.results import write_json
from wsi_embed.evaluate.tile_set import parse_classes
from wsi_embed.inputs.tables import read_table
from wsi_embed_export import Given, export, read_source
from wsi_embed_train import load_recipe, parse_settings, train
from wsi_embed_train.backbones import make_backbone, torchvision_names
from wsi_embed_train.methods import method_settings

METHODS = (
    "supervised", "simclr", "swav", "pcl", "barlow", "byol", "clubyol-paper", "clubyol", "simsiam", "clusiam",
)  # fmt: skip
Tiles = ImageTiles | FoldedTiles | StoreTiles
HISTOGRAM, UNTRAINED, FROZEN = "colour-histogram", "untrained", "frozen"


def main(argv: Sequence[str] | None = None) -> None:
    """Compute missing results, then print the tables."""
    args = arguments(argv)
    methods = trainable(args.source, args.methods)
    settings = parse_settings(args.set) | {"epochs": args.epochs, "mpp": args.mpp}
    slides, tiles = slides_of(args), tiles_of(args)
    for seed in args.seeds:
        for method in methods:
            chosen = settings_for(method, settings) | {"seed": seed}
            train_one(args.source, args.split, args.out / f"{method}-{seed}", chosen, args.init)
        untrained(args.out / f"{methods[0]}-{seed}" / "run", seed, args.out / f"{UNTRAINED}-{seed}")
        for name in (UNTRAINED, *methods):
            evaluate(args.out / f"{name}-{seed}", slides, tiles)
    if args.init:
        backbone_of(args.out / f"{methods[0]}-{args.seeds[0]}" / "run", args.init, args.out / f"{FROZEN}-0")
        evaluate(args.out / f"{FROZEN}-0", slides, tiles)
    if isinstance(tiles, ImageTiles | FoldedTiles):
        model = args.out / f"{methods[0]}-{args.seeds[0]}" / "model.onnx"
        once(args.out / f"{HISTOGRAM}-0" / "tiles.json", lambda: tiles.score_histograms(model))
    rows = (HISTOGRAM, UNTRAINED, FROZEN, *methods)
    if tiles:
        print_tiles(found(args.out, rows, "tiles.json"))
    if slides:
        print_slides(found(args.out, rows, "slides.json"))


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("--split", help="of SOURCE's rows; by default all")
    parser.add_argument("--slides", help="to embed")
    parser.add_argument("--labels", type=Path, help="of the slides: slide_id or patient, label, split")
    parser.add_argument("--annotations", type=Path, help="a folder of regions, for the tiles of the slides")
    parser.add_argument("--classes", help="of regions, in order of precedence: REGION=LABEL,...")
    parser.add_argument("--rest", help="the label of tiles in none of these regions")
    parser.add_argument("--tiles", type=Path, help="labelled tile images: path, label, split")
    parser.add_argument("--folds", type=int, help="of --tiles, instead of the column split")
    parser.add_argument("--group", default="group", help="column of --tiles that the folds are disjoint by")
    parser.add_argument("--init", type=Path, help="weights that all methods start from")
    parser.add_argument("--organs", action="store_true", help="tile labels are ORGAN_CLASS: organs apart")
    parser.add_argument("--mil-seeds", type=int, default=3, help="trainings of DSMIL on each fold")
    parser.add_argument("--tissue", default="otsu", help="of the slides")
    parser.add_argument("--overlap", type=int, default=0, help="of tiles of the slides, pixels")
    parser.add_argument("--mpp", type=float, help="of tiles of the slides, and of the training")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="RECIPE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, help="for all; by default each recipe's")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="for all that have it")
    args = parser.parse_args(argv)
    if bool(args.slides) != bool(args.labels):
        parser.error("--slides and --labels go together")
    if bool(args.annotations) != bool(args.classes) or (args.annotations and (args.tiles or not args.slides)):
        parser.error("--annotations, --classes and --slides go together, without --tiles")
    if not args.slides and not args.tiles:
        parser.error("give --slides and --labels, or --tiles, or all three")
    return args


def slides_of(args: argparse.Namespace) -> Slides | None:
    """Return the slides to make bags of, or None."""
    if not args.slides:
        return None
    return Slides(args.slides, args.tissue, args.overlap, args.mpp, args.labels, args.mil_seeds)


def tiles_of(args: argparse.Namespace) -> Tiles | None:
    """Return the tiles to classify, or None."""
    if args.tiles and args.folds:
        return FoldedTiles(args.tiles, args.folds, args.group)
    if args.tiles:
        return ImageTiles(args.tiles, args.organs)
    if args.annotations:
        return StoreTiles(args.annotations, parse_classes(args.classes), args.rest, args.labels)
    return None


def trainable(source: Path, methods: list[str]) -> list[str]:
    """Return the methods without those whose labels SOURCE lacks, and print the others."""
    labelled = (
        source.suffix in (".csv", ".tsv", ".parquet")
        and "label" in read_table(source, "table", (("label",),))[0]
    )
    if labelled or "supervised" not in methods:
        return methods
    print(f"supervised is left out: {source.name} has no column `label`", file=sys.stderr)
    return [name for name in methods if name != "supervised"]


def settings_for(method: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings without those that only other methods have, such as `clusters` for SimCLR."""
    own = method_settings(load_recipe(method).method)
    others = {name for other in METHODS for name in method_settings(load_recipe(other).method)} - own.keys()
    return {name: value for name, value in settings.items() if name not in others}


def train_one(
    source: Path, split: str | None, folder: Path, settings: dict[str, Any], init: Path | None
) -> None:
    """Train, resuming an earlier run, and export."""
    if (folder / "model.onnx").exists():
        return
    run, method = folder / "run", folder.name.rpartition("-")[0]
    train(
        source, run, load_recipe(method, **settings), split=split, init=init,
        resume=(run / "checkpoints" / "last.ckpt").exists(),
    )  # fmt: skip
    export(run, folder / "model.onnx", name=method)


def untrained(run: Path, seed: int, folder: Path) -> None:
    """Export an untrained network of the architecture of a run, with the normalisation of the run."""
    if (folder / "model.onnx").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    torch.save(make_backbone(read_source(run).architecture)[0].state_dict(), folder / "weights.pt")
    backbone_of(run, folder / "weights.pt", folder)


def backbone_of(run: Path, weights: Path, folder: Path) -> None:
    """Export given weights in the architecture of a run, with the normalisation of the run."""
    if (folder / "model.onnx").exists():
        return
    trained = read_source(run)
    name = trained.architecture.removeprefix("timm/")
    family = "torchvision" if trained.architecture in torchvision_names() else "timm"
    given = Given(trained.mean, trained.std, trained.tile_px, trained.mpp)
    row = folder.name.rpartition("-")[0]
    export(f"{family}:{name}", folder / "model.onnx", given=given, weights=weights, name=row)


def evaluate(folder: Path, slides: Slides | None, tiles: Tiles | None) -> None:
    """Compute the missing results of a model: `tiles.json` and `slides.json`."""
    model = folder / "model.onnx"
    if isinstance(tiles, ImageTiles | FoldedTiles):
        once(folder / "tiles.json", lambda: tiles.score(model))
    if slides:
        store = cache(
            lambda: slides.store(model, folder / "feats.zarr")
        )  # only created if a score is missing
        if isinstance(tiles, StoreTiles):
            once(folder / "tiles.json", lambda: tiles.score(store()))
        once(folder / "slides.json", lambda: slides.score(store()))


def once(path: Path, find: Callable[[], Any]) -> None:
    """Write the result of `find` as JSON, unless the file exists."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, find())


def found(out: Path, rows: Sequence[str], name: str) -> dict[str, list[dict[str, Any]]]:
    """Read the results of each row of a table, one per available seed."""
    files = {row: sorted(out.glob(f"{row}-[0-9]*/{name}")) for row in rows}
    return {
        row: [json.loads(path.read_text("utf-8")) for path in paths] for row, paths in files.items() if paths
    }


if __name__ == "__main__":
    try:
        main()
    except WsiEmbedError as error:
        sys.exit(f"Error: {error}")
