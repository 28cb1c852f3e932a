"""Show how much of a slide each cluster is, and draw tiles of the largest clusters.

    python examples/show_clusters.py feats.zarr slide.svs --out clusters.png

Each row of the picture is a cluster, the largest first. Its tiles are those of which the model is most
certain.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import wsi_embed

ROWS, COLUMNS, TILE = 6, 8, 96  # clusters, tiles of each, and pixels of a tile in the picture


def main() -> None:
    """Print the shares of the clusters and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("store", help="a store that has the slide")
    parser.add_argument("slide", type=Path, help="the slide")
    parser.add_argument("--out", type=Path, default=Path("clusters.png"), help="the picture")
    args = parser.parse_args()

    bags = wsi_embed.open_store(args.store).values()
    bag = next((bag for bag in bags if Path(bag.attrs["slide"]).name == args.slide.name), None)
    if bag is None or bag.cluster is None or bag.cluster_confidence is None:
        raise SystemExit(f"{args.store} has no clusters of {args.slide.name}")

    share = bag.cluster_histogram()  # (K,): the share of the slide's tiles in each cluster
    largest = [int(k) for k in np.argsort(-share, kind="stable") if share[k] > 0][:ROWS]
    for k in largest:
        print(f"cluster {k}: {100 * share[k]:.1f} % of the tiles")

    cluster, confidence, coords = bag.cluster[:], bag.cluster_confidence[:], bag.coords[:]
    side = round(bag.attrs["extent"])  # a tile's side in level-0 pixels
    picture = Image.new("RGB", (COLUMNS * TILE, len(largest) * TILE), "white")
    with wsi_embed.open_slide(args.slide) as slide:
        for row, k in enumerate(largest):
            members = np.flatnonzero(cluster == k)
            best = members[np.argsort(-confidence[members], kind="stable")][:COLUMNS]
            for column, tile in enumerate(best):
                x, y = map(int, coords[tile])
                pixels = slide.read(0, x, y, side, side)  # level 0: uint8 RGB, (side, side, 3)
                small = Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.BOX)
                picture.paste(small, (column * TILE, row * TILE))
    picture.save(args.out)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    try:
        main()
    except wsi_embed.WsiEmbedError as error:  # such as a wrong path: one line instead of a traceback
        raise SystemExit(str(error)) from None
