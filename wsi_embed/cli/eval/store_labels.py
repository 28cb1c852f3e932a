"""Options that say the labels of the tiles of a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsi_embed.evaluate.store_labels import TileLabels
    from wsi_embed.store import Store


@dataclass(frozen=True)
class StoreLabels:
    """Values of the options.

    Attributes:
        annotations: `--annotations`.
        classes: `--classes`.
        rest: `--rest`.
        tiles: `--tiles`, a table with `slide_id`, `x` and `y`.
        column: `--column`, that of the labels in the table.
    """

    annotations: Path | None
    classes: str | None
    rest: str | None
    tiles: Path | None
    column: str

    def read(self, store: Store) -> TileLabels | None:
        """Read the labels of the tiles of a store; None if there are none."""
        from wsi_embed.errors import UsageError
        from wsi_embed.evaluate.store_labels import labels_by_regions, labels_by_table
        from wsi_embed.evaluate.tile_set import parse_classes

        if self.annotations and self.tiles:
            raise UsageError("--annotations and --tiles both give the labels", remedy="use one of them")
        if self.annotations:
            return labels_by_regions(store, self.annotations, parse_classes(self.classes), self.rest)
        if self.tiles and not self.rest:
            return labels_by_table(store, self.tiles, parse_classes(self.classes), column=self.column)
        if self.classes or self.rest:
            raise UsageError("--rest is about the regions of --annotations, --classes about these or --tiles")
        return None
