"""SpatialData, for spatialdata, its plots, napari and squidpy: one folder per slide.

shapes["tiles"]     the outline of each tile in level-0 pixels, a square. Polygons, as Sopa and LazySlide have
                    them, can be asked which cells lie in which tile
tables["table"]     features and figures of the tiles, as in AnnData (convert/anndata.py); `tile_id` is the
                    row in the store, and the index of shapes["tiles"]
attrs["wsi_embed"]  slide, resolution and model

The coordinate system "global" has level-0 pixels, and "microns", named as by the readers of MERSCOPE, has um
from the same origin.

OUT/<slide>.zarr
"""

from __future__ import annotations

import errno
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from wsi_embed.convert.observations import shared_facts, slide_facts, table_of_tiles
from wsi_embed.convert.outgoing_format import Format, Item
from wsi_embed.store import Bag
from wsi_embed.util.verified_files import on_disk

if TYPE_CHECKING:
    import anndata
    import geopandas
    import spatialdata

TILES, TABLE, REGION, INSTANCE = "tiles", "table", "region", "tile_id"


class SpatialData(Format):
    """One SpatialData per slide."""

    name: ClassVar[str] = "spatialdata"
    extra: ClassVar[str] = "spatialdata"
    libraries: ClassVar[Sequence[str]] = ("spatialdata",)
    by_patient: ClassVar[bool] = False
    has_names: ClassVar[bool] = True

    def files(self, item: Item) -> list[str]:
        """Return the name of the slide's folder."""
        return [f"{item.name}.zarr"]

    def write(self, item: Item, paths: Sequence[Path]) -> None:
        """Write the tiles of a slide, and read them back."""
        import spatialdata

        (bag,) = item.slides
        path = paths[0].absolute()  # a colon in a relative path would be taken for an address
        tiles, table = _squares(bag), self._table(item, bag)
        attrs = {"wsi_embed": self._facts(bag)}
        data = spatialdata.SpatialData(shapes={TILES: tiles}, tables={TABLE: table}, attrs=attrs)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="zarr v3 autosharding")  # one for each array
            data.write(path)
        on_disk(path)
        _compare(spatialdata.read_zarr(path), tiles, table)

    def _table(self, item: Item, bag: Bag) -> anndata.AnnData:
        """Return the tiles with their features, as annotations of their squares."""
        import pandas as pd
        from spatialdata.models import TableModel

        table = table_of_tiles(self.store, [(item, bag)])
        table.X = item.features()
        table.obs[REGION] = pd.Categorical([TILES] * len(bag))
        table.obs[INSTANCE] = np.arange(len(bag))
        return TableModel.parse(table, region=TILES, region_key=REGION, instance_key=INSTANCE)

    def _facts(self, bag: Bag) -> dict[str, Any]:
        """Return the metadata of the slide."""
        facts = {"slide_id": bag.slide_id, "patient": bag.patient, "slide": bag.attrs["slide"]}
        return facts | {"size": bag.attrs["size"]} | shared_facts(self.store) | slide_facts(bag)


def _squares(bag: Bag) -> geopandas.GeoDataFrame:
    """Return the outlines of a slide's tiles in level-0 pixels, with the scale to micrometres."""
    import geopandas
    import shapely
    from spatialdata.models import ShapesModel
    from spatialdata.transformations import Identity, Scale

    (x, y), extent = bag.coords[:].T, float(bag.attrs["extent"])
    mpp = float(bag.attrs["mpp"])
    return ShapesModel.parse(
        geopandas.GeoDataFrame(geometry=shapely.box(x, y, x + extent, y + extent)),
        transformations={"global": Identity(), "microns": Scale([mpp, mpp], axes=("x", "y"))},
    )


def _compare(found: spatialdata.SpatialData, tiles: geopandas.GeoDataFrame, table: anndata.AnnData) -> None:
    """Compare what was read back with what was written.

    Raises:
        OSError: If they differ.
    """
    back = found.tables[TABLE]
    same = np.array_equal(back.X, table.X) and np.array_equal(back.obsm["spatial"], table.obsm["spatial"])
    if not (same and back.obs.equals(table.obs) and found.shapes[TILES].geometry.equals(tiles.geometry)):
        raise OSError(errno.EIO, "it does not hold what was written")
