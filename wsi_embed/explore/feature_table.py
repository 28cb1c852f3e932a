"""Features of all tiles of a store in one array, cached in a folder if they are too many for memory.

<store>-search/<key>/      the key is a digest of the digests of the slides, so a cache is never outdated
  features.f32             float32 [N, D], slide by slide
  lengths.f32              float32 [N], Euclidean length of each row
  slides.json              slide ids, numbers of tiles, number of features
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.bag import Bag
from wsi_embed.bags.damage import damage_named, left_out, sound_bags
from wsi_embed.bags.json_document import read_document
from wsi_embed.errors import StoreError, UsageError
from wsi_embed.store import Store
from wsi_embed.util.atomic_files import replacing_folder
from wsi_embed.util.digest import canonical_digest
from wsi_embed.util.json_text import json_text

Float32 = npt.NDArray[np.float32]
OnProgress = Callable[[int, int], None]
FORMAT = 1
FEATURES, LENGTHS, SLIDES = "features.f32", "lengths.f32", "slides.json"
# Largest array that is made in memory: 131,072 tiles with 512 features.
IN_MEMORY = 256 * 2**20
BLOCK = 65_536
_KEY = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class FeatureTable:
    """Features of all tiles of a store.

    Slides that are damaged or have features that are not finite numbers are left out.

    Attributes:
        slide_ids: Slides with tiles, sorted.
        starts: First row of each slide, and the number of all rows, int64 [slides + 1].
        features: Features in the order of the slides, float32 [N, D]; memory-mapped if they are in a file.
        lengths: Euclidean length of each row, float32 [N].
        folder: Folder of the file; None if the features are in memory.
        notes: Lines on slides that are left out.
    """

    slide_ids: tuple[str, ...]
    starts: npt.NDArray[np.int64]
    features: Float32
    lengths: Float32
    folder: Path | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.features)

    def blocks(self) -> Iterator[slice]:
        """Yield slices of some ten thousand rows."""
        for start in range(0, len(self), BLOCK):
            yield slice(start, min(start + BLOCK, len(self)))

    def row(self, slide_id: str, tile: int) -> int:
        """Return the row of a tile.

        Args:
            slide_id: Slide id.
            tile: Row of the tile in the bag of the slide.

        Raises:
            UsageError: If there is no such tile, or its slide is left out.
        """
        index = int(np.searchsorted(self.slide_ids, slide_id)) if self.slide_ids else 0
        if index == len(self.slide_ids) or self.slide_ids[index] != slide_id:
            raise UsageError("no features of that slide can be searched", where=slide_id)
        first, last = self.starts[index : index + 2].tolist()
        if not 0 <= tile < last - first:
            raise UsageError(f"has no tile {tile}; they are 0 to {last - first - 1}", where=slide_id)
        return int(first + tile)

    def place(self, row: int) -> tuple[str, int]:
        """Return the slide of a row, and the row of the tile in its bag."""
        index = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.slide_ids[index], row - int(self.starts[index])


def open_features(
    store: Store,
    cache: Path | None = None,
    *,
    in_memory: int = IN_MEMORY,
    on_progress: OnProgress | None = None,
) -> FeatureTable:
    """Read the features of all tiles of a store, or map the file of an earlier call.

    Args:
        store: The store.
        cache: Folder in which `<store>-search` is made for the file; that of the store by default. The file
            takes four bytes per feature: 2 GB for a million tiles with 512 features. Files of earlier
            contents of the store are removed.
        in_memory: Largest size of the array, bytes, for which no file is made.
        on_progress: Function called with the number of slides read, and the number of all slides.

    Raises:
        UsageError: If no slide has features that can be searched, or the file cannot be written.
        RemoteError: If object storage cannot be reached.
    """
    found, damaged = sound_bags(store, store)
    bags = {slide_id: bag for slide_id, bag in sorted(found.items()) if len(bag)}
    dim = int(store.attrs["settings"]["feature_dim"])
    reading = _Reading(bags, dim, damaged, on_progress)
    if sum(map(len, bags.values())) * dim * 4 <= in_memory:
        features = np.concatenate([*reading.parts(), np.empty((0, dim), np.float32)])
        return reading.table(features, _lengths(features), store.name)
    folder = (cache or store.near.parent) / f"{store.near.stem}-search"
    mine = folder / canonical_digest([FORMAT, dim, [[name, _digest(bag)] for name, bag in bags.items()]])
    table = _mapped(mine, damaged)
    if table is None:
        try:
            _write(mine, reading)
        except OSError as error:
            raise UsageError(
                f"features cannot be written for the search ({error.strerror or error})",
                where=folder,
                remedy="give `cache=`, a folder with room for them",
            ) from error
        table = reading.table(*_map(mine, sum(reading.counts.values()), dim), store.name, mine)
    return table


class _Reading:
    """Reading of the features of bags, one after the other.

    Attributes:
        counts: Number of tiles of each slide that has been read.
        notes: Lines on slides that are left out.
    """

    def __init__(
        self, bags: Mapping[str, Bag], dim: int, notes: list[str], on_progress: OnProgress | None
    ) -> None:
        self.bags, self.dim, self.notes, self.on_progress = bags, dim, list(notes), on_progress
        self.sound = len(notes)
        self.counts: dict[str, int] = {}

    @property
    def left_out(self) -> bool:
        """Whether the features of a slide could not be used."""
        return len(self.notes) > self.sound

    def parts(self) -> Iterator[Float32]:
        """Yield the features of each slide that can be used, float32 [N, D]."""
        for done, (slide_id, bag) in enumerate(self.bags.items(), start=1):
            try:
                with damage_named(slide_id):
                    part = np.asarray(bag.features[:], np.float32)
                    if part.shape != (len(bag), self.dim) or not np.isfinite(part).all():
                        raise ValueError("features are not finite numbers")
            except StoreError as error:
                self.notes.append(left_out(slide_id, error))
            else:
                self.counts[slide_id] = len(part)
                yield part
            if self.on_progress:
                self.on_progress(done, len(self.bags))

    def table(
        self, features: Float32, lengths: Float32, name: str, folder: Path | None = None
    ) -> FeatureTable:
        """Return the features that were read as a table."""
        if not len(features):
            raise UsageError("no slide has tiles to search", where=name)
        return _table(self.counts, features, lengths, folder, self.notes)


def _table(
    counts: Mapping[str, int], features: Float32, lengths: Float32, folder: Path | None, notes: list[str]
) -> FeatureTable:
    starts = np.concatenate([[0], np.cumsum(list(counts.values()))]).astype(np.int64)
    return FeatureTable(tuple(counts), starts, features, lengths, folder, tuple(notes))


def _lengths(features: Float32) -> Float32:
    return np.asarray(np.linalg.norm(features, axis=1), np.float32)


def _digest(bag: Bag) -> str:
    """Return the digest of a slide, which covers the checksums of its arrays."""
    with damage_named(bag.slide_id):
        return str(bag.attrs["digest"])


def _mapped(folder: Path, notes: list[str]) -> FeatureTable | None:
    """Map the file of an earlier call; None if there is none, or it is not whole.

    A file that lacks slides is made anew, because they may have been mended meanwhile.
    """
    try:
        document = read_document(folder / SLIDES)
        counts, dim = {str(name): int(count) for name, count in document["tiles"].items()}, document["dim"]
        if document["left_out"]:
            return None
        return _table(counts, *_map(folder, sum(counts.values()), dim), folder, notes)
    except (OSError, UsageError, LookupError, TypeError, ValueError, AttributeError):
        return None


def _map(folder: Path, rows: int, dim: int) -> tuple[Float32, Float32]:
    """Map the features and read the lengths of a folder."""
    path = folder / FEATURES
    if not rows:
        return np.empty((0, dim), np.float32), np.empty(0, np.float32)
    lengths = np.fromfile(folder / LENGTHS, "<f4")
    if path.stat().st_size != 4 * rows * dim or len(lengths) != rows:
        raise ValueError(f"{path} is not whole")
    return np.memmap(path, "<f4", "r", shape=(rows, dim)), lengths


def _write(folder: Path, reading: _Reading) -> None:
    """Write the features into a temporary folder, which then replaces `folder`; remove earlier ones."""
    with replacing_folder(folder) as temporary:
        with (temporary / FEATURES).open("wb") as file, (temporary / LENGTHS).open("wb") as lengths:
            for part in reading.parts():
                file.write(np.ascontiguousarray(part, "<f4").data)
                lengths.write(_lengths(part).astype("<f4").data)
        document = {"tiles": reading.counts, "dim": reading.dim, "left_out": reading.left_out}
        (temporary / SLIDES).write_text(json_text(document), "utf-8")
        for earlier in folder.parent.iterdir():
            if _KEY.fullmatch(earlier.name):
                shutil.rmtree(earlier, ignore_errors=True)
