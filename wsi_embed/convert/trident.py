"""TRIDENT: a feature file and a coordinates file per slide.

OUT/<mag>x_<px>px_<overlap>px_overlap/patches/<slide>_patches.h5    coords (N, 2) int64, level-0 pixels
OUT/<mag>x_<px>px_<overlap>px_overlap/features_<model>/<slide>.h5   features (N, D) float32, and coords
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from wsi_embed.convert.hdf5 import write_h5
from wsi_embed.convert.incoming_format import ForeignTiles, Source, number, read_h5
from wsi_embed.convert.outgoing_format import Format, Item, Write, table
from wsi_embed.errors import SlideError, UsageError

# Micrometres per pixel at 1x, by the usual convention that 20x is 0.5.
UM_AT_1X = 10.0


class Trident(Format):
    """TRIDENT files of a store, also for `torchmil.datasets.TridentWSIDataset`, with its `labels.csv`."""

    name: ClassVar[str] = "trident"
    libraries: ClassVar[Sequence[str]] = ("h5py",)
    keeps_empty: ClassVar[bool] = True
    by_patient: ClassVar[bool] = False

    def files(self, item: Item) -> list[str]:
        """Return the paths of the feature file and the coordinates file."""
        folder = self._folder(item)
        return [
            f"{folder}/features_{self.encoder}/{item.name}.h5",
            f"{folder}/patches/{item.name}_patches.h5",
        ]

    def write(self, item: Item, paths: Sequence[Path]) -> None:
        """Write both files, with the attributes that TRIDENT writes."""
        attrs = item.slides[0].attrs
        width, height = attrs["size"]
        where = {"name": item.name, "savetodir": self._folder(item)}
        coords = item.bag.coords[:].astype(np.int64)
        geometry = {
            "patch_size": attrs["tile_px"],
            "patch_size_level0": round(attrs["extent"]),
            "level0_magnification": round(UM_AT_1X / attrs["mpp"]),
            "target_magnification": self._magnification,
            "overlap": _overlap(attrs),
            "level0_width": width,
            "level0_height": height,
            **where,
        }
        features = {"features": {"encoder": self.encoder, **where}, "coords": geometry}
        write_h5(paths[0], {"features": item.features(), "coords": coords}, features)
        write_h5(paths[1], {"coords": coords}, {"coords": geometry})

    def shared(self, items: Sequence[Item]) -> dict[str, Write]:
        """Return the writer of the label table, if there are labels."""
        rows = [(item.name, item.label, item.target) for item in items if item.label is not None]
        return {"labels.csv": table(("slide_id", "class", "label"), rows)} if rows else {}

    @property
    def _magnification(self) -> float:
        magnification = round(UM_AT_1X / self.store.attrs["settings"]["mpp"], 2)
        return int(magnification) if magnification.is_integer() else magnification

    def _folder(self, item: Item) -> str:
        attrs = item.slides[0].attrs
        return f"{self._magnification:g}x_{attrs['tile_px']}px_{_overlap(attrs)}px_overlap"


def _overlap(attrs: dict[str, Any]) -> int:
    """Return the overlap of neighbouring tiles, target pixels."""
    return int(attrs["settings"]["overlap"])


class TridentSource(Source):
    """TRIDENT features in `features_<model>` folders, with the nominal resolution of their magnification."""

    name: ClassVar[str] = "trident"

    def find(self) -> Path:
        """Return the single `features_<model>` folder at, in, or two levels below the given folder."""
        places = [self.folder, *self.folder.glob("features_*"), *self.folder.glob("*x_*px_*/features_*")]
        wanted = f"features_{self.given.encoder or '*'}"
        found = sorted({place for place in places if place.is_dir() and place.match(wanted)})
        if not found:
            raise UsageError(
                f"no folder {wanted} in it", where=self.folder, remedy="give the folder that TRIDENT wrote"
            )
        if len(found) > 1:
            listed = ", ".join(str(place.relative_to(self.folder.parent)) for place in found)
            raise UsageError(
                f"features of several kinds: {listed}",
                where=self.folder,
                remedy="give one of these folders",
            )
        self.encoder = found[0].name.removeprefix("features_")
        return found[0]

    def tiling_file(self, slide: str) -> Path | None:
        """Return the slide's coordinates file, which also has the attributes, if it exists."""
        path = self.files[slide].parents[1] / "patches" / f"{slide}_patches.h5"
        return path if path.is_file() else None

    def read(self, slide: str) -> ForeignTiles:
        """Read features and coordinates, with the attributes of either file."""
        arrays, attributes = read_h5(self.files[slide])
        if number(attributes, "patch_size_level0") is None and (tiling := self.tiling_file(slide)):
            attributes = read_h5(tiling)[1]
        facts = {name: number(attributes, name) for name in ("patch_size", "patch_size_level0")}
        missing = [name for name, value in facts.items() if value is None]
        magnification = number(attributes, "target_magnification")
        mpp = self.given.mpp or (UM_AT_1X / magnification if magnification else None)
        if mpp is None:
            missing.append("target_magnification (or give `mpp=`)")
        if missing or mpp is None or "features" not in arrays:
            raise SlideError(
                f"its coords lack {', '.join(missing) or 'features'}", where=slide, remedy="extract it again"
            )
        sides = [number(attributes, name) for name in ("level0_width", "level0_height")]
        return ForeignTiles(
            arrays["features"],
            arrays["coords"].astype(np.int64),
            tile_px=round(facts["patch_size"] or 0),
            mpp=mpp,
            extent=facts["patch_size_level0"] or 0.0,
            overlap=round(number(attributes, "overlap") or 0),
            size=(round(sides[0]), round(sides[1])) if sides[0] and sides[1] else None,
            mpp_source="given" if self.given.mpp else "magnification",
        )
