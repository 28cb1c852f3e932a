"""What labels and data sets need of a store: a listing of its slides, and their bags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from wsi_embed.bags.bag import Bag
from wsi_embed.storage.address import Location


class ListedSlide(Protocol):
    """One row of a store's listing."""

    @property
    def slide_id(self) -> str:
        """Id of the slide."""

    @property
    def slide(self) -> str | None:
        """File of the slide, relative to the job's input; None where the store does not record it."""

    @property
    def patient(self) -> str | None:
        """Patient from the manifest; None where it names none."""

    @property
    def tiles(self) -> int:
        """Number of tiles."""


class BagSource(Protocol):
    """A collection of bags by slide id. `wsi_embed.Store` is one.

    Attributes:
        where: Folder or address of the collection.
        attrs: Root attributes; `attrs["settings"]["feature_dim"]` is the width of a feature.
    """

    where: Location
    attrs: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the collection, for messages."""

    def rows(self) -> Iterator[ListedSlide]:
        """List the complete slides, by id."""

    def __getitem__(self, slide_id: str) -> Bag:
        """Return the bag of a slide.

        Raises:
            KeyError: If the collection has no complete slide of that id.
        """
