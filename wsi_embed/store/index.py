"""Table of a store's slides, cached in `index.json`, so that listing a large store need not read each slide.

The index is only a cache. A row records size and modification time (in object storage a digest of the ETag)
of the slide's metadata document, which is replaced as a whole when anything about the slide changes. If they
differ, or if there is no row, the document is read. An outdated or damaged index costs time, nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from wsi_embed.errors import StoreError
from wsi_embed.storage.folder import METADATA_FILE, Place, cannot_write
from wsi_embed.store.layout import read_attributes

INDEX_FILE = "index.json"


@dataclass(frozen=True)
class Row:
    """Index row of a complete slide.

    Attributes:
        slide_id: Slide id.
        slide: Slide file, relative to the job's input.
        patient: Patient from the manifest; None if it named none.
        tiles: Number of tiles.
        mpp: Micrometres per level-0 pixel.
        model_id: Digest of the model that computed the features.
        document: State of the slide's metadata document; see `Place.state`.
    """

    slide_id: str
    slide: str | None
    patient: str | None
    tiles: int
    mpp: float | None
    model_id: str
    document: list[int]


def scan(store: Place, model_id: str) -> Iterator[Row]:
    """Yield the rows of all complete slides by id, from the index where it is up to date."""
    known = read_index(store)

    def row_of(name: str) -> Row | None:
        row = known.get(name)
        document = store.state(f"{name}/{METADATA_FILE}")
        if document is None:
            return None
        if row is None or row.document != document or row.model_id != model_id:
            return read_row(store, name, model_id)
        return row

    for row in store.map(row_of, store.folders()):
        if row is not None:
            yield row


def read_row(store: Place, slide_id: str, model_id: str) -> Row | None:
    """Read the row of a slide from its metadata document; None if the slide is not complete."""
    # taken before reading, so that a change in between is noticed next time
    document = store.state(f"{slide_id}/{METADATA_FILE}")
    try:
        attributes = read_attributes(store / slide_id)
    except StoreError:
        return None
    if document is None or attributes.get("complete") is not True:
        return None
    values: dict[str, Any] = {name: attributes.get(name) for name in ("slide", "patient", "mpp")}
    return Row(slide_id, tiles=attributes.get("n_tiles", 0), model_id=model_id, document=document, **values)


def read_index(store: Place) -> dict[str, Row]:
    """Return the rows of the index by slide id; empty if there is no readable index."""
    try:
        rows = [Row(**row) for row in json.loads(store.read(INDEX_FILE))]
    except (OSError, ValueError, TypeError):
        return {}
    return {row.slide_id: row for row in rows}


def write_index(store: Place, rows: list[Row]) -> None:
    """Replace the index.

    Raises:
        StoreError: If the index cannot be written; an existing index is unchanged.
        RemoteError: If object storage cannot be reached, or refuses.
    """
    lines = ",\n".join(json.dumps(asdict(row)) for row in rows)
    try:
        store.write(INDEX_FILE, f"[\n{lines}\n]\n".encode())
    except OSError as error:
        raise cannot_write(store / INDEX_FILE, error) from error
