"""Writer for the root of a store: the first process creates it, all others check it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsi_embed.encoder.metadata import ModelMetadata
from wsi_embed.errors import StoreError, StoreMismatchError
from wsi_embed.grid import Float32Array, TileGrid
from wsi_embed.storage.address import Location
from wsi_embed.storage.folder import METADATA_FILE, Place
from wsi_embed.storage.open_folder import place_at
from wsi_embed.storage.zarr_checks import start_zarr
from wsi_embed.store.layout import FORMAT_VERSION, StoreSettings, as_json, find_attributes, read_attributes
from wsi_embed.store.replacing import committed_attributes, recover
from wsi_embed.store.slide_writer import NOTHING, SlideWriter
from wsi_embed.tissue import TissueMask
from wsi_embed.util.digest import canonical_digest
from wsi_embed.util.json_text import json_text


class StoreWriter:
    """Writer for the root of a store. Any number of processes may write different slides of one store.

    Args:
        path: Folder or address of the store; created if missing.
        settings: Settings shared by all slides.
        model: Metadata of the model, recorded in the root.

    Raises:
        StoreMismatchError: If the folder holds something else, or features of another model, resolution or
            dtype.
        StoreError: If the store cannot be written.
        RemoteError: If object storage cannot be reached, or refuses.
    """

    def __init__(self, path: Location, settings: StoreSettings, model: ModelMetadata) -> None:
        self.where, self.settings = path, settings
        self.place = place_at(path)
        try:
            foreign = self.place.occupied()
            # check this after the listing: another process may be creating the store right now
            if self.place.state(METADATA_FILE) is None:
                if foreign:
                    raise StoreMismatchError(
                        "exists and is not a wsi-embed store", where=path, remedy="choose another `out=`"
                    )
                _create_root(self.place, settings, model)
        except OSError as error:
            raise StoreError(f"cannot make the store ({error.strerror or error})", where=path) from error
        self._check_root()
        start_zarr()

    def _check_root(self) -> None:
        attributes = find_attributes(self.place)
        if attributes is None:
            raise StoreError("the store was removed while the job ran", where=self.where, remedy="run again")
        found = attributes.get("settings")
        if attributes.get("format_version") != FORMAT_VERSION or not isinstance(found, dict):
            raise StoreMismatchError(
                f"is not a store of format {FORMAT_VERSION}",
                where=self.where,
                remedy="choose another `out=`",
            )
        for name, ours in self.settings.to_dict().items():
            if found.get(name) != ours:
                raise StoreMismatchError(
                    f"was made with {name} = {found.get(name)}, this run has {ours} (a store holds one "
                    "model at one resolution)",
                    where=self.where,
                    remedy="choose another `out=`, or delete it",
                )

    def committed(self, slide_id: str) -> dict[str, Any] | None:
        """Return the attributes of a complete slide, or None.

        Raises:
            StoreError: If the slide's document cannot be read, so that it is unknown whether it is complete.
            RemoteError: If object storage cannot be reached, or refuses.
        """
        return committed_attributes(self.place / slide_id, self.settings)

    def recover(self, slide_id: str) -> None:
        """Finish the replacement of a slide, if a job ended in the middle of it; the slide must be locked."""
        recover(self.place, slide_id, self.settings)

    def slide(
        self,
        slide_id: str,
        grid: TileGrid,
        mask: TissueMask | None = None,
        quality: Mapping[str, Float32Array] = NOTHING,
    ) -> SlideWriter:
        """Start writing a slide; `commit` replaces a complete group of the same id; see `SlideWriter`.

        Raises:
            StoreError: If the store was removed or cannot be written.
            StoreMismatchError: If the store was replaced by one with other settings.
            RemoteError: If object storage cannot be reached, or refuses.
        """
        self._check_root()
        return SlideWriter(self.place, slide_id, grid, self.settings, mask, quality)


def _create_root(store: Place, settings: StoreSettings, model: ModelMetadata) -> None:
    """Write the root's metadata document atomically, unless another process was faster."""
    root = as_json(
        {
            "format_version": FORMAT_VERSION,
            "model_id": settings.model_id,
            "settings": settings.to_dict(),
            # without path and time of the file: the same model gives the same root
            "model": model.__dict__,
        }
    )
    attributes = {**root, "digest": canonical_digest(root)}
    text = json_text({"attributes": attributes, "zarr_format": 3, "node_type": "group"}, indent=2)
    store.create(METADATA_FILE, text.encode())
    there = read_attributes(store)
    if there.get("digest") != canonical_digest({k: v for k, v in there.items() if k != "digest"}):
        raise StoreError(
            f"{METADATA_FILE} is not there as it was written", where=store, remedy="delete it and run again"
        )
