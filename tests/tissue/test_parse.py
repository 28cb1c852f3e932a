from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_embed.errors import UsageError
from wsi_embed.tissue.parse import parse_recipe
from wsi_embed.tissue.recipe import USED, TissueRecipe


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
        ("otsu", "blurr=3", "`tissue_set=.'blurr'.`: otsu has no such setting; otsu has mask_mpp=8, "),
        ("hsv", "grey=0.1", "`tissue_set=.'grey'.`: hsv has no such setting; hsv has .*hue_from=190"),
        ("none", "pen=off", "`tissue_set=.'pen'.`: tissue recipe \"none\" has no settings$"),
        ("otsu", "pen=maybe", "`tissue_set=.*pen.*maybe.*`: on or off is expected"),
        ("otsu", "max_px=10.5", "`tissue_set=.*max_px.*10.5.*`: a whole number is expected"),
        ("otsu", "close_um=wide", "`tissue_set=.*close_um.*wide.*`"),
        ("otsu", "close_um=-1", "`tissue_set=.'close_um=-1'.`: close_um must be 0 to 10000; otsu has"),
        ("otsu", "close_um=nan", "`tissue_set=.*close_um.*nan.*`"),
        ("otsu", "close_um=inf", "close_um must be 0 to 10000"),
        ("otsu", "max_px=inf", "`tissue_set=.*max_px.*inf.*`"),
        ("otsu", "min_chroma=50", "'min_chroma=50', 'max_chroma=6'.`: min_chroma is above max_chroma"),
        ("otsu", "pen", "`tissue_set=.'pen'.`: expected key=value"),
        ("otsu", "name=hsv", "`tissue_set=.'name'.`: otsu has no such setting"),
        (
            "magic",
            "pen=off",
            "`tissue='magic'`: choose otsu, otsu-local, hsv, none or model:FILE",
        ),
        ("model", "pen=off", "`tissue='model'`: give the network as model:FILE"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_there_is(name: str, setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_recipe(name, [setting])


def test_a_setting_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match=r"`tissue_set=\['pen'\]` is given twice"):
        parse_recipe("otsu", ["pen=off", "pen=on"])
    assert parse_recipe("otsu", ["pen=off", "pen=no"]) == parse_recipe("otsu", ["pen=off"])


@given(
    values=st.dictionaries(st.sampled_from(USED["otsu"]), st.floats() | st.text() | st.booleans() | st.none())
)
def test_whatever_is_set_gives_a_recipe_in_range_or_a_usage_error(values: dict[str, Any]) -> None:
    try:
        recipe = parse_recipe("otsu", values)
    except UsageError:
        return
    assert TissueRecipe.from_dict(recipe.to_dict()).to_dict() == recipe.to_dict()
