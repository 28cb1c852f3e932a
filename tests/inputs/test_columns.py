from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from wsi_embed.errors import UsageError
from wsi_embed.inputs.columns import (
    PATIENT,
    Known,
    cell_text,
    first_of,
    magnification_column,
    match_columns,
    patient_of,
)
from wsi_embed.inputs.tables import MANIFEST_COLUMNS, read_manifest, read_table

LABELS: Known = (("slide_id", "slide", "path"), PATIENT, ("label",), ("split",), ("fold",))


def names(*columns: str, known: Known = MANIFEST_COLUMNS) -> list[str]:
    return match_columns(columns, [], known, "t.csv")[0]


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("mpp", "mpp"),
        (" mpp", "mpp"),
        ("MPP ", "mpp"),
        ("Path", "path"),
        ("Slide ID", "slide_id"),
        ("slideId", "slide_id"),
        ("slide-id", "slide_id"),
        ("\u00a0ROI\u200b", "roi"),
        ("Patient", "patient"),
        ("Patient ID", "patient_id"),
        ("case_id", "case_id"),
    ],
)
def test_capitals_spaces_and_separators_do_not_matter(column: str, name: str) -> None:
    assert names(column) == [name]


@pytest.mark.parametrize(
    ("column", "meant"),
    [
        *((column, "mpp") for column in ("MPP_X", "mpp_um", "mpp (um)", "mppx", "slide_mpp", "um_per_pixel")),
        *((column, "roi") for column in ("roi_file", "rois", "ROI path", "annotation", "annotation_xml")),
        *((column, "slide_id") for column in ("slide", "Slide Name", "slied_id", "slide_uid")),
        *((column, "patient") for column in ("patients", "patient name", "pateint", "PatientNo")),
    ],
)
def test_what_is_called_almost_like_a_column_that_is_missing_is_refused(column: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"^t.csv: the column .* is not known; rename it to `{meant}`"):
        names("path", column)
    assert names("path", meant, column) == ["path", meant, column], "where that is there, it may be anything"


@pytest.mark.parametrize(
    ("column", "meant"),
    [
        *((column, "mpp") for column in ("nm_per_pixel", "px_size", "pixelwidth", "Pixel Width (um)")),
        *((column, "mpp") for column in ("um", "microns", "px_um", "res (\u00b5m)", "micrometres/px", "mmp")),
        ("pt_id", "patient"),
        *(
            (column, "patient")
            for column in ("participant", "participant_id", "donor", "submitter_id", "pid")
        ),
        *(
            (column, "patient")
            for column in ("bcr_patient_barcode", "case_submitter_id", "MRN", "individual")
        ),
    ],
)
def test_names_of_other_fields_are_refused_too(column: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"rename it to `{meant}`"):
        names("path", column)


@pytest.mark.parametrize(
    ("column", "value", "meant"),
    [
        ("qupath_geojson", "a.geojson", True),
        ("Tumor_annotation", "a.xml", True),
        ("regions of interest", "r/A.JSON", True),
        ("polygons", "a.json", True),
        ("mask", "a.xml", True),
        ("ground truth", "a.geojson", True),
        ("mask", "a.png", False),
        ("Tumor_annotation", "yes", False),
        ("clinical", "a.xml", False),
        ("polygons", None, False),
    ],
)
def test_a_column_of_annotation_files_is_known_by_its_values(
    column: str, value: str | None, meant: bool
) -> None:
    rows: list[tuple[int, dict[str, Any]]] = [(2, {"path": "a.svs", column: None})]
    rows.append((3, {"path": "b.svs", column: value}))
    if meant:
        with pytest.raises(UsageError, match=f"the column {column!r} is not known; rename it to `roi`"):
            match_columns(["path", column], rows, MANIFEST_COLUMNS, "t.csv")
    else:
        assert match_columns(["path", column], rows, MANIFEST_COLUMNS, "t.csv") == (["path", column], rows)
    assert match_columns(["path", column], rows, LABELS, "t.csv")[0] == ["path", column]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("P1 ", "P1"), (101.0, "101"), (101, "101"), (0.5, "0.5"), (0, "0"), ("0", "0"), ("NAN-1", "NAN-1"),
        *((empty, None) for empty in (None, "", " ", "NA", "n/a", "nan", math.nan, "None", "null", "<NA>")),
    ],
)  # fmt: skip
def test_cells_are_text_or_empty(value: object, text: str | None) -> None:
    assert cell_text(value) == text


def test_the_patient_of_all_rows_is_from_one_column() -> None:
    assert patient_of({"case_id": "c", "patient": "p"}) == "p"
    assert patient_of({"case_id": "c", "patient": ""}) is None
    assert patient_of({"case_id": "c", "patient": None}) is None
    assert patient_of({"case_id": "c"}) == "c"
    assert patient_of({"slide_id": "s"}) is None


FURTHER = """label hospital split fold site study_id site_id image_id scanner patient_age patient_sex
annotator pathologist row x map roi_x has_roi pT px umap"""


@pytest.mark.parametrize("column", [*FURTHER.split(), "", "Unnamed: 0"])
def test_further_columns_are_left_alone(column: str) -> None:
    assert names("path", column) == ["path", column]


@pytest.mark.parametrize("column", ["slide_path", "Filename", "slide", "paths", "WSI"])
def test_the_path_is_meant_by_many_names(column: str) -> None:
    with pytest.raises(UsageError, match="rename it to `path`"):
        names(column, "mpp")


@pytest.mark.parametrize(
    "columns", [(" mpp", "mpp"), ("mpp", "MPP"), ("roi", "roi"), ("slide id", "slide_id")]
)
def test_two_columns_of_one_name_are_refused(columns: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=r"^t\.csv: '.*' and '.*' are both `.*`; keep one column"):
        names("path", *columns)
    assert names("path", "note", "note", "", "") == ["path", "note", "note", "", ""]


def test_labels_know_other_columns() -> None:
    assert names("Slide", " Label", "CASE_ID", "mpp_x", known=LABELS) == [
        "slide",
        "label",
        "case_id",
        "mpp_x",
    ]
    for column, meant in (("folds", "fold"), ("fold_0", "fold"), ("splits", "split"), ("labels", "label")):
        with pytest.raises(UsageError, match=f"rename it to `{meant}`"):
            names("slide_id", column, known=LABELS)


def test_rows_get_the_names_too() -> None:
    rows = [(2, {"Path": "a.svs", "Note": 1})]
    assert match_columns(["Path", "Note"], rows, MANIFEST_COLUMNS, "t") == (
        ["path", "Note"],
        [(2, {"path": "a.svs", "Note": 1})],
    )


def test_the_first_name_with_a_value_counts() -> None:
    assert first_of({"patient": "", "patient_id": "p", "case_id": "c"}, PATIENT) == "p"
    assert first_of({"patient": None, "x": "y"}, PATIENT) is None


def read(folder: Path, text: str) -> list[tuple[int, dict[str, str]]]:
    path = folder / "t.csv"
    path.write_text(text, "utf-8-sig")
    return read_manifest(path)


@pytest.mark.parametrize(
    "text",
    [
        "path, mpp, roi\na.svs, 0.5, r.xml\n",
        '"Path","MPP","ROI"\n"a.svs","0.5","r.xml"\n',
        'path, "mpp", "roi"\na.svs, "0.5", "r.xml"\n',
        "path;MPP;roi\na.svs;0.5;r.xml\n",
        "path,mpp,roi,\na.svs,0.5,r.xml,\n",
        "path,mpp,roi\na.svs,0.5,r.xml,\n",
        ",path,mpp,roi\n0,a.svs,0.5,r.xml\n",
    ],
)
def test_one_manifest_is_read_however_it_is_written(tmp_path: Path, text: str) -> None:
    ((number, row),) = read(tmp_path, text)
    assert (number, row["path"], row["mpp"], row["roi"]) == (2, "a.svs", "0.5", "r.xml")


def test_values_without_a_column_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"t\.csv, row 3: more values than columns; put .* into quotes"):
        read(tmp_path, "path,mpp\na.svs,0.5\nb, c.svs,0.5\n")


def test_columns_of_parquet_are_matched_too(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"Path": ["a.svs"], " mpp": [0.5]}), path)
    assert read_table(path, "table", MANIFEST_COLUMNS) == (
        ["path", "mpp"],
        [(1, {"path": "a.svs", "mpp": 0.5})],
    )


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        *(
            (column, "20", True)
            for column in ("magnification", "Objective Power", "mag", "level0_magnification")
        ),
        *(("Magnification", value, True) for value in ("40x", "20 X", "2.5", "20\u00d7")),
        *(("magnification", value, False) for value in (None, "high", "20x/0.75", "-1")),
        *((column, "20", False) for column in ("image", "magenta", "label", "powers", "stage")),
    ],
)
def test_magnifications_are_known_by_name_and_value(column: str, value: str | None, found: bool) -> None:
    assert magnification_column({"path": "a.svs", column: value}) == (column if found else None)
