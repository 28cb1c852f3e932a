r"""Preparation of bags of photographed fields, every labelled image as a slide, for `table.py --slides`.

    python benchmarks/field_bags.py tiles.csv --only oral --out fields
    python benchmarks/table.py ... --slides fields/manifest.csv --labels fields/labels.csv \
        --tissue none --overlap 48 --mpp 0.5

These are real bags, each of one field with its own label, but not slides: a field of 224 pixels has nine
tiles. Patients are unknown and left empty.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path


def main() -> None:
    """Write the manifest and the labels."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tiles", type=Path, help="a CSV with path, label, split")
    parser.add_argument("--only", required=True, metavar="WORD", help="labels that begin with it")
    # so that a tile of 96 pixels at 0.5 um per pixel is 112 pixels of the image
    parser.add_argument("--mpp", type=float, default=0.5 * 96 / 112, help="of the images")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    with args.tiles.open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["label"].partition("_")[0] == args.only]
    args.out.mkdir(parents=True, exist_ok=True)
    with (
        (args.out / "manifest.csv").open("w", newline="", encoding="utf-8") as slides,
        (args.out / "labels.csv").open("w", newline="", encoding="utf-8") as labels,
    ):
        manifest, table = csv.writer(slides), csv.writer(labels)
        manifest.writerow(["path", "slide_id", "mpp"])
        table.writerow(["slide_id", "label", "split"])
        for number, row in enumerate(rows):
            manifest.writerow([(args.tiles.parent / row["path"]).resolve(), f"field-{number:04d}", args.mpp])
            table.writerow([f"field-{number:04d}", row["label"], row["split"]])


if __name__ == "__main__":
    main()
