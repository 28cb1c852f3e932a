"""Read a store: a mapping from slide ids to bags, and patients to joined bags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import zarr

from wsi_embed.errors import StoreError
from wsi_embed.store.bag import Bag
from wsi_embed.store.layout import FORMAT_VERSION, METADATA_FILE, read_attributes
from wsi_embed.store.patient import PatientBag


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
        return list(self)

    def __getitem__(self, slide_id: str) -> Bag:
        if not self._complete(slide_id):
            raise KeyError(f"{slide_id}: no complete slide of that id in {self.path}")
        folder = self.path / slide_id
        return Bag(slide_id, zarr.open_group(folder, mode="r", zarr_format=3, use_consolidated=False))

    def __iter__(self) -> Iterator[str]:
        for folder in sorted(p.parent for p in self.path.glob(f"*/{METADATA_FILE}")):
            if self._complete(folder.name):
                yield folder.name

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
        for bag in self.values():
            if bag.patient is not None:
                by_patient.setdefault(bag.patient, []).append(bag)
        return {patient: PatientBag(patient, by_patient[patient]) for patient in sorted(by_patient)}

    def incomplete(self) -> list[str]:
        """Names of groups that are not complete: the next run redoes them."""
        groups = sorted(p.name for p in self.path.iterdir() if p.is_dir())
        return [name for name in groups if not self._complete(name)]

    def _complete(self, slide_id: str) -> bool:
        if not slide_id or "/" in slide_id:
            return False
        try:
            return read_attributes(self.path / slide_id).get("complete") is True
        except StoreError:  # nothing there, or a damaged document: `verify` says more
            return False


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
