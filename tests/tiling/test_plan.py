from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.made_formats.dicom import write_dicom
from tests.made_formats.jpeg_tiles import write_jpeg_slide
from tests.made_formats.pixels import shrunk
from tests.made_formats.tiffs import Page, write_pages
from tests.made_profiles import matrix_profile
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.errors import ResolutionError, SlideError, UsageError
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.store.layout import StoreSettings
from wsi_embed.tiling.fingerprint import differences
from wsi_embed.tiling.plan import SlidePlan, plan_slide
from wsi_embed.tiling.settings import Tiling
from wsi_embed.tissue import TissueRecipe

ICC_PROFILE = 34675
STORE = StoreSettings(model_id="m" * 32, tile_px=64, mpp=0.5, dtype="float16", feature_dim=8, clusters=4)
ALL = Tiling(tissue=TissueRecipe(name="none"))


def item_of(path: Path, **values: Any) -> SlideInput:
    return SlideInput(path.stem, path, path.name, **values)


def plan_of(path: Path, tiling: Tiling = ALL, store: StoreSettings = STORE, **values: Any) -> SlidePlan:
    plan = plan_slide(item_of(path, **values), tiling, store)
    plan.slide.close()
    return plan


def roi_file(folder: Path, right: int = 400) -> Path:
    ring = [[100, 100], [right, 100], [right, 400], [100, 400], [100, 100]]
    path = folder / f"{right}.geojson"
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    return path


def test_the_same_slide_and_settings_have_the_same_fingerprint(made_slide: Path) -> None:
    first, second = plan_of(made_slide), plan_of(made_slide)
    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 32


def test_the_fingerprint_does_not_know_the_path(made_slide: Path, tmp_path: Path) -> None:
    moved = tmp_path / "renamed.svs"
    shutil.copyfile(made_slide, moved)
    assert plan_of(moved, patient="P1").fingerprint == plan_of(made_slide).fingerprint


@pytest.mark.parametrize(
    "tiling",
    [
        replace(ALL, overlap=8),
        replace(ALL, edge="pad"),
        replace(ALL, min_tissue=0.5),
        replace(ALL, mpp_override=0.25),
        replace(ALL, tissue=TissueRecipe()),
        replace(ALL, tissue=TissueRecipe(close_um=32)),
    ],
)
def test_every_tiling_setting_changes_the_fingerprint(made_slide: Path, tiling: Tiling) -> None:
    assert plan_of(made_slide, tiling).fingerprint != plan_of(made_slide).fingerprint


@pytest.mark.parametrize("name", TissueRecipe().used)
def test_every_number_of_the_tissue_recipe_changes_the_fingerprint(made_slide: Path, name: str) -> None:
    recipe = TissueRecipe()
    value = getattr(recipe, name)
    change: dict[str, Any] = {name: not value if isinstance(value, bool) else value + 0.5}
    other = replace(recipe, **change)
    before, after = (plan_of(made_slide, Tiling(tissue=r)) for r in (recipe, other))
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize(
    "store",
    [
        replace(STORE, model_id="n" * 32),
        replace(STORE, tile_px=65),
        replace(STORE, mpp=0.51),
        replace(STORE, dtype="float32"),
    ],
)
def test_every_setting_of_the_store_changes_the_fingerprint(made_slide: Path, store: StoreSettings) -> None:
    assert plan_of(made_slide, store=store).fingerprint != plan_of(made_slide).fingerprint


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"factors": (1, 2, 4)}, False),  # the same pixels from both readers
        ({"factors": (1, 3)}, True),  # OpenSlide interpolates
        ({"factors": (1, 2), "subifds": True}, True),  # and sees fewer levels
        ({"factors": (1,)}, False),
    ],
)
def test_the_reader_changes_the_fingerprint_where_it_changes_pixels_and_only_there(
    options: dict[str, Any], named: bool, tmp_path: Path
) -> None:
    path = write_jpeg_slide(tmp_path / "a.tif", he_pixels(256, 512), **options)
    plans = {reader: plan_of(path, replace(ALL, reader=reader)) for reader in ("auto", "openslide", "tiff")}
    assert [plan.slide.reader for plan in plans.values()] == ["tiff", "openslide", "tiff"]
    assert plans["auto"].fingerprint == plans["tiff"].fingerprint
    assert (plans["auto"].fingerprint != plans["openslide"].fingerprint) is named
    assert plans["auto"].settings.get("reader") == ("tiff" if named else None)
    assert "reader" not in plans["openslide"].settings


@pytest.mark.parametrize("height", [256, 255])  # OpenSlide interpolates the level of the latter
def test_a_dicom_slide_that_openslide_read_before_is_done(height: int, tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", he_pixels(256, 512)[:height])[0]
    plans = [plan_of(path, replace(ALL, reader=reader)) for reader in ("auto", "dicom", "openslide")]
    assert [plan.slide.reader for plan in plans] == ["dicom", "dicom", "openslide"]
    assert len({plan.fingerprint for plan in plans}) == 1


@pytest.mark.parametrize(
    ("mpp", "overlap", "scale"),
    [
        (0.5, 0, 1),  # nothing is resampled
        (1.0, 0, 2),
        (2.0, 0, 4),
        (4.0, 0, 8),
        (8.0, 0, 8),
        (1.5, 0, 2),  # 192 pixels, of which 96 are decoded
        (1.0, 33, 2),
        (0.75, 0, 1),  # 96 pixels: half of them would be too few
        (1.02, 0, 1),  # 131 pixels
        (1.015, 16, 2),  # 130 pixels in steps of 98
        (1.015, 20, 1),  # or of 89
    ],
)
def test_the_decoder_resamples_where_the_lattice_allows_it_and_only_on_demand(
    mpp: float, overlap: int, scale: int, tmp_path: Path
) -> None:
    path = write_jpeg_slide(tmp_path / "a.tif", he_pixels(640, 640), factors=(1,))
    tiling, store = replace(ALL, overlap=overlap, mpp_override=0.5), replace(STORE, mpp=mpp)
    plain, fast = plan_of(path, tiling, store), plan_of(path, replace(tiling, fast_downsample=True), store)
    assert (plain.read.dct_scale, fast.read.dct_scale) == (1, scale)
    assert (plain.fingerprint == fast.fingerprint) == (scale == 1)
    theirs = plan_of(path, replace(tiling, fast_downsample=True, reader="openslide"), store)
    assert theirs.fingerprint == plain.fingerprint  # OpenSlide cannot


def test_the_content_of_the_regions_changes_the_fingerprint(made_slide: Path, tmp_path: Path) -> None:
    without = plan_of(made_slide).fingerprint
    small = plan_of(made_slide, roi=roi_file(tmp_path, 400)).fingerprint
    large = plan_of(made_slide, roi=roi_file(tmp_path, 500)).fingerprint
    assert len({without, small, large}) == 3


def test_the_content_of_the_slide_changes_the_fingerprint(made_slide: Path, tmp_path: Path) -> None:
    other = tmp_path / "made.svs"
    content = bytearray(made_slide.read_bytes())
    content[-1] ^= 1
    other.write_bytes(content)
    assert plan_of(other).fingerprint != plan_of(made_slide).fingerprint


def test_the_manifests_mpp_wins_over_the_flag_and_the_metadata(made_slide: Path) -> None:
    plan = plan_of(made_slide, replace(ALL, mpp_override=0.3), mpp=0.25)
    assert (plan.resolution.mpp, plan.resolution.source) == (0.25, "manifest")
    plan = plan_of(made_slide, replace(ALL, mpp_override=0.3))
    assert (plan.resolution.mpp, plan.resolution.source) == (0.3, "--mpp-override")
    assert str(plan.resolution.warning).endswith("um per pixel; using `mpp_override=0.3`")
    plan = plan_of(made_slide)
    assert (plan.resolution.mpp, plan.resolution.source) == (0.499, "openslide.mpp-x")


def test_a_slide_that_is_too_coarse_is_named(made_slide: Path) -> None:
    with pytest.raises(ResolutionError, match=r"^made\.svs: .* coarser than the requested 0\.25"):
        plan_of(made_slide, store=replace(STORE, mpp=0.25))


@pytest.mark.parametrize("edge", ["drop", "pad"])
def test_a_slide_smaller_than_a_tile_fails_unless_padded(tmp_path: Path, edge: Any) -> None:
    path = tmp_path / "small.png"
    Image.fromarray(he_pixels(63, 500)).save(path)
    tiling = replace(ALL, edge=edge, mpp_override=0.5)
    with plan_slide(item_of(path), tiling, STORE).slide as slide:
        plan = replace(plan_of(path, tiling), slide=slide)
        if edge == "drop":
            message = r"small\.png: 500 x 63 pixels .* smaller than one tile of 64; use `edge='pad'`"
            with pytest.raises(SlideError, match=message):
                plan.make_grid(tiling)[0]
        else:
            assert len(plan.make_grid(tiling)[0]) == 8


def test_only_tiles_with_enough_tissue_are_kept_and_in_order(made_slide: Path) -> None:
    tiling = Tiling(min_tissue=0.5)
    plan = plan_slide(item_of(made_slide), tiling, STORE)
    with plan.slide:
        every = plan.make_grid(replace(tiling, min_tissue=0.0))[0]
        some = plan.make_grid(tiling)[0]
    assert 0 < len(some) < len(every) < (1100 // 64) * (900 // 64)
    assert (some.tissue_fraction >= 0.5).all()
    assert (every.tissue_fraction > 0).all()
    kept = every.where(every.tissue_fraction >= 0.5)
    assert np.array_equal(some.coords, kept.coords)
    assert some.grid.tolist() == sorted(some.grid.tolist())


def test_tiles_stay_inside_the_regions(made_slide: Path, tmp_path: Path) -> None:
    tiling = replace(ALL, min_tissue=0.9)
    plan = plan_slide(item_of(made_slide, roi=roi_file(tmp_path)), tiling, STORE)
    with plan.slide:
        grid = plan.make_grid(tiling)[0]
    assert len(grid) > 0
    assert grid.coords.min() >= 90
    assert (grid.coords + 64).max() <= 410


def attributes_of(path: Path, tiling: Tiling, **values: Any) -> dict[str, Any]:
    plan = plan_slide(item_of(path, **values), tiling, STORE)
    with plan.slide:
        return plan.attributes(plan.make_grid(tiling)[0], tiling, {"wsi_embed": "0"})


def test_attributes_are_plain_json(made_slide: Path, tmp_path: Path) -> None:
    attributes = attributes_of(made_slide, Tiling(), patient="P1", roi=roi_file(tmp_path))
    assert json.loads(json.dumps(attributes, allow_nan=False)) == attributes


def test_attributes_hold_no_absolute_path(made_slide: Path, tmp_path: Path) -> None:
    text = json.dumps(attributes_of(made_slide, Tiling(), roi=roi_file(tmp_path)))
    assert str(made_slide.parent) not in text
    assert str(tmp_path) not in text
    assert '"/' not in text


def test_attributes_say_how_tiles_lie_on_level_0(made_slide: Path) -> None:
    plan = plan_slide(item_of(made_slide), ALL, replace(STORE, mpp=2.5))
    with plan.slide:
        attributes = plan.attributes(plan.make_grid(ALL)[0], ALL, {})
    assert attributes["size"] == [1100, 900]
    assert attributes["bounds"] == [0, 0, 1100, 900]
    assert (attributes["level"], attributes["level_downsample"]) == (1, 4.0)
    assert (attributes["read_px"], attributes["tile_px"], attributes["resampled"]) == (80, 64, True)
    assert attributes["extent"] == 320.0
    assert attributes["effective_mpp"] == pytest.approx(0.499 * 4 * 80 / 64)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"edge": "wrap"}, "`edge='wrap'`: choose drop or pad"),
        ({"min_tissue": -0.1}, r"`min_tissue=-0\.1`: a share from 0 to 1"),
        ({"min_tissue": 1.1}, r"`min_tissue=1\.1`"),
        ({"min_tissue": float("nan")}, "`min_tissue=nan`"),
    ],
)
def test_tiling_that_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Tiling(**values)


def test_differences_are_told_by_name_with_both_values(made_slide: Path) -> None:
    before = plan_of(made_slide, Tiling()).settings
    now = plan_of(made_slide, Tiling(overlap=16, tissue=TissueRecipe(close_um=32.0))).settings
    assert differences(before, now) == "overlap 0 -> 16, tissue.close_um 80.0 -> 32.0"


def test_equal_settings_have_no_differences(made_slide: Path) -> None:
    settings = plan_of(made_slide).settings
    assert differences(settings, json.loads(json.dumps(settings))) == ""


def test_a_setting_that_one_side_lacks_is_a_difference() -> None:
    assert differences({"a": 1}, {"a": 1, "b": {"c": 2}}) == "b.c none -> 2"


@pytest.mark.parametrize("icc", [False, True])
def test_a_level_that_does_not_show_level_0_is_not_read(icc: bool, tmp_path: Path) -> None:
    """The next finer level is read, and the store records which levels there were."""
    pixels = he_pixels(900, 1200, seed=3)
    levels = [pixels, shrunk(pixels, 2), (255 * (shrunk(pixels, 4) / 255) ** 1.6).astype(np.uint8)]
    profile = matrix_profile()
    pages = [
        Page(
            level,
            reduced=n > 0,
            mpp=0.5 * 2**n,
            tags=[(ICC_PROFILE, 7, len(profile), profile, True)] * (n == 0),
        )
        for n, level in enumerate(levels)
    ]
    path = write_pages(tmp_path / "a.tif", pages)
    tiling = Tiling(tissue=TissueRecipe("otsu"), icc=icc)
    plan = plan_of(path, tiling, replace(STORE, mpp=2.0))
    assert plan.read.level == 1
    assert plan.settings["levels"] == [[1200, 900, 1.0, 1.0], [600, 450, 2.0, 2.0]]
    assert [text for text in plan.warnings if "its level 2 (300 x 225 pixels) does not show" in text]
    assert plan.slide.left_out == ("level 2 (300 x 225): it does not show what level 0 shows",)


def test_more_places_for_tiles_than_memory_holds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, a sparse file of 400,000 pixels took 20 GB."""
    path = write_tiff(tmp_path / "a.tif", he_pixels(640, 320), mpp=0.5)
    planned = plan_slide(item_of(path), Tiling(), replace(STORE, tile_px=32))
    with planned.slide:
        monkeypatch.setattr("wsi_embed.tiling.plan.MOST_POSITIONS", 200)
        assert len(planned.make_grid(Tiling())[0]) > 0
        monkeypatch.setattr("wsi_embed.tiling.plan.MOST_POSITIONS", 199)
        with pytest.raises(SlideError) as error:
            planned.make_grid(Tiling())
    assert str(error.value).startswith(
        "a.tif: 200 places for tiles of 32 px, more than 199; use larger tiles"
    )
