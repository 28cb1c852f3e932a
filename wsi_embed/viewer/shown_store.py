"""One store of a viewer, with the files of its slides, their annotations and their attention."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from wsi_embed.bags.bag import Bag
from wsi_embed.errors import SlideError
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.plot import class_colours
from wsi_embed.plot.annotations import ClassColours
from wsi_embed.plot.bag_tiles import check_same_slide, open_embedded
from wsi_embed.regions import read_annotations
from wsi_embed.slide import Slide, open_slide
from wsi_embed.store import Store
from wsi_embed.store.attention import Attention
from wsi_embed.viewer.report_file import Finding
from wsi_embed.viewer.shares import StoreShares

PLAIN = re.compile(r"[A-Za-z0-9._%-]+")
BAGS = 16
State = list[int] | None


@dataclass(frozen=True)
class ListedSlide:
    """Line of the list of slides.

    Attributes:
        key: Name of the slide in addresses.
        slide_id: Slide id.
        title: Slide id with the characters that it encodes.
        name: Slide file, relative to the job's input.
        patient: Patient, or None.
        tiles: Number of tiles; None if the slide is not in the store.
        picture: Whether the slide's file is among the given slides.
        problem: Reason why the slide failed or is damaged, or None.
        remedy: Advice on how to fix that, or None.
        warnings: Warnings about the slide in the report.
    """

    key: str
    slide_id: str
    title: str
    name: str
    patient: str | None
    tiles: int | None
    picture: bool
    problem: str | None
    remedy: str | None
    warnings: tuple[str, ...]


class ShownStore:
    """Store with the slides, annotations and attention that a viewer shows with it.

    Args:
        store: The store.
        items: Slides by id, with their annotation files as `roi`.
        attention: Attention for features of the store, or None.
        findings: Findings of a job's report by slide id.

    Attributes:
        store: The store.
        items: Slides by id, with their annotation files as `roi`.
        attention: Attention for features of the store, or None.
        names: Names and colours of the clusters, as they were read last.
        shares: Number of tiles of each cluster in the store, counted in the background.
    """

    def __init__(
        self,
        store: Store,
        items: Mapping[str, SlideInput],
        attention: Attention | None = None,
        findings: Mapping[str, Finding] | None = None,
    ) -> None:
        self.store, self.items, self.attention = store, items, attention
        self.names = store.cluster_names
        self.shares = StoreShares(store)
        self._findings = findings or {}
        self._ids: dict[str, str] = {}
        self._bags: OrderedDict[str, tuple[State, Bag]] = OrderedDict()
        self._counted: dict[str, list[int]] | None = None
        self._lock = threading.Lock()

    def listing(self) -> list[ListedSlide]:
        """List the slides of the store, those of the report that failed, and other given slides, by id."""
        rows = {row.slide_id: row for row in self.store.rows()}
        self._count_anew({slide_id: row.document for slide_id, row in rows.items()})
        lines = []
        for slide_id in sorted({*rows, *self.items, *self._findings}):
            row, item = rows.get(slide_id), self.items.get(slide_id)
            finding = self._findings.get(slide_id, Finding())
            damage = row.damage if row is not None else None
            name = (row and row.slide) or (item and item.name) or finding.slide or slide_id
            patient = (row and row.patient) or (item and item.patient) or None
            lines.append(
                ListedSlide(
                    slide_key(slide_id),
                    slide_id,
                    unquote(slide_id, errors="replace"),
                    name,
                    patient,
                    row.tiles if row is not None else None,
                    item is not None,
                    damage or (finding.problem if row is None else None),
                    "run wsi-embed verify" if damage else finding.remedy if row is None else None,
                    finding.warnings,
                )
            )
        self._ids = {line.key: line.slide_id for line in lines}
        return lines

    def _count_anew(self, states: dict[str, list[int]]) -> None:
        """Count the shares again if a slide has been added, replaced or removed."""
        with self._lock:
            if self._counted not in (None, states):
                self.shares = StoreShares(self.store)
            self._counted = states

    def slide_id(self, key: str) -> str:
        """Return the id of a slide from its name in addresses.

        Raises:
            KeyError: If there is no such slide.
        """
        if key not in self._ids:
            self.listing()
        return self._ids[key]

    def bag(self, slide_id: str) -> Bag | None:
        """Return the bag of a slide; None if it is not in the store.

        Raises:
            StoreError: If it is damaged.
        """
        state = self.state(slide_id)
        with self._lock:
            known = self._bags.pop(slide_id, None)
            if known is not None and known[0] == state:
                self._bags[slide_id] = known  # last in order: most recently used
                return known[1]
        try:
            found = self.store[slide_id]
        except KeyError:
            return None
        with self._lock:
            self._bags[slide_id] = (state, found)
            while len(self._bags) > BAGS:
                self._bags.popitem(last=False)
        return found

    def state(self, slide_id: str) -> State:
        """Return what changes when a slide of the store is replaced; None if it is not in the store."""
        try:
            return self.store.state(slide_id)
        except OSError:  # opening it says why
            return None

    def item(self, slide_id: str) -> SlideInput:
        """Return the input of a slide.

        Raises:
            SlideError: If its file is not among the given slides.
        """
        if slide_id not in self.items:
            raise SlideError(
                "its file is not among the given slides",
                where=slide_id,
                remedy="start the viewer with the folder it is in (`slides=`)",
            )
        return self.items[slide_id]

    def open_slide(self, slide_id: str) -> Slide:
        """Open a slide as the job that made its bag did.

        Raises:
            SlideError: If it cannot be read, or is not the slide of the bag.
        """
        path, bag = self.item(slide_id).path, self.bag(slide_id)
        if bag is None:
            return open_slide(path)
        slide = open_embedded(path, bag)
        try:
            check_same_slide(slide, slide_id, bag.attrs.get("slide_fingerprint"))
        except SlideError:
            slide.close()
            raise
        return slide

    @cached_property
    def class_colours(self) -> ClassColours:
        """Colours of the annotation classes of all slides; files that cannot be read are left out."""
        labels: set[str | None] = set()
        for path in _files(self.items):
            try:
                labels |= {polygon.label for polygon in read_annotations(path).polygons}
            except SlideError:  # reported when the slide is shown
                continue
        return class_colours(labels)


def slide_key(slide_id: str) -> str:
    """Return the name of a slide in addresses: its id with `~` for `%`, which some proxies decode twice.

    An id that no job makes, with other characters, gets a digest as its name.
    """
    if PLAIN.fullmatch(slide_id) and slide_id.strip("."):
        return slide_id.replace("%", "~")
    return "~~" + hashlib.sha256(slide_id.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _files(items: Mapping[str, SlideInput]) -> list[Path]:
    return [item.roi for item in items.values() if item.roi is not None]
