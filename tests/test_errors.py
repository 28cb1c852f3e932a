"""Tests of the errors: their text, their fields, and that they come whole out of other processes."""

from __future__ import annotations

import copy
import inspect
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_embed import errors
from wsi_embed.errors import MOST_CHARACTERS, ResolutionError, SlideError, UsageError, WsiEmbedError

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, WsiEmbedError) and kind.__module__ == errors.__name__
]
TEXT = st.text(max_size=40)
TEXTS = st.none() | TEXT


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "it is broken"),
        ({"where": "a.svs"}, "a.svs: it is broken"),
        ({"remedy": "copy it again"}, "it is broken; copy it again"),
        ({"where": Path("in/a.svs"), "remedy": "copy it again"}, "in/a.svs: it is broken; copy it again"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_text_is_where_what_remedy(kind: type[WsiEmbedError], fields: dict[str, object], text: str) -> None:
    error = kind("it is broken", **fields)
    assert str(error) == text
    assert error.what == "it is broken"
    assert error.where == (str(fields["where"]) if "where" in fields else None)
    assert error.remedy == fields.get("remedy")


@given(kind=st.sampled_from(KINDS), what=TEXT, where=TEXTS, remedy=TEXTS)
def test_pickling_keeps_everything(
    kind: type[WsiEmbedError], what: str, where: str | None, remedy: str | None
) -> None:
    error = kind(what, where=where, remedy=remedy)
    error.exit_code = 77
    error.add_note("noted")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is kind
        assert str(again) == str(error)
        assert again.__dict__ == error.__dict__


def test_at_puts_the_place_in_front_and_keeps_the_kind() -> None:
    bare = ResolutionError("too coarse", remedy="leave it out")
    placed = bare.at("a.svs")
    assert str(placed) == "a.svs: too coarse; leave it out"
    assert str(placed.at("list.csv")) == "list.csv: a.svs: too coarse; leave it out"
    assert type(placed) is ResolutionError
    assert bare.where is None


def test_replace_changes_the_named_fields_alone() -> None:
    error = UsageError("too many", where="a.csv", remedy="take fewer")
    error.exit_code = 5
    other = error.replace(remedy="take one")
    assert (str(other), other.exit_code) == ("a.csv: too many; take one", 5)
    assert str(error) == "a.csv: too many; take fewer"


@given(what=TEXT, where=TEXTS, remedy=TEXTS, place=TEXT)
def test_texts_of_slide_errors_are_printable(
    what: str, where: str | None, remedy: str | None, place: str
) -> None:
    error = SlideError(what, where=where, remedy=remedy)
    for each in (error, error.at(place), error.replace(what=place, remedy=place)):
        for text in (str(each), each.what, each.where or "", each.remedy or ""):
            assert text.isprintable()
            assert len(text) <= MOST_CHARACTERS


def test_escapes_of_a_file_name_do_not_reach_the_terminal() -> None:
    error = SlideError("cannot be read", where="a\x1b[2Jb\n.svs")
    assert str(error) == r"a\x1b[2Jb\n.svs: cannot be read"


def test_the_middle_of_a_long_message_is_left_out() -> None:
    error = SlideError("x" * 5000, where="a.svs", remedy="copy it again")
    text = str(error)
    assert text.startswith("a.svs: xxx")
    assert " ... " in text
    assert text.endswith("xxx; copy it again")
    assert len(text) <= MOST_CHARACTERS
