from __future__ import annotations

import csv
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from tests.convert.conformance import Array, FormatConformance
from tests.convert.conftest import LABELS
from wsi_embed import Store
from wsi_embed.convert import convert
from wsi_embed.errors import UsageError

h5py = pytest.importorskip("h5py")

MPP = {"b%202": 0.25}


class TestStamp(FormatConformance):
    name = "stamp"

    def read(self, out: Path, bag: str) -> tuple[Array, Array | None]:
        with h5py.File(out / f"{bag}.h5") as file:
            features, um, attrs = file["feats"][:], file["coords"][:], dict(file.attrs)
        # what STAMP looks at: the unit is um because `tile_size_um` is there, and no newer version made it
        assert "tile_size" not in attrs
        assert "stamp_version" not in attrs
        assert attrs["feat_type"] == "tile"
        assert attrs["tile_size_um"] / attrs["tile_size_px"] == pytest.approx(0.5)
        assert (features.dtype, um.dtype) == (np.float16, np.float32)
        return features, np.rint(um / MPP.get(bag, 0.5))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_tables_join_slides_and_labels_to_patients(source: Store, labels: Path, tmp_path: Path) -> None:
    convert(source, "stamp", tmp_path, labels=labels, missing="skip")
    slides = rows_of(tmp_path / "slide_table.csv")
    # STAMP joins neighbouring rows only
    joined = {p: sorted(r["FILENAME"] for r in rows) for p, rows in groupby(slides, lambda r: r["PATIENT"])}
    assert joined == {"ann": ["a1.h5", "a2.h5"], "bo/1": ["b%202.h5"]}
    assert all((tmp_path / row["FILENAME"]).is_file() for row in slides)
    clini = {row["PATIENT"]: row["label"] for row in rows_of(tmp_path / "clini_table.csv")}
    assert clini == {"ann": "tumour", "bo/1": "normal"}


def test_a_patient_with_two_labels_is_refused(source: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="patient ann has slides labelled tumour and normal"):
        convert(source, "stamp", tmp_path / "out", labels={**LABELS, "a2": "normal"}, missing="skip")
    assert not (tmp_path / "out").exists()
