"""Session of a viewer: stores with their slides, and the pictures that all requests share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from wsi_embed.errors import UsageError
from wsi_embed.inputs.slides import SlideInput, find_slides
from wsi_embed.plot.attention import check_attention
from wsi_embed.plot.chosen_slides import find_recorded
from wsi_embed.regions import with_annotations
from wsi_embed.storage import Location
from wsi_embed.store import Store, open_named_store
from wsi_embed.store.attention import Attention
from wsi_embed.util.text import argument
from wsi_embed.viewer.cache import ByteCache
from wsi_embed.viewer.open_slides import OpenSlide, OpenSlides
from wsi_embed.viewer.report_file import read_report
from wsi_embed.viewer.shown_store import ShownStore

CACHE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Session:
    """Stores and slides of a viewer, and its caches. Safe to use from several threads.

    Attributes:
        stores: The stores, in the order in which they were given.
        read_only: Whether requests that change something are refused.
        slides: Open slides.
        pictures: Encoded deep-zoom tiles and thumbnails.
        cache: Folder for the files of the search for similar tiles; None for that of each store.
        notes: Lines on stores that clusters or attention are not for.
        word: Function that rewords the Python arguments in a message, as flags for the command line.
    """

    stores: Sequence[ShownStore]
    read_only: bool = False
    slides: OpenSlides = field(default_factory=OpenSlides)
    pictures: ByteCache = field(default_factory=lambda: ByteCache(CACHE_BYTES))
    cache: Path | None = None
    notes: Sequence[str] = ()
    word: Callable[[str], str] = str

    def reading(self, shown: ShownStore, slide_id: str) -> AbstractContextManager[OpenSlide]:
        """Return a context manager with an open slide; see `OpenSlides.use`.

        Raises:
            SlideError: If its file is not among the given slides.
        """
        path = shown.item(slide_id).path
        return self.slides.use((id(shown), slide_id), path, partial(shown.open_slide, slide_id))

    def close(self) -> None:
        """Close the slides."""
        self.slides.close()


def open_session(
    stores: Sequence[Store | str | Location],
    slides: Sequence[str | Location] = (),
    *,
    clusters: str | Path | None = None,
    attention: str | Path | None = None,
    annotations: str | Path | None = None,
    report: str | Path | None = None,
    read_only: bool = False,
    cache: str | Path | None = None,
    word: Callable[[str], str] = str,
) -> Session:
    """Open stores and find their slides.

    Args:
        stores: Stores, open ones or their folders.
        slides: Slides: files, folders, manifests. Without any, those beside the stores, or in the current
            folder or one in it, that have the recorded names.
        clusters: Folder of `wsi-embed cluster`, or names of clusters; used for the stores that they fit.
        attention: Folder of `wsi-embed eval mil`; used for the stores that it fits.
        annotations: Folder with annotation files named like the slides, or the file of a single slide.
        report: JSON report of a job.
        read_only: Whether requests that change something are refused.
        cache: Folder for the files of the search for similar tiles; that of each store by default.
        word: Function that rewords the Python arguments in a message.

    Raises:
        UsageError: If there are no slides, or an argument fits no store.
        StoreError: If a store cannot be opened.
    """
    if not stores:
        raise UsageError("no store is given", remedy="give the folder of a store")
    notes: list[str] = []
    opened = _open_stores(stores, None if clusters is None else Path(clusters), notes)
    items = find_slides(list(slides)) if slides else _recorded(opened)
    if annotations is not None:
        items = _annotated(items, Path(annotations))
    findings = {} if report is None else read_report(Path(report))
    by_id: dict[str, SlideInput] = {item.slide_id: item for item in items}
    attentions = _attention_of(opened, None if attention is None else Path(attention), notes)
    shown = [
        ShownStore(store, by_id, found, findings) for store, found in zip(opened, attentions, strict=True)
    ]
    return Session(
        shown,
        read_only,
        cache=None if cache is None else Path(cache),
        notes=list(map(word, notes)),
        word=word,
    )


def _open_stores(
    stores: Sequence[Store | str | Location], clusters: Path | None, notes: list[str]
) -> list[Store]:
    """Open stores, with clusters for those that they fit, and note the others; raise if they fit none."""
    opened, problems = [], list[UsageError]()
    for store in stores:
        if isinstance(store, Store) and clusters is None:
            opened.append(store)
            continue
        where = store.where if isinstance(store, Store) else store
        try:
            opened.append(open_named_store(where, clusters=clusters))
        except UsageError as error:
            if clusters is None:
                raise
            problems.append(error)
            opened.append(open_named_store(where))
            notes.append(f"{opened[-1].name} is shown with its own clusters; those given: {error.what}")
    if len(problems) == len(opened):
        raise problems[0]
    return opened


def _recorded(stores: Sequence[Store]) -> list[SlideInput]:
    """Find the slides of stores by the recorded names; raise if none of any store is found."""
    found: dict[str, SlideInput] = {}
    failures: list[UsageError] = []
    for store in stores:
        try:
            found = {item.slide_id: item for item in find_recorded(store)} | found
        except UsageError as error:
            failures.append(error)
    if not found:
        raise failures[0]
    return list(found.values())


def _annotated(items: Sequence[SlideInput], source: Path) -> list[SlideInput]:
    """Return slides with their annotation files; raise if no slide has one."""
    found = with_annotations([replace(item, roi=None) for item in items], source, "annotations")
    if all(item.roi is None for item in found):
        raise UsageError(
            f"no file for any of the {len(found)} slides; they are named like the slides, "
            f"{found[0].slide_id}.xml or .geojson",
            where=argument("annotations", source),
        )
    return found


def _attention_of(stores: Sequence[Store], source: Path | None, notes: list[str]) -> list[Attention | None]:
    """Return the attention for each store that it fits, and note the others; raise if it fits none."""
    if source is None:
        return [None] * len(stores)
    found: list[Attention | None] = []
    attention, problems = Attention(source), list[UsageError]()
    for store in stores:
        try:
            check_attention(attention, store)
            found.append(attention)
        except UsageError as error:
            problems.append(error)
            found.append(None)
            notes.append(f"{store.name} is shown without attention: {error.what}")
    if len(problems) == len(found):
        raise problems[0]
    return found
