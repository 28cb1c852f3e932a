"""Processor time of deep-zoom tiles that are in no cache: `python benchmarks/viewer_tiles.py STORE SLIDES`.

All tiles of the finest level of the first slide are asked for, in this process. To compare, the pyramid has
tiles of 256 pixels, and then those of the file.
"""

from __future__ import annotations

import sys
import time

import anyio

from wsi_embed.viewer import pyramid
from wsi_embed.viewer.app import create_app
from wsi_embed.viewer.in_process import get
from wsi_embed.viewer.pyramid import Pyramid
from wsi_embed.viewer.session import open_session

TIMES = 5


def measure(store: str, slides: str) -> tuple[int, int, float]:
    """Return the side of a tile, the number of tiles, and the least processor time for all, seconds."""
    least = float("inf")
    for _ in range(TIMES):
        session = open_session([store], [slides])
        app, shown = create_app(session), session.stores[0]
        line = next(line for line in shown.listing() if line.picture)
        with session.reading(shown, line.slide_id) as found:
            zoom = Pyramid.of(found.slide)
        level = zoom.levels - 1
        columns, rows = (-(-size // zoom.tile) for size in zoom.size(level))
        base = f"api/stores/0/slides/{line.key}/pyramid/{level}"

        async def ask(base: str = base, columns: int = columns, rows: int = rows) -> None:
            for number in range(columns * rows):
                await get(app, f"{base}/{number % columns}_{number // columns}.jpg")  # noqa: B023

        start = time.process_time()
        anyio.run(ask)
        least = min(least, time.process_time() - start)
        session.close()
    return zoom.tile, columns * rows, least


def main() -> None:
    store, slides = sys.argv[1:3]
    print("| side of a tile, px | tiles | ms a tile | ms for all |\n|---|---|---|---|")
    own = pyramid.OWN_TILES
    for sides in (range(0), own):
        pyramid.OWN_TILES = sides
        side, tiles, seconds = measure(store, slides)
        print(f"| {side} | {tiles} | {1000 * seconds / tiles:.2f} | {1000 * seconds:.0f} |")


if __name__ == "__main__":
    main()
