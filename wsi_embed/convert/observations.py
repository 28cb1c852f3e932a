"""The table of tiles in scanpy's terms, shared by the formats of AnnData and SpatialData."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wsi_embed.convert.outgoing_format import Item
from wsi_embed.store import Bag, Store

if TYPE_CHECKING:
    import anndata
    import pandas as pd

Part = tuple[Item, Bag]


def table_of_tiles(store: Store, parts: Sequence[Part]) -> anndata.AnnData:
    """Return the tiles of some slides as observations, without the features.

    Args:
        store: Store of the slides.
        parts: Each slide, with the bag that it belongs to.
    """
    import anndata
    import pandas as pd

    obs = pd.concat([_observations(item, bag) for item, bag in parts])
    for column in ("slide", "patient", "label"):
        obs[column] = pd.Categorical(obs[column])
    if "cluster" in obs:
        numbers = pd.CategoricalDtype([str(n) for n in range(store.clusters or 0)])
        if names := store.cluster_names.names:
            obs["cluster_name"] = pd.Categorical([names.get(int(n)) for n in obs["cluster"]])
        obs["cluster"] = obs["cluster"].astype(str).astype(numbers)
    dim = int(store.attrs["settings"]["feature_dim"])
    var = pd.DataFrame(index=[str(n) for n in range(dim)])
    spatial = np.concatenate([_centres(bag) for _, bag in parts])
    facts = shared_facts(store) | (slide_facts(parts[0][1]) if len(parts) == 1 else {})
    return anndata.AnnData(obs=obs, var=var, obsm={"spatial": spatial}, uns={"wsi_embed": facts})


def shared_facts(store: Store) -> dict[str, Any]:
    """Return the metadata that all tiles of a store share: the model, the size of a tile."""
    settings = store.attrs["settings"]
    facts = {"model": store.attrs["model"]["name"], "tile_mpp": settings["mpp"]}
    facts |= {name: settings[name] for name in ("model_id", "tile_px", "clusters")}
    return {name: value for name, value in facts.items() if value is not None}


def slide_facts(bag: Bag) -> dict[str, Any]:
    """Return the resolution of a slide and the extent of its tiles in level-0 pixels."""
    return {name: bag.attrs[name] for name in ("mpp", "effective_mpp", "extent")}


def _observations(item: Item, bag: Bag) -> pd.DataFrame:
    """Return the table of observations: one row per tile of a slide."""
    import pandas as pd

    coords, grid = bag.coords[:], bag.grid[:]
    columns: dict[str, Any] = {
        "slide": bag.slide_id,
        "patient": item.patient or bag.patient,
        "label": item.label,
        "x": coords[:, 0],
        "y": coords[:, 1],
        "row": grid[:, 0],
        "col": grid[:, 1],
        "tissue_fraction": bag.tissue_fraction[:].astype(np.float32),
    }
    columns |= bag.read_quality()
    if bag.cluster is not None and bag.cluster_confidence is not None:
        columns["cluster"] = bag.cluster[:]
        columns["cluster_confidence"] = bag.cluster_confidence[:].astype(np.float32)
    return pd.DataFrame(columns, index=[f"{bag.slide_id}:{x}_{y}" for x, y in coords.tolist()])


def _centres(bag: Bag) -> npt.NDArray[np.float64]:
    """Return the centres of the tiles, because squidpy draws shapes around the coordinates."""
    return np.asarray(bag.coords[:] + float(bag.attrs["extent"]) / 2, np.float64)
