"""Changes of names and colours in their file: right values, undo, and several people at once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bags.test_cluster_head import make_head
from wsi_embed.bags import cluster_edits
from wsi_embed.bags.cluster_changes import merged, recoloured, renamed
from wsi_embed.bags.cluster_edits import ClusterNamesFile, EditConflict
from wsi_embed.bags.cluster_head import DOCUMENT, ClusterHead
from wsi_embed.bags.cluster_names import ClusterNames
from wsi_embed.bags.open_clusters import open_clusters
from wsi_embed.errors import UsageError

RED, BLUE = (200, 0, 10), (1, 2, 3)
SIX = 6


@pytest.fixture
def file(tmp_path: Path) -> ClusterNamesFile:
    return ClusterNamesFile(tmp_path / "feats-clusters.json", SIX, "sha256:a")


def test_a_cluster_that_joins_a_class_takes_its_colour_and_one_that_leaves_it_loses_it() -> None:
    names = ClusterNames({0: "stroma", 1: "fat"}, {0: RED, 1: BLUE})
    joined = renamed(names, [1, 2], "stroma")
    assert joined == ClusterNames(dict.fromkeys([0, 1, 2], "stroma"), dict.fromkeys([0, 1, 2], RED))
    assert recoloured(joined, [2], BLUE).colours == dict.fromkeys([0, 1, 2], BLUE)
    assert recoloured(joined, [2], None).colours == {}
    assert renamed(joined, [2], None) == ClusterNames({0: "stroma", 1: "stroma"}, {0: RED, 1: RED})
    assert renamed(joined, [0, 1, 2], "glass").colours == joined.colours
    assert renamed(names, [1], "adipose") == ClusterNames({0: "stroma", 1: "adipose"}, names.colours)


def test_merged_clusters_have_the_first_name_and_colour_that_there_is() -> None:
    names = ClusterNames({3: "fat", 1: "stroma"}, {1: BLUE})
    assert merged(names, [4, 3, 1]) == ClusterNames(
        dict.fromkeys([1, 3, 4], "fat"), dict.fromkeys([1, 3, 4], BLUE)
    )
    assert merged(ClusterNames(), [5, 2]).names == {5: "clusters 2, 5", 2: "clusters 2, 5"}
    assert merged(names, [3, 1], "other").names == {3: "other", 1: "other"}
    with pytest.raises(UsageError, match="at least two clusters are needed"):
        merged(names, [3, 3])


name_of = st.sampled_from(["a", "b", "c", None])
some = st.lists(st.integers(0, SIX - 1), min_size=2, max_size=4, unique=True)
colour_of = st.sampled_from([RED, BLUE, (9, 9, 9), None])
edits = st.one_of(
    st.tuples(st.just("rename"), some, name_of),
    st.tuples(st.just("recolour"), some, colour_of),
    st.tuples(st.just("merge"), some, name_of),
)


@settings(max_examples=20)
@given(steps=st.lists(edits, max_size=6))
def test_all_steps_can_be_undone_and_redone_and_each_class_has_one_colour(
    steps: list[tuple[str, list[int], Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = ClusterNamesFile(tmp_path_factory.mktemp("names") / "names.json", SIX, "sha256:a")
    seen = [file.read()]
    for kind, clusters, value in steps:
        state = getattr(file, kind)(clusters, value, seen[-1].revision)
        for cluster, name in state.names.names.items():
            same = [c for c, other in state.names.names.items() if other == name]
            assert len({state.names.colour(c) for c in same}) == 1, cluster
        if state.revision != seen[-1].revision:
            seen.append(state)
    for state in reversed(seen[:-1]):
        assert file.undo().names == state.names
    assert not file.read().can_undo
    for state in seen[1:]:
        assert file.redo().names == state.names
    assert not file.read().can_redo


def test_a_file_with_names_only_is_made_and_read_by_the_store(file: ClusterNamesFile) -> None:
    assert file.read().names == ClusterNames()
    assert not list(file.path.parent.iterdir())
    file.rename([2, 4], "Fettgewebe")
    file.recolour([4], RED)
    _, names = open_clusters(file.path, store="feats.zarr", model_id="sha256:a", own=SIX)
    assert names == ClusterNames({2: "Fettgewebe", 4: "Fettgewebe"}, {2: RED, 4: RED})
    file.undo()
    file.undo()
    assert json.loads(file.path.read_text()) == {"model_id": "sha256:a", "names": {}, "colours": {}}
    _, names = open_clusters(file.path, store="feats.zarr", model_id="sha256:a", own=SIX)
    assert not names


def test_everything_else_in_a_folder_of_clusters_is_kept(tmp_path: Path) -> None:
    head = make_head(SIX)
    head.save(tmp_path)
    before = json.loads((tmp_path / DOCUMENT).read_text())
    ClusterNamesFile(tmp_path / DOCUMENT, SIX, head.model_id).rename([1], "fat")
    assert json.loads((tmp_path / DOCUMENT).read_text()) == {**before, "names": {"1": "fat"}, "colours": {}}
    assert ClusterHead.load(tmp_path).names.names == {1: "fat"}
    head.save(tmp_path)  # the same clusters, made again
    assert ClusterHead.load(tmp_path).names.names == {1: "fat"}


def test_the_second_of_two_changes_to_one_revision_is_refused(file: ClusterNamesFile) -> None:
    before = file.read().revision
    after = file.rename([0], "stroma", before)
    other = ClusterNamesFile(file.path, SIX, "sha256:a")
    with pytest.raises(EditConflict, match=r"the names were changed by someone else meanwhile; look at the"):
        other.rename([0], "fat", before)
    with pytest.raises(EditConflict):
        other.undo(before)
    assert other.read() == after
    assert other.rename([0], "stroma", after.revision) == after  # no change, no step
    assert not other.undo(after.revision).can_undo


def test_changes_of_many_at_once_are_all_kept(tmp_path: Path) -> None:
    file = ClusterNamesFile(tmp_path / "names.json", 20, "sha256:a")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: file.rename([number], f"name {number}"), range(20)))
    assert file.read().names.names == {number: f"name {number}" for number in range(20)}
    for _ in range(20):
        file.undo()
    assert file.read().names == ClusterNames()


def test_names_changed_by_hand_are_a_step(file: ClusterNamesFile) -> None:
    file.rename([0], "stroma")
    file.rename([0], "fat")
    file.undo()
    document = json.loads(file.path.read_text())
    file.path.write_text(json.dumps(document | {"names": {"1": "glass"}}))
    state = file.read()
    assert (state.names.names, state.can_undo, state.can_redo) == ({1: "glass"}, True, False)
    assert file.undo().names.names == {0: "stroma"}
    assert file.redo().names.names == {1: "glass"}


def test_a_crash_between_the_two_files_loses_no_step(
    file: ClusterNamesFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.rename([0], "stroma")
    history = file.path.with_name(f".{file.path.name}.history.json")
    before = history.read_bytes()
    file.rename([0], "fat")
    history.write_bytes(before)
    assert file.read().can_undo
    assert file.undo().names.names == {0: "stroma"}


@pytest.mark.parametrize(
    "text", ["", "[]", '{"states": 3, "at": 0}', '{"states": [{"names": {"9": "x"}}], "at": 0}']
)
def test_a_damaged_history_is_started_anew(file: ClusterNamesFile, text: str) -> None:
    file.rename([0], "stroma")
    file.path.with_name(f".{file.path.name}.history.json").write_text(text)
    assert not file.read().can_undo
    file.rename([0], "fat")
    assert file.undo().names.names == {0: "stroma"}


def test_history_has_an_end(file: ClusterNamesFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_edits, "STEPS", 10)
    for number in range(15):
        file.rename([0], f"name {number}")
    for _ in range(10):
        state = file.undo()
    assert not state.can_undo
    assert state.names.names == {0: "name 4"}
    with pytest.raises(UsageError, match="there is nothing to undo"):
        file.undo()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: not JSON"),
        ('{"names": {"6": "x"}}', "there is no cluster '6'; they are 0 to 5"),
        ('{"Names": {"0": "x"}}', "there is no key 'Names'; write 'names'"),
        ('{"model_id": "sha256:b"}', "names the clusters of sha256:b, but these are of sha256:a"),
    ],
)
def test_a_damaged_file_is_refused_and_not_replaced(file: ClusterNamesFile, text: str, message: str) -> None:
    file.path.write_text(text)
    for call in (file.read, lambda: file.rename([0], "stroma"), file.undo):
        with pytest.raises(UsageError, match=message) as error:
            call()
        assert len(str(error.value).splitlines()) == 1
    assert file.path.read_text() == text


def test_what_is_no_name_and_no_cluster_is_refused(file: ClusterNamesFile) -> None:
    for clusters, name in (([6], "fat"), ([0], "a\nb"), ([0], " "), ([0], "cluster 1"), ([-1], "fat")):
        with pytest.raises(UsageError):
            file.rename(clusters, name)
    assert not file.path.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    file = ClusterNamesFile(tmp_path / "file" / "names.json", SIX, "sha256:a")
    with pytest.raises(UsageError, match=r"names of clusters cannot be written|cannot be read"):
        file.rename([0], "fat")
