"""Metadata changed at random: the slide is read, or refused in one line."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.made_formats.ome_zarr import Version, write_ome_zarr
from tests.made_slides import he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.slide import open_slide

PIXELS = he_pixels(100, 130)
JUNK: tuple[Any, ...] = (
    None,
    0,
    -1,
    1e308,
    10**30,
    "",
    "x",
    "../..",
    [],
    [[]],
    {},
    {"a": 1},
    True,
    "\0",
    1.5,
)
CASES = 60


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values in a document, except the whole."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, each in inner:
        yield (*path, key)
        yield from places(each, (*path, key))


def changed(document: Any, rng: random.Random) -> Any:
    """Return a copy with one value replaced or removed."""
    document = copy.deepcopy(document)
    *path, last = rng.choice(list(places(document)))
    at = document
    for key in path:
        at = at[key]
    if rng.random() < 0.2:
        del at[last]
    else:
        at[last] = copy.deepcopy(rng.choice(JUNK))
    return document


def refusal(folder: Path) -> str | None:
    """Read a slide; return the message if that is refused."""
    try:
        with open_slide(folder) as slide:
            width, height = slide.level_sizes[0]
            slide.read(0, 0, 0, min(width, 200), min(height, 200))
    except SlideError as error:
        return str(error)
    return None


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("seed", [1, 2])
def test_any_metadata_are_read_or_refused_in_one_line(tmp_path: Path, version: Version, seed: int) -> None:
    folder = write_ome_zarr(tmp_path / "a.ome.zarr", PIXELS, version, chunk=64, factors=(1, 2))
    names = (".zattrs", "0/.zarray", "1/.zarray") if version == "0.4" else ("zarr.json", "0/zarr.json")
    rng, refused = random.Random(seed), 0
    for _ in range(CASES):
        file = folder / rng.choice(names)
        before = file.read_text()
        file.write_text(json.dumps(changed(json.loads(before), rng)))
        if words := refusal(folder):
            refused += 1
            assert "\n" not in words
            assert words.startswith(str(folder))
        file.write_text(before)
    assert 0 < refused < CASES
