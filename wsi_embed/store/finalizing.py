"""Completion of a store when all jobs are done: its index, and what killed jobs left."""

from __future__ import annotations

from wsi_embed.storage.address import Location
from wsi_embed.storage.folder import cannot_write
from wsi_embed.store.index import Row, read_row, write_index
from wsi_embed.store.layout import StoreSettings
from wsi_embed.store.members import accept_slides, settle_records, slide_folders
from wsi_embed.store.reader import Store
from wsi_embed.store.replacing import sweep
from wsi_embed.util.progress import tracked


def finalize(path: str | Location, *, accept: bool = False) -> tuple[list[Row], list[str]]:
    """Write the index of a store, a table of its complete slides that makes listing fast.

    Readers do not need the index, and see slides that were added after it. Every slide's metadata document is
    read again. Replacements of slides and records that killed jobs left unfinished are finished or removed.

    Args:
        path: Folder or address of the store.
        accept: Whether to record the slides that are there as those that belong to the store, although
            `verify` reports that slides were removed or added.

    Returns:
        The rows of the table, and the names of incomplete and damaged groups.

    Raises:
        StoreError: If there is no store, or the index cannot be written.

    Example:
        >>> import wsi_embed
        >>> rows, incomplete = wsi_embed.finalize("feats.zarr")
        >>> incomplete
        []
    """
    store = Store(path)
    settings = store.attrs["settings"]
    try:
        sweep(store.place, StoreSettings(**settings))
    except OSError as error:
        raise cannot_write(store.place, error) from error
    folders = slide_folders(store.place)
    read = store.place.map(lambda name: read_row(store.place, name, settings), folders)
    found = dict(zip(folders, tracked(read, "slides read", len(folders)), strict=True))
    rows = [row for row in found.values() if row is not None and row.damage is None]
    write_index(store.place, rows)
    complete = [row.slide_id for row in rows]
    try:
        settle_records(store.place, complete)
    except OSError as error:
        raise cannot_write(store.place, error) from error
    if accept:
        accept_slides(store.place, complete)
    return rows, sorted(set(folders).difference(complete))
