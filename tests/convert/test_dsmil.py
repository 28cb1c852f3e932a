from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.convert.conformance import Array, FormatConformance, files_of
from tests.convert.conftest import LABELS
from wsi_embed import Store
from wsi_embed.convert import convert
from wsi_embed.errors import UsageError


def rows_of(path: Path) -> list[list[str]]:
    """A CSV below its header, as pandas reads it."""
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


class TestDsmil(FormatConformance):
    name = "dsmil"
    tolerance = 5.1e-5  # four decimals
    has_coords = False

    @pytest.fixture
    def asked(self, labels: Path) -> Path | None:
        return labels

    def read(self, out: Path, bag: str) -> tuple[Array, Array | None]:
        # from the folder that holds `datasets`, by the paths in the list of all bags
        listed = {Path(path).stem: path for path, _ in rows_of(out / f"{out.name}.csv")}
        where = out / Path(listed[bag]).relative_to(f"datasets/{out.name}")
        return np.array(rows_of(where), np.float64), None


def test_bags_are_listed_by_class_and_all_together(source: Store, labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "datasets" / "mine"
    convert(source, "dsmil", out, labels=labels, missing="skip")
    paths = {name: f"datasets/mine/{label}/{name}.csv" for name, label in LABELS.items()}
    numbers = {"normal": "0", "tumour": "1"}  # the order of the folders
    assert rows_of(out / "mine.csv") == [[paths[name], numbers[label]] for name, label in LABELS.items()]
    assert rows_of(out / "tumour.csv") == [[paths["a1"], "1"], [paths["a2"], "1"]]
    assert rows_of(out / "normal.csv") == [[paths["b%202"], "0"]]
    assert all((tmp_path / path).is_file() for path in paths.values())
    header = (tmp_path / paths["a1"]).read_text().splitlines()[0]
    assert header == ",".join(map(str, range(8)))


def test_classes_are_numbered_as_their_folders_are_sorted(source: Store, tmp_path: Path) -> None:
    table = {"a1": "10", "a2": "9", "b%202": "a/b"}
    convert(source, "dsmil", tmp_path / "d", labels=table, missing="skip")
    assert {Path(p).parent.name: n for p, n in rows_of(tmp_path / "d" / "d.csv")} == {
        "10": "0",
        "9": "1",
        "a%2Fb": "2",
    }


def test_a_bag_of_another_class_moves(source: Store, labels: Path, tmp_path: Path) -> None:
    convert(source, "dsmil", tmp_path / "d", labels=labels, missing="skip")
    other = {**LABELS, "a2": "normal"}
    convert(source, "dsmil", tmp_path / "d", labels=other, missing="skip", overwrite=True)
    assert {"normal/a2.csv", "tumour/a1.csv"} <= files_of(tmp_path / "d").keys()
    assert "tumour/a2.csv" not in files_of(tmp_path / "d")


def test_without_labels_there_are_no_classes(source: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give `labels="):
        convert(source, "dsmil", tmp_path)


@pytest.mark.parametrize("label", ["..", ".", "mine", "x" * 300])
def test_labels_that_cannot_be_folders_are_refused_before_anything_is_written(
    source: Store, tmp_path: Path, label: str
) -> None:
    """A label `..` would write beside `--out`, one with its name loses its list."""
    slides = list(source)
    table = tmp_path / "labels.csv"
    table.write_text(
        "slide_id,label\n" + "".join(f"{s},{[label, 'b'][n % 2]}\n" for n, s in enumerate(slides))
    )
    with pytest.raises(
        UsageError, match=r"cannot be the name of a folder in mine|is too long for a file name"
    ):
        convert(source, "dsmil", tmp_path / "datasets" / "mine", labels=table, missing="skip")
    assert not list((tmp_path / "datasets").rglob("*.csv")) if (tmp_path / "datasets").exists() else True
