"""Creation of tile images of a slide, and of a table that gives each a label and a split.

    PYTHONPATH=. python benchmarks/gpu_tiles.py slide.tif tiles.csv --tiles 2048

The label is the half of the slide, upper or lower, and the split alternates between strips of columns.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from wsi_embed import tile

# Width of the strips, level-0 pixels.
STRIP = 2000


def main() -> None:
    """Create the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("slide", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--tiles", type=int, default=2048)
    args = parser.parse_args()
    folder = args.table.with_suffix("")
    tile(args.slide, folder, max_tiles=args.tiles, mpp=0.5)
    with (folder / "tiles.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    middle = sum(int(row["y"]) for row in rows) / len(rows)
    with args.table.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["path", "label", "split"])
        for row in rows:
            label = "upper" if int(row["y"]) < middle else "lower"
            split = ("train", "test")[int(row["x"]) // STRIP % 2]
            out.writerow([f"{folder.name}/{row['path']}", label, split])
    print(f"{args.table}: {len(rows)} tiles")


if __name__ == "__main__":
    main()
