"""`wsi-embed bench [SLIDE]`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsi_embed.cli.options import RunOptions, TilingOptions
from wsi_embed.cli.parameters import INPUT, RUN, option, takes
from wsi_embed.util.json_text import json_text
from wsi_embed.util.text import counted

# Tiling options that the benchmark accepts.
TILING = {"mpp_default", "mpp_override", "force", "tissue", "reader", "fast_downsample"}

if TYPE_CHECKING:
    from wsi_embed.diagnostics.bench import Bench


@takes(TilingOptions, RunOptions, only={*TILING, "workers"})
def command(
    slide: Annotated[
        Path | None,
        typer.Argument(help="A slide. Default: one generated from real tissue.", show_default=False),
    ] = None,
    model: Annotated[
        Path | None,
        option("--model", "Exported model (.onnx, .ts). Default: the demonstration model.", INPUT),
    ] = None,
    mpp: Annotated[
        float | None, option("--mpp", "Resolution of a tile, um per pixel. Default: the model's.", INPUT)
    ] = None,
    tile_px: Annotated[
        int | None, option("--tile-px", "Side of a tile, pixels. Default: the model's.", INPUT)
    ] = None,
    device: Annotated[str, option("--device", "As for embed.", RUN)] = "auto",
    batch_size: Annotated[
        int | None, option("--batch-size", "Tiles per batch. Default: as for embed.", RUN)
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, max=600, help="Duration of each of the three measurements.")
    ] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    *,
    workers: int | None,
    **tiling_options: Any,
) -> None:
    """Benchmark this machine: reading, encoding, both together, and which of them is the bottleneck."""
    from wsi_embed.cli.tables import show_facts
    from wsi_embed.diagnostics.bench import run_bench
    from wsi_embed.encoder import load_pool
    from wsi_embed.encoder.batch_size import default_batch
    from wsi_embed.jobs.options import check_counts
    from wsi_embed.tiling.settings import Tiling
    from wsi_embed.tissue import parse_recipe
    from wsi_embed.util.cpu import cpu_count

    check_counts(batch_size=batch_size, workers=workers)
    tiling = Tiling(**{**tiling_options, "tissue": parse_recipe(tiling_options["tissue"], ())})
    with load_pool(model, device=device, tile_px=tile_px, mpp=mpp) as encoders:
        bench = run_bench(
            encoders, slide, tiling=tiling, workers=workers or cpu_count(),
            batch_size=batch_size or default_batch(encoders.first), seconds=seconds,
        )  # fmt: skip
    if as_json:
        typer.echo(json_text(bench.to_dict(), indent=2))
    else:
        show_facts(_facts(bench), [])


def _facts(bench: Bench) -> dict[str, object]:
    whole = f"{bench.end_to_end:.0f} tiles/s from slide to store, {bench.ratio:.2f} of the estimate"
    return {
        "slide": f"{bench.slide}, {counted(bench.tiles, 'tile')}, read by {bench.reader}",
        "model": f"{bench.model} on {bench.device}, batches of {bench.batch_size}",
        "decode only": f"{bench.decode:.0f} tiles/s, {bench.decode_mb:.0f} MB/s of pixels, "
        f"{bench.readers} reader thread{'s' * (bench.readers != 1)}",
        "encode only": f"{bench.encode:.0f} tiles/s",
        "estimate": f"{bench.ideal:.0f} tiles/s, from the two above",
        "end to end": whole,
        "limit": f"the {bench.limit}",
        "memory": f"{bench.memory_mb:.0f} MB at most, {bench.added_mb:.0f} of them beside program and model",
    }
