"""What a viewer opens: stores with what fits them, and clear errors for what does not."""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import quote

import pytest

import wsi_embed
from tests.made_models import tiny_onnx
from tests.viewer.conftest import Cohort
from wsi_embed import UsageError
from wsi_embed.viewer.report_file import read_report
from wsi_embed.viewer.session import open_session
from wsi_embed.viewer.shown_store import slide_key


def test_annotations_attention_and_findings_are_assigned_to_slides(cohort: Cohort) -> None:
    (shown,) = cohort.session().stores
    assert shown.items["a"].roi == cohort.annotations / "a.geojson"
    assert shown.items["b"].roi is None
    assert shown.attention is not None
    assert list(shown.attention) == ["a"]


def test_clusters_and_attention_are_used_for_the_stores_that_they_fit(cohort: Cohort, tmp_path: Path) -> None:
    other = tiny_onnx(tmp_path / "other.onnx", clusters=None, seed=1)
    wsi_embed.embed(cohort.slides / "b.tiff", tmp_path / "other.zarr", model=other, device="cpu")
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"names": {"0": "stroma"}}))
    session = open_session(
        [tmp_path / "other.zarr", cohort.store], [cohort.slides], clusters=names, attention=cohort.attention
    )
    assert [shown.store.cluster_names[0] for shown in session.stores] == ["cluster 0", "stroma"]
    assert [shown.attention is None for shown in session.stores] == [True, False]
    assert [note.partition(": ")[0] for note in session.notes] == [
        "other.zarr is shown with its own clusters; those given", "other.zarr is shown without attention",
    ]  # fmt: skip
    assert str(tmp_path) not in "".join(session.notes)  # the page shows them
    assert session.stores[0].shares.counts(wait=5) == ({}, True)


def test_clusters_that_fit_no_store_are_refused_though_a_store_has_names(copied: Cohort) -> None:
    copied.store.with_name("feats-clusters.json").write_text('{"names": {"0": "stroma"}}')
    wrong = copied.store.with_name("wrong.json")
    wrong.write_text('{"names": {"99": "fat"}}')
    with pytest.raises(UsageError, match="there is no cluster '99'"):
        copied.session(clusters=wrong)


def test_an_open_store_gets_the_clusters_that_are_given_too(cohort: Cohort, tmp_path: Path) -> None:
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"names": {"0": "stroma"}}))
    opened = wsi_embed.open_store(cohort.store)
    (shown,) = open_session([opened], [cohort.slides], clusters=names).stores
    assert shown.store.cluster_names[0] == "stroma"


@pytest.mark.parametrize(
    ("argument", "content", "message"),
    [
        ("clusters", {"names": {"99": "x"}}, "there is no cluster"),
        ("report", {"a": 1}, "is no report"),
        ("report", [], "is no report"),
        ("report", None, "cannot be read"),
        ("annotations", {"type": "FeatureCollection", "features": []}, "is one file, but there are 4 slides"),
    ],
)
def test_arguments_that_fit_nothing_are_refused(
    cohort: Cohort, tmp_path: Path, argument: str, content: object, message: str
) -> None:
    path = tmp_path / "given.json"
    if content is not None:
        path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=message):
        cohort.session(**{argument: path})


def test_annotations_of_other_slides_are_refused(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "other.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(UsageError, match="no file for any of the 4 slides"):
        open_session([cohort.store], [cohort.slides], annotations=tmp_path)


def test_attention_of_another_model_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    model = tiny_onnx(tmp_path / "other.onnx", seed=1)
    wsi_embed.embed(cohort.slides / "b.tiff", tmp_path / "other.zarr", model=model, device="cpu")
    with pytest.raises(UsageError, match="of features of model"):
        open_session([tmp_path / "other.zarr"], [cohort.slides], attention=cohort.attention)


def test_a_report_tells_why_slides_failed(cohort: Cohort) -> None:
    findings = read_report(cohort.report)
    assert findings["broken"].slide == "broken.svs"
    assert findings["broken"].problem
    assert findings["a"].problem is None


@pytest.mark.parametrize(
    ("slide_id", "key"),
    [
        ("a-b_c.d", "a-b_c.d"),
        ("a%20b", "a~20b"),
        (quote("β"), "~CE~B2"),
        ("..", None),
        ("a/b", None),
        ("\udcff", None),
        ("", None),
    ],
)
def test_keys_of_slides_are_plain(slide_id: str, key: str | None) -> None:
    found = slide_key(slide_id)
    assert found == key if key is not None else found.startswith("~~")
    assert set(found) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-~")


def test_a_thousand_slides_with_a_million_tiles_are_listed_in_a_second(
    cohort: Cohort, tmp_path: Path
) -> None:
    """Copies of a slide's group, whose index rows say 1,000 tiles: a listing reads no arrays."""
    source = cohort.store
    store = tmp_path / "many.zarr"
    store.mkdir()
    (store / "zarr.json").write_bytes((source / "zarr.json").read_bytes())
    document = json.loads((source / "a" / "zarr.json").read_text())
    for number in range(1000):
        attributes = document["attributes"]
        changed = {**document, "attributes": {**attributes, "slide_id": f"s{number:04}"}}
        (store / f"s{number:04}").mkdir()
        (store / f"s{number:04}" / "zarr.json").write_text(json.dumps(changed))
    wsi_embed.finalize(store)
    shown = open_session([store], [cohort.slides]).stores[0]
    started = time.process_time()
    lines = shown.listing()
    seconds = time.process_time() - started
    assert sum(line.tiles is not None for line in lines) == 1000
    assert seconds < 1
