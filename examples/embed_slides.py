"""Embed slides from Python, then read the store.

    python examples/embed_slides.py slides/ --out feats.zarr

Without --model, the demonstration model that comes with wsi-embed is used.
"""

from __future__ import annotations

import argparse

import numpy as np

import wsi_embed


def main() -> None:
    """Embed the slides and print, for each, what the store holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("slides", nargs="+", help="slides, folders or manifests")
    parser.add_argument("--out", default="feats.zarr", help="the store")
    parser.add_argument("--model", help="an exported model (.onnx)")
    args = parser.parse_args()

    # Slides that the store already has are skipped. A slide that fails does not stop the others.
    report = wsi_embed.embed(args.slides, args.out, model=args.model)
    for result in report.slides:
        print(f"{result.slide_id}: {result.status}", result.reason or "")

    # A store is a mapping from slide id to bag. Nothing is read from disk until an array is sliced.
    store = wsi_embed.open_store(args.out)
    for slide_id, bag in store.items():
        if len(bag) == 0:
            print(f"{slide_id}: no tissue")
            continue
        features = bag.features[:].astype(np.float32)  # (N, D)
        coords = bag.coords[:]  # (N, 2): x, y of each tile's top-left corner in level-0 pixels

        # The most typical tile: the one whose features are closest (by cosine) to the mean of the slide.
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        x, y = coords[np.argmax(unit @ unit.mean(axis=0))]
        print(f"{slide_id}: {len(bag)} tiles, {features.shape[1]} features, most typical tile at ({x}, {y})")


if __name__ == "__main__":
    try:
        main()
    except wsi_embed.WsiEmbedError as error:  # such as a wrong path: one line instead of a traceback
        raise SystemExit(str(error)) from None
