r"""Slides of real tissue to measure on: 20,000 and 40,000 pixels a side at 0.25 um per pixel.

    PYTHONPATH=. python benchmarks/slides.py --folder build/bench --regions ../shared/data/regions

BigTIFF in Aperio's layout, JPEG tiles of 256 pixels (quality 80, 4:2:0), levels 1/4/16. Cells of tissue,
turned at random (always the same way), in a disc on glass. Without `--regions`, pictures of H&E of at least
1024 pixels, the piece that comes with the package is used. Slides that are there are kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from wsi_embed.slide import UInt8Array
from wsi_embed.slide.sample import write_sample_slide

SIDES = (20_000, 40_000)
MPP = 0.25
# The IDC section beside them is a whole slide at low power: no texture of this resolution.
PICTURES = ("hgsc_nest.jpg", "hgsc_stromal_he.jpg")
CELL = 1500


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES)
    parser.add_argument("--regions", type=Path, help="a folder with " + " and ".join(PICTURES))
    args = parser.parse_args()
    for side in args.sides:
        path = make_slide(args.folder, side, args.regions)
        print(f"{path}  {path.stat().st_size / 1e6:.0f} MB")


def make_slide(folder: Path, side: int, regions: Path | None = None) -> Path:
    """A slide of `side` pixels, made unless it is there."""
    path = folder / f"slide{side}.tif"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        write_sample_slide(part, side, mpp=MPP, pictures=read_pictures(regions))
        part.replace(path)
    return path


def read_pictures(regions: Path | None) -> list[UInt8Array]:
    """The pictures of a folder that are there, cut to one size; none for the package's own."""
    found = [regions / name for name in PICTURES if (regions / name).exists()] if regions else []
    pictures = [np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB), np.uint8) for path in found]
    side = min([CELL, *(min(picture.shape[:2]) for picture in pictures)])
    return [picture[:side, :side] for picture in pictures]


if __name__ == "__main__":
    main()
