"""Slides to draw: those given that a store has, or those that it records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.store import Store
from wsi_embed.util.text import counted, names_of

NAMED = 5


def select(store: Store, items: Sequence[SlideInput], warn: Callable[[str], None]) -> list[SlideInput]:
    """Select the slides that are in the store, and warn about the others.

    Args:
        store: The store.
        items: The slides.
        warn: Function called with a message about missing slides.

    Raises:
        UsageError: If none of the slides is in the store.
    """
    if any(item.slide_id not in store for item in items):
        items = _matched_by_name(store, items)
    present = {item.slide_id for item in items if item.slide_id in store}
    absent = [item.slide_id for item in items if item.slide_id not in present]
    if len(absent) == len(items):
        raise UsageError(
            f"none of {counted(len(items), 'slide')} given is in {store.name}: given are "
            f"{names_of(absent, NAMED)}, and the store has {names_of(store, NAMED)}",
            remedy="give the manifest of the job, or the same files and folder",
        )
    if absent:
        verb = "is" if len(absent) == 1 else "are"
        share = f"{len(absent)} of {counted(len(items), 'slide')} given {verb}"
        warn(f"{share} not complete in the store: {names_of(absent, NAMED)}")
    return [item for item in items if item.slide_id in present]


def find_recorded(store: Store) -> list[SlideInput]:
    """Find the slides of a store by the file names that it records.

    They are relative to the folder or manifest of the job, which the store does not know. The folder of the
    store, the current one, and the folders in them are searched.

    Args:
        store: The store.

    Raises:
        UsageError: If no slide is found.
    """
    bases = [folder for folder in dict.fromkeys((store.near.parent, Path.cwd())) if folder.is_dir()]
    below = [child for base in bases for child in sorted(base.iterdir()) if child.is_dir()]
    found = []
    for slide_id in store:
        name = _recorded_name(store, slide_id)
        paths = (folder / name for folder in (*bases, *below) if name)
        if path := next(filter(Path.exists, paths), None):
            found.append(SlideInput(slide_id, path, name))
    if not found:
        raise UsageError(
            f"none of {counted(len(store), 'slide')} of {store.name} is in its folder or the current one",
            remedy="use `slides=` with the files, the folder, or the manifest of the job",
        )
    return found


def _recorded_name(store: Store, slide_id: str) -> str:
    """Return the file name that a store records of a slide; empty if it is unknown or leaves its folder."""
    try:
        name = str(store[slide_id].attrs.get("slide") or "")
    except (WsiEmbedError, KeyError):
        return ""  # reported when the slide is drawn
    return "" if Path(name).is_absolute() or ".." in Path(name).parts else name


def _matched_by_name(store: Store, items: Sequence[SlideInput]) -> list[SlideInput]:
    """Give slides whose id is not in the store the id of the only one with their file name."""
    files = Counter[str]()
    ids: dict[str, str] = {}
    for slide_id in store:
        name = Path(_recorded_name(store, slide_id)).name
        files[name] += 1
        ids[name] = slide_id
    given = Counter(item.path.name for item in items)

    def matched(item: SlideInput) -> SlideInput:
        name = item.path.name
        alone = files[name] == given[name] == 1
        return replace(item, slide_id=ids[name]) if item.slide_id not in store and alone else item

    return [matched(item) for item in items]
