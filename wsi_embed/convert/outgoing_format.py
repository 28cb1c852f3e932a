"""Interface of foreign formats that are written: the files of a bag and their content."""

from __future__ import annotations

import csv
import importlib
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import StoreError, UsageError
from wsi_embed.inputs.ids import LONGEST
from wsi_embed.store import Bag, PatientBag, Store
from wsi_embed.util.extras import needs_extra
from wsi_embed.util.text import argument
from wsi_embed.util.verified_files import verified

Write = Callable[[Path], None]


@dataclass(frozen=True)
class Item:
    """Bag to convert.

    Attributes:
        id: Slide id, or patient.
        bag: Bag of the store.
        patient: Patient, if known.
        label: Name of the class, if there are labels.
        target: Index of the class.
    """

    id: str
    bag: Bag | PatientBag
    patient: str | None = None
    label: str | None = None
    target: int | None = None

    @property
    def name(self) -> str:
        """Name of the bag's files, without extension. Patient names are escaped where necessary."""
        return self.id if isinstance(self.bag, Bag) else file_name(self.id)

    @property
    def slides(self) -> list[Bag]:
        """Bags of the slides."""
        return self.bag.bags if isinstance(self.bag, PatientBag) else [self.bag]

    def features(self) -> npt.NDArray[np.float32]:
        """Read the features, float32 [N, D], in the order of the store.

        Raises:
            StoreError: If the features are damaged or not finite.
        """
        features = self.bag.features[:].astype(np.float32)
        if not np.isfinite(features).all():
            raise StoreError("features that are not finite", where=self.id, remedy="run wsi-embed verify")
        return features


class Format(ABC):
    """Foreign format that is written.

    Args:
        store: Store to convert.
        out: Output folder.

    Attributes:
        name: Value of `--to`.
        extra: Extra that installs `libraries`.
        libraries: Modules that the format imports.
        keeps_empty: Whether readers of the format accept a bag without tiles; otherwise it is left out.
        by_patient: Whether a bag may be a patient.
        needs_labels: Whether the format requires labels.
        has_names: Whether the files have the names of clusters.

    Raises:
        MissingExtraError: If a library is not installed.
    """

    name: ClassVar[str]
    extra: ClassVar[str] = "convert"
    libraries: ClassVar[Sequence[str]] = ()
    keeps_empty: ClassVar[bool] = False
    by_patient: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = False
    has_names: ClassVar[bool] = False

    def __init__(self, store: Store, out: Path) -> None:
        self.store, self.out = store, out
        with needs_extra(self.extra, f"the format {self.name}"):
            for library in self.libraries:
                importlib.import_module(library)

    @classmethod
    def check(cls, by: str, labelled: bool) -> None:
        """Check that the format can represent the bags.

        Args:
            by: Whether a bag is a `slide` or a `patient`.
            labelled: Whether there are labels.

        Raises:
            UsageError: If the format does not support patients, or requires labels.
        """
        if by == "patient" and not cls.by_patient:
            raise UsageError(
                "writes one file per slide", where=argument("to", cls.name), remedy="leave `by='patient'` out"
            )
        if cls.needs_labels and not labelled:
            raise UsageError(
                "needs labels, because files are sorted by class",
                where=argument("to", cls.name),
                remedy="give `labels='slides.csv'`",
            )

    @abstractmethod
    def files(self, item: Item) -> list[str]:
        """Return the paths of a bag's files, relative to the output folder."""

    @abstractmethod
    def write(self, item: Item, paths: Sequence[Path]) -> None:
        """Write a bag's files.

        Without files per bag, it is called as well, before the shared files are written.

        Args:
            item: Bag to write.
            paths: Temporary paths, in the order of `files`.

        Raises:
            StoreError: If the bag is damaged.
            OSError: If a file cannot be written.
        """

    def shared(self, items: Sequence[Item]) -> dict[str, Write]:
        """Return a writer for each file shared by all bags, by relative path."""
        return {}

    @property
    def encoder(self) -> str:
        """Name of the model, escaped for file names, with `_` for spaces."""
        return file_name(str(self.store.attrs["model"]["name"]).replace(" ", "_")) or "unknown"


def file_name(text: str) -> str:
    """Return a text as a file name, with percent-encoding of other characters.

    Raises:
        UsageError: If the name would be too long.
    """
    name = quote(text, safe=" ()+,=@").replace("~", "%7E")
    if len(name) > LONGEST:
        raise UsageError(f"{text[:40]!r}... is too long for a file name", remedy="shorten it")
    return name.replace(".", "%2E") if set(name) == {"."} else name


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Write:
    """Return a writer of a CSV file."""
    lines = [columns, *rows]

    def write(path: Path) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        with verified(path) as file:
            file.write(text.getvalue().encode())

    return write
