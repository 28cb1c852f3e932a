"""The index: whatever happened to the store since, readers see what is there."""

from __future__ import annotations

import json
import os
import random
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import zarr
from typer.testing import CliRunner

from tests.store.made_stores import make_encoded, make_grid, open_writer, write_slide
from wsi_embed import finalize, open_store, verify
from wsi_embed.cli import app
from wsi_embed.errors import StoreError
from wsi_embed.storage.folder import LocalPlace, Place
from wsi_embed.store import StoreSettings, index
from wsi_embed.store.group import complete_attributes

INDEX = "index.json"


def seen(path: Path) -> dict[str, Any]:
    """What a reader sees."""
    store = open_store(path)
    return {
        "tiles": {slide_id: len(bag) for slide_id, bag in store.items()},
        "ids": (store.slide_ids, len(store)),
        "patients": {name: bag.slide_ids for name, bag in store.patients().items()},
        "incomplete": store.incomplete(),
    }


def there(path: Path) -> dict[str, Any]:
    """What is there, by every document."""
    documents = {}
    for folder in sorted(p for p in path.iterdir() if p.is_dir() and p.name[0] != "."):
        document = json.loads((folder / "zarr.json").read_text())["attributes"]
        documents[folder.name] = document
    complete = {name: a for name, a in documents.items() if a["complete"]}
    patients: dict[str, list[str]] = {}
    for name, attributes in complete.items():
        if attributes.get("patient"):
            patients.setdefault(attributes["patient"], []).append(name)
    return {
        "tiles": {name: a["n_tiles"] for name, a in complete.items()},
        "ids": (list(complete), len(complete)),
        "patients": dict(sorted(patients.items())),
        "incomplete": [name for name in documents if name not in complete],
    }


def test_the_index_is_never_the_authority(tmp_path: Path, settings: StoreSettings) -> None:
    """Slides come, go, change and break, the index is written, damaged and lost: readers never notice."""
    path = tmp_path / "s"
    writer, rng = open_writer(path, settings), random.Random(5)

    def write(name: str) -> None:
        encoded = make_encoded(rng.randint(0, 6), settings)
        write_slide(writer, name, encoded, attributes={"patient": rng.choice([None, "p", "q"])})

    def begin(name: str) -> None:
        writer.slide(name, make_grid(2))

    def lose(name: str) -> None:
        shutil.rmtree(path / name, ignore_errors=True)

    def rename(name: str) -> None:
        if (path / name).exists():
            lose("moved")
            complete = name in open_store(path)
            (path / name).rename(path / "moved")
            assert ("moved" in list(open_store(path))) is complete
            if complete:
                with pytest.raises(StoreError, match=f"moved: it is the group of another slide, {name}"):
                    seen(path)
            lose("moved")

    def copy(name: str) -> None:
        shutil.copytree(path, tmp_path / "copy")  # other times of change
        shutil.rmtree(path)
        (tmp_path / "copy").rename(path)

    def damage(name: str) -> None:
        if (path / INDEX).exists():
            (path / INDEX).write_text((path / INDEX).read_text()[: rng.randint(0, 200)])

    def index_it(name: str) -> None:
        finalize(path)

    steps = [write, write, begin, lose, rename, copy, damage, index_it]
    for _ in range(80):
        rng.choice(steps)(rng.choice("abcd"))
        assert seen(path) == there(path)
    finalize(path, accept=True)
    assert verify(path) == []


def test_with_an_index_no_document_is_read_to_list(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def count(folder: Place, settings: Any) -> dict[str, Any] | None:
        read.append(folder.name)
        return complete_attributes(folder, settings)

    monkeypatch.setattr(index, "complete_attributes", count)
    assert open_store(store_path).slide_ids == ["a", "empty"]
    assert read == ["a", "empty"]
    finalize(store_path)
    read.clear()
    assert open_store(store_path).slide_ids == ["a", "empty"]
    assert read == []
    os.utime(store_path / "a" / "zarr.json")
    assert open_store(store_path).slide_ids == ["a", "empty"]
    assert read == ["a"]


def test_it_is_a_table(store_path: Path) -> None:
    rows, incomplete = finalize(store_path)
    table = json.loads((store_path / INDEX).read_text())
    assert [row["slide_id"] for row in table] == ["a", "empty"] == [row.slide_id for row in rows]
    first = {"slide_id": "a", "patient": "p1", "tiles": 37, "mpp": 0.25, "model_id": "sha256:a"}
    assert first.items() <= table[0].items()
    assert incomplete == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[",
        "{}",
        "[1]",
        '[{"slide_id": "ghost"}]',
        '[{"slide_id": ["a"]}]',
        '"text"',
        "\udcff",
        "[" * 100_000,
    ],
)
def test_an_index_that_is_none_is_left_alone(store_path: Path, content: str) -> None:
    (store_path / INDEX).write_bytes(content.encode("utf-8", "surrogateescape"))
    assert open_store(store_path).slide_ids == ["a", "empty"]
    (problem,) = verify(store_path)
    assert problem.where == "store"
    assert problem.what.startswith("index.json is wrong (it ")


def test_an_index_of_another_model_is_not_believed(store_path: Path) -> None:
    finalize(store_path)
    text = (store_path / INDEX).read_text()
    (store_path / INDEX).write_text(text.replace("sha256:a", "sha256:b").replace('"tiles": 37', '"tiles": 1'))
    assert [row.tiles for row in index.scan(LocalPlace(store_path), {"model_id": "sha256:a"})] == [37, 0]


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ('"p1"', '"p2"', "patient of a is p2, in its group p1"),
        ('"tiles": 37', '"tiles": 0', "tiles of a is 0, in its group 37"),
        ('"slide_id": "a"', '"slide_id": "b"', "it lists b, which is not in the store"),
    ],
)
def test_a_changed_row_is_not_believed_and_found(
    store_path: Path, before: str, after: str, what: str
) -> None:
    finalize(store_path)
    assert verify(store_path) == []
    text = (store_path / INDEX).read_text()
    (store_path / INDEX).write_text(text.replace(before, after))
    assert [(row.slide_id, row.patient, row.tiles) for row in open_store(store_path).rows()] == [
        ("a", "p1", 37),
        ("empty", None, 0),
    ]
    assert [p.what for p in verify(store_path)] == [
        f"index.json is wrong ({what}) and not used; run wsi-embed finalize"
    ]


def test_every_flipped_bit_of_a_row_is_noticed(store_path: Path) -> None:
    finalize(store_path)
    content, rows = (store_path / INDEX).read_bytes(), list(open_store(store_path).rows())
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1
        (store_path / INDEX).write_bytes(flipped)
        assert list(open_store(store_path).rows()) == rows


def test_an_index_of_an_earlier_version_is_read_no_more(store_path: Path) -> None:
    finalize(store_path)
    rows = json.loads((store_path / INDEX).read_text())
    for row in rows:
        del row["check"]
    (store_path / INDEX).write_text(json.dumps(rows))
    assert index.read_index(LocalPlace(store_path)) == {}
    assert verify(store_path) == []


def test_zarr_reads_the_store_as_before(store_path: Path) -> None:
    finalize(store_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that index.json is no part of the hierarchy
        root = zarr.open_group(store_path, mode="r")
        assert sorted(name for name, _ in root.groups()) == ["a", "empty"]


def test_an_index_that_cannot_be_written_is_an_error(store_path: Path, tmp_path: Path) -> None:
    (store_path / INDEX).mkdir()
    with pytest.raises(StoreError, match=r"index\.json: cannot be written"):
        finalize(store_path)
    assert [p.name for p in store_path.iterdir() if p.name.startswith(".")] == [".wsi-embed-slides"]
    with pytest.raises(StoreError, match="no store there"):
        finalize(tmp_path / "nothing")


def test_the_command_says_what_there_is(store_path: Path, settings: StoreSettings) -> None:
    open_writer(store_path, settings).slide("b", make_grid(2))
    done = CliRunner().invoke(app, ["finalize", str(store_path)])
    assert done.exit_code == 0
    assert "2 slides, 37 tiles -> " in done.stdout
    assert "incomplete, the next run redoes them: b" in done.stdout
