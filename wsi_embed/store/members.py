"""Record of the slides that belong to a store, so that a group that was lost is noticed.

.wsi-embed-slides/<digest of the slide id>.json    slide id, and the digests that its group may have

Each slide has a file of its own, so that any number of processes can add slides at once, also on object
storage. It is written before the slide becomes visible, and again when it is. In between it lists two
digests: those of the new and the old group, or `ABSENT` if there was none. If the job is killed just then, it
lists both until `settle_records`.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Sequence
from typing import Any

from wsi_embed.storage.folder import METADATA_FILE, Place, cannot_write
from wsi_embed.storage.lock import slide_lock
from wsi_embed.store.layout import parse_json, read_attributes
from wsi_embed.util.digest import canonical_digest

FOLDER = ".wsi-embed-slides"
# Stands for the digest of a group that is not complete: until a slide is, its record allows it to be missing.
ABSENT = ""


def slide_folders(store: Place) -> list[str]:
    """Return the names of the folders in a store that can be slides, sorted."""
    return [name for name in store.folders() if not name.startswith(".wsi-embed-")]


def record(store: Place, slide_id: str, digests: Sequence[str]) -> None:
    """Record a slide, replacing an earlier record.

    Args:
        store: Folder of the store.
        slide_id: Slide id.
        digests: Digests that the group of the slide may have.

    Raises:
        OSError: If the record cannot be written, or is not there as it was written.
        RemoteError: If object storage cannot be reached, or refuses.
    """
    content = json.dumps({"slide_id": slide_id, "digests": list(digests)}).encode()
    folder, key = store / FOLDER, _key(slide_id)
    try:
        folder.write(key, content)
    except FileNotFoundError:  # the first slide of a local store
        folder.create(key, content)
    if folder.read(key) != content:
        raise OSError(errno.EIO, f"{FOLDER}/{key} is not there as it was written")


def forget(store: Place, slide_id: str) -> None:
    """Remove the record of a slide, if there is one.

    Raises:
        OSError: If it cannot be removed.
        RemoteError: If object storage cannot be reached, or refuses.
    """
    (store / FOLDER).delete(_key(slide_id))


def recorded(store: Place) -> tuple[dict[str, list[str]], list[str]]:
    """Read the records of all slides.

    Returns:
        The digests that the group of each slide may have, by slide id; and the names of damaged records.
        Stores of versions before 0.2 have no records.

    Raises:
        RemoteError: If object storage cannot be reached, or refuses.
    """
    folder = store / FOLDER
    found: dict[str, list[str]] = {}
    damaged = []

    def read(key: str) -> Any:
        try:
            document = parse_json(folder.read(key))
            slide_id, digests = document["slide_id"], document["digests"]
            return (slide_id, list(digests)) if key == _key(slide_id) else None
        except (OSError, ValueError, LookupError, TypeError):
            return None

    keys = [key for key in folder.files() if key.endswith(".json") and not key.startswith(".")]
    for key, document in zip(keys, folder.map(read, keys), strict=True):
        if document is None:
            damaged.append(key)
        else:
            found[document[0]] = document[1]
    return found, damaged


def accept_slides(store: Place, slide_ids: Sequence[str]) -> None:
    """Record the complete slides of a store as those that belong to it.

    Raises:
        StoreError: If the store cannot be written.
        RemoteError: If object storage cannot be reached, or refuses.
    """
    try:
        (store / FOLDER).remove()
        for slide_id in slide_ids:
            record(store, slide_id, [str(read_attributes(store / slide_id).get("digest"))])
    except OSError as error:
        raise cannot_write(store / FOLDER, error) from error


def settle_records(store: Place, slide_ids: Iterable[str]) -> None:
    """Reduce the records of complete slides to one digest, where a job was killed before it did.

    Slides that are being written at the same time are left as they are.

    Args:
        store: Folder of the store.
        slide_ids: Ids of the complete slides.

    Raises:
        OSError: If a record cannot be written.
        RemoteError: If object storage cannot be reached, or refuses.
    """
    records, _ = recorded(store)
    for slide_id in slide_ids:
        known = records.get(slide_id, [])
        if len(known) < 2:
            continue
        with slide_lock(store.lock_file(METADATA_FILE), slide_id) as free:
            digest = str(read_attributes(store / slide_id).get("digest"))
            if free and digest in known:
                record(store, slide_id, [digest])


def _key(slide_id: str) -> str:
    # of fixed length: an id may be as long as the longest file name
    return f"{canonical_digest(slide_id)}.json"
