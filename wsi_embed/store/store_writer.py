"""The root of a store: made once, by whichever process is first, and checked by all others."""

from __future__ import annotations

import json
from typing import Any

from wsi_embed.encoder.metadata import ModelMetadata
from wsi_embed.errors import StoreError, StoreMismatchError
from wsi_embed.grid import TileGrid
from wsi_embed.storage.address import Location
from wsi_embed.storage.folder import METADATA_FILE, Place
from wsi_embed.storage.open_folder import place_at
from wsi_embed.store.layout import (
    FORMAT_VERSION,
    StoreSettings,
    as_json,
    read_attributes,
)
from wsi_embed.store.slide_writer import SlideWriter
from wsi_embed.tissue import TissueMask
from wsi_embed.util.digest import canonical_digest


class StoreWriter:
    """The root of a store. Any number of processes may write different slides of one store.

    Args:
        path: The store's folder or address; made if it is not there.
        settings: What all its slides share.
        model: Metadata of the model, recorded in the root.

    Raises:
        StoreMismatchError: If the folder holds something else, or features of another model,
            resolution or type.
        StoreError: If it cannot be written.
        RemoteError: If object storage cannot be reached, or refuses.
    """

    def __init__(self, path: Location, settings: StoreSettings, model: ModelMetadata) -> None:
        self.where, self.settings = path, settings
        self.place = place_at(path)
        try:
            foreign = self.place.occupied()
            # looked for after the listing: another process may be making the store right now
            if self.place.state(METADATA_FILE) is None:
                if foreign:
                    raise StoreMismatchError(f"{path} is there and is not a store; choose another --out")
                _create_root(self.place, settings, model)
        except OSError as error:
            raise StoreError(f"{path}: cannot make the store ({error.strerror or error})") from error
        self._check_root()

    def _check_root(self) -> None:
        attributes = read_attributes(self.place)
        found = attributes.get("settings")
        if attributes.get("format_version") != FORMAT_VERSION or not isinstance(found, dict):
            raise StoreMismatchError(
                f"{self.where} is not a store of format {FORMAT_VERSION}; choose another --out"
            )
        for name, ours in self.settings.to_dict().items():
            if found.get(name) != ours:
                raise StoreMismatchError(
                    f"{self.where} was made with {name} = {found.get(name)}, this run has {ours}. "
                    "One store holds one model at one resolution: choose another --out, or delete it"
                )

    def committed(self, slide_id: str) -> dict[str, Any] | None:
        """Attributes of a slide that is complete, or None."""
        try:
            attributes = read_attributes(self.place / slide_id)
        except StoreError:
            return None  # there is none, or an unreadable one, which is redone
        return attributes if attributes.get("complete") is True else None

    def slide(self, slide_id: str, grid: TileGrid, mask: TissueMask | None = None) -> SlideWriter:
        """Start writing a slide, over whatever is there under its id."""
        return SlideWriter(self.place / slide_id, grid, self.settings, mask)


def _create_root(store: Place, settings: StoreSettings, model: ModelMetadata) -> None:
    """Write the root's document in one step, unless another process was faster."""
    root = as_json(
        {
            "format_version": FORMAT_VERSION,
            "model_id": settings.model_id,
            "settings": settings.to_dict(),
            # neither the file's place nor its time: the same model gives the same root
            "model": model.__dict__,
        }
    )
    attributes = {**root, "digest": canonical_digest(root)}
    text = json.dumps({"attributes": attributes, "zarr_format": 3, "node_type": "group"}, indent=2)
    store.create(METADATA_FILE, text.encode())
