from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_embed.bags.labels import LabelRow, read_labels
from wsi_embed.errors import UsageError


def rows_of(text: str, folder: Path) -> list[LabelRow]:
    path = folder / "slides.csv"
    path.write_text(text)
    return read_labels(path)


def test_columns_are_found_by_name_in_any_case_and_order(tmp_path: Path) -> None:
    rows = rows_of(
        "fold,Label,site,SLIDE,case_id,split\n2.0,tumour,x,a.svs,ann,train\n,normal,x,b,,\n", tmp_path
    )
    name = tmp_path / "slides.csv"
    assert rows == [
        LabelRow(f"{name}, row 2", "a.svs", "ann", "tumour", "train", 2),
        LabelRow(f"{name}, row 3", "b", None, "normal", None, None),
    ]


def test_columns_are_found_in_any_spelling(tmp_path: Path) -> None:
    (row,) = rows_of(" Slide-ID , LABEL, Fold \na.svs, 1, 2\n", tmp_path)
    assert (row.slide, row.label, row.fold) == ("a.svs", "1", 2)
    pandas = pytest.importorskip("pandas")
    (row,) = read_labels(pandas.DataFrame({"Slide ID": ["a.svs"], " label": [1], 0: ["any"]}))
    assert (row.slide, row.label) == ("a.svs", "1")


def test_a_manifest_with_labels_is_a_table(tmp_path: Path) -> None:
    rows = rows_of("path,slide_id,patient,label\nx/a.svs,,p,1\nx/b.svs,bee,p,0\n", tmp_path)
    assert [row.slide for row in rows] == ["x/a.svs", "bee"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_spreadsheets_separators(separator: str, tmp_path: Path) -> None:
    text = "\ufeffslide_id,label\na,1\n".replace(",", separator)
    assert [(row.slide, row.label) for row in rows_of(text, tmp_path)] == [("a", "1")]


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (1, "1"),
        (1.0, "1"),
        (np.int64(1), "1"),
        (np.float32(0.0), "0"),
        (" tumour ", "tumour"),
        (True, "True"),
        (0.5, "0.5"),
        (None, None),
        (math.nan, None),
        ("", None),
    ],
)
def test_a_mapping_of_any_values(value: Any, label: str | None) -> None:
    assert read_labels({"a": value}) == [LabelRow("labels, row 1", "a", None, label)]


def test_keys_of_a_mapping_are_what_bags_are() -> None:
    assert read_labels({"ann": 1}, "patient")[0].patient == "ann"


def test_frames_say_the_same_as_their_csv(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "slides.csv"
    path.write_text("slide_id,patient,label,fold\na,p,1,0\nb,,,\nc,q,0,1\n")
    expected = [(r.slide, r.patient, r.label, r.fold) for r in read_labels(path)]
    frame = pandas.read_csv(path)
    assert frame.label.dtype == float, "a gap makes floats of whole numbers"
    for source in (frame, frame.set_index("slide_id")):
        assert [(r.slide, r.patient, r.label, r.fold) for r in read_labels(source)] == expected
    series = frame.set_index("slide_id")["label"]
    assert [(r.slide, r.label) for r in read_labels(series)] == [("a", "1"), ("b", None), ("c", "0")]


def test_parquet_too(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"slide_id": ["a"], "label": [1]}), tmp_path / "t.parquet")
    assert [(r.slide, r.label) for r in read_labels(tmp_path / "t.parquet")] == [("a", "1")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("slide_id,class\na,1\n", "need the columns `slide_id` .* it has slide_id, class"),
        ("name,label\na,1\n", "need the columns `slide_id`"),
        ("", "it has none"),
        ("slide_id,label\n ,1\n", "row 2: names neither a slide nor a patient"),
        ("slide_id,label,fold\na,1,first\n", "row 2: fold 'first' is not a number"),
        ("slide_id,label,folds\na,1,0\n", "the column 'folds' is not known; rename it to `fold`"),
        ("slide_id,label, Label\na,1,0\n", "'label' and 'Label' are both `label`"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words) as error:
        rows_of(text, tmp_path)
    assert "\n" not in str(error.value)


def test_no_such_table_and_no_table_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.csv: no such file"):
        read_labels(tmp_path / "nowhere.csv")
    with pytest.raises(UsageError, match="not int"):
        read_labels(7)
