"""A table of a store's slides, cached in `index.json`: a store of thousands is listed without reading each.

It is never the authority. A row holds size and time of change (elsewhere a digest of the ETag) of the slide's
document, which is replaced whole whenever anything about the slide changes: where they differ, and where
there is no row, the document is read. So an index that is old or damaged costs time and nothing else.
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
    """What the table says of a complete slide.

    Attributes:
        slide_id: Its id.
        slide: The file, relative to what was given.
        patient: From the manifest.
        tiles: How many.
        mpp: Micrometres per level-0 pixel.
        model_id: Of the model that made the features.
        document: Of the slide's document; see `Place.state`.
    """

    slide_id: str
    slide: str | None
    patient: str | None
    tiles: int
    mpp: float | None
    model_id: str
    document: list[int]


def scan(store: Place, model_id: str) -> Iterator[Row]:
    """Rows of all complete slides, by id; what the index has of them is taken where it still holds."""
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
    """The row of a slide by its own document; None where it is not complete."""
    # before it is read: a change in between is then seen next time
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
    """Rows of the index by slide id; none where there is no index, or none that can be read."""
    try:
        rows = [Row(**row) for row in json.loads(store.read(INDEX_FILE))]
    except (OSError, ValueError, TypeError):
        return {}
    return {row.slide_id: row for row in rows}


def write_index(store: Place, rows: list[Row]) -> None:
    """Replace the index.

    Raises:
        StoreError: If it cannot be written; an earlier one is left as it was.
        RemoteError: If object storage cannot be reached, or refuses.
    """
    lines = ",\n".join(json.dumps(asdict(row)) for row in rows)
    try:
        store.write(INDEX_FILE, f"[\n{lines}\n]\n".encode())
    except OSError as error:
        raise cannot_write(store / INDEX_FILE, error) from error
