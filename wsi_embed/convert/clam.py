"""CLAM: a tensor file and an HDF5 file per bag, and CLAM's table of the data set.

OUT/pt_files/<bag>.pt     features (N, D) float32
OUT/h5_files/<bag>.h5     features (N, D) float32, coords (N, 2) int32, level-0 pixels
OUT/patches/<slide>.h5    coords with the tile size as attributes, as written by CLAM's tiling
OUT/dataset.csv           case_id, slide_id, label; only with labels
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, ClassVar, cast

import numpy as np
import numpy.typing as npt

from wsi_embed.convert.hdf5 import write_h5
from wsi_embed.convert.incoming_format import ForeignTiles, Source, number, read_h5
from wsi_embed.convert.outgoing_format import Format, Item, Write, table
from wsi_embed.errors import SlideError, UsageError
from wsi_embed.store import Bag
from wsi_embed.util.verified_files import verified


class Clam(Format):
    """CLAM files of a store. A patient's bag is one file whose `case_id` equals its `slide_id`."""

    name: ClassVar[str] = "clam"
    extra: ClassVar[str] = "mil"
    libraries: ClassVar[Sequence[str]] = ("torch", "h5py")

    def files(self, item: Item) -> list[str]:
        """Return the tensor file, the HDF5 file and, for a slide, the tiling file."""
        files = [f"pt_files/{item.name}.pt", f"h5_files/{item.name}.h5"]
        return [*files, f"patches/{item.name}.h5"] if isinstance(item.bag, Bag) else files

    def write(self, item: Item, paths: Sequence[Path]) -> None:
        """Write the bag's files."""
        import torch

        features, coords = item.features(), item.bag.coords[:].astype(np.int32)
        with verified(paths[0]) as file:  # given a path, PyTorch records its (temporary) name in the file
            torch.save(torch.from_numpy(features), cast("BinaryIO", file))
        write_h5(paths[1], {"features": features, "coords": coords}, {})
        if isinstance(item.bag, Bag):
            attrs = item.bag.attrs
            downsample = float(attrs["level_downsample"])
            level_size = [round(side / downsample) for side in attrs["size"]]
            tiling = {
                "patch_size": attrs["read_px"],
                "patch_level": attrs["level"],
                "downsample": [downsample, downsample],
                "downsampled_level_dim": level_size,
                "level_dim": level_size,
                "name": item.name,
                "save_path": "patches",
            }
            write_h5(paths[2], {"coords": coords}, {"coords": tiling})

    def shared(self, items: Sequence[Item]) -> dict[str, Write]:
        """Return the writer of the table of the data set, if there are labels."""
        rows = [
            (item.patient or item.name, item.name, item.label) for item in items if item.label is not None
        ]
        return {"dataset.csv": table(("case_id", "slide_id", "label"), rows)} if rows else {}


class ClamSource(Source):
    """CLAM features in `h5_files`, with the tiling in `patches`, beside that folder or its parent."""

    name: ClassVar[str] = "clam"

    def find(self) -> Path:
        """Return the folder `h5_files`; the tensors in `pt_files` have no coordinates."""
        if self.given.mpp is None:
            raise UsageError(
                "CLAM does not record the resolution",
                where="`format_name='clam'`",
                remedy="give `mpp=` (um per pixel of a tile)",
            )
        self.encoder = self.given.encoder or "unknown"
        folder = self.folder if self.folder.name == "h5_files" else self.folder / "h5_files"
        if not folder.is_dir():
            raise UsageError(
                "no folder h5_files in it; pt_files alone have no coordinates", where=self.folder
            )
        return folder

    def tiling_file(self, slide: str) -> Path | None:
        """Return the coordinates file of CLAM's tiling, if it exists."""
        above = self.files[slide].parents[1:3]
        return next((p for a in above if (p := a / "patches" / f"{slide}.h5").is_file()), None)

    def read(self, slide: str) -> ForeignTiles:
        """Read features and coordinates.

        The size of a tile is taken from the tiling, else from the user's settings and the distance of the
        tiles.
        """
        arrays, _ = read_h5(self.files[slide])
        tiling = self.tiling_file(slide)
        attributes = read_h5(tiling)[1] if tiling else {}
        px, downsample = number(attributes, "patch_size"), number(attributes, "downsample") or 1.0
        coords = arrays["coords"].astype(np.int64)
        tile_px, step = self.given.tile_px or px, _step(coords)
        extent = px * downsample if px else step
        if "features" not in arrays or tile_px is None or extent is None or self.given.mpp is None:
            raise SlideError(
                f"neither its tiling (patches/{slide}.h5) nor `tile_px=` says how large a tile is",
                where=slide,
            )
        sides = np.asarray(attributes.get("level_dim", ()), np.float64).ravel() * downsample
        return ForeignTiles(
            arrays["features"],
            coords,
            tile_px=round(tile_px),
            mpp=self.given.mpp,
            extent=extent,
            overlap=max(0, round(tile_px * (1 - (step or extent) / extent))),
            size=(round(sides[0]), round(sides[1])) if len(sides) == 2 else None,
            mpp_source="given",
        )


def _step(coords: npt.NDArray[np.int64]) -> float | None:
    """Return the most common distance of a tile to the next in its column or row.

    The smallest distance would be wrong: CLAM tiles each piece of tissue from a corner of its own.
    """
    steps = []
    for along in (0, 1):
        xy = coords[np.lexsort((coords[:, along], coords[:, 1 - along]))]
        step = np.diff(xy, axis=0)
        steps.append(step[step[:, 1 - along] == 0, along])
    found, counts = np.unique(np.concatenate(steps), return_counts=True)
    return float(found[counts.argmax()]) if len(found) else None
