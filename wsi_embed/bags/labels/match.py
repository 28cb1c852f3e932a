"""Matching of label rows to the slides of a store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from wsi_embed.bags.labels.table import LabelRow
from wsi_embed.bags.source import BagSource
from wsi_embed.errors import UsageError
from wsi_embed.inputs.ids import slide_id_of
from wsi_embed.slide.suffixes import FOREIGN_SUFFIXES, SLIDE_SUFFIXES

# Extensions that are not part of a slide's name: those of slides and of feature files.
_SUFFIXES = SLIDE_SUFFIXES | set(FOREIGN_SUFFIXES) | {".zarr", ".h5", ".pt"}


@dataclass(frozen=True)
class SlideFacts:
    """Facts that the store records about a slide.

    Attributes:
        patient: Patient, if known.
        file: Slide file.
        empty: Whether the slide has no tiles; of a damaged slide this is unknown.
    """

    patient: str | None
    file: str
    empty: bool


def slide_facts(store: BagSource) -> dict[str, SlideFacts]:
    """Return the facts of all complete slides by id."""
    return {
        row.slide_id: SlideFacts(
            row.patient, str(row.slide or row.slide_id), row.tiles == 0 and row.damage is None
        )
        for row in store.rows()
    }


class Matcher:
    """Index of slides by id, by file name with or without extension, and by patient.

    Args:
        slides: Facts about the slides of the store, by id.
    """

    def __init__(self, slides: Mapping[str, SlideFacts]) -> None:
        self._slides = slides
        self._by_name: dict[str, set[str]] = defaultdict(set)
        self._by_patient: dict[str, list[str]] = defaultdict(list)
        for slide_id, facts in slides.items():
            for name in _names(facts.file):
                self._by_name[name].add(slide_id)
            if facts.patient is not None:
                self._by_patient[facts.patient].append(slide_id)

    def find(self, row: LabelRow) -> list[str]:
        """Return the ids of the slides that a row names; empty if the store lacks them.

        Raises:
            UsageError: If several slides have the file name.
        """
        if row.slide is None:
            return self._by_patient.get(row.patient or "", [])
        path = row.slide.replace("\\", "/")
        for slide_id in (row.slide, slide_id_of(_stem(path) + ".x")):
            if slide_id in self._slides:
                return [slide_id]
        found = next((ids for name in _names(path) if (ids := self._by_name.get(name))), set())
        if len(found) > 1:
            raise UsageError(
                f"{row.slide!r} may be any of {', '.join(sorted(found))}",
                where=row.where,
                remedy="give the slide id",
            )
        return list(found)


def _names(path: str) -> tuple[str, str]:
    """Return a file's name with and without its extension."""
    name = PurePosixPath(path).name
    return name, _stem(name)


def _stem(path: str) -> str:
    """Return a path without the extension of a slide or feature file; other dots belong to the name."""
    suffix = PurePosixPath(path).suffix
    return path.removesuffix(suffix) if suffix.lower() in _SUFFIXES else path
