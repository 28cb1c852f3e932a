"""Import of features of another tool into a store; facts that are missing are recorded as unknown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from wsi_embed.convert.incoming_format import ForeignTiles, Given, Source
from wsi_embed.convert.outgoing import Converted
from wsi_embed.convert.registry import SOURCES
from wsi_embed.encoder.base import Encoded
from wsi_embed.encoder.metadata import ModelMetadata
from wsi_embed.errors import SlideError
from wsi_embed.grid import ReadPlan, TileGrid
from wsi_embed.inputs.ids import slide_id_of
from wsi_embed.slide.fingerprint import fingerprint
from wsi_embed.slide.resolution.choice import check_mpp
from wsi_embed.storage import Location, location
from wsi_embed.storage.folder import METADATA_FILE
from wsi_embed.storage.lock import slide_lock
from wsi_embed.store import StoreSettings, StoreWriter
from wsi_embed.tiling.fingerprint import differences, settings_fingerprint
from wsi_embed.util.progress import tracked
from wsi_embed.util.text import counted
from wsi_embed.util.versions import versions

# Attributes of a slide that no foreign file contains.
UNKNOWN = (
    "slide_fingerprint", "bounds", "vendor", "level", "resampled", "tissue", "min_tissue", "tissue_fraction",
)  # fmt: skip


def bring_in(
    folder: str | Path,
    format_name: str,
    out: str | Location,
    *,
    given: Given | None = None,
    overwrite: bool = False,
    on_slide: Callable[[str, str], None] = lambda slide, what: None,
) -> Converted:
    """Create a store from features that another tool computed.

    Each slide is committed as a whole. After an interruption, run again: existing slides are skipped.

    Args:
        folder: Output folder of the tool.
        format_name: `trident` or `clam`.
        out: Folder or address of the store; created, or added to.
        given: Facts that the files may lack.
        overwrite: Whether to replace existing slides that were made from other files.
        on_slide: Callback with slide id and outcome, called after each slide.

    Returns:
        Outcome of each slide.

    Raises:
        UsageError: If the folder holds no features, features of several models, or too little information.
        StoreMismatchError: If the store holds features of another model or resolution.
        MissingExtraError: If h5py is not installed.
        StoreError: If the store cannot be written.

    Example:
        >>> from wsi_embed.convert import bring_in, convert
        >>> converted = convert("feats.zarr", "trident", "trident")
        >>> bring_in("trident", "trident", "from-trident.zarr").failed
        {}
    """
    given, found = given or Given(), Converted()
    check_mpp("mpp", given.mpp)
    source = SOURCES.get(format_name)(Path(folder), given)
    store: StoreWriter | None = None
    for name in tracked(list(source.files), "slides converted"):
        slide_id = slide_id_of(f"{unquote(name)}.h5")  # files written by `convert` have the slide id as name
        try:
            tiles = source.read(name)
            settings = _settings(source, tiles)
            store = store or StoreWriter(location(out), settings, _model(source, settings))
            what = _bring(source, store, name, slide_id, tiles, overwrite)
        except SlideError as error:
            found.failed[slide_id] = str(error)
            on_slide(slide_id, f"failed: {error}")
            continue
        (found.skipped if what is None else found.written).append(slide_id)
        on_slide(slide_id, what or "there already")
    return found


def _settings(source: Source, tiles: ForeignTiles) -> StoreSettings:
    dtype = "float16" if tiles.features.dtype == np.float16 else "float32"
    model_id = f"unknown/{source.name}/{source.encoder}"
    return StoreSettings(model_id, tiles.tile_px, tiles.mpp, dtype, tiles.features.shape[1], None)


def _model(source: Source, settings: StoreSettings) -> ModelMetadata:
    """Return the metadata of a model of which only the name is known."""
    return ModelMetadata(
        name=source.encoder,
        method="unknown",
        backbone="unknown",
        tile_px=settings.tile_px,
        mpp=settings.mpp,
        mean=(),
        std=(),
        feature_dim=settings.feature_dim,
        clusters=None,
        precision="unknown",
        model_id=settings.model_id,
    )


def _bring(
    source: Source, store: StoreWriter, name: str, slide_id: str, tiles: ForeignTiles, overwrite: bool
) -> str | None:
    """Write a slide and describe the outcome; None if the store already has it."""
    if (found := _settings(source, tiles)) != store.settings:
        what = differences(store.settings.to_dict(), found.to_dict())
        raise SlideError(f"its tiles are of another kind than the first slide's ({what})", where=slide_id)
    grid, order = _grid(tiles)
    attributes = _attributes(source, store, name, tiles, grid)
    with slide_lock(store.place.lock_file(METADATA_FILE), slide_id) as free:
        if not free:
            raise SlideError("another job is writing it", where=slide_id, remedy="run again when it is done")
        store.recover(slide_id)
        before = store.committed(slide_id)
        if before and before.get("settings_fingerprint") == attributes["settings_fingerprint"]:
            return None
        if before and not overwrite:
            what = differences(before.get("settings", {}), attributes["settings"])
            raise SlideError(
                f"already in the store, imported from other files ({what})",
                where=slide_id,
                remedy="use `overwrite=True` to replace it",
            )
        with store.slide(slide_id, grid) as writer:
            writer.append(Encoded(np.asarray(tiles.features[order], np.float32)))
            writer.commit(attributes)
    return counted(len(grid), "tile")


def _grid(tiles: ForeignTiles) -> tuple[TileGrid, Any]:
    """Return the tiles in row-major order, and the row of the file for each.

    Row and column are rounded to the nearest step: a tool that tiles every piece of tissue from a corner of
    its own has no common lattice, so that two tiles may get the same position.
    """
    step = max(1.0, tiles.extent * (1 - tiles.overlap / tiles.tile_px))
    corner = tiles.coords.min(axis=0) if len(tiles.coords) else 0
    col_row = np.rint((tiles.coords - corner) / step).astype(np.int32)
    order = np.lexsort((tiles.coords[:, 0], tiles.coords[:, 1], col_row[:, 0], col_row[:, 1]))
    plan = ReadPlan(0, max(1, round(tiles.extent)), tiles.tile_px, tiles.mpp)
    xy = tiles.coords[order].astype(np.int32)
    ones = np.ones(len(xy), np.float32)
    return TileGrid(plan, max(1, round(step)), (1.0, 1.0), col_row[order][:, ::-1], xy, ones), order


def _attributes(
    source: Source, store: StoreWriter, name: str, tiles: ForeignTiles, grid: TileGrid
) -> dict[str, Any]:
    """Return the attributes recorded with a slide: those of an embedded one, as far as they are known."""
    reach = (tiles.coords.max(axis=0, initial=0) + np.ceil(tiles.extent)).astype(int)
    size = list(tiles.size or reach.tolist())
    settings = _decisive(source, store, name, tiles)
    return {
        "slide": name,
        "patient": None,
        "size": size,
        "bounds": [0, 0, *size],
        "slide_fingerprint": None,
        "vendor": "unknown",
        "reader": source.name,
        "mpp": settings["slide_mpp"],
        "mpp_source": tiles.mpp_source,
        "effective_mpp": tiles.mpp,
        "tile_px": tiles.tile_px,
        "extent": tiles.extent,
        "level": 0,
        "level_downsample": grid.downsample,
        "read_px": grid.read_px,
        "stride": grid.stride,
        "resampled": None,
        "coords_units": "level0_px",
        "tissue": None,
        "min_tissue": None,
        "roi": None,
        "unknown": [*UNKNOWN, *(() if tiles.size else ("size",))],
        "versions": versions(),
        "settings": settings,
        "settings_fingerprint": settings_fingerprint(settings),
    }


def _decisive(source: Source, store: StoreWriter, name: str, tiles: ForeignTiles) -> dict[str, Any]:
    """Return the settings that determine a slide's arrays, as JSON values."""
    files = [file for file in (source.files[name], source.tiling_file(name)) if file is not None]
    return {
        **store.settings.decisive(),
        "converted_from": source.name,
        "encoder": source.encoder,
        "files": [fingerprint(file) for file in files],
        "slide_mpp": tiles.mpp * tiles.tile_px / tiles.extent,
        "overlap": tiles.overlap,
    }
