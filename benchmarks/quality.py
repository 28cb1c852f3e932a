"""Price of the quality of tiles, and its false alarms on sharp tiles without pen or folds.

    PYTHONPATH=. python benchmarks/quality.py ../shared/data/tiles ../shared/data/ebhi

Prints the processor time of a tile of 224 px at several resolutions, and how many of the JPEG tiles in the
folders are below or beyond the limits that docs/quality.md names, of those with the colour of typical glass.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from wsi_embed.grid import make_grid, plan_read
from wsi_embed.quality.measures import BLURRED
from wsi_embed.quality.tiles import TileQuality

PX, SIDE = 224, 4


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    files = sorted(file for folder in parser.parse_args().folders for file in folder.rglob("*.jpg"))
    cv2.setNumThreads(1)
    tiles = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    for mpp in (0.25, 0.5, 1.0, 2.0, 8.0):
        print(f"{mpp:g} um per pixel: {1e6 * price(tiles[: SIDE**2], mpp):.0f} us a tile")
    found = measured(tiles, 0.5)
    print(
        f"{len(tiles)} tiles; focus below {BLURRED:g}: {(found['focus'] < BLURRED).sum()}, least "
        f"{found['focus'].min():.1f}; pen 0.1 or more: {(found['pen'] >= 0.1).sum()}; dark 0.9 or more: "
        f"{(found['dark'] >= 0.9).sum()}, most {found['dark'].max():.2f}"
    )


def quality_at(mpp: float, count: int) -> TileQuality:
    """Return the measurement of a column of tiles."""
    size = (PX, PX * count)
    return TileQuality(make_grid(plan_read(mpp, [1.0], mpp, PX), (1.0, 1.0), size, (0, 0, *size)))


def measured(tiles: npt.NDArray[np.uint8], mpp: float) -> dict[str, npt.NDArray[np.float32]]:
    """Return the quality of tiles, uint8 [N, 224, 224, 3], by measure."""
    quality = quality_at(mpp, len(tiles))
    quality.measure(0, tiles)
    return quality.arrays


def price(tiles: npt.NDArray[np.uint8], mpp: float) -> float:
    """Return the least processor time of a tile over forty repetitions, seconds."""
    quality, seconds = quality_at(mpp, len(tiles)), []
    for _ in range(40):
        began = time.process_time()
        quality.measure(0, tiles)
        seconds.append(time.process_time() - began)
    return min(seconds) / len(tiles)


if __name__ == "__main__":
    main()
