"""Checks that a store holds its slides and nothing else: groups that were lost, moved, doubled or added."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from wsi_embed.errors import StoreError
from wsi_embed.inputs.ids import slide_id_of
from wsi_embed.storage.folder import METADATA_FILE, Place
from wsi_embed.store.group import complete_attributes
from wsi_embed.store.index import INDEX_FILE, index_damage
from wsi_embed.store.members import ABSENT, FOLDER, recorded, slide_folders
from wsi_embed.store.replacing import unfinished

# Files that are no part of a store, but no damage either: temporary files of killed jobs, and those that file
# systems and file managers leave behind.
_HARMLESS = re.compile(
    r".*\.partial|\.[0-9a-f]{8}[-.].*|\.DS_Store|\._.*|\.nfs.*|Thumbs\.db|desktop\.ini", re.IGNORECASE
)
Slides = Mapping[str, dict[str, Any]]
ACCEPT = "if that is on purpose, run wsi-embed finalize --accept"


def harmless(key: str) -> bool:
    """Return whether a file that is no part of a store is a temporary file, or one of a file manager."""
    return _HARMLESS.fullmatch(key.rpartition("/")[2]) is not None


def store_problems(
    store: Place, settings: Mapping[str, Any], slides: Slides, damaged: Collection[str] = ()
) -> Iterator[str]:
    """Describe the problems of a store that concern no slide alone.

    Args:
        store: Folder of the store.
        settings: Settings of the store.
        slides: Attributes of the complete slides, by id.
        damaged: Ids of the slides with problems of their own.
    """
    here = {key for key in store.files() if "/" not in key}
    for key in sorted(here - {METADATA_FILE, INDEX_FILE}):
        if not harmless(key):
            yield f"the file {key} is no part of the store"
    yield from _record_problems(store, settings, slides, damaged)
    if INDEX_FILE in here and (what := index_damage(store, settings)):
        yield f"{INDEX_FILE} is wrong ({what}) and not used; run wsi-embed finalize"
    yield from _moved(slides)


def _record_problems(
    store: Place, settings: Mapping[str, Any], slides: Slides, damaged: Collection[str]
) -> Iterator[str]:
    """Describe where the slides differ from those that were recorded when they were written."""
    records, unreadable = recorded(store)
    folders = set(slide_folders(store))
    for key in unreadable:
        yield f"the record {FOLDER}/{key} is damaged; {ACCEPT}"
    for slide_id in sorted(records.keys() - set(unfinished(store)) - set(damaged)):
        known = slides.get(slide_id)
        if known is not None and known.get("digest") in records[slide_id]:
            continue
        # a job that runs at the same time may have written it since
        now = _attributes(store / slide_id, settings)
        if now is not None and now.get("digest") not in records[slide_id]:
            yield f"the group {slide_id} is not the one that was written last; {ACCEPT}"
        elif now is None and ABSENT in records[slide_id]:
            continue  # a job is writing it, or was killed before it was complete
        elif now is None and slide_id in folders:
            yield f"the slide {slide_id} was complete once and is not any more: embed it again"
        elif now is None:
            yield f"the slide {slide_id} is gone: embed it again; {ACCEPT}"
    own = [slide_id for slide_id, attributes in slides.items() if "slide_id" in attributes]
    if own and not records and not unreadable:
        yield f"the records of its slides, {FOLDER}, are gone; {ACCEPT}"
        return
    for slide_id in own:
        if slide_id not in records:
            yield f"the group {slide_id} was not written here; {ACCEPT}"


def _attributes(folder: Place, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        return complete_attributes(folder, settings)
    except StoreError:
        return None


def _moved(slides: Slides) -> Iterator[str]:
    """Describe groups of versions before 0.2 that were moved or copied.

    They do not record their slide id, but mostly it follows from the name of the slide file.
    """
    earlier = {name: a for name, a in slides.items() if "slide_id" not in a and a.get("slide")}
    usual = {name: slide_id_of(str(a["slide"])) for name, a in earlier.items()}
    unusual = {name: own for name, own in usual.items() if own != name}
    for name, own in unusual.items():
        file, there = earlier[name]["slide"], slides.get(own)
        swapped = there is not None and there.get("slide") != file
        copied = there is not None and there.get("digest") == earlier[name].get("digest")
        renamed = there is None and len(unusual) == 1 and len(earlier) > 2
        if swapped or copied or renamed:
            yield f"the group {name} is of the slide {file}, whose id is {own}"
