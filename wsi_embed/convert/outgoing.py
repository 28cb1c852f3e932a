"""Conversion of a store to a foreign format, bag by bag, resumable, without overwriting unless requested."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from wsi_embed.bags.cluster_names import NAMES
from wsi_embed.bags.labels import By, LabelledBags, LabelSource, Missing, join_labels
from wsi_embed.bags.labels.bags import named
from wsi_embed.convert.outgoing_format import Format, Item
from wsi_embed.convert.records import Records, State
from wsi_embed.convert.registry import FORMATS
from wsi_embed.errors import StoreError, UsageError
from wsi_embed.storage import Location
from wsi_embed.storage.address import local_folder
from wsi_embed.store import PatientBag, Store, open_store
from wsi_embed.util.digest import canonical_digest
from wsi_embed.util.progress import tracked
from wsi_embed.util.text import argument, counted

# Increase this when the output changes, so that older output is not considered complete.
LAYOUT_VERSION = 1

OnBag = Callable[[str, str], None]


@dataclass
class Converted:
    """Outcome of a conversion, by bag id.

    Attributes:
        written: Bags that were written.
        skipped: Bags that were already complete.
        left_out: Bags without tiles, which readers of the format do not accept.
        failed: Reason for each bag that could not be converted.
        notes: Further remarks.
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
    """Convert the bags of a store to the format of another tool.

    Each file is complete or absent. After an interruption, run again: complete files are not written again.

    Args:
        source: Store, or its folder or address.
        to: `trident`, `clam`, `dsmil`, `torchmil`, `anndata`, `anndata-joined`, `spatialdata`, `stamp`,
            `slide-vectors`, `titan` or `prism`, or a format of another package (docs/extending.md).
        out: Output folder; created, or added to.
        labels: Labels, as for `join_labels`; if given, only labelled bags are converted.
        by: Whether a bag is a slide or a patient.
        missing: Handling of labels without a bag and bags without a label: `fail` or `skip`.
        overwrite: Whether to replace existing files with other content.
        on_bag: Callback with bag id and outcome, called after each bag.

    Returns:
        Outcome of each bag.

    Raises:
        UsageError: If the format is unknown or cannot represent the bags, labels and bags do not match, or
            existing files have other content, or the folder is not on this machine.
        MissingExtraError: If a library that the format needs is not installed.
        StoreError: If the folder cannot be written.
        SlideError: If another process is writing this format into the folder.

    Example:
        >>> import wsi_embed
        >>> from wsi_embed.convert import convert
        >>> store = wsi_embed.open_store("feats.zarr")
        >>> converted = convert(store, "torchmil", "torchmil")
        >>> converted.written == store.slide_ids
        True
    """
    store = source if isinstance(source, Store) else open_store(source)
    kind, found = FORMATS.get(to), Converted()
    if by not in ("slide", "patient"):
        raise UsageError("choose slide or patient", where=argument("by", by))
    kind.check(by, labels is not None)
    folder = local_folder(out, "files for other tools")
    items = []
    for bag_id, open_item in _items(store, labels, by, missing, found.notes):
        try:
            item = open_item()
        except StoreError as error:
            found.failed[bag_id] = str(error)
            on_bag(bag_id, f"failed: {error}")
            continue
        if len(item.bag) or kind.keeps_empty:
            items.append(item)
        else:
            found.left_out.append(item.id)
    if not items:
        if found.failed:
            return found
        raise UsageError(f"no {by} with tiles to convert", where=store.where)
    if all(item.name.isdecimal() for item in items):
        found.notes.append(
            f"all names are numbers, such as {items[0].name}: other tools may read them from a table as "
            "numbers and not find their files; give ids with a letter in a manifest (column slide_id)"
        )
    run = _Run(kind(store, folder), items)
    run.check(overwrite)
    with run.records.locked():
        for item in tracked(items, "bags converted"):
            on_bag(item.id, run.write(item, found))
        run.finish(found)
    return found


def _items(
    store: Store, labels: LabelSource | None, by: By, missing: Missing, notes: list[str]
) -> Iterator[tuple[str, Callable[[], Item]]]:
    """Yield the id of each bag, and a function that opens it."""
    if labels is not None:
        joined = join_labels(store, labels, by=by, missing=missing)
        notes += joined.notes
        for index, (one, target) in enumerate(zip(joined, joined.targets.tolist(), strict=True)):
            yield one.id, partial(_labelled, store, joined, index, target)
        return
    if by == "slide":
        for slide_id in store:
            yield slide_id, partial(_slide, store, slide_id)
        return
    patients = store.rows_by_patient()
    if without := [row.slide_id for row in store.rows() if row.patient is None]:
        notes.append(f"left out: slides without a patient: {named(without)}")
    for patient, rows in patients.items():
        yield patient, partial(_patient, store, patient, [row.slide_id for row in rows])


def _slide(store: Store, slide_id: str) -> Item:
    bag = store[slide_id]
    return Item(slide_id, bag, bag.patient)


def _patient(store: Store, patient: str, slide_ids: Sequence[str]) -> Item:
    return Item(patient, PatientBag(patient, [store[slide_id] for slide_id in slide_ids]), patient)


def _labelled(store: Store, joined: LabelledBags, index: int, target: int) -> Item:
    bag = joined[index]
    return Item(bag.id, joined.open(store, index), bag.patient, bag.label, target)


class _Run:
    """Conversion of a list of bags into a folder."""

    def __init__(self, target: Format, items: Sequence[Item]) -> None:
        self.target, self.items = target, items
        self.records = Records(target.out, target.name)
        self.digests = {item.id: _digest(item, target.has_names) for item in items}
        self.shared = target.shared(items)
        self.digest = canonical_digest(list(self.digests.values()))

    def check(self, overwrite: bool) -> None:
        """Check, before writing anything, that no file would be replaced."""
        others = [item.name for item in self.items if self._state(item) == "other"]
        if self.records.state("shared", self.digest, list(self.shared)) == "other":
            others += self.shared
        if others and not overwrite:
            raise UsageError(
                f"{self.target.out} has other content for {named(others)}: `overwrite=True` replaces it, "
                "or choose another `out=`"
            )

    def write(self, item: Item, found: Converted) -> str:
        """Write a bag's files unless they are complete, and describe the outcome."""
        if self._state(item) == "complete":
            found.skipped.append(item.id)
            return "there already"
        try:
            if files := self.target.files(item):
                with self.records.writing(f"bags/{item.name}", self.digests[item.id], files) as paths:
                    self.target.write(item, paths)
            else:
                self.target.write(item, [])
        except StoreError as error:
            found.failed[item.id] = str(error)
            return f"failed: {error}"
        except (OSError, RuntimeError) as error:
            raise self._cannot_write(error) from error
        found.written.append(item.id)
        return counted(len(item.bag), "tile")

    def finish(self, found: Converted) -> None:
        """Write the files shared by all bags."""
        shared = self.target.shared([item for item in self.items if item.id not in found.failed])
        state = self.records.state("shared", self.digest, list(shared))
        if state == "complete" or (state == "missing" and not shared):
            return
        # without the failed bags they are incomplete, so the next run writes them again
        final = not found.failed
        try:
            with self.records.writing("shared", self.digest, list(shared), final=final) as paths:
                for path, write in zip(paths, shared.values(), strict=True):
                    write(path)
        except (OSError, RuntimeError) as error:
            raise self._cannot_write(error) from error

    def _state(self, item: Item) -> State:
        """Return the state of a bag's files; for a bag without files, of the shared ones."""
        if files := self.target.files(item):
            return self.records.state(f"bags/{item.name}", self.digests[item.id], files)
        return self.records.state("shared", self.digest, list(self.shared))

    def _cannot_write(self, error: Exception) -> StoreError:
        """Return the error for a failed write.

        For a full disk, HDF5 and PyTorch raise OSError or RuntimeError.
        """
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        return StoreError(
            f"cannot be written ({reason})",
            where=self.target.out,
            remedy="free some space or check permissions, then run again",
        )


def _digest(item: Item, has_names: bool) -> str:
    """Return a digest of everything that determines a bag's files.

    The content of a slide is covered by its digest in the store, other clusters by theirs.
    """
    content = [bag.attrs["digest"] for bag in item.slides]
    content += [bag.head.digest for bag in item.slides if bag.head is not None]
    if has_names:
        content += [names[NAMES] for bag in item.slides if NAMES in (names := bag.cluster_names.to_dict())]
    return canonical_digest([LAYOUT_VERSION, item.id, content, item.patient, item.label, item.target])
