from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.made_models import made_metadata
from wsi_embed.encoder import ModelMetadata
from wsi_embed.errors import ModelError

FIELDS = sorted(json.loads(made_metadata().to_json()))


def changed(**values: Any) -> str:
    return json.dumps(json.loads(made_metadata().to_json()) | values)


@given(
    st.text().filter(str.isprintable),
    st.none() | st.floats(0.05, 20),
    st.none() | st.integers(1, 1000),
    st.dictionaries(st.text(), st.integers() | st.text() | st.none()),
    st.lists(st.text()),
)
def test_document_and_back(
    name: str, mpp: float | None, clusters: int | None, training: dict[str, Any], slides: list[str]
) -> None:
    about = replace(
        made_metadata(),
        name=name,
        mpp=mpp,
        clusters=clusters,
        training=training,
        training_slides=tuple(slides),
    )
    assert ModelMetadata.from_json(about.to_json(), "model.onnx") == about


@pytest.mark.parametrize(
    ("licence", "forbidden"),
    [
        ("CC-BY-NC-ND-4.0", True), ("cc-by-nc-4.0", True), ("Owkin non-commercial licence", True),
        ("Kaiko Non-Commercial Public License 1", True), ("for noncommercial use", True), ("CC BY NC", True),
        ("CC-BY-4.0; CC-BY-NC-4.0 (teacher a)", True), ("Apache-2.0", False), ("", False),
        ("CC-BY-4.0", False), ("Lumen Inc. sync licence", False),
    ],
)  # fmt: skip
def test_licences_that_forbid_commercial_use(licence: str, forbidden: bool) -> None:
    assert replace(made_metadata(), licence=licence).non_commercial == forbidden


@pytest.mark.parametrize("name", [f for f in FIELDS if f not in ("schema", "outputs")])
def test_missing_field_is_named(name: str) -> None:
    values = json.loads(made_metadata().to_json())
    del values[name]
    with pytest.raises(ModelError, match=f"model.onnx: its metadata lack '{name}'"):
        ModelMetadata.from_json(json.dumps(values), "model.onnx")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tile_px", "256"),
        ("tile_px", True),
        ("mpp", "0.5"),
        ("mean", 0.5),
        ("clusters", 1.5),
        ("model_id", None),
        ("model_id", ""),
        ("tile_px", 0),
        ("tile_px", 10**9),
        ("mpp", 250),
        ("feature_dim", 0),
        ("clusters", 0),
        ("mean", [0.5, 0.5]),
        ("mean", [0.5, 0.5, "0.5"]),
        ("std", [0.2, 0.2, 0.0]),
        ("name", "red\x1b[31m"),
        ("licence", "two\nlines"),
        ("training_slides", [1]),
        ("outputs", "features"),
    ],
)
def test_wrong_type_is_named(name: str, value: Any) -> None:
    with pytest.raises(ModelError, match=f"its metadata have {name} = "):
        ModelMetadata.from_json(changed(**{name: value}), "model.onnx")


@pytest.mark.parametrize("document", [changed(schema=2), changed(schema=None), "{}", "[]", "1"])
def test_unknown_schema_is_refused(document: str) -> None:
    with pytest.raises(ModelError, match="this wsi-embed reads 1; update wsi-embed"):
        ModelMetadata.from_json(document, "model.onnx")


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(ModelError, match="not JSON"):
        ModelMetadata.from_json("{", "model.onnx")


def test_fields_of_a_later_minor_version_are_ignored() -> None:
    assert ModelMetadata.from_json(changed(colour="blue"), "model.onnx") == made_metadata()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_json_has_no_number_for_is_refused(number: str) -> None:
    text = made_metadata().to_json().replace('"mpp": 0.5', f'"mpp": {number}')
    assert number in text
    with pytest.raises(ModelError, match="not JSON"):
        ModelMetadata.from_json(text, "model.onnx")


def test_endless_documents_are_refused() -> None:
    with pytest.raises(ModelError, match="longer than"):
        ModelMetadata.from_json(changed(name="a" * 2**24), "model.onnx")
    with pytest.raises(ModelError, match="not JSON"):
        ModelMetadata.from_json("[" * 10**6, "model.onnx")


def test_files_of_before_say_nothing_of_outputs() -> None:
    values = json.loads(made_metadata().to_json())
    del values["outputs"]
    assert ModelMetadata.from_json(json.dumps(values), "model.onnx").outputs == ()
