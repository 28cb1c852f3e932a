"""Docstrings are plain English, as far as a test can tell (CONTRIBUTING.md, "Rules")."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = (ROOT / "wsi_embed", ROOT / "train" / "wsi_embed_train", ROOT / "export" / "wsi_embed_export")

# A summary begins with a verb or a noun phrase: not with a question word, a preposition or a pronoun.
NO_SUMMARY = frozenset(
    re.findall(
        r"\S+",
        """
    what who whom whose where when which why how of so as it that those these they he she there here is
    are has does do did was were be been with without for in on at by from to into beside between among
    about after before and or but not if like than too also again only nothing nobody somebody someone
    one's
        """,
    )
)
# A description names a thing.
NO_DESCRIPTION = frozenset(
    re.findall(
        r"\S+",
        """
    of what who whom whose why how so as it they there here is are has does too
        """,
    )
)
SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises")


@dataclass(frozen=True)
class Docstring:
    """A docstring, and where it is."""

    place: str
    text: str

    @property
    def summary(self) -> str:
        return self.text.strip().split("\n\n")[0].replace("\n", " ")

    def entries(self, section: str) -> list[str]:
        """Descriptions of a Google-style section, one for each name."""
        found = re.search(rf"(?m)^[ ]*{section}:\n((?:[ ]*\S.*\n?|\n(?=[ ]{{4,}}))+)", self.text + "\n")
        if not found:
            return []
        lines = found[1].rstrip().split("\n")
        indent = len(lines[0]) - len(lines[0].lstrip())
        first = [line.strip() for line in lines if len(line) - len(line.lstrip()) == indent and line.strip()]
        return [re.sub(r"^[\w.*, ]+: +", "", line) for line in first if re.match(r"^[\w.*, ]+: ", line)]


def docstrings() -> Iterator[Docstring]:
    for path in sorted(path for folder in SOURCES for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    yield Docstring(f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'module')}", text)


def first_word(text: str) -> str:
    words = re.findall(r"[A-Za-z']+", text)
    return words[0].lower() if words else ""


def odd_summary(doc: Docstring) -> bool:
    """Whether a summary begins with none of verb and noun phrase, or is a question."""
    return first_word(doc.summary) in NO_SUMMARY or doc.summary.rstrip().endswith("?")


def odd_entries(doc: Docstring) -> list[str]:
    """Descriptions that name no thing, and errors without their condition."""
    described = [e for section in SECTIONS[:4] for e in doc.entries(section)]
    odd = [e for e in described if first_word(e) in NO_DESCRIPTION]
    return odd + [e for e in doc.entries("Raises") if first_word(e) not in ("if", "when", "see", "as")]


ALL = list(docstrings())


def test_every_summary_is_a_verb_or_a_noun_phrase() -> None:
    assert [f"{d.place}: {d.summary}" for d in ALL if odd_summary(d)] == []


def test_every_description_names_a_thing_and_every_error_its_condition() -> None:
    assert [f"{d.place}: {entry}" for d in ALL for entry in odd_entries(d)] == []


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("Return the root group's attributes.", False),
        ("Micrometres per level-0 pixel.", False),
        ("Whether slides are redone.", False),
        ("What becomes of bad slides.", True),
        ("Of the slide.", True),
        ("Is it complete?", True),
        ("Slides to be done?", True),
    ],
)
def test_odd_summaries_are_seen(text: str, odd: bool) -> None:
    assert odd_summary(Docstring("", text)) == odd


def test_odd_entries_are_seen() -> None:
    text = (
        "Draw tiles.\n\nArgs:\n    seed: Of that draw.\n    count: Number of tiles; of all\n        slides.\n"
        "\nRaises:\n    UsageError: It is.\n    SlideError: If the file is missing.\n"
    )
    assert odd_entries(Docstring("", text)) == ["Of that draw.", "It is."]
