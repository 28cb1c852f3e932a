"""Input of the slide encoders TITAN and PRISM, each from features of the patch encoder it was trained on.

OUT/<slide>.h5    TITAN: features (N, 768) float32; coords (N, 2) int64, level-0 pixels, with the attribute
                  patch_size_level0
OUT/<bag>.pth     PRISM: a dictionary with the tensor embeddings (N, 2560) float32
OUT/labels.csv    bag, patient, class and its number; only with labels
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, cast

import numpy as np

from wsi_embed.convert.hdf5 import write_h5
from wsi_embed.convert.outgoing_format import Format, Item, Write, table
from wsi_embed.errors import StoreError, UsageError
from wsi_embed.store import Store
from wsi_embed.util.text import argument
from wsi_embed.util.verified_files import verified

# Largest deviation from the resolution that a slide encoder expects, as a share.
MPP_TOLERANCE = 0.1


@dataclass(frozen=True)
class PatchEncoder:
    """Patch encoder that a slide encoder was trained on.

    Attributes:
        title: Display name.
        preset: Name of the preset, which the metadata of exported models record.
        feature_dim: Number of features.
        tile_px: Side of a tile, pixels.
        mpp: Micrometres per pixel of a tile.
    """

    title: str
    preset: str
    feature_dim: int
    tile_px: int
    mpp: float

    def check(self, store: Store, format_name: str) -> None:
        """Check that the features of a store come from this encoder.

        Raises:
            UsageError: If they come from another one, or their metadata do not say from which.
        """
        settings, model = store.attrs["settings"], store.attrs["model"]
        about = model.get("training") or {}
        preset, changed = about.get("preset"), set(about.get("changed", [])) - {"pooling"}
        found = (preset, settings["feature_dim"], settings["tile_px"])
        same = found == (self.preset, self.feature_dim, self.tile_px) and not changed
        if same and abs(settings["mpp"] / self.mpp - 1) <= MPP_TOLERANCE:
            return
        has = f"preset {preset}" if preset else "no preset recorded"
        if changed:
            has += f" with another {' and '.join(sorted(changed))}"
        raise UsageError(
            f"needs features of {self.title} (preset {self.preset}, {self.feature_dim} features, tiles of "
            f"{self.tile_px} px at {self.mpp:g} um), but the store has those of {model['name']} "
            f"({has}, {settings['feature_dim']} features, tiles of {settings['tile_px']} px at "
            f"{settings['mpp']:g} um)",
            where=argument("to", format_name),
            remedy=f"export the preset {self.preset} and embed the slides with it",
        )


class SlideEncoderInput(Format):
    """Files for a slide encoder.

    Attributes:
        needs: Patch encoder of the features.
    """

    needs: ClassVar[PatchEncoder]

    def __init__(self, store: Store, out: Path) -> None:
        super().__init__(store, out)
        self.needs.check(store, self.name)

    def shared(self, items: Sequence[Item]) -> dict[str, Write]:
        """Return the writer of the label table, if there are labels."""
        rows = [
            (item.name, item.patient or "", item.label, item.target)
            for item in items
            if item.label is not None
        ]
        return {"labels.csv": table(("bag", "patient", "class", "label"), rows)} if rows else {}


class Titan(SlideEncoderInput):
    """Files for TITAN, one per slide."""

    name: ClassVar[str] = "titan"
    libraries: ClassVar[Sequence[str]] = ("h5py",)
    by_patient: ClassVar[bool] = False
    needs: ClassVar[PatchEncoder] = PatchEncoder("CONCH v1.5", "conch-v1.5", 768, 512, 0.5)

    def files(self, item: Item) -> list[str]:
        """Return the name of the slide's file."""
        return [f"{item.name}.h5"]

    def write(self, item: Item, paths: Sequence[Path]) -> None:
        """Write features and coordinates.

        TITAN places each tile at `(coords - min) // patch_size_level0` and adds the features of tiles that
        fall on the same place. The size is rounded down, because one that is too large by a part of a pixel
        moves a tile onto its neighbour.

        Raises:
            StoreError: If TITAN would not place the tiles as they lie on the slide.
        """
        bag = item.slides[0]
        coords = bag.coords[:].astype(np.int64)
        size = math.floor(round(bag.attrs["extent"], 3))
        grid = bag.grid[:].astype(np.int64)[:, ::-1]
        if not np.array_equal((coords - coords.min(0)) // size, grid - grid.min(0)):
            raise StoreError(
                f"its tiles overlap or are not {size} level-0 pixels apart, so TITAN would misplace them",
                where=item.id,
                remedy="embed without overlap",
            )
        attributes = {"patch_size": bag.attrs["tile_px"], "patch_size_level0": size}
        write_h5(paths[0], {"features": item.features(), "coords": coords}, {"coords": attributes})


class Prism(SlideEncoderInput):
    """Files for PRISM, one per slide or patient."""

    name: ClassVar[str] = "prism"
    extra: ClassVar[str] = "mil"
    libraries: ClassVar[Sequence[str]] = ("torch",)
    needs: ClassVar[PatchEncoder] = PatchEncoder("Virchow", "virchow", 2560, 224, 0.5)

    def files(self, item: Item) -> list[str]:
        """Return the name of the bag's file."""
        return [f"{item.name}.pth"]

    def write(self, item: Item, paths: Sequence[Path]) -> None:
        """Write the features: of each tile the class token, then the mean of the patch tokens."""
        import torch

        with verified(paths[0]) as file:  # given a path, PyTorch records its (temporary) name in the file
            torch.save({"embeddings": torch.from_numpy(item.features())}, cast("BinaryIO", file))
