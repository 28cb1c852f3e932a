r"""Creation of benchmark slides of real tissue, with sides of 20,000 and 40,000 pixels at 0.25 um per pixel.

    PYTHONPATH=. python benchmarks/slides.py --folder build/bench --regions ../shared/data/regions

They are BigTIFFs in the layout of Aperio, with JPEG tiles of 256 pixels (quality 80, 4:2:0) and levels
1/4/16. Squares of tissue, rotated at random with a fixed seed, fill a disc on glass. They are cut from the
pictures in `--regions` (H&E, at least 1024 pixels), or else from the picture in the package. Existing slides
are kept.
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
# The IDC section in the same folder is a whole slide at low power, without texture at this resolution.
PICTURES = ("hgsc_nest.jpg", "hgsc_stromal_he.jpg")
CELL = 1500


def main() -> None:
    """Create the missing slides."""
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
    """Create a slide of `side` pixels unless it exists."""
    path = folder / f"slide{side}.tif"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        write_sample_slide(part, side, mpp=MPP, pictures=read_pictures(regions))
        part.replace(path)
    return path


def read_pictures(regions: Path | None) -> list[UInt8Array]:
    """Read the pictures of a folder, cropped to one size; without a folder, return no pictures."""
    found = [regions / name for name in PICTURES if (regions / name).exists()] if regions else []
    pictures = [np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB), np.uint8) for path in found]
    side = min([CELL, *(min(picture.shape[:2]) for picture in pictures)])
    return [picture[:side, :side] for picture in pictures]


if __name__ == "__main__":
    main()
