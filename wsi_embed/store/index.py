"""A table of a store's slides, cached in `index.json`: a store of thousands is listed without reading each.

It is never the authority. A row holds size and time of change of the slide's document, which is replaced
whole whenever anything about the slide changes: where they differ, and where there is no row, the document
is read. So an index that is old, damaged or missing costs time and nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wsi_embed.errors import StoreError
from wsi_embed.files import replacing
from wsi_embed.store.layout import METADATA_FILE, read_attributes
from wsi_embed.store.writer import cannot_write

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
        document: Size in bytes and time of change in ns of the slide's document.
    """

    slide_id: str
    slide: str | None
    patient: str | None
    tiles: int
    mpp: float | None
    model_id: str
    document: list[int]


def scan(store: Path, model_id: str) -> Iterator[Row]:
    """Rows of all complete slides, by id; what the index has of them is taken where it still holds."""
    known = read_index(store)
    for name in slide_folders(store):
        row = known.get(name)
        document = _document(store, name)
        if document is None:
            continue
        if row is None or row.document != document or row.model_id != model_id:
            row = read_row(store, name, model_id)
        if row is not None:
            yield row


def slide_folders(store: Path) -> list[str]:
    """Names of all folders of a store, complete slides or not, sorted."""
    with os.scandir(store) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())


def read_row(store: Path, slide_id: str, model_id: str) -> Row | None:
    """The row of a slide by its own document; None where it is not complete."""
    document = _document(store, slide_id)  # before it is read: a change in between is then seen next time
    try:
        attributes = read_attributes(store / slide_id)
    except StoreError:
        return None
    if document is None or attributes.get("complete") is not True:
        return None
    values: dict[str, Any] = {name: attributes.get(name) for name in ("slide", "patient", "mpp")}
    return Row(slide_id, tiles=attributes.get("n_tiles", 0), model_id=model_id, document=document, **values)


def _document(store: Path, slide_id: str) -> list[int] | None:
    try:
        found = os.stat(f"{store}/{slide_id}/{METADATA_FILE}")
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def read_index(store: Path) -> dict[str, Row]:
    """Rows of the index by slide id; none where there is no index, or none that can be read."""
    try:
        rows = [Row(**row) for row in json.loads((store / INDEX_FILE).read_bytes())]
    except (OSError, ValueError, TypeError):
        return {}
    return {row.slide_id: row for row in rows}


def write_index(store: Path, rows: list[Row]) -> None:
    """Replace the index.

    Raises:
        StoreError: It cannot be written; an earlier one is left as it was.
    """
    index = store / INDEX_FILE
    lines = ",\n".join(json.dumps(asdict(row)) for row in rows)
    try:
        with replacing(index) as temporary:
            temporary.write_text(f"[\n{lines}\n]\n", "utf-8")
    except OSError as error:
        raise cannot_write(index, error) from error
