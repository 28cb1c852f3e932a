"""Table of a store's slides, cached in `index.json`, so that listing a large store need not read each slide.

The index is only a cache. A row records size and modification time (in object storage a digest of the ETag)
of the slide's metadata document, which is replaced as a whole when anything about the slide changes, and a
checksum of itself. If they differ, or if there is no row, the document is read. An outdated or damaged index
costs time, nothing else.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from wsi_embed.errors import StoreError
from wsi_embed.storage.folder import METADATA_FILE, Place, cannot_write
from wsi_embed.store.group import complete_attributes
from wsi_embed.store.layout import parse_json
from wsi_embed.store.members import slide_folders
from wsi_embed.util.json_text import json_text

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
        damage: Description of the damage, if the slide's metadata document cannot be used; the slide is
            listed, but cannot be opened.
    """

    slide_id: str
    slide: str | None
    patient: str | None
    tiles: int
    mpp: float | None
    model_id: str
    document: list[int]
    damage: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the row of the index, with its checksum."""
        values = {name: value for name, value in asdict(self).items() if name != "damage"}
        return {**values, "check": _check(values)}


def scan(store: Place, settings: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the rows of all complete slides by id, from the index where it is up to date.

    Args:
        store: Folder of the store.
        settings: Settings of the store.
    """
    known = read_index(store)

    def row_of(name: str) -> Row | None:
        row = known.get(name)
        if row is None or row.model_id != settings.get("model_id"):
            return read_row(store, name, settings)
        try:
            current = store.state(f"{name}/{METADATA_FILE}") == row.document
        except OSError:
            current = False
        return row if current else read_row(store, name, settings)

    for row in store.map(row_of, slide_folders(store)):
        if row is not None:
            yield row


def read_row(store: Place, slide_id: str, settings: Mapping[str, Any]) -> Row | None:
    """Read the row of a slide from its metadata document; None if the slide is not complete."""
    model_id = str(settings.get("model_id"))
    document: list[int] | None = []
    try:
        # taken before reading, so that a change in between is noticed next time
        document = store.state(f"{slide_id}/{METADATA_FILE}")
        if document is None:
            return None
        attributes = complete_attributes(store / slide_id, settings)
    except (StoreError, OSError) as error:
        what = error.what if isinstance(error, StoreError) else f"cannot be read ({error.strerror or error})"
        return Row(slide_id, None, None, 0, None, model_id, document or [], damage=what)
    if attributes is None:
        return None
    values: dict[str, Any] = {name: attributes.get(name) for name in ("slide", "patient", "mpp")}
    return Row(slide_id, tiles=attributes.get("n_tiles", 0), model_id=model_id, document=document, **values)


def read_index(store: Place) -> dict[str, Row]:
    """Return the rows of the index with the right checksum, by slide id; empty if there is no index."""
    found = {}
    for values in _index_document(store) or ():
        check = values.pop("check", None) if isinstance(values, dict) else None
        if check is None or check != _check(values):
            continue
        try:
            row = Row(**values)
        except TypeError:
            continue
        found[row.slide_id] = row
    return found


def index_damage(store: Place, settings: Mapping[str, Any]) -> str | None:
    """Describe where the index disagrees with the slides; None if it does not, or if there is none."""
    document = _index_document(store)
    if document is None:
        return "it cannot be read as a list of slides"
    names = set(slide_folders(store))
    for values in document:
        name = values.get("slide_id") if isinstance(values, dict) else values
        if not isinstance(values, dict) or not isinstance(name, str) or name not in names:
            return f"it lists {name}, which is not in the store"
        row = read_row(store, values["slide_id"], settings)
        now = row.to_dict() if row else {}
        for name in ("slide", "patient", "tiles", "mpp", "model_id"):
            if values.get(name) != now.get(name):
                return f"{name} of {values['slide_id']} is {values.get(name)}, in its group {now.get(name)}"
    return None


def write_index(store: Place, rows: list[Row]) -> None:
    """Replace the index.

    Raises:
        StoreError: If the index cannot be written; an existing index is unchanged.
        RemoteError: If object storage cannot be reached, or refuses.
    """
    lines = ",\n".join(json_text(row.to_dict()) for row in rows)
    try:
        store.write(INDEX_FILE, f"[\n{lines}\n]\n".encode())
    except OSError as error:
        raise cannot_write(store / INDEX_FILE, error) from error


def _index_document(store: Place) -> list[Any] | None:
    """Return the rows of the index; None if it is none."""
    try:
        document = parse_json(store.read(INDEX_FILE))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, StoreError):
        return None
    return document if isinstance(document, list) else None


def _check(values: Mapping[str, Any]) -> int:
    """Return the CRC-32 of the values of a row."""
    return zlib.crc32(json_text(values, sort_keys=True).encode())
