"""The contract of a foreign format: which files a bag becomes, and what is in them."""

from __future__ import annotations

import csv
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import StoreError, UsageError
from wsi_embed.store import Bag, PatientBag, Store
from wsi_embed.util.extras import needs_extra

Write = Callable[[Path], None]


@dataclass(frozen=True)
class Item:
    """A bag that is converted.

    Attributes:
        id: Slide id, or patient.
        bag: From the store.
        patient: Of the bag, where one is known.
        label: Its class, where there are labels.
        target: The class by number.
    """

    id: str
    bag: Bag | PatientBag
    patient: str | None = None
    label: str | None = None
    target: int | None = None

    @property
    def name(self) -> str:
        """Of its files, without extension. Slide ids are names of files, patients need not be."""
        return self.id if isinstance(self.bag, Bag) else file_name(self.id)

    @property
    def slides(self) -> list[Bag]:
        """The bags of its slides."""
        return self.bag.bags if isinstance(self.bag, PatientBag) else [self.bag]

    def features(self) -> npt.NDArray[np.float32]:
        """float32 [N, D], in the order of the store's rows.

        Raises:
            StoreError: They are damaged, or not finite.
        """
        features = self.bag.features[:].astype(np.float32)
        if not np.isfinite(features).all():
            raise StoreError(f"{self.id}: features that are not finite; run wsi-embed verify")
        return features


class Format(ABC):
    """A foreign format, as it is written.

    Args:
        store: What is converted.
        out: The folder it goes to.

    Attributes:
        name: As `--to` knows it.
        extra: The extra that brings `libraries`.
        libraries: What it imports.
        keeps_empty: Whether its reader takes a bag without tiles; else such bags are left out.
        by_patient: Whether a bag may be a patient.
        needs_labels: Whether it cannot do without labels.

    Raises:
        MissingExtraError: If a library is not installed.
    """

    name: ClassVar[str]
    extra: ClassVar[str] = "convert"
    libraries: ClassVar[Sequence[str]] = ()
    keeps_empty: ClassVar[bool] = False
    by_patient: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = False

    def __init__(self, store: Store, out: Path) -> None:
        self.store, self.out = store, out
        with needs_extra(self.extra, f"the format {self.name}"):
            for library in self.libraries:
                importlib.import_module(library)

    @classmethod
    def check(cls, by: str, labelled: bool) -> None:
        """Refuse what the format cannot hold.

        Raises:
            UsageError: If it has no patients, or needs labels.
        """
        if by == "patient" and not cls.by_patient:
            raise UsageError(f"--to {cls.name} has a file a slide; leave --by patient out")
        if cls.needs_labels and not labelled:
            raise UsageError(f"--to {cls.name} sorts bags by class; give --labels slides.csv")

    @abstractmethod
    def files(self, item: Item) -> list[str]:
        """Paths of a bag's files, relative to the folder."""

    @abstractmethod
    def write(self, item: Item, paths: Sequence[Path]) -> None:
        """Write a bag's files, in the order of `files`, at these paths.

        Raises:
            StoreError: If the bag is damaged.
            OSError: If a file cannot be written.
        """

    def shared(self, items: Sequence[Item]) -> dict[str, Write]:
        """Files about all bags: by relative path, what writes them."""
        return {}

    @property
    def encoder(self) -> str:
        """Name of the model, fit for a file name."""
        return file_name(str(self.store.attrs["model"]["name"])) or "unknown"


def file_name(text: str) -> str:
    """Any text as the name of a file: what may not be in one is percent-encoded."""
    return quote(text, safe=" ()+,=@").replace("~", "%7E")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Write:
    """What writes a CSV."""
    lines = [columns, *rows]

    def write(path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)

    return write


def write_h5(
    path: Path,
    arrays: Mapping[str, npt.NDArray[np.generic]],
    attributes: Mapping[str, Mapping[str, object]],
) -> None:
    """Write an HDF5 file. Attributes are by array; those of the file itself are under its root, `/`."""
    import h5py

    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values)
        for name, facts in attributes.items():
            file[name].attrs.update(facts)
