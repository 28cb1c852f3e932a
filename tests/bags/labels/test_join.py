from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bags.labels.made_labels import SLIDES, make_store
from wsi_embed.bags.labels import LabelledBags, join_labels
from wsi_embed.errors import UsageError
from wsi_embed.store import PatientBag, Store

CLASSES = dict.fromkeys(["a1", "a2", "b1"], "tumour") | dict.fromkeys(["batch%202__c1", "d.2024"], "normal")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("labels") / "feats.zarr")


def table(folder: Path, *rows: str, columns: str = "slide_id,label") -> Path:
    path = folder / "slides.csv"
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


def labels_of(found: LabelledBags) -> dict[str, str]:
    return {bag.id: bag.label for bag in found}


def test_every_bag_gets_its_label_and_its_class_a_number(store: Store) -> None:
    found = join_labels(store, CLASSES)
    assert labels_of(found) == CLASSES
    assert found.classes == ("normal", "tumour")
    assert found.targets.tolist() == [1, 1, 1, 0, 0]
    assert found.targets.dtype == np.int64
    assert [bag.patient for bag in found] == ["ann", "ann", "bo", "cy", None]
    assert found.notes == ()


@pytest.mark.parametrize(
    ("name", "slide_id"),
    [
        ("a1.svs", "a1"),
        ("A/deep/a1.SVS", "a1"),
        ("a1.h5", "a1"),
        ("b1.ome", "b1"),
        ("b1.ome.tif", "b1"),
        ("batch 2/c1.svs", "batch%202__c1"),
        ("batch 2/c1", "batch%202__c1"),
        ("C:\\slides\\c1.svs", "batch%202__c1"),
        ("c1", "batch%202__c1"),
        ("d.2024", "d.2024"),
        ("d.2024.svs", "d.2024"),
    ],
)
def test_ids_may_be_file_names(store: Store, name: str, slide_id: str) -> None:
    rest = {known: label for known, label in CLASSES.items() if known != slide_id}
    assert labels_of(join_labels(store, {**rest, name: "else"})) == {**rest, slide_id: "else"}


@pytest.mark.parametrize("name", ["a1.2024", "a", "1", "d", "x/a9.svs"])
def test_names_that_only_look_alike_are_not_joined(store: Store, name: str) -> None:
    found = join_labels(store, {**CLASSES, name: "else"}, missing="skip")
    assert labels_of(found) == CLASSES
    assert found.notes == (f"left out: labels of slides or patients that feats.zarr lacks: {name}",)


def test_one_name_of_two_slides_is_refused(tmp_path: Path) -> None:
    two = {"x__s": ("x/s.svs", None, 2), "y__s": ("y/s.svs", None, 2)}
    store = make_store(tmp_path / "f.zarr", two)
    assert labels_of(join_labels(store, {"x/s.svs": 0, "y/s.svs": 1})) == {"x__s": "0", "y__s": "1"}
    with pytest.raises(UsageError, match=r"'s\.svs' may be any of x__s, y__s; give the slide id"):
        join_labels(store, {"s.svs": 0})


def test_a_label_of_a_patient_is_that_of_each_of_the_slides(store: Store, tmp_path: Path) -> None:
    path = table(tmp_path, "ann,1", "bo,0", "cy,0", columns="patient,label")
    found = join_labels(store, path, missing="skip")
    assert labels_of(found) == {"a1": "1", "a2": "1", "b1": "0", "batch%202__c1": "0"}
    assert found.notes == ("left out: slides without a label: d.2024",)


def test_by_patient_slides_are_joined(store: Store) -> None:
    found = join_labels(store, {"ann": 1, "bo": 0, "cy": 0}, by="patient", missing="skip")
    assert {bag.id: bag.slides for bag in found} == {
        "ann": ("a1", "a2"),
        "bo": ("b1",),
        "cy": ("batch%202__c1",),
    }
    bag = found.open(store, 0)
    assert isinstance(bag, PatientBag)
    assert (bag.slide_ids, len(bag)) == (["a1", "a2"], 14)
    assert found.open(store, 1).features[:].shape == (4, 4)


def test_the_table_may_know_the_patients(tmp_path: Path) -> None:
    store = make_store(tmp_path / "f.zarr", {name: (f"{name}.svs", None, 2) for name in "xyz"})
    path = table(tmp_path, "x,p,1", "y,q,0", "z,p,1", columns="slide,patient,label")
    assert {b.id: b.slides for b in join_labels(store, path, by="patient")} == {"p": ("x", "z"), "q": ("y",)}
    assert [b.patient for b in join_labels(store, path)] == ["p", "q", "p"]


def test_numbers_are_sorted_as_numbers_and_an_order_may_be_given(store: Store) -> None:
    grades = dict(zip(SLIDES, [10, 9, 2, 9, 10], strict=True))
    assert join_labels(store, grades).classes == ("2", "9", "10")
    found = join_labels(store, grades, classes=["10", "9", "2", "1"])
    assert found.targets.tolist() == [0, 1, 2, 1, 0]
    with pytest.raises(UsageError, match="2 is not among the classes that were given, 10, 9"):
        join_labels(store, grades, classes=["10", "9"])


def test_splits_and_folds(store: Store, tmp_path: Path) -> None:
    rows = ["a1,1,train,0", "a2,1,train,0", "b1,0,test,1", "c1,0,train,1", "d.2024,1,test,0"]
    found = join_labels(store, table(tmp_path, *rows, columns="slide,label,split,fold"))
    assert [bag.id for bag in found.where(split="train")] == ["a1", "a2", "batch%202__c1"]
    assert [bag.id for bag in found.where(split="test", fold=1)] == ["b1"]
    assert found.where(split="test").classes == found.classes
    assert [bag.id for bag in found.select([3, 0])] == ["batch%202__c1", "a1"]
    with pytest.raises(UsageError, match="no labelled slide has the split val; there are test, train"):
        found.where(split="val")


def test_a_patient_on_both_sides_is_refused_where_sides_are_taken(store: Store) -> None:
    rows = [
        {"slide": slide_id, "label": label, "split": "test" if slide_id == "a2" else "train"}
        for slide_id, label in CLASSES.items()
    ]
    found = join_labels(store, Frame(rows))
    for use in (lambda: found.where(split="train"), found.check_disjoint):
        with pytest.raises(UsageError, match="patients with slides in more than one split: ann; give"):
            use()


class Frame:
    """The little of a polars data frame that is used."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows, self.columns = rows, list(rows[0])

    def to_dicts(self) -> list[dict[str, Any]]:
        return self.rows


NOBODY = {**SLIDES, "empty": ("empty.svs", None, 0)}


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({**CLASSES, "s7.svs": 1}, r"labels of slides or patients that feats\.zarr lacks: s7\.svs;"),
        ({"a1": 0, "a2": 1, "b1": 1}, r"slides without a label: batch%202__c1, d\.2024;"),
        ({**CLASSES, "a1": None}, "slides without a label: a1; correct the table"),
        ({**CLASSES, "a1.svs": "normal"}, "slide a1 has the label normal, but tumour in labels, row 1"),
        (dict.fromkeys(SLIDES, 1), "every bag has the label '1'; two classes are needed"),
        (
            {f"s{n}": 1 for n in range(9)},
            r"no label matches a .* labels name s0, s1, s2, s3, s4 and 4 more, .* a1",
        ),
        ({}, "no label matches"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(store: Store, labels: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        join_labels(store, labels)
    assert "\n" not in str(error.value)


def test_a_bag_without_tiles_is_refused_or_left_out(tmp_path: Path) -> None:
    store = make_store(tmp_path / "f.zarr", NOBODY)
    labels = {**CLASSES, "empty": "normal"}
    with pytest.raises(UsageError, match=r"slides without tiles: empty; .* `missing='skip'`"):
        join_labels(store, labels)
    found = join_labels(store, labels, missing="skip")
    assert labels_of(found) == CLASSES
    assert found.notes == ("left out: slides without tiles: empty",)


def test_contradictions_about_patients(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"patient ann has the label 0 \(a1\) and 1 \(a2\)"):
        join_labels(store, table(tmp_path, "a1,0", "a2,1"), by="patient", missing="skip")
    with pytest.raises(UsageError, match="slide a1 is of patient bo, in the store of ann"):
        join_labels(store, table(tmp_path, "a1,bo,0", columns="slide,patient,label"))
    with pytest.raises(UsageError, match=r"slide d\.2024 has no patient"):
        join_labels(store, table(tmp_path, "d.2024,0"), by="patient")
    path = table(tmp_path, "a1,,0", ",ann,1", columns="slide,patient,label")
    with pytest.raises(UsageError, match="slide a1 has the label 1, but 0 in"):
        join_labels(store, path)


def test_unknown_words_are_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="choose slide or patient"):
        join_labels(store, CLASSES, by="cohort")  # type: ignore[arg-type]
