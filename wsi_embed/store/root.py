"""The root of a store: made once, by whichever process is first, and checked by all others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wsi_embed.encoder.metadata import ModelMetadata
from wsi_embed.errors import StoreError, StoreMismatchError
from wsi_embed.files import PARTIAL, create
from wsi_embed.grid import TileGrid
from wsi_embed.store.layout import (
    FORMAT_VERSION,
    METADATA_FILE,
    StoreSettings,
    as_json,
    canonical_digest,
    read_attributes,
)
from wsi_embed.store.writer import SlideWriter
from wsi_embed.tissue import TissueMask


class StoreWriter:
    """The root of a store. Any number of processes may write different slides of one store.

    Args:
        path: The store's folder; made if it is not there.
        settings: What all its slides share.
        model: Metadata of the model, recorded in the root.

    Raises:
        StoreMismatchError: The folder holds something else, or features of another model,
            resolution or type.
        StoreError: It cannot be written.
    """

    def __init__(self, path: Path, settings: StoreSettings, model: ModelMetadata) -> None:
        self.path, self.settings = path, settings
        document = path / METADATA_FILE
        try:
            foreign = path.is_file() or (path.is_dir() and any(p.suffix != PARTIAL for p in path.iterdir()))
            # looked for after the listing: another process may be making the store right now
            if not document.exists():
                if foreign:
                    raise StoreMismatchError(f"{path} is there and is not a store; choose another --out")
                path.mkdir(parents=True, exist_ok=True)
                _create_root(document, settings, model)
        except OSError as error:
            raise StoreError(f"{path}: cannot make the store ({error.strerror or error})") from error
        self._check_root()

    def _check_root(self) -> None:
        attributes = read_attributes(self.path)
        found = attributes.get("settings")
        if attributes.get("format_version") != FORMAT_VERSION or not isinstance(found, dict):
            raise StoreMismatchError(
                f"{self.path} is not a store of format {FORMAT_VERSION}; choose another --out"
            )
        for name, ours in self.settings.to_dict().items():
            if found.get(name) != ours:
                raise StoreMismatchError(
                    f"{self.path} was made with {name} = {found.get(name)}, this run has {ours}. "
                    "One store holds one model at one resolution: choose another --out, or delete it"
                )

    def committed(self, slide_id: str) -> dict[str, Any] | None:
        """Attributes of a slide that is complete, or None."""
        folder = self.path / slide_id
        if not (folder / METADATA_FILE).exists():
            return None
        try:
            attributes = read_attributes(folder)
        except StoreError:
            return None  # an unreadable group is redone
        return attributes if attributes.get("complete") is True else None

    def slide(self, slide_id: str, grid: TileGrid, mask: TissueMask | None = None) -> SlideWriter:
        """Start writing a slide, over whatever is there under its id."""
        return SlideWriter(self.path / slide_id, grid, self.settings, mask)


def _create_root(document: Path, settings: StoreSettings, model: ModelMetadata) -> None:
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
    create(document, text)
