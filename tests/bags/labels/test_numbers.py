"""Times, events and numbers of a table, joined to bags; and what is wrong with a table, one line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bags.labels.made_labels import make_store
from wsi_embed.bags.labels import join_survival, join_values
from wsi_embed.errors import UsageError
from wsi_embed.store import Store

IDS = ("a1", "a2", "b1", "batch%202__c1", "d.2024")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("labels") / "feats.zarr")


def table(folder: Path, columns: str, *rows: str) -> Path:
    path = folder / "t.csv"
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


def test_times_and_events(store: Store, tmp_path: Path) -> None:
    rows = ("a1,3,1,train", "a2,3.0,True,train", "b1,0,0,test", "c1,12.5,1.0,test", "d.2024,7,0,test")
    bags = join_survival(
        store, table(tmp_path, "slide,OS months,dead,split", *rows), time="os_months", event="dead"
    )
    assert [bag.id for bag in bags] == list(IDS)
    assert bags.columns == ("os_months", "dead")
    np.testing.assert_array_equal(bags.values, [[3, 1], [3, 1], [0, 0], [12.5, 1], [7, 0]])
    assert [bag.label for bag in bags][2:4] == ["0 (censored)", "12.5 (event)"]
    assert [bag.split for bag in bags].count("test") == 3
    with pytest.raises(UsageError, match=r"these bags have no classes, but numbers \(os_months, dead\)"):
        _ = bags.targets


def test_the_values_of_patients(store: Store, tmp_path: Path) -> None:
    path = table(tmp_path, "patient,age", "ann,61", "bo,44.5", "cy,NA", "eve,")
    bags = join_values(store, path, target="age", by="patient", missing="skip")
    assert {bag.id: (bag.slides, bag.values) for bag in bags} == {
        "ann": (("a1", "a2"), (61.0,)),
        "bo": (("b1",), (44.5,)),
    }


def test_a_mapping_of_numbers(store: Store) -> None:
    bags = join_values(store, dict(zip(IDS, range(5), strict=True)), target="label")
    assert bags.values[:, 0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("columns", "rows", "says"),
    [
        ("slide,time", (), "labels need the columns `slide_id` .*, `time` and `event` .* it has slide, time"),
        ("slide,time,event", ("a1,-1,1",), "row 2: time -1 is negative; correct it"),
        ("slide,time,event", ("a1,3,1", "a2,,1"), "row 3: no time; fill it in, or empty the whole row"),
        ("slide,time,event", ("a1,3,NA",), "row 2: no event; fill it in"),
        ("slide,time,event", ("a1,3,2",), "row 2: event '2' is neither 0 nor 1; write 1 for an observed"),
        ("slide,time,event", ("a1,3,dead",), "event 'dead' is neither 0 nor 1"),
        ("slide,time,event", ("a1,3 months,1",), "time '3 months' is not a number; write 12.5, or leave"),
        ("slide,time,event", ("a1,inf,1",), "time 'inf' is not a number"),
        ("slide,time,event", ("a1,3,1", "a1,4,1"), r"slide a1 has the label 4 \(event\), but 3 \(event\) in"),
        (
            "slide,time,event",
            [f"{name},3,0" for name in IDS],
            "no bag has an event, all values of `event` are 0",
        ),
        ("slide,time,events", ("a1,3,0",), "the column 'events' is not known; rename it to `event`"),
    ],
)
def test_wrong_times_and_events(
    store: Store, tmp_path: Path, columns: str, rows: tuple[str, ...], says: str
) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        join_survival(store, table(tmp_path, columns, *rows))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("a1,old", "row 2: age 'old' is not a number"),
        ("a1,nan", "no label matches a slide with tiles"),
        *[("\n".join(f"{name},7" for name in IDS), "every bag has the age 7: there is nothing to predict")],
    ],
)
def test_wrong_values(store: Store, tmp_path: Path, rows: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        join_values(store, table(tmp_path, "slide,age", rows), target="age")


@pytest.mark.parametrize("how", [{"by": "cohort"}, {"missing": "drop"}])
def test_unknown_words(store: Store, tmp_path: Path, how: dict[str, Any]) -> None:
    rows = [f"{name},{number}" for number, name in enumerate(IDS)]
    with pytest.raises(UsageError, match="choose"):
        join_values(store, table(tmp_path, "slide,target", *rows), **how)
    with pytest.raises(UsageError, match="time and event are the same column, `x`"):
        join_survival(store, table(tmp_path, "slide,x", "a1,1"), time="x", event="x")
