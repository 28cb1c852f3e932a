"""Tiles of a store: their classes from regions and tables, their split by slide."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.evaluate.made import EXTENT, MadeSlide, annotate, made_store, region, table
from wsi_embed.errors import SlideError, StoreError, UsageError
from wsi_embed.evaluate.store_labels import labels_by_regions, labels_by_table
from wsi_embed.evaluate.store_tiles import read_splits, store_tiles
from wsi_embed.store import Store, open_store

CLASSES = {"Tumor": "tumour", "Stroma": "stroma"}


def features(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Four slides of 16 tiles, four a row, and one without tiles. Do not change it."""
    slides = {name: MadeSlide(features(16, n), patient=f"p{n // 2}") for n, name in enumerate("abcd")}
    slides["empty"] = MadeSlide(features(0))
    path = tmp_path_factory.mktemp("store") / "f.zarr"
    return made_store(path, slides, model={"training_slides": ["d"]})


@pytest.fixture(scope="module")
def regions_of(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a, c and d: tumour above, stroma below it and over its last row."""
    folder = tmp_path_factory.mktemp("annotations")
    for slide_id in "acd":
        annotate(folder, slide_id, region("Stroma", (1, 0), (2, 3)), region("TUMOR", (0, 0), (1, 3)))
    return folder


def test_regions_in_order_of_precedence(store: Store, regions_of: Path) -> None:
    found = labels_by_regions(store, regions_of, CLASSES)
    assert found.names == ("tumour", "stroma")
    assert found.codes["a"].reshape(4, 4).tolist() == [[0] * 4, [0] * 4, [1] * 4, [-1] * 4]
    assert found.codes.keys() == {"a", "c", "d"}
    assert found.notes == ("2 slides without annotations left out: b, empty",)
    turned = labels_by_regions(store, regions_of, dict(reversed(CLASSES.items())), "rest")
    assert turned.names == ("stroma", "tumour", "rest")
    assert turned.codes["a"].reshape(4, 4)[:, 0].tolist() == [1, 0, 0, 2]


def test_two_classes_of_regions_under_one_name(store: Store, regions_of: Path) -> None:
    found = labels_by_regions(store, regions_of, {"tumor": "tissue", "stroma": "tissue"}, "tissue")
    assert found.names == ("tissue",)
    assert (found.codes["a"] == 0).all()


def test_a_region_of_a_derived_class_is_of_its_base(store: Store, tmp_path: Path) -> None:
    annotate(tmp_path, "a", region("Tumor: Positive", (0, 0), (0, 3)), region("Tumor", (1, 0), (1, 3)))
    codes = labels_by_regions(store, tmp_path, {"tumor": "t"}).codes["a"].reshape(4, 4)[:, 0]
    assert codes.tolist() == [0, 0, -1, -1]
    both = labels_by_regions(store, tmp_path, {"Tumor": "t", "Tumor: Positive": "p"}).codes["a"]
    assert both.reshape(4, 4)[:, 0].tolist() == [1, 0, -1, -1]


def test_what_annotations_leave_out_is_a_note(store: Store, tmp_path: Path) -> None:
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}}
    annotate(tmp_path, "a", region("Tumor", (0, 0), (0, 3)), point)
    notes = labels_by_regions(store, tmp_path, {"Tumor": "t"}).notes
    assert "a.geojson: left out, because they are no areas: 1 Point" in notes
    small = region("Tumor", (0, 0), (0, 0))
    small["geometry"]["coordinates"] = [[[0, 0], [200, 0], [200, 200], [0, 0]]]
    annotate(tmp_path, "a", small)
    notes = labels_by_regions(store, tmp_path, {"Tumor": "t"}).notes
    assert any(note.startswith("a.geojson: every region is smaller than one tile (800") for note in notes)


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ({}, r"name the classes, in order of precedence; the annotations have stroma \(3\), tumor \(3\)"),
        ({"fat": "fat"}, "no region of class fat; the annotations have stroma"),
    ],
)
def test_classes_that_are_not_there(
    store: Store, regions_of: Path, classes: dict[str, str], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        labels_by_regions(store, regions_of, classes)


def test_annotations_of_other_slides(store: Store, tmp_path: Path) -> None:
    annotate(tmp_path / "none", "z", region("Tumor", (0, 0), (1, 1)))
    with pytest.raises(UsageError, match="no file for any of 5 slides"):
        labels_by_regions(store, tmp_path / "none", CLASSES)
    annotate(tmp_path / "far", "a", region("Tumor", (20, 20), (21, 21)))
    with pytest.raises(SlideError, match="all its annotations lie outside the slide"):
        labels_by_regions(store, tmp_path / "far", CLASSES)


def test_a_table_by_place(store: Store, tmp_path: Path) -> None:
    lines = [f"a,{c * EXTENT},{r * EXTENT},{'xy'[c % 2] if r else ''}" for r in range(4) for c in range(4)]
    source = table(tmp_path / "t.csv", "slide_id,x,y,kind", *lines, "a,5,5,x", "z,0,0,x")
    found = labels_by_table(store, source, column="kind")
    assert found.codes["a"].reshape(4, 4).tolist() == [[-1] * 4] + [[0, 1, 0, 1]] * 3
    assert found.names == ("x", "y")
    assert found.notes == ("2 labelled tiles of t.csv not in the store",)
    spelt = table(tmp_path / "t.csv", "Slide ID, X,Y ,Kind", *lines)
    assert labels_by_table(store, spelt, column="kind").codes["a"].tolist() == found.codes["a"].tolist()


@pytest.mark.parametrize(
    ("header", "line", "says"),
    [
        ("slide_id,x,label", "a,0,l", "no column y; it has slide_id, x, label"),
        ("slide_id,x,y,label", "a,0.5,0,l", "row 2: x and y are not whole numbers"),
        ("slide_id,x,y,label", "a,1,0,l", "no row matches a tile of"),
        ("slide_id,x,y,label", "a,0,0,l\na,0,0,m", "row 3: that tile has another label above"),
    ],
)
def test_tables_that_are_wrong(store: Store, tmp_path: Path, header: str, line: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        labels_by_table(store, table(tmp_path / "t.csv", header, line))


def test_splits_by_slide_and_patient(store: Store, tmp_path: Path) -> None:
    source = table(tmp_path / "s.csv", "patient,slide_id,split", "p0,,train", ",c.tif,test", ",d,hold-out")
    assert read_splits(store, source) == {"a": "train", "b": "train", "c": "test"}
    source = table(tmp_path / "s.csv", "Case ID, Slide ,SPLIT", "p0,,Train", ",c.tif,TEST")
    assert read_splits(store, source) == {"a": "train", "b": "train", "c": "test"}


@pytest.mark.parametrize(
    ("header", "lines", "says"),
    [
        ("slide_id,part", ["a,train"], "needs the columns `slide_id`"),
        ("slide_id,split", ["a,train", "a.tif,test"], "row 3: slide a is in train and in test"),
    ],
)
def test_splits_that_are_wrong(
    store: Store, tmp_path: Path, header: str, lines: list[str], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        read_splits(store, table(tmp_path / "s.csv", header, *lines))


def test_tiles_with_their_features(store: Store, regions_of: Path) -> None:
    labels = labels_by_regions(store, regions_of, CLASSES)
    found = store_tiles(store, labels, {"a": "train", "b": "train", "c": "test"})
    assert found.tiles.labels.tolist() == (["tumour"] * 8 + ["stroma"] * 4) * 2
    assert found.tiles.test.tolist() == [False] * 12 + [True] * 12
    assert found.tiles.groups.tolist() == ["p0"] * 12 + ["p1"] * 12
    assert found.tiles.names[5] == "a (800, 800)"
    np.testing.assert_array_equal(found.features[12:], features(16, 2)[:12].astype(np.float16))
    assert found.notes[:2] == (
        "2 slides without annotations left out: b, empty",
        "1 slide with labels but no split left out: d",
    )
    assert found.seen == {"slides": [], "tiles": 0, "known_tiles": 0}


@pytest.mark.parametrize("damage", ["zarr.json", "features/zarr.json", "features/c/0/0", "coords/c/0/0"])
def test_a_damaged_slide_is_left_out_with_a_note(
    tmp_path: Path, store: Store, regions_of: Path, damage: str
) -> None:
    path = Path(shutil.copytree(store.path, tmp_path / "f.zarr"))
    (path / "a" / damage).write_bytes(b"[]")
    broken = open_store(path)
    labels = labels_by_regions(broken, regions_of, CLASSES)
    found = store_tiles(broken, labels, {"a": "train", "c": "train", "d": "test"})
    assert set(found.tiles.slides) == {"c", "d"}
    assert [note for note in found.notes if note.startswith("left out, a")]
    for name in "cd":
        (path / name / "features" / "zarr.json").write_bytes(b"")
    with pytest.raises((StoreError, UsageError)):
        store_tiles(broken, labels, {"a": "train", "c": "train", "d": "test"})


def test_a_table_skips_a_damaged_slide(tmp_path: Path, store: Store) -> None:
    path = Path(shutil.copytree(store.path, tmp_path / "f.zarr"))
    (path / "a" / "zarr.json").write_text("[" * 100_000)
    source = table(tmp_path / "t.csv", "slide_id,x,y,label", "a,0,0,t", "b,0,0,t")
    found = labels_by_table(open_store(path), source)
    assert found.codes.keys() == {"b"}
    assert found.notes[0].startswith("left out, a: not a readable Zarr group")


def test_a_sample_of_each_slide_and_class(store: Store, regions_of: Path) -> None:
    labels = labels_by_regions(store, regions_of, CLASSES)
    splits = {"a": "train", "c": "test"}
    first, again = (store_tiles(store, labels, splits, max_tiles=5, seed=1) for _ in range(2))
    assert first.tiles.labels.tolist() == (["tumour"] * 5 + ["stroma"] * 4) * 2
    assert first.tiles.names == again.tiles.names
    assert first.tiles.names != store_tiles(store, labels, splits, max_tiles=5, seed=2).tiles.names
    assert "a sample of 18 of 24 labelled tiles" in " ".join(first.notes)


def test_slides_that_the_model_was_trained_on_are_said(store: Store, regions_of: Path) -> None:
    labels = labels_by_regions(store, regions_of, CLASSES)
    found = store_tiles(store, labels, {"a": "train", "d": "test"})
    assert found.seen == {"slides": ["d"], "tiles": 0, "known_tiles": 0}
    assert "the model was trained on 1 slide of the test set (d)" in found.notes[-1]


def test_a_patient_on_both_sides_is_refused(store: Store, regions_of: Path) -> None:
    labels = labels_by_regions(store, regions_of, CLASSES)
    found = store_tiles(store, labels, {"c": "train", "d": "test"})
    with pytest.raises(UsageError, match="1 group on both sides of the split: p1"):
        found.tiles.check()


def test_labels_and_splits_of_different_slides(store: Store, regions_of: Path) -> None:
    labels = labels_by_regions(store, regions_of, CLASSES)
    with pytest.raises(UsageError, match="3 slides with labels, 1 slide in `splits=`, 0 in both"):
        store_tiles(store, labels, {"b": "train"})
