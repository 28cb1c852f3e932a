"""`wsi-embed compare A B --tiles TILES`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsi_embed.cli.lines import say
from wsi_embed.cli.options import ModelMpp, ModelTilePx
from wsi_embed.cli.wording import in_flags, reworded
from wsi_embed.util.json_text import json_text

if TYPE_CHECKING:
    from wsi_embed.encoder import Encoder
    from wsi_embed.evaluate.compare import Comparison


def command(
    a: Annotated[Path, typer.Argument(help="An exported model, .onnx or .ts.", show_default=False)],
    b: Annotated[
        Path, typer.Argument(help="Another exported model, compared with the first.", show_default=False)
    ],
    tiles: Annotated[
        Path,
        typer.Option(
            "--tiles",
            help="A folder of tile images, or a CSV with `path` and optionally `label` and `split`.",
            show_default=False,
        ),
    ],
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda[:N], tensorrt[:N], openvino, openvino:bf16.")
    ] = "auto",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Tiles per batch.")] = 32,
    limit: Annotated[
        int, typer.Option("--limit", min=2, help="Largest number of tiles; a random sample of more.")
    ] = 2000,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads. Default: one per core.")
    ] = None,
    tile_px: ModelTilePx = None,
    mpp: ModelMpp = None,
    min_cosine: Annotated[
        float | None, typer.Option("--min-cosine", help="Exit 1 below this mean centred cosine.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two exported models on real tiles, for example to see whether int8 is accurate enough."""
    from wsi_embed.cli.tables import show_facts
    from wsi_embed.errors import WsiEmbedError
    from wsi_embed.evaluate.compare import compare, find_tiles
    from wsi_embed.util.extras import needs_extra

    found = find_tiles(tiles, limit)
    models = [_load(path, device, threads, tile_px, mpp) for path in (a, b)]
    with needs_extra("train", "the nearest-neighbour evaluation of labelled tiles"):
        comparison = compare(models[0], models[1], found, batch_size=batch_size)
    if as_json:
        typer.echo(json_text(reworded(comparison.to_dict()), indent=2))
    else:
        show_facts(_facts(comparison), _rows((a, b), comparison))
        for note in comparison.notes:
            say(f"note: {in_flags(note)}")
    cosine = comparison.difference.centred_cosine if comparison.difference else None
    if min_cosine is not None and (cosine is None or not cosine >= min_cosine):
        shown = "none" if cosine is None else f"{cosine:.4f}"
        raise WsiEmbedError(f"mean centred cosine {shown}, at least {min_cosine:g} asked for by --min-cosine")


def _load(path: Path, device: str, threads: int | None, tile_px: int | None, mpp: float | None) -> Encoder:
    """Load a model; the size and resolution of tiles are for a model that does not state them."""
    from wsi_embed.encoder import load_encoder
    from wsi_embed.errors import ModelError

    try:
        return load_encoder(path, device=device, threads=threads)
    except ModelError:
        if tile_px is None and mpp is None:
            raise
        return load_encoder(path, device=device, threads=threads, tile_px=tile_px, mpp=mpp)


def _facts(comparison: Comparison) -> dict[str, object]:
    facts: dict[str, object] = {"tiles": comparison.tiles}
    far = comparison.difference
    if far is not None:
        facts["centred cosine"] = f"{far.centred_cosine:.6f} mean, {far.min_centred_cosine:.6f} worst tile"
        facts["cosine"] = f"{far.min_cosine:.6f} worst tile"
        if far.cluster_agreement is not None:
            facts["same cluster"] = f"{100 * far.cluster_agreement:.1f} % of the tiles, near-ties included"
        if far.confidence_error is not None:
            facts["confidence"] = f"off by {far.confidence_error:.4f} at most"
    facts["same neighbour"] = f"{100 * comparison.same_neighbour:.1f} % of the tiles"
    facts["verdict"] = comparison.verdict
    return facts


def _rows(paths: tuple[Path, Path], comparison: Comparison) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for n, (letter, path) in enumerate(zip("AB", paths, strict=True)):
        row: dict[str, object] = {
            "": letter,
            "model": path.name,
            "images/s": f"{comparison.images_per_s[n]:.0f}",
        }
        if comparison.knn:
            scores = comparison.knn[n]
            row["kNN macro F1"] = f"{scores['f1_macro']:.3f}"
            row["balanced accuracy"] = f"{scores['balanced_accuracy']:.3f}"
        rows.append(row)
    return rows
