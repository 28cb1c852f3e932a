from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from wsi_embed.errors import UsageError
from wsi_embed.tissue.recipe import RECIPES, USED, TissueRecipe

NAMED = [n for n in RECIPES if n != "model"]


def test_every_number_is_used_by_some_recipe_and_documented() -> None:
    numbers = {f.name for f in fields(TissueRecipe)} - {"name", "model", "sha256", "path"}
    assert set().union(*USED.values()) == numbers
    assert USED.keys() == set(RECIPES)
    documented = set(re.findall(r"^        (\w+): ", TissueRecipe.__doc__ or "", re.MULTILINE))
    assert documented == numbers | {"name", "model", "sha256", "path"}


def test_the_manual_has_every_number_with_its_default() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "tissue.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", manual, re.MULTILINE))
    said = {name: value.strip().replace(",", "") for name, value in rows.items()}
    for name in set().union(*USED.values()):
        value = getattr(TissueRecipe(), name)
        text = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
        if isinstance(value, tuple):
            text = "".join(f"{v:g}" for v in value)
        assert said[name] == (f"{text:g}" if isinstance(text, int | float) and text < 1e5 else str(text)), (
            name
        )


@pytest.mark.parametrize("name", NAMED)
def test_a_recipe_survives_json(name: str) -> None:
    recipe = TissueRecipe(name, close_um=50.0, pen=False, min_saturation=20)
    back = TissueRecipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert back.to_dict() == recipe.to_dict()


@pytest.mark.parametrize("name", NAMED)
def test_only_what_a_recipe_uses_is_recorded(name: str) -> None:
    recipe = TissueRecipe(name)
    assert set(recipe.to_dict()) == {"name", *recipe.used}
    assert TissueRecipe("otsu", hue_from=100.0).to_dict() == TissueRecipe("otsu").to_dict()
    assert "pen_um" not in TissueRecipe(pen=False).to_dict()
    assert "edge_um" not in TissueRecipe(edges=False).to_dict()


def test_a_recipe_of_another_version_is_refused() -> None:
    with pytest.raises(UsageError, match="another version of wsi-embed: glow is unknown here"):
        TissueRecipe.from_dict({"name": "otsu", "glow": 3})
