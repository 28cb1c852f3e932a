"""A slide appears whole, is replaced whole, and is never half there."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.killed import killed
from tests.store.made_stores import (
    chunk_keys,
    make_encoded,
    make_grid,
    object_bytes,
    open_writer,
    write_slide,
)
from wsi_embed.errors import StoreError
from wsi_embed.storage.folder import LocalPlace, Place
from wsi_embed.store import StoreSettings, finalize, open_store, slide_writer, verify
from wsi_embed.store.layout import written_objects
from wsi_embed.store.members import recorded


def test_the_commit_replaces_the_document_in_one_step(tmp_path: Path, settings: StoreSettings) -> None:
    document = tmp_path / "s" / "a" / "zarr.json"
    with open_writer(tmp_path / "s", settings).slide("a", make_grid(7)) as writer:
        writer.append(make_encoded(7, settings))
        before = document.read_text()
        with document.open() as opened:  # a reader that came before
            writer.commit({})
            assert opened.read() == before
    assert document.read_text() != before
    assert open_store(tmp_path / "s")["a"].attrs["complete"] is True


def test_attributes_come_back_as_json_gives_them(tmp_path: Path, settings: StoreSettings) -> None:
    attributes: dict[str, Any] = {"size": (3, 4), "numbers": dict.fromkeys(range(12), 1e-07)}
    write_slide(open_writer(tmp_path / "s", settings), "a", make_encoded(7, settings), attributes=attributes)
    attrs = open_store(tmp_path / "s")["a"].attrs
    assert attrs["size"] == [3, 4]
    assert attrs["numbers"]["11"] == 1e-7
    assert verify(tmp_path / "s") == []


def test_overwriting_leaves_nothing_of_the_old(
    tmp_path: Path, small_layout: None, settings: StoreSettings
) -> None:
    store = open_writer(tmp_path / "s", settings)
    write_slide(store, "a", make_encoded(71, settings, seed=1), attributes={"old": True})
    write_slide(store, "a", make_encoded(9, settings))
    write_slide(open_writer(tmp_path / "fresh", settings), "a", make_encoded(9, settings))
    assert object_bytes(tmp_path / "s") == object_bytes(tmp_path / "fresh")


def test_killed_at_every_second_write_of_a_slide_that_is_replaced(
    tmp_path: Path, small_layout: None, settings: StoreSettings
) -> None:
    path, encoded = tmp_path / "s", make_encoded(13, settings)
    write_slide(open_writer(tmp_path / "fresh", settings), "a", encoded)
    store = open_writer(path, settings)
    write_slide(store, "a", make_encoded(31, settings, seed=1))
    write_slide(store, "b", make_encoded(7, settings))
    old, new = object_bytes(path / "a"), object_bytes(tmp_path / "fresh" / "a")
    write, chunks = 1, set()
    while killed(path, write, lambda: write_slide(store, "a", encoded)):
        write += 2
        assert verify(path) == []
        # the old one until the new one is whole, and then none until it is in its place
        left = {key: content for key, content in object_bytes(path / "a").items() if key[0] != "."}
        assert list(open_store(path)) == (["a", "b"] if left in (old, new) else ["b"])
        begun = path / ".wsi-embed-new" / "a"
        chunks |= set(chunk_keys(begun))
        assert left == old or json.loads((begun / "zarr.json").read_text())["attributes"]["complete"]
    assert {"features/c/0/0", "tissue_fraction/c/0"} <= chunks  # it had come some way
    assert object_bytes(path / "a") == new
    assert list(open_store(path)) == ["a", "b"]
    assert verify(path) == []


@pytest.mark.parametrize("key", ["features/c/1/0", "coords/c/0/0"])
def test_what_another_job_removed_is_not_committed(
    key: str, tmp_path: Path, settings: StoreSettings, small_layout: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs at one slide, where there are no locks to keep them apart."""
    store = open_writer(tmp_path / "f.zarr", settings)

    def after_removal(folder: Place) -> dict[str, list[int]]:
        (tmp_path / "f.zarr/a" / key).unlink()
        return written_objects(folder)

    monkeypatch.setattr(slide_writer, "written_objects", after_removal)
    with pytest.raises(StoreError, match=f"{key} is not there as it was written"):
        write_slide(store, "a", make_encoded(37, settings))
    assert store.committed("a") is None


def test_committed_gives_the_attributes(tmp_path: Path, settings: StoreSettings) -> None:
    store = open_writer(tmp_path / "s", settings)
    assert store.committed("a") is None
    write_slide(store, "a", make_encoded(7, settings), attributes={"settings_fingerprint": "f"})
    committed = store.committed("a")
    assert committed is not None
    assert committed["settings_fingerprint"] == "f"


def test_a_replacement_that_a_kill_interrupted_is_finished(tmp_path: Path, settings: StoreSettings) -> None:
    path, encoded = tmp_path / "s", make_encoded(13, settings)
    store = open_writer(path, settings)
    write_slide(store, "a", make_encoded(31, settings, seed=1))
    store.recover("a")
    assert len(open_store(path)["a"]) == 31
    write, moved = 1, 0
    while killed(path, write, lambda: write_slide(store, "a", encoded)):
        write += 1
        if "a" in open_store(path):
            continue
        store.recover("a")
        moved += 1
        np.testing.assert_array_equal(open_store(path)["a"].features[:], encoded.features.astype(np.float16))
        assert verify(path) == []
        write_slide(store, "a", make_encoded(31, settings, seed=1))
    assert moved


def test_a_replacement_that_fails_in_the_end_is_finished_later(
    tmp_path: Path, settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, encoded = tmp_path / "s", make_encoded(13, settings)
    store = open_writer(path, settings)
    write_slide(store, "a", make_encoded(31, settings, seed=1))

    def failing(self: LocalPlace, target: LocalPlace) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(LocalPlace, "move", failing)
        with pytest.raises(StoreError, match="Input/output error"):
            write_slide(store, "a", encoded)
    assert verify(path) == []
    store.recover("a")
    np.testing.assert_array_equal(open_store(path)["a"].features[:], encoded.features.astype(np.float16))
    assert verify(path) == []


def test_objects_of_another_job_are_not_committed(tmp_path: Path, settings: StoreSettings) -> None:
    store = open_writer(tmp_path / "s", settings)
    with store.slide("a", make_grid(7)) as writer:
        writer.append(make_encoded(7, settings))
        (tmp_path / "s/a/features/c/9").mkdir(parents=True)
        (tmp_path / "s/a/features/c/9/0").write_bytes(b"x")
        with pytest.raises(StoreError, match="features/c/9/0 is not there as it was written"):
            writer.commit({})


def test_finalize_removes_what_killed_jobs_left(tmp_path: Path, settings: StoreSettings) -> None:
    path, encoded = tmp_path / "s", make_encoded(13, settings)
    store = open_writer(path, settings)
    write_slide(store, "a", make_encoded(31, settings, seed=1))
    assert killed(path, 12, lambda: write_slide(store, "a", encoded))
    assert list((path / ".wsi-embed-new").iterdir())
    finalize(path)
    assert not (path / ".wsi-embed-new").exists()
    assert len(open_store(path)["a"]) == 31
    assert verify(path) == []


@pytest.mark.parametrize("before", [None, 31])
def test_finalize_settles_the_record_of_a_slide_that_a_kill_left_open(
    tmp_path: Path, settings: StoreSettings, before: int | None
) -> None:
    path, encoded, left = tmp_path / "s", make_encoded(13, settings), 0
    write = 85 if before else 70  # shortly before the record
    store = open_writer(path, settings)
    while True:
        shutil.rmtree(path / "a", ignore_errors=True)
        shutil.rmtree(path / ".wsi-embed-slides", ignore_errors=True)
        if before:
            write_slide(store, "a", make_encoded(before, settings, seed=1))
        if not killed(path, write, lambda: write_slide(store, "a", encoded)):
            break
        write += 1
        left += len(open_store(path)) and len(recorded(store.place)[0]["a"]) > 1
        finalize(path)
        if open_store(path):
            assert len(recorded(store.place)[0]["a"]) == 1
            shutil.rmtree(path / "a")
            assert verify(path) != []  # a loss is noticed
    assert left > 1


def test_a_slide_that_fails_leaves_the_one_before(tmp_path: Path, settings: StoreSettings) -> None:
    store = open_writer(tmp_path / "s", settings)
    write_slide(store, "a", make_encoded(7, settings))
    before = object_bytes(tmp_path / "s")
    with store.slide("a", make_grid(9)) as writer:
        writer.append(make_encoded(9, settings))
        assert len(open_store(tmp_path / "s")["a"]) == 7
    assert object_bytes(tmp_path / "s") == before


@pytest.mark.parametrize("when", ["before", "while it is written"])
def test_a_store_that_is_removed_is_an_error(tmp_path: Path, settings: StoreSettings, when: str) -> None:
    store = open_writer(tmp_path / "s", settings)
    write_slide(store, "a", make_encoded(7, settings))

    def write() -> None:
        if when == "before":
            shutil.rmtree(tmp_path / "s")
        with store.slide("b", make_grid(7)) as writer:
            writer.append(make_encoded(7, settings))
            if when != "before":
                (tmp_path / "s" / "zarr.json").unlink()
            writer.commit({})

    with pytest.raises(StoreError, match="the store was removed while"):
        write()


@pytest.mark.parametrize("how", ["overwrite", "give up"])
def test_a_slide_that_is_being_removed_is_neither_half_there_nor_damaged(
    tmp_path: Path, small_layout: None, settings: StoreSettings, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path = tmp_path / "s"
    store = open_writer(path, settings)
    if how == "overwrite":
        write_slide(store, "a", make_encoded(40, settings))
    seen, lengths = [], []

    def watch(remove: Any) -> Any:
        def removing(*args: Any, **kwargs: Any) -> None:
            # a process killed here would leave what is there now
            seen.append(verify(path))
            lengths.append([len(bag.features[:]) for bag in open_store(path).values()])
            remove(*args, **kwargs)

        return removing

    with store.slide("a", make_grid(30)) as writer:
        writer.append(make_encoded(30, settings))
        with monkeypatch.context() as patched:
            for name in ("unlink", "rmdir"):
                patched.setattr(os, name, watch(getattr(os, name)))
            if how == "overwrite":
                writer.commit({})
            else:
                writer.__exit__(None, None, None)
    assert len(seen) > 5
    assert not any(seen)
    assert {*map(tuple, lengths)} <= ({(40,), (), (30,)} if how == "overwrite" else {()})
    assert len(open_store(path)) == (how == "overwrite")


def test_what_a_kill_leaves_before_the_group_began_is_no_problem(
    tmp_path: Path, settings: StoreSettings
) -> None:
    store = open_writer(tmp_path / "s", settings)
    (tmp_path / "s" / "a").mkdir()
    (tmp_path / "s" / "a" / "zarr.0f.partial").write_bytes(b"{")
    assert verify(tmp_path / "s") == []
    write_slide(store, "a", make_encoded(7, settings))
    assert verify(tmp_path / "s") == []
    assert list(open_store(tmp_path / "s")) == ["a"]
