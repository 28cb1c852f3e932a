from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_embed.inputs.ids import slide_id_of

NOT_IN_NAMES = "/\0"
file_names = st.text(st.characters(exclude_characters=NOT_IN_NAMES, exclude_categories=["Cs"]), min_size=1)
file_names = file_names.filter(lambda name: name not in (".", ".."))
relative_paths = st.lists(file_names, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("relative", "slide_id"),
    [
        ("a.svs", "a"),
        ("a/b/c.svs", "a__b__c"),
        ("TCGA-AA-3518-01A-01-BS1.7c5c2f91-4f2c.svs", "TCGA-AA-3518-01A-01-BS1.7c5c2f91-4f2c"),
        ("a.ome.tif", "a.ome"),
        ("S 1+2 (HE)~.svs", "S%201%2B2%20%28HE%29%7E"),
        ("Schürmann.svs", "Sch%C3%BCrmann"),
        ("100%.svs", "100%25"),
        ("__a.svs", "%5F%5Fa"),
        ("...svs", "%2E%2E"),
        ("ohne", "ohne"),
        ("index.json.svs", "index%2Ejson"),
    ],
)
def test_examples(relative: str, slide_id: str) -> None:
    assert slide_id_of(relative) == slide_id


@given(relative=relative_paths)
def test_only_safe_characters_are_used(relative: str) -> None:
    assert re.fullmatch(r"([A-Za-z0-9._-]|%[0-9A-F]{2})+", slide_id_of(relative))


@given(relative=relative_paths)
def test_they_are_names_that_a_store_can_have(relative: str) -> None:
    slide_id = slide_id_of(relative)
    assert not slide_id.startswith("__")
    assert set(slide_id) != {"."}


@given(names=st.lists(file_names.map(lambda name: f"{name}.svs"), min_size=2, max_size=2, unique=True))
def test_different_names_in_one_folder_get_different_ids(names: list[str]) -> None:
    assert slide_id_of(names[0]) != slide_id_of(names[1])


def test_a_name_that_is_not_utf8_keeps_its_bytes() -> None:
    assert slide_id_of(os.fsdecode(b"M\xfcller.svs")) == "M%FCller"


def test_a_name_that_is_too_long_once_encoded_is_shortened_with_a_digest() -> None:
    """27 Japanese letters are 243 characters: too long for a folder with the suffixes of temporary files."""
    name = "\u75c5" * 27
    ids = [slide_id_of(f"{name}{end}.svs") for end in ("", "\u7406", "a")]
    assert len(set(ids)) == 3
    for slide_id in ids:
        assert 200 < len(slide_id) <= 240
        assert re.fullmatch(r"(%E7%97%85)+(%E7(%97)?)?-[0-9a-f]{16}", slide_id)
    assert slide_id_of(f"{'x' * 240}.svs") == "x" * 240
    assert slide_id_of(f"{'x' * 241}.svs").startswith("x" * 223 + "-")
