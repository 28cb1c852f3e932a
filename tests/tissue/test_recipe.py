from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_embed.errors import UsageError
from wsi_embed.tissue.recipe import RECIPES, USED, TissueRecipe, parse_recipe

NAMED = [n for n in RECIPES if n != "model"]


def test_every_number_is_used_by_some_recipe_and_documented() -> None:
    numbers = {f.name for f in fields(TissueRecipe)} - {"name", "model", "sha256", "path"}
    assert set().union(*USED.values()) == numbers
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


def test_settings_get_the_type_of_their_default() -> None:
    text = ["min_area_um2=1e5", "pen=off", "max_px=4096", "edges=True", "close_um=0"]
    recipe = parse_recipe("otsu", text)
    assert recipe == TissueRecipe(min_area_um2=100_000.0, pen=False, max_px=4096, close_um=0.0)
    assert isinstance(recipe.max_px, int)
    given_as_mapping = {"min_area_um2": 1e5, "pen": False, "max_px": 4096, "close_um": 0}
    assert parse_recipe("otsu", given_as_mapping) == recipe


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("otsu", "blurr=3", "--tissue-set blurr: otsu has no such setting; otsu has mask_mpp=8, "),
        ("hsv", "grey=0.1", "--tissue-set grey: hsv has no such setting; hsv has .*hue_from=190"),
        ("none", "pen=off", "none has no settings"),
        ("otsu", "pen=maybe", "--tissue-set pen=maybe: expected something like on"),
        ("otsu", "max_px=10.5", "--tissue-set max_px=10.5: expected something like 8192"),
        ("otsu", "close_um=wide", "--tissue-set close_um=wide"),
        ("otsu", "close_um=-1", "close_um=-1: 0 to 10000 is expected; otsu has"),
        ("otsu", "close_um=nan", "--tissue-set close_um=nan"),
        ("otsu", "close_um=inf", "close_um=inf: 0 to 10000"),
        ("otsu", "max_px=inf", "--tissue-set max_px=inf"),
        ("otsu", "min_chroma=50", "min_chroma=50 is above max_chroma=6"),
        ("otsu", "pen", "--tissue-set pen: expected key=value"),
        ("otsu", "name=hsv", "--tissue-set name: otsu has no such setting"),
        (
            "magic",
            "pen=off",
            "--tissue magic: no such recipe; choose otsu, otsu-local, hsv, none or model:FILE",
        ),
        ("model", "pen=off", "--tissue model: say which network, as model:FILE"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_there_is(name: str, setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_recipe(name, [setting])


def test_a_setting_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="--tissue-set pen is given twice"):
        parse_recipe("otsu", ["pen=off", "pen=on"])


def test_a_recipe_of_another_version_is_refused() -> None:
    with pytest.raises(UsageError, match="another version of wsi-embed: glow unknown here"):
        TissueRecipe.from_dict({"name": "otsu", "glow": 3})


@settings(deadline=None)
@given(
    values=st.dictionaries(st.sampled_from(USED["otsu"]), st.floats() | st.text() | st.booleans() | st.none())
)
def test_whatever_is_set_gives_a_recipe_in_range_or_a_usage_error(values: dict[str, Any]) -> None:
    try:
        recipe = parse_recipe("otsu", values)
    except UsageError:
        return
    assert TissueRecipe.from_dict(recipe.to_dict()).to_dict() == recipe.to_dict()
