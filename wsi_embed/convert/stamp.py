"""STAMP: one HDF5 file per slide, and the tables that assign slides and labels to patients.

OUT/<slide>.h5        feats (N, D) float16, coords (N, 2) float32, um from the slide's top-left corner
OUT/slide_table.csv   PATIENT, FILENAME; only if patients are known
OUT/clini_table.csv   PATIENT, label; only with labels
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from wsi_embed.convert.hdf5 import write_h5
from wsi_embed.convert.outgoing_format import Format, Item, Write, table
from wsi_embed.errors import StoreError, UsageError


class Stamp(Format):
    """STAMP files of a store, one per slide: STAMP itself joins the slides of a patient.

    `stamp_version` is not written, because STAMP did not compute the features.
    """

    name: ClassVar[str] = "stamp"
    libraries: ClassVar[Sequence[str]] = ("h5py",)
    keeps_empty: ClassVar[bool] = True
    by_patient: ClassVar[bool] = False

    def files(self, item: Item) -> list[str]:
        """Return the name of the slide's file."""
        return [f"{item.name}.h5"]

    def write(self, item: Item, paths: Sequence[Path]) -> None:
        """Write features and positions.

        Raises:
            StoreError: If a feature is too large for float16.
        """
        attrs = item.slides[0].attrs
        with np.errstate(over="ignore"):
            features = item.features().astype(np.float16)
        if not np.isfinite(features).all():
            raise StoreError(
                "features too large for float16, which STAMP reads",
                where=item.id,
                remedy="choose another format",
            )
        facts = {
            "extractor": f"wsi-embed-{self.encoder}",
            "unit": "um",
            "tile_size_um": attrs["extent"] * attrs["mpp"],
            "tile_size_px": attrs["tile_px"],
            "feat_type": "tile",
        }
        coords = (item.bag.coords[:] * attrs["mpp"]).astype(np.float32)
        write_h5(paths[0], {"feats": features, "coords": coords}, {"/": facts})

    def shared(self, items: Sequence[Item]) -> dict[str, Write]:
        """Return the writers of the tables that have rows.

        Raises:
            UsageError: If a patient has several labels.
        """
        # sorted, because STAMP joins only adjacent rows of a patient
        slides = sorted((item.patient, f"{item.name}.h5") for item in items if item.patient is not None)
        labels: dict[str, str] = {}
        for item in items:
            if item.patient is None or item.label is None:
                continue
            if labels.setdefault(item.patient, item.label) != item.label:
                raise UsageError(
                    f"patient {item.patient} has slides labelled {labels[item.patient]} and {item.label}: "
                    "STAMP has one label per patient",
                    remedy="correct the labels",
                )
        tables = {}
        if slides:
            tables["slide_table.csv"] = table(("PATIENT", "FILENAME"), slides)
        if labels:
            tables["clini_table.csv"] = table(("PATIENT", "label"), sorted(labels.items()))
        return tables
