"""A store into a foreign format: bag by bag, resumed, nothing overwritten unasked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wsi_embed.bags.labels import By, LabelSource, Missing, join_labels
from wsi_embed.bags.labels.bags import named
from wsi_embed.convert.outgoing_format import Format, Item
from wsi_embed.convert.records import Records, State
from wsi_embed.convert.registry import FORMATS
from wsi_embed.errors import StoreError, UsageError
from wsi_embed.storage import Location
from wsi_embed.store import Store, open_store
from wsi_embed.util.digest import canonical_digest

# Raise it when what is written changes, so that older output is not taken for complete.
LAYOUT_VERSION = 1

OnBag = Callable[[str, str], None]


@dataclass
class Converted:
    """What became of the bags, by their ids.

    Attributes:
        written: Are there now.
        skipped: Were there already.
        left_out: Have no tiles, which the format's reader does not take.
        failed: Of each that could not be converted, why.
        notes: What to know besides.
    """

    written: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def convert(
    source: str | Location | Store,
    to: str,
    out: str | Path,
    *,
    labels: LabelSource | None = None,
    by: By = "slide",
    missing: Missing = "fail",
    overwrite: bool = False,
    on_bag: OnBag = lambda bag, what: None,
) -> Converted:
    """Write the bags of a store in a foreign format.

    A file is whole or absent. Run again after an interruption: what is there is not written again.

    Args:
        source: The store.
        to: trident, clam, dsmil, torchmil, anndata, anndata-joined or stamp, or a format of another package
            (docs/extending.md).
        out: The folder; made, or added to.
        labels: See `join_labels`; where they are given, only labelled bags are converted.
        by: Whether a bag is a slide or a patient.
        missing: What becomes of labels without bag and bags without label.
        overwrite: Replace files that are there with other content.
        on_bag: Told of each bag what became of it.

    Raises:
        UsageError: If the format is unknown or cannot hold this, labels and bags do not go together, or files
            are there already and hold something else.
        MissingExtraError: If a library that the format needs is not installed.
        StoreError: If the folder cannot be written.
        SlideError: If another process writes this format into it.
    """
    store = source if isinstance(source, Store) else open_store(source)
    kind, found = FORMATS.get(to), Converted()
    if by not in ("slide", "patient"):
        raise UsageError(f"--by {by}: choose slide or patient")
    kind.check(by, labels is not None)
    items = []
    for item in _items(store, labels, by, missing, found.notes):
        if len(item.bag) or kind.keeps_empty:
            items.append(item)
        else:
            found.left_out.append(item.id)
    if not items:
        raise UsageError(f"{store.where}: no {by} with tiles to convert")
    run = _Run(kind(store, Path(out)), items)
    run.check(overwrite)
    with run.records.locked():
        for item in items:
            on_bag(item.id, run.write(item, found))
        run.finish(found)
    return found


def _items(
    store: Store, labels: LabelSource | None, by: By, missing: Missing, notes: list[str]
) -> Iterator[Item]:
    if labels is not None:
        joined = join_labels(store, labels, by=by, missing=missing)
        notes += joined.notes
        for index, (one, target) in enumerate(zip(joined, joined.targets.tolist(), strict=True)):
            yield Item(one.id, joined.open(store, index), one.patient, one.label, target)
        return
    if by == "patient" and (without := [bag.slide_id for bag in store.values() if bag.patient is None]):
        notes.append(f"left out: slides without a patient: {named(without)}")
    for bag_id, bag in (store.patients() if by == "patient" else store).items():
        yield Item(bag_id, bag, bag.patient)


class _Run:
    """Bags on their way into a folder."""

    def __init__(self, target: Format, items: Sequence[Item]) -> None:
        self.target, self.items = target, items
        self.records = Records(target.out, target.name)
        self.digests = {item.id: _digest(item) for item in items}
        self.shared = target.shared(items)
        self.digest = canonical_digest(list(self.digests.values()))

    def check(self, overwrite: bool) -> None:
        """Refuse to replace anything, before anything is written."""
        others = [item.name for item in self.items if self._state(item) == "other"]
        if self.records.state("shared", self.digest, list(self.shared)) == "other":
            others += self.shared
        if others and not overwrite:
            raise UsageError(
                f"{self.target.out} has other content for {named(others)}: --overwrite replaces it, "
                "or choose another --out"
            )

    def write(self, item: Item, found: Converted) -> str:
        """Write a bag's files unless they are there; says what became of it."""
        if self._state(item) == "complete":
            found.skipped.append(item.id)
            return "there already"
        try:
            if files := self.target.files(item):
                with self.records.writing(f"bags/{item.name}", self.digests[item.id], files) as paths:
                    self.target.write(item, paths)
        except StoreError as error:
            found.failed[item.id] = str(error)
            return f"failed: {error}"
        except (OSError, RuntimeError) as error:
            raise self._cannot_write(error) from error
        found.written.append(item.id)
        return f"{len(item.bag)} tiles"

    def finish(self, found: Converted) -> None:
        """Write the files about all bags that are there."""
        shared = self.target.shared([item for item in self.items if item.id not in found.failed])
        state = self.records.state("shared", self.digest, list(shared))
        if state == "complete" or (state == "missing" and not shared):
            return
        # where a bag failed they lack it, and are written again when it is mended
        final = not found.failed
        try:
            with self.records.writing("shared", self.digest, list(shared), final=final) as paths:
                for path, write in zip(paths, shared.values(), strict=True):
                    write(path)
        except (OSError, RuntimeError) as error:
            raise self._cannot_write(error) from error

    def _state(self, item: Item) -> State:
        """Of a bag's files; where it has none of its own, of those about all."""
        if files := self.target.files(item):
            return self.records.state(f"bags/{item.name}", self.digests[item.id], files)
        return self.records.state("shared", self.digest, list(self.shared))

    def _cannot_write(self, error: Exception) -> StoreError:
        """HDF5 and PyTorch say OSError or RuntimeError of a full disk."""
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        return StoreError(
            f"{self.target.out}: cannot be written ({reason}); free some space or check permissions, "
            "then run again"
        )


def _digest(item: Item) -> str:
    """Of all that decides a bag's files; a slide's digest in the store is of its content."""
    content = [bag.attrs["digest"] for bag in item.slides]
    return canonical_digest([LAYOUT_VERSION, item.id, content, item.patient, item.label, item.target])
