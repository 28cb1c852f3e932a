from __future__ import annotations

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from wsi_embed.util.digest import canonical_digest

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=4,
)


@given(st.dictionaries(st.text(), json_values, max_size=4), st.randoms(use_true_random=False))
def test_digest_does_not_depend_on_the_order_of_keys(value: dict[str, object], rng: random.Random) -> None:
    keys = list(value)
    rng.shuffle(keys)
    assert canonical_digest({key: value[key] for key in keys}) == canonical_digest(value)


@given(json_values, json_values)
def test_digest_tells_values_apart(one: object, other: object) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (canonical_digest(one) == canonical_digest(other)) is same
