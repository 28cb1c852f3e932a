"""Mutations of annotation files: of their trees, of how they are written, and of their bytes."""

from __future__ import annotations

import json
import random
import re

from tests.fuzz import markup
from tests.fuzz.annotations import asap, geojson
from tests.fuzz.case import Case, Files, pick_steps
from tests.fuzz.values import bad_text

# In which a file can be written that says so, by a mark at its start or by XML's declaration.
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32")
NOT_MINE = (TypeError, KeyError, AttributeError, IndexError, ValueError)  # the tree was mutated before


def mutated(name: str, files: Files, rng: random.Random) -> Case:
    """Mutate annotations so that their areas stay as they are, or anyhow."""
    ((file, original),) = files.items()
    keeping = rng.random() < 0.4
    change = _xml if file.endswith(".xml") else _json
    content, steps = change(original, rng, keeping)
    if not keeping and rng.random() < 0.3:
        content = markup.break_text(content, rng) if content else content
        steps.append(markup.break_text.__name__)
    return Case({file: content}, tuple(steps), "content" if keeping else "nothing")


def _json(content: bytes, rng: random.Random, keeping: bool) -> tuple[bytes, list[str]]:
    tree, steps = json.loads(content), []
    for mutate in pick_steps(rng, geojson.KEEPING if keeping else (*geojson.KEEPING, *geojson.CHANGING * 2)):
        try:
            tree = mutate(tree, rng)
        except NOT_MINE:
            continue
        steps.append(mutate.__name__)
    ascii_only, indent = rng.random() < 0.5, rng.choice((None, None, 0, 2, "\t"))
    try:
        text = json.dumps(tree, ensure_ascii=ascii_only, indent=indent)
    except MemoryError:  # what repeats parts was drawn too often
        return content, []
    text = text.replace("\n", rng.choice(("\n", "\r\n", "\r")))
    if not keeping:
        text = _deepened(text, rng)
        if rng.random() < 0.1:  # the same key twice: the last one counts for most who read it
            wrong = json.dumps(bad_text(rng))
            text = re.sub(r'"(?:type|coordinates|name)":', lambda key: f"{key[0]} {wrong}, {key[0]}", text)
    encoding = rng.choice((*["utf-8"] * 6, *ENCODINGS))
    return text.encode(encoding, "surrogatepass"), steps


def _deepened(text: str, rng: random.Random) -> str:
    """Nest as deeply as a tree cannot be written."""
    openings = (("[", "]"), ('{"a":', "}"), ('{"type":"FeatureCollection","features":[', "]}"))
    childs = ('{"type":"Feature","geometry":null,"properties":{"childObjects":', "}}")
    opening, closing = rng.choice((*openings, childs))
    depth = rng.choice(markup.DEEP)
    return text.replace(f'"{geojson.DEEP}"', f"{opening * depth}null{closing * depth}")


def _xml(content: bytes, rng: random.Random, keeping: bool) -> tuple[bytes, list[str]]:
    steps = []
    trees = asap.KEEPING if keeping else (*asap.KEEPING, *asap.CHANGING * 2)
    texts = (*markup.TREE, *markup.TEXT) if not keeping else ()
    for mutate in pick_steps(rng, (*map(markup.on_tree, trees), *texts)):
        try:
            content = mutate(content, rng)
        except NOT_MINE:
            continue
        steps.append(mutate.__name__)
    if keeping and rng.random() < 0.3:
        encoding = rng.choice((*ENCODINGS[:3], "latin-1"))
        body = re.sub(r"^<\?xml.*?\?>\s*", "", content.decode("utf-8"))
        content = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>\n{body}'.encode(encoding)
    return content, steps
