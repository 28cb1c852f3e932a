"""What `verify` says of groups that were lost, moved, doubled or added, and of files that do not belong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.store.made_stores import make_encoded, make_settings, open_writer, write_slide
from wsi_embed.storage.folder import LocalPlace
from wsi_embed.store import StoreSettings, finalize, open_store, verify
from wsi_embed.store.members import record, recorded
from wsi_embed.util.atomic_files import replacing
from wsi_embed.util.digest import canonical_digest

Change = Callable[[Path], object]


@pytest.fixture
def store(tmp_path: Path, settings: StoreSettings) -> Path:
    """Three slides of equal size, so that their arrays look alike."""
    writer = open_writer(tmp_path / "feats.zarr", settings)
    for seed, name in enumerate(("a", "b", "c")):
        slide = {"slide": f"{name}.svs", "settings": settings.to_dict()}
        write_slide(writer, name, make_encoded(7, settings, seed), attributes=slide)
    return tmp_path / "feats.zarr"


def of_another_model(store: Path) -> Path:
    other = make_settings(model_id="sha256:b")
    write_slide(open_writer(store.parent / "other", other), "a", make_encoded(7, other))
    return store.parent / "other"


def of_another_store(store: Path) -> Path:
    settings = make_settings()
    writer = open_writer(store.parent / "other", settings)
    for name in ("a", "d"):
        write_slide(writer, name, make_encoded(7, settings, 9))
    return store.parent / "other"


def add(file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_text("")


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def swap(store: Path) -> None:
    (store / "a").rename(store / "x")
    (store / "b").rename(store / "a")
    (store / "x").rename(store / "b")


def replace(store: Path, other: Path) -> None:
    shutil.rmtree(store / "a")
    shutil.copytree(other / "a", store / "a")


NOT_HERE = "if that is on purpose, run wsi-embed finalize --accept"
CHANGES: dict[str, tuple[Change, list[str]]] = {
    "removed": (
        lambda s: shutil.rmtree(s / "b"),
        [f"store: the slide b is gone: embed it again; {NOT_HERE}"],
    ),
    "emptied": (
        lambda s: empty(s / "b"),
        ["store: the slide b was complete once and is not any more: embed it again"],
    ),
    "made incomplete": (
        lambda s: (s / "b" / "zarr.json").write_text(
            '{"zarr_format": 3, "node_type": "group", "attributes": {"complete": false}}'
        ),
        ["store: the slide b was complete once and is not any more: embed it again"],
    ),
    "records removed": (
        lambda s: shutil.rmtree(s / ".wsi-embed-slides"),
        [f"store: the records of its slides, .wsi-embed-slides, are gone; {NOT_HERE}"],
    ),
    "renamed": (
        lambda s: (s / "b").rename(s / "z"),
        [
            "z: it is the group of another slide, b",
            f"store: the slide b is gone: embed it again; {NOT_HERE}",
        ],
    ),
    "doubled": (lambda s: shutil.copytree(s / "b", s / "z"), ["z: it is the group of another slide, b"]),
    "swapped": (
        swap,
        ["a: it is the group of another slide, b", "b: it is the group of another slide, a"],
    ),
    "of another model": (
        lambda s: replace(s, of_another_model(s)),
        ["a: it was made with model_id = sha256:b, the store has sha256:a"],
    ),
    "of another store": (
        lambda s: replace(s, of_another_store(s)),
        [f"store: the group a is not the one that was written last; {NOT_HERE}"],
    ),
    "added": (
        lambda s: shutil.copytree(of_another_store(s) / "d", s / "d"),
        [f"store: the group d was not written here; {NOT_HERE}"],
    ),
    "another root": (
        lambda s: shutil.copy(of_another_model(s) / "zarr.json", s / "zarr.json"),
        [f"{name}: it was made with model_id = sha256:a, the store has sha256:b" for name in "abc"],
    ),
    "a file in a slide": (
        lambda s: (s / "b" / "notes.bin").write_bytes(b"x"),
        ["b: notes.bin was not there when the slide was written"],
    ),
    "files deep in a slide": (
        lambda s: add(s / "b" / "more" / "deep" / "x"),
        ["b: more/deep/x was not there when the slide was written"],
    ),
    "a file in an array": (
        lambda s: (s / "b" / "grid" / "x").write_text(""),
        ["b: grid/x was not there when the slide was written"],
    ),
    "a file": (lambda s: (s / "x.csv").write_text(""), ["store: the file x.csv is no part of the store"]),
    "a folder": (
        lambda s: add(s / "notes" / "x.csv"),
        ["notes: x.csv is no part of the store"],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_belong_is_named(store: Path, change: str) -> None:
    assert verify(store) == []
    make, expected = CHANGES[change]
    make(store)
    found = [f"{problem.where}: {problem.what}" for problem in verify(store)]
    # a root of another model makes all records foreign too
    assert [line for line in found if line in expected] == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize(
    "name", [".DS_Store", "Thumbs.db", "._a", ".nfs0001", ".0a1b2c3d.zarr.json", "x.partial"]
)
def test_files_of_file_managers_and_killed_jobs_are_no_problem(store: Path, name: str) -> None:
    for folder in (store, store / "a", store / "a" / "grid", store / ".wsi-embed-slides"):
        (folder / name).write_bytes(b"x")
    (store / "empty").mkdir()
    assert verify(store) == []
    assert list(open_store(store)) == ["a", "b", "c"]


def test_changes_on_purpose_can_be_accepted(store: Path) -> None:
    shutil.rmtree(store / "b")
    shutil.copytree(of_another_store(store) / "d", store / "d")
    (store / ".wsi-embed-slides" / next((store / ".wsi-embed-slides").iterdir()).name).write_text("{")
    finalize(store)
    assert len(verify(store)) >= 2
    finalize(store, accept=True)
    assert verify(store) == []


def test_a_damaged_record_is_named(store: Path) -> None:
    key = f"{canonical_digest('b')}.json"
    (store / ".wsi-embed-slides" / key).write_text("[1]")
    assert [p.what.partition(";")[0] for p in verify(store)] == [
        f"the record .wsi-embed-slides/{key} is damaged",
        "the group b was not written here",
    ]


def test_a_slide_may_have_either_group_while_it_is_replaced(store: Path) -> None:
    place = LocalPlace(store)
    digest = open_store(store)["a"].attrs["digest"]
    assert recorded(place)[0]["a"] == [digest]
    record(place, "a", ["new", digest])
    assert verify(store) == []
    record(place, "a", ["new"])
    assert len(verify(store)) == 1


def as_earlier_versions(store: Path) -> None:
    """Make the store one of a version that recorded neither slide ids nor slides."""
    shutil.rmtree(store / ".wsi-embed-slides")
    for document in store.glob("*/zarr.json"):
        values = json.loads(document.read_text())
        attributes = values["attributes"]
        for name in ("slide_id", "model_id", "digest", "complete"):
            del attributes[name]
        arrays = {p.parent.name: json.loads(p.read_text()) for p in document.parent.glob("*/zarr.json")}
        digest = canonical_digest({"attributes": attributes, "arrays": arrays})
        attributes |= {"digest": digest, "complete": True}
        document.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: None, []),
        (lambda s: shutil.rmtree(s / "b"), []),  # cannot be known
        (
            swap,
            [
                "the group a is of the slide b.svs, whose id is b",
                "the group b is of the slide a.svs, whose id is a",
            ],
        ),
        (lambda s: (s / "b").rename(s / "z"), ["the group z is of the slide b.svs, whose id is b"]),
        (lambda s: shutil.copytree(s / "b", s / "z"), ["the group z is of the slide b.svs, whose id is b"]),
    ],
)
def test_stores_of_earlier_versions(store: Path, change: Change, expected: list[str]) -> None:
    as_earlier_versions(store)
    change(store)
    assert [p.what for p in verify(store)] == expected
    assert all(len(bag.features[:]) == 7 for bag in open_store(store).values())


def test_ids_of_a_manifest_in_an_earlier_store_are_no_problem(store: Path) -> None:
    as_earlier_versions(store)
    for name in "abc":
        (store / name).rename(store / f"case-{name}")
    assert verify(store) == []


def test_an_earlier_store_can_be_continued(store: Path, settings: StoreSettings) -> None:
    as_earlier_versions(store)
    write_slide(open_writer(store, settings), "d", make_encoded(5, settings))
    assert verify(store) == []
    shutil.rmtree(store / "d")
    assert len(verify(store)) == 1


def test_temporary_files_of_killed_jobs_are_no_damage(store: Path) -> None:
    with replacing(store / "a" / "x.json") as temporary:
        temporary.write_text("")
    (store / "a" / "x.json").rename(store / "a" / temporary.name)
    (store / temporary.name).write_text("")
    assert verify(store) == []
