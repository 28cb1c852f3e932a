from __future__ import annotations

import csv
import errno
import math
import re
from pathlib import Path
from typing import Any

import pytest

from tests.made_slides import dicom_bytes
from wsi_embed.errors import UsageError
from wsi_embed.inputs.slides import SlideInput, find_slides
from wsi_embed.inputs.tables import read_table


def put(folder: Path, *names: str, content: bytes = b"slide") -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def ids(*sources: Path) -> list[str]:
    return [item.slide_id for item in find_slides(sources)]


class TestFolders:
    def test_slides_are_found_at_any_depth_and_sorted_by_id(self, tmp_path: Path) -> None:
        put(tmp_path, "b.svs", "sub/deep/a.tiff", "a.NDPI", "notes.txt", "table.csv", "a.mrxs/Data0000.dat")
        found = find_slides([tmp_path])
        assert [(s.slide_id, s.name) for s in found] == [
            ("a", "a.NDPI"),
            ("b", "b.svs"),
            ("sub__deep__a", "sub/deep/a.tiff"),
        ]
        assert [s.path for s in found] == [tmp_path / s.name for s in found]

    def test_a_file_by_itself_is_called_by_its_stem_and_may_have_any_extension(self, tmp_path: Path) -> None:
        put(tmp_path, "sub/a.svs", "sub/b.xyz")
        found = find_slides([tmp_path / "sub" / "a.svs", tmp_path / "sub" / "b.xyz"])
        assert [(s.slide_id, s.name) for s in found] == [("a", "a.svs"), ("b", "b.xyz")]

    def test_the_mac_finders_shadow_files_are_no_slides(self, tmp_path: Path) -> None:
        put(tmp_path, "a.svs", "._a.svs", ".DS_Store", ".svs")
        assert ids(tmp_path) == ["a"]

    def test_a_folder_called_like_a_slide_is_searched_and_not_taken(self, tmp_path: Path) -> None:
        put(tmp_path, "case.svs/a.svs")
        assert ids(tmp_path) == ["case.svs__a"]

    def test_the_jpegs_of_a_vms_slide_are_no_slides(self, tmp_path: Path) -> None:
        put(tmp_path, "sub/a.jpg", "sub/a_macro.jpg", "other.jpg", "sub/other.jpg")
        put(tmp_path, "sub/a.vms", content=b"[Virtual]\nImageFile=a.jpg\nMacroImage=a_macro.jpg\n")
        assert [s.name for s in find_slides([tmp_path])] == ["other.jpg", "sub/a.vms", "sub/other.jpg"]

    def test_dicom_files_of_one_series_are_one_slide(self, tmp_path: Path) -> None:
        put(tmp_path, "1.dcm", "2.dcm", content=dicom_bytes("1.2.3"))
        put(tmp_path, "3.dcm", content=dicom_bytes("1.2.4"))
        put(tmp_path, "sub/4.dcm", content=dicom_bytes("1.2.3"))
        put(tmp_path, "5.dcm", "6.dcm", content=b"not DICOM")
        assert ids(tmp_path) == ["1", "3", "5", "6", "sub__4"]

    def test_damaged_dicom_without_suffix_is_a_slide_so_that_it_fails(self, tmp_path: Path) -> None:
        put(tmp_path, "a.svs", "README", "LICENSE")
        nested = b"\x08\x00\x10\x11SQ\x00\x00\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff" * 99
        put(tmp_path, "NESTED", content=b"\x00" * 128 + b"DICM" + nested * 99)
        put(tmp_path, "1.2.840.3", content=dicom_bytes("1.2.3")[:140])
        directory = b"1.2.840.10008.1.3.10"
        element = b"\x02\x00\x02\x00UI" + len(directory).to_bytes(2, "little") + directory
        put(tmp_path, "DICOMDIR", content=b"\x00" * 128 + b"DICM" + element)
        assert ids(tmp_path) == ["1.2.840.3", "NESTED", "a"]

    def test_a_file_without_suffix_that_cannot_be_read_is_a_slide_so_that_it_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(tmp_path, "a.svs", "BROKEN", "private")

        def read(path: Path) -> None:
            raise OSError(errno.EIO, "I/O error") if path.name == "BROKEN" else PermissionError(path)

        monkeypatch.setattr("wsi_embed.inputs.folders.dicom_series", read)
        assert ids(tmp_path) == ["BROKEN", "a"]

    def test_files_and_folders_can_be_mixed_and_a_file_given_twice_counts_once(self, tmp_path: Path) -> None:
        put(tmp_path, "a.svs", "sub/b.svs")
        assert ids(tmp_path, tmp_path / "a.svs", tmp_path / "sub") == ["a", "b", "sub__b"]

    @pytest.mark.parametrize("names", [("a.svs", "a.tif"), ("x/a.svs", "x__a.svs")])
    def test_two_slides_with_one_id_are_refused_and_both_named(
        self, tmp_path: Path, names: tuple[str, str]
    ) -> None:
        put(tmp_path, *names)
        with pytest.raises(UsageError, match="two slides have the id") as caught:
            find_slides([tmp_path])
        assert all(str(tmp_path / name) in str(caught.value) for name in names)

    def test_slides_of_two_folders_can_clash(self, tmp_path: Path) -> None:
        put(tmp_path, "1/a.svs", "2/a.svs")
        with pytest.raises(UsageError, match="two slides have the id 'a'"):
            find_slides([tmp_path / "1", tmp_path / "2"])

    def test_a_missing_path_is_a_usage_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"gone: no such file or folder") as caught:
            find_slides([tmp_path / "gone"])
        assert caught.value.exit_code == 2

    def test_a_folder_without_slides_is_a_usage_error(self, tmp_path: Path) -> None:
        put(tmp_path, "notes.txt")
        with pytest.raises(UsageError, match=f"no slides found in {tmp_path}"):
            find_slides([tmp_path])

    def test_a_store_is_not_a_folder_of_slides(self, tmp_path: Path) -> None:
        put(tmp_path, "zarr.json", "a.svs")
        with pytest.raises(UsageError, match="is a store, not a folder of slides"):
            find_slides([tmp_path])


Row = dict[str, Any]


def manifest(folder: Path, kind: str, rows: list[Row]) -> Path:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    path = folder / f"slides.{kind}"
    if kind == "parquet":
        pa = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pa.table({c: [row.get(c) for row in rows] for c in columns}), path)
        return path
    with path.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet"])
class TestManifests:
    def test_every_column_is_read(self, tmp_path: Path, kind: str) -> None:
        row = {
            "path": "sub/a.svs",
            "slide_id": "S-1",
            "patient": "P1",
            "mpp": 0.25,
            "roi": "roi/a.geojson",
            "x": 1,
        }
        assert find_slides([manifest(tmp_path, kind, [row])]) == [
            SlideInput("S-1", tmp_path / "sub/a.svs", "sub/a.svs", "P1", 0.25, tmp_path / "roi/a.geojson")
        ]

    def test_columns_are_found_in_any_spelling(self, tmp_path: Path, kind: str) -> None:
        row = {" Path": "a.svs", "Slide ID": "S-1", "Case_ID": "P1", "MPP ": 0.25, "roi ": "r.geojson"}
        assert find_slides([manifest(tmp_path, kind, [row])]) == [
            SlideInput("S-1", tmp_path / "a.svs", "a.svs", "P1", 0.25, tmp_path / "r.geojson")
        ]

    def test_only_the_path_is_needed(self, tmp_path: Path, kind: str) -> None:
        rows = [{"path": "sub/b.svs"}, {"path": "a.svs"}]
        assert find_slides([manifest(tmp_path, kind, rows)]) == [
            SlideInput("a", tmp_path / "a.svs", "a.svs"),
            SlideInput("b", tmp_path / "sub/b.svs", "sub/b.svs"),
        ]

    @pytest.mark.parametrize("empty", [None, "", "  "])
    def test_empty_cells_are_as_good_as_none(self, tmp_path: Path, kind: str, empty: str | None) -> None:
        row = {"path": " a.svs ", "slide_id": empty, "patient": empty, "mpp": empty, "roi": empty}
        path = manifest(tmp_path, kind, [row])
        assert find_slides([path]) == [SlideInput("a", tmp_path / "a.svs", "a.svs")]

    @pytest.mark.parametrize("word", ["NA", "n/a", "nan", "None", "NULL"])
    def test_words_for_no_value_are_none(self, tmp_path: Path, kind: str, word: str) -> None:
        rows = [{"path": f"{name}.svs", "slide_id": word, "patient": word, "mpp": word} for name in "ab"]
        expected = [SlideInput(name, tmp_path / f"{name}.svs", f"{name}.svs") for name in "ab"]
        assert find_slides([manifest(tmp_path, kind, rows)]) == expected

    def test_patients_of_two_columns_are_not_mixed(self, tmp_path: Path, kind: str) -> None:
        rows = [
            {"path": "a.svs", "patient": "", "case_id": "2"},
            {"path": "b.svs", "patient": "2", "case_id": "1"},
        ]
        assert [item.patient for item in find_slides([manifest(tmp_path, kind, rows)])] == [None, "2"]

    def test_an_absolute_path_is_taken_but_not_recorded(self, tmp_path: Path, kind: str) -> None:
        path = manifest(tmp_path, kind, [{"path": "/data/slides/a.svs"}])
        assert find_slides([path]) == [SlideInput("a", Path("/data/slides/a.svs"), "a.svs")]

    def test_ids_settle_a_clash(self, tmp_path: Path, kind: str) -> None:
        rows = [{"path": "1/a.svs", "slide_id": "one"}, {"path": "2/a.svs", "slide_id": "two"}]
        assert ids(manifest(tmp_path, kind, rows)) == ["one", "two"]

    def test_a_clash_is_refused_and_both_are_named(self, tmp_path: Path, kind: str) -> None:
        path = manifest(tmp_path, kind, [{"path": "1/a.svs"}, {"path": "2/a.svs"}])
        with pytest.raises(UsageError, match=r"id 'a': .*1/a\.svs and .*2/a\.svs"):
            find_slides([path])

    def test_one_slide_twice_with_different_facts_is_refused(self, tmp_path: Path, kind: str) -> None:
        put(tmp_path, "a.svs")
        same = manifest(tmp_path, kind, [{"path": "a.svs", "mpp": 0.5}] * 2)
        assert ids(same) == ["a"]
        other = manifest(tmp_path, kind, [{"path": "a.svs", "mpp": 0.5}, {"path": "a.svs", "mpp": 0.25}])
        with pytest.raises(UsageError, match="given twice, with different patient, mpp or roi"):
            find_slides([other])

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            ({"path": ""}, "the path is empty"),
            ({"path": "b.svs", "mpp": "fine"}, "mpp 'fine' is not a number"),
            ({"path": "b.svs", "mpp": "0_5"}, "mpp '0_5' is not a number"),
            ({"path": "b.svs", "slide_id": "a/b"}, "slide_id 'a/b' may hold only"),
            ({"path": "b.svs", "slide_id": "__b"}, "slide_id '__b' may hold only"),
        ],
    )
    def test_a_bad_row_is_named_by_its_number(
        self, tmp_path: Path, kind: str, bad: Row, message: str
    ) -> None:
        path = manifest(tmp_path, kind, [{"path": "a.svs"}, bad])
        # a CSV file's header is its row 1, as a spreadsheet counts
        number = 3 if kind == "csv" else 2
        with pytest.raises(UsageError, match=re.escape(f"{path}, row {number}: {message}")):
            find_slides([path])

    def test_a_manifest_without_paths_says_what_it_has(self, tmp_path: Path, kind: str) -> None:
        path = manifest(tmp_path, kind, [{"file": "a.svs", "patient": "P1"}])
        with pytest.raises(UsageError, match=r"needs a column `path` .* it has file, patient"):
            find_slides([path])

    def test_what_is_not_a_manifest_is_refused(self, tmp_path: Path, kind: str) -> None:
        put(tmp_path, f"a.{kind}", content=b"\xff\xfe\x00\x80 no text")
        with pytest.raises(UsageError, match="cannot be read as a"):
            find_slides([tmp_path / f"a.{kind}"])


def test_whole_numbers_that_parquet_holds_as_floats_are_whole(tmp_path: Path) -> None:
    rows = [
        {"path": "a.svs", "slide_id": 1.0, "patient": 101.0, "mpp": 1.0},
        {"path": "b.svs", "slide_id": 2.0, "patient": math.nan, "mpp": math.nan},
    ]
    items = find_slides([manifest(tmp_path, "parquet", rows)])
    assert [(item.slide_id, item.patient, item.mpp) for item in items] == [
        ("1", "101", 1.0),
        ("2", None, None),
    ]


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;"])
def test_a_line_that_says_the_delimiter_is_no_header(line: str, tmp_path: Path) -> None:
    put(tmp_path, "a.csv", content=f"{line}\r\npath;mpp\r\na.svs;0,5\r\nb.svs;x\r\n".encode("utf-8-sig"))
    with pytest.raises(UsageError, match=r"a\.csv, row 4: mpp 'x'"):
        find_slides([tmp_path / "a.csv"])
    put(tmp_path, "a.csv", content=f"{line}\npath;note, or, so\na.svs;0,5\n".encode())
    assert [item.name for item in find_slides([tmp_path / "a.csv"])] == ["a.svs"]


def test_blank_lines_of_a_csv_count_as_rows(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", content=b"path,mpp\na.svs,0.5\n\n\nb.svs,x\n")
    with pytest.raises(UsageError, match=r"a\.csv, row 5: mpp 'x'"):
        find_slides([tmp_path / "a.csv"])


@pytest.mark.parametrize(("suffix", "mark"), [(".csv", ";"), (".csv", "\t"), (".tsv", "\t"), (".csv", ",")])
def test_semicolons_and_tabs_separate_too(tmp_path: Path, suffix: str, mark: str) -> None:
    (tmp_path / "a, b.svs").touch()
    rows = [["path", "patient", "mpp"], ['"a, b.svs"', "p;1" if mark == "\t" else "p1", "0.25"]]
    path = tmp_path / f"list{suffix}"
    path.write_text("\n".join(mark.join(row) for row in rows), "utf-8-sig")
    (item,) = find_slides([path])
    assert (item.name, item.patient, item.mpp) == ("a, b.svs", rows[1][1], 0.25)


def test_a_csv_as_excel_writes_it_is_read(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", content="path,patient\r\na.svs,Schürmann\r\n".encode("utf-8-sig"))
    assert find_slides([tmp_path / "a.csv"])[0].patient == "Schürmann"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_comments_of_a_manifest_are_passed_over(mark: str, end: str, tmp_path: Path) -> None:
    """But no slide is: not even one that is called like a comment."""
    lines = [
        "# slides; of the first batch, chosen\tby hand", "#", "", mark.join(["path", "mpp"]),
        mark.join(["a.svs", "0.5"]), f"# doubtful{mark} in all {mark}{mark} respects",
        mark.join(["#b.svs", "0.25"]), mark.join(["#c.svs", "0.25"]),
    ]  # fmt: skip
    put(tmp_path, "#b.svs", "a.csv", content=end.join(lines).encode("utf-8-sig"))
    items = find_slides([tmp_path / "a.csv"])
    assert [(item.name, item.mpp) for item in items] == [("#b.svs", 0.25), ("a.svs", 0.5)]


def test_rows_are_counted_with_the_comments_above_them(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", content=b"# one\n\n# two\npath,mpp\na.svs,0.5\n#\nb.svs,x\n")
    with pytest.raises(UsageError, match=r"a\.csv, row 7: mpp 'x'"):
        find_slides([tmp_path / "a.csv"])


def test_a_header_that_is_a_comment_is_none(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", content=b"#path,mpp\na.svs,0.5\n")
    with pytest.raises(
        UsageError, match=r"needs a column `path` .* it has a\.svs, 0\.5; .* begins with # is a"
    ):
        find_slides([tmp_path / "a.csv"])


def test_a_manifest_in_another_encoding_says_which_is_needed(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", content="path,patient\na.svs,Schürmann\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"cannot be read as a CSV manifest .*; save it as UTF-8"):
        find_slides([tmp_path / "a.csv"])


def test_a_folder_in_place_of_a_table_is_named_as_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        read_table(tmp_path, "table", (("path",), ("label", "class")))
    assert str(error.value) == (
        f"{tmp_path}: is a folder, not a table; give a CSV, TSV or Parquet file with the columns path, label"
    )


def test_a_manifest_with_only_a_header_holds_no_slides(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", content=b"path\n")
    with pytest.raises(UsageError, match="no slides found"):
        find_slides([tmp_path / "a.csv"])


@pytest.mark.parametrize("column", ["path", "roi", "patient"])
def test_a_nul_in_a_manifest_is_named(tmp_path: Path, column: str) -> None:
    cells = {"path": "a.svs", "roi": "a.xml", "patient": "p"} | {column: "x\0y"}
    (tmp_path / "list.csv").write_bytes(f"{','.join(cells)}\n{','.join(cells.values())}\n".encode())
    with pytest.raises(UsageError, match=f"row 2: {column} contains a NUL character"):
        find_slides([tmp_path / "list.csv"])
