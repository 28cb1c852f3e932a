"""The one list of what decides a slide's arrays, and its three uses."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.made_slides import he_pixels, write_tiff
from wsi_embed.inputs.remote_slides import RemoteSlide
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.quality import QualityLimits
from wsi_embed.regions import RegionRules
from wsi_embed.storage.address import parse_address
from wsi_embed.store import StoreSettings
from wsi_embed.tiling.fingerprint import (
    ALWAYS,
    RESOLVED,
    SlideFacts,
    decisive_settings,
    matches_unopened,
    remote_origin,
)
from wsi_embed.tiling.plan import plan_slide
from wsi_embed.tiling.settings import Tiling
from wsi_embed.tissue import TissueRecipe

STORE = StoreSettings("model", 32, 0.5, "float16", 8, None)
FACTS = SlideFacts("f" * 32, 0.5)
VERSIONS = {"wsi-embed": "1"}
# Another value of each option.
OTHER: dict[str, Any] = {
    "overlap": 8,
    "edge": "pad",
    "tissue": TissueRecipe(close_um=32.0),
    "min_tissue": 0.5,
    "mpp_default": 0.3,
    "mpp_override": 0.4,
    "force": True,
    "regions": RegionRules(include=("tumour",)),
    "icc": True,
    "reader": "openslide",
    "fast_downsample": True,
    "limits": QualityLimits(min_focus=4.0),
}
# Options that older stores do not have, which are recorded only if they are used.
ADDED = {"limits"}


@dataclass(frozen=True)
class LaterTiling(Tiling):
    """Tiling with an option that a later version adds."""

    sharpen: int = 0


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> SlideInput:
    path = tmp_path_factory.mktemp("slides") / "a.tiff"
    return SlideInput("a", write_tiff(path, he_pixels(128, 128), levels=(1,)), "a.tiff")


@pytest.fixture
def remote(slide: SlideInput) -> SlideInput:
    return replace(slide, remote=RemoteSlide(parse_address("s3://bucket/a.tiff"), listed=()))


def committed(item: SlideInput, tiling: Tiling) -> dict[str, Any]:
    """Attributes of a slide that is complete with these options."""
    plan = plan_slide(item, tiling, STORE)
    try:
        grid, _ = plan.make_grid(replace(tiling, tissue=TissueRecipe("none")))
        return plan.attributes(grid, tiling, VERSIONS)
    finally:
        plan.slide.close()


def test_every_option_has_another_value_here() -> None:
    assert OTHER.keys() == {f.name for f in fields(Tiling)}
    assert not RESOLVED.keys() & ALWAYS
    assert OTHER.keys() == RESOLVED.keys() | ALWAYS | ADDED
    assert set(RESOLVED.values()) <= {f.name for f in fields(SlideFacts)}


@pytest.mark.parametrize("name", sorted(OTHER))
def test_every_option_counts_for_remote_slides(remote: SlideInput, name: str) -> None:
    before = remote_origin(remote, Tiling(), STORE)
    assert before != remote_origin(remote, replace(Tiling(), **{name: OTHER[name]}), STORE)


@pytest.mark.parametrize("name", sorted(ALWAYS))
def test_options_that_decide_by_their_value_are_settings(name: str) -> None:
    before = decisive_settings(Tiling(), STORE, FACTS)
    assert before != decisive_settings(replace(Tiling(), **{name: OTHER[name]}), STORE, FACTS)


@pytest.mark.parametrize("name", sorted(OTHER))
def test_a_slide_matches_unopened_only_with_the_same_options(slide: SlideInput, name: str) -> None:
    done = committed(slide, Tiling())
    assert matches_unopened(slide, Tiling(), STORE, done, VERSIONS)
    other = replace(Tiling(), **{name: OTHER[name]})
    assert not matches_unopened(slide, other, STORE, done, VERSIONS)


@pytest.mark.parametrize("fact", [f.name for f in fields(SlideFacts)])
def test_every_fact_is_a_setting(fact: str) -> None:
    other: dict[str, Any] = {"slide_mpp": 0.25, "levels": [[1, 1]], "icc": {"profile": "x"}}
    changed = replace(FACTS, **{fact: other.get(fact, "other")})
    assert decisive_settings(Tiling(), STORE, FACTS) != decisive_settings(Tiling(), STORE, changed)


def test_an_option_that_is_added_counts_in_every_use(slide: SlideInput, remote: SlideInput) -> None:
    done, sharp = committed(slide, LaterTiling()), LaterTiling(sharpen=1)
    assert decisive_settings(sharp, STORE, FACTS)["sharpen"] == 1
    assert not matches_unopened(slide, sharp, STORE, done, VERSIONS)
    assert remote_origin(remote, sharp, STORE) != remote_origin(remote, LaterTiling(), STORE)
    assert sharp.to_dict()["sharpen"] == 1


def test_an_option_that_is_added_leaves_earlier_fingerprints_valid(slide: SlideInput) -> None:
    assert decisive_settings(LaterTiling(), STORE, FACTS) == decisive_settings(Tiling(), STORE, FACTS)
    assert matches_unopened(slide, LaterTiling(), STORE, committed(slide, Tiling()), VERSIONS)


@pytest.mark.parametrize("name", [*(f.name for f in fields(SlideFacts)), *STORE.decisive()])
def test_an_option_cannot_hide_a_fact_or_a_setting_of_the_target(name: str) -> None:
    clash = make_dataclass("Clash", [(name, str, field(default=""))], bases=(Tiling,), frozen=True)
    if name in OTHER:
        return  # an option already: its value is replaced by the fact that records its effect
    with pytest.raises(ValueError, match=f"'{name}'"):
        decisive_settings(clash(**{name: "other"}), STORE, replace(FACTS, reader="tiff", levels=[]))


def test_an_option_named_roi_would_be_lost_in_reports() -> None:
    clash = make_dataclass("Clash", [("roi", str, field(default=""))], bases=(Tiling,), frozen=True)
    with pytest.raises(ValueError, match="'roi'"):
        clash().to_dict()


@pytest.mark.parametrize(("name", "value"), [("mpp", 0.4), ("roi", "a.geojson"), ("magnification", 20)])
def test_what_a_manifest_states_counts(
    slide: SlideInput, remote: SlideInput, name: str, value: Any, tmp_path: Path
) -> None:
    if name == "roi":
        value = tmp_path / value
        value.write_text('{"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]}')
    if name not in {f.name for f in fields(SlideInput)}:  # a column that is added later
        later = make_dataclass(
            "Later", [(name, int | None, field(default=None))], bases=(SlideInput,), frozen=True
        )
        slide, remote = (later(**vars(item)) for item in (slide, remote))
    done = committed(slide, Tiling())
    assert matches_unopened(slide, Tiling(), STORE, done, VERSIONS)
    assert not matches_unopened(replace(slide, **{name: value}), Tiling(), STORE, done, VERSIONS)
    assert remote_origin(replace(remote, **{name: value}), Tiling(), STORE) != remote_origin(
        remote, Tiling(), STORE
    )


@pytest.mark.parametrize("name", ["mpp_override", "icc", "regions"])
def test_resolved_options_change_the_settings_of_a_plan(slide: SlideInput, name: str, tmp_path: Path) -> None:
    value = OTHER[name]
    if name == "regions":
        path = tmp_path / "a.geojson"
        path.write_text('{"type": "Polygon", "coordinates": [[[0, 0], [90, 0], [90, 90], [0, 0]]]}')
        slide = replace(slide, roi=path)
        value = RegionRules()
    before = committed(replace(slide, roi=None), Tiling())["settings"]
    now = committed(slide, replace(Tiling(), **{name: value}))["settings"]
    assert {k for k in now if now[k] != before.get(k)} == {RESOLVED[name]}


def test_the_tiling_of_a_report_has_every_option() -> None:
    assert {"roi" if k == "regions" else k for k in OTHER} == Tiling().to_dict().keys()
