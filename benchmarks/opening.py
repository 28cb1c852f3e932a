"""Benchmark of opening slides: minimum processor time over many openings, by reader.

    python benchmarks/opening.py build/bench/slide20000.tif SLIDES...

To compare with another checkout, set PYTHONPATH to it; alternate several runs of both and take the minima.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from wsi_embed.slide import open_slide
from wsi_embed.slide.image import ImageSlide

TIMES = 200


def main() -> None:
    """Print a line for each slide and reader."""
    for path in map(Path, sys.argv[1:]):
        for reader in ("auto", "openslide"):
            seconds = []
            for _ in range(TIMES):
                began = time.process_time()
                slide = open_slide(path, reader)
                slide.close()
                seconds.append(time.process_time() - began)
            print(f"{path.name}  {reader}  {1000 * min(seconds):.2f} ms")
            if isinstance(slide, ImageSlide):
                break


if __name__ == "__main__":
    main()
