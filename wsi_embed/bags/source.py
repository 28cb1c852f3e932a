"""Interface of a store that labels and data sets need: the list of its slides, and their bags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from wsi_embed.bags.bag import Bag
from wsi_embed.storage.address import Location


class ListedSlide(Protocol):
    """Row of a store's listing."""

    @property
    def slide_id(self) -> str:
        """Id of the slide."""

    @property
    def slide(self) -> str | None:
        """Slide file, relative to the job's input; None if the store does not record it."""

    @property
    def patient(self) -> str | None:
        """Patient from the manifest; None if it named none."""

    @property
    def tiles(self) -> int:
        """Number of tiles."""

    @property
    def damage(self) -> str | None:
        """Description of the damage of a slide that cannot be opened; None for a sound slide."""


class BagSource(Protocol):
    """Collection of bags by slide id, such as `wsi_embed.Store`.

    Attributes:
        where: Folder or address of the collection.
        attrs: Root attributes; `attrs["settings"]["feature_dim"]` is the number of features per tile.
    """

    where: Location
    attrs: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the collection, for messages."""

    def rows(self) -> Iterator[ListedSlide]:
        """Yield the rows of the complete slides, by id."""

    def __getitem__(self, slide_id: str) -> Bag:
        """Return the bag of a slide.

        Raises:
            KeyError: If the collection has no complete slide of that id.
            StoreError: If the slide is damaged.
        """
