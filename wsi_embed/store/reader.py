"""Read a store: a mapping from slide ids to bags, and patients to joined bags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsi_embed.errors import StoreError, UsageError
from wsi_embed.store.bag import Bag
from wsi_embed.store.index import Row, read_row, scan, slide_folders, write_index
from wsi_embed.store.layout import FORMAT_VERSION, METADATA_FILE, read_attributes
from wsi_embed.store.patient import PatientBag

if TYPE_CHECKING:
    from wsi_embed.labels import By, LabelledBags, LabelSource, Missing
    from wsi_embed.store.dataset import BagDataset, Style

if TYPE_CHECKING:
    from wsi_embed.labels import By, LabelledBags, LabelSource, Missing
    from wsi_embed.store.dataset import BagDataset, Style


class Store(Mapping[str, Bag]):
    """A store as a mapping from slide id to bag. Slides that are not complete do not exist.

    Attributes:
        path: The store's folder.
        attrs: Root attributes: `format_version`, `model_id`, `model`, `settings`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / METADATA_FILE).is_file():
            raise StoreError(f"{self.path}: no store there; check the path")
        self.attrs = read_attributes(self.path)
        found = self.attrs.get("format_version")
        if found != FORMAT_VERSION:
            raise StoreError(
                f"{self.path}: "
                + (
                    "not a wsi-embed store"
                    if found is None
                    else f"format {found}, this wsi-embed reads {FORMAT_VERSION}"
                )
            )

    @property
    def model_id(self) -> str:
        """Digest of the model that made the features."""
        return str(self.attrs["model_id"])

    @property
    def slide_ids(self) -> list[str]:
        """Ids of all complete slides, sorted."""
        return [row.slide_id for row in self._rows()]  # list(self) would count them first

    def __getitem__(self, slide_id: str) -> Bag:
        attributes = self._attributes(slide_id)
        if attributes is None:
            raise KeyError(f"{slide_id}: no complete slide of that id in {self.path}")
        return Bag(slide_id, self.path / slide_id, attributes, self.attrs["settings"]["clusters"])

    def __iter__(self) -> Iterator[str]:
        return (row.slide_id for row in self._rows())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def patients(self) -> dict[str, PatientBag]:
        """The slides joined by patient, by the patient's name, sorted.

        Slides of which no manifest named the patient are in none of them; whether there are any tells
        `[bag.slide_id for bag in store.values() if bag.patient is None]`.
        """
        by_patient: dict[str, list[Bag]] = {}
        for row in self._rows():
            if row.patient is not None:
                by_patient.setdefault(row.patient, []).append(self[row.slide_id])
        return {patient: PatientBag(patient, by_patient[patient]) for patient in sorted(by_patient)}

    def torch_dataset(
        self,
        labels: LabelledBags | LabelSource | None = None,
        *,
        by: By = "slide",
        split: str | None = None,
        missing: Missing = "fail",
        classes: Sequence[str] | None = None,
        max_tiles: int | None = None,
        seed: int = 0,
        style: Style = "plain",
        adjacency: bool = False,
    ) -> BagDataset:
        """The bags as a map-style data set for PyTorch (extra `mil`); `BagDataset` says what an item is.

        Args:
            labels: A CSV, data frame or mapping, joined by `join_labels` (see there for `by`, `missing` and
                `classes`), or what that made of one. None takes all bags with tiles, without labels.
            by: Whether a bag is a slide or a patient.
            split: Only bags with this in the column `split`.
            missing: What becomes of bags without label and labels without bag, `fail` or `skip`.
            classes: Names of the classes in order.
            max_tiles: Of a larger bag so many tiles are drawn, others in each epoch (`set_epoch`).
            seed: Of that draw.
            style: `plain`, or `torchmil` for its models and its collate function.
            adjacency: With `torchmil`: which tiles touch, for its graph models.

        Raises:
            UsageError: Labels and bags do not go together, or an argument makes no sense.
            MissingExtraError: The extra `mil` is not installed.
        """
        from wsi_embed.labels import LabelledBags, join_labels
        from wsi_embed.store.dataset import BagDataset

        if labels is not None and not isinstance(labels, LabelledBags):
            labels = join_labels(self, labels, by=by, missing=missing, classes=classes)
        if labels is None:
            if split is not None:
                raise UsageError(f"split {split!r}: only labels say which bags are in it; give them too")
            groups = self.patients() if by == "patient" else self
            bags = {name: tuple(bag.slide_ids) for name, bag in groups.items() if len(bag)}
        else:
            labels = labels if split is None else labels.where(split=split)
            bags, by = {bag.id: bag.slides for bag in labels}, labels.by
        return BagDataset(
            self, bags, labels, by=by, max_tiles=max_tiles, seed=seed, style=style, adjacency=adjacency
        )

    def incomplete(self) -> list[str]:
        """Names of groups that are not complete: the next run redoes them."""
        complete = set(self)
        return [name for name in slide_folders(self.path) if name not in complete]

    def _rows(self) -> Iterator[Row]:
        return scan(self.path, str(self.attrs.get("model_id")))

    def _attributes(self, slide_id: str) -> dict[str, Any] | None:
        """Of a slide that is complete; None otherwise."""
        if not slide_id or "/" in slide_id:
            return None
        try:
            attributes = read_attributes(self.path / slide_id)
        except StoreError:  # nothing there, or a damaged document: `verify` says more
            return None
        return attributes if attributes.get("complete") is True else None


def open_store(path: str | Path) -> Store:
    """Open a store for reading.

    Args:
        path: The folder that `wsi-embed ... --out` wrote.

    Returns:
        A mapping from slide id to `Bag`.

    Raises:
        StoreError: There is no store, or it has a format this version does not read.
    """
    return Store(path)


def finalize(path: str | Path) -> tuple[list[Row], list[str]]:
    """Write the index of a store, a table of its complete slides that makes listing them fast.

    Readers can do without, and see what came after it. Every slide's document is read anew.

    Args:
        path: The store.

    Returns:
        The rows of the table, and the names of groups that are not complete.

    Raises:
        StoreError: There is no store, or the index cannot be written.
    """
    store = Store(path)
    folders = slide_folders(store.path)
    found = {name: read_row(store.path, name, store.model_id) for name in folders}
    rows = [row for row in found.values() if row is not None]
    write_index(store.path, rows)
    return rows, [name for name, row in found.items() if row is None]
