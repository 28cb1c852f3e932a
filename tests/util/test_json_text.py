from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_embed.util.json_text import json_text

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def refuse(name: str) -> Any:
    raise AssertionError(name)


@given(values)
def test_every_text_is_json(value: Any) -> None:
    found = json.loads(json_text(value), parse_constant=refuse)
    try:
        assert json.dumps(found) == json.dumps(value, allow_nan=False)
    except ValueError:
        assert "null" in json_text(value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_without_a_name_are_null(number: float) -> None:
    text = json_text({"a": [1.5, number], "b": (number,)}, indent=2)
    assert json.loads(text, parse_constant=refuse) == {"a": [1.5, None], "b": [None]}
