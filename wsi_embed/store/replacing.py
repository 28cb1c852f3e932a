"""Replacement of a slide's group: the old group stays until the new one is complete.

.wsi-embed-new/<slide_id>/    new group of a slide that the store has already

A new group that is complete is never lost: if the process ends before it was moved into its place, the next
job moves it.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

from wsi_embed.errors import RemoteError, StoreError
from wsi_embed.storage.folder import METADATA_FILE, Place, cannot_write
from wsi_embed.storage.lock import slide_lock
from wsi_embed.store.group import complete_attributes
from wsi_embed.store.layout import DamagedError, StoreSettings, read_attributes

FOLDER = ".wsi-embed-new"


def staged(store: Place, slide_id: str) -> Place:
    """Return the folder of a new group that will replace the one of a slide."""
    return store / FOLDER / slide_id


def unfinished(store: Place) -> list[str]:
    """Return the ids of the slides that were being replaced when a job ended, or are now."""
    folder = store / FOLDER
    return folder.folders() if folder.exists() else []


def committed_attributes(folder: Place, settings: StoreSettings) -> dict[str, Any] | None:
    """Return the attributes of a complete slide; None if it is missing, or damaged and to be redone.

    Raises:
        StoreError: If they cannot be read, so that it is unknown whether the slide is complete.
        RemoteError: If object storage cannot be reached, or refuses.
    """
    try:
        return complete_attributes(folder, settings.to_dict())
    except DamagedError:
        return None


def recover(store: Place, slide_id: str, settings: StoreSettings) -> None:
    """Finish the replacement of a slide, if a job ended in the middle of it.

    Only the process that holds the lock of the slide may call this.
    """
    with contextlib.suppress(StoreError, RemoteError, OSError):
        new = staged(store, slide_id)
        if not new.exists() or committed_attributes(store / slide_id, settings) is not None:
            return
        if committed_attributes(new, settings) is not None:
            finish_replacing(store, slide_id)


def finish_replacing(store: Place, slide_id: str) -> None:
    """Put the new group of a slide, which is complete, in the place of the old one.

    Raises:
        StoreError: If the store cannot be written.
        RemoteError: If object storage cannot be reached, or refuses.
    """
    folder = store / slide_id
    remove_group(folder)
    try:
        staged(store, slide_id).move(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error


def sweep(store: Place, settings: StoreSettings) -> None:
    """Finish interrupted replacements, and remove new groups that killed jobs left, unless a job runs.

    Raises:
        StoreError: If the store cannot be written.
        RemoteError: If object storage cannot be reached, or refuses.
    """
    for slide_id in unfinished(store):
        with slide_lock(store.lock_file(METADATA_FILE), slide_id) as free:
            if not free:
                return
            recover(store, slide_id, settings)
            remove_group(staged(store, slide_id))
    (store / FOLDER).remove()


def remove_group(folder: Place) -> None:
    """Remove a group without ever leaving a part of it that looks complete or damaged.

    Its metadata document is removed last, and says `complete: false` while the arrays are removed.

    Raises:
        StoreError: If the store cannot be written.
        RemoteError: If object storage cannot be reached, or refuses.
    """
    try:
        if not folder.exists():
            return
        if folder.state(METADATA_FILE) is not None and not _says_incomplete(folder):
            incomplete = {"zarr_format": 3, "node_type": "group", "attributes": {"complete": False}}
            folder.write(METADATA_FILE, json.dumps(incomplete).encode())
        for array in folder.folders():
            (folder / array).remove()
        folder.remove()
    except OSError as error:
        raise cannot_write(folder, error) from error


def _says_incomplete(folder: Place) -> bool:
    try:
        return read_attributes(folder).get("complete") is False
    except StoreError:
        return False
