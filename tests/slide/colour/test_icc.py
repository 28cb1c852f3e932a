"""Conversion to sRGB, against formulas. No real slide at hand embeds a profile: see the last test."""

from __future__ import annotations

import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.job_tools import arrays, invoke, make_model
from tests.made_formats.dicom import write_dicom
from tests.made_profiles import as_srgb, grey_profile, matrix_profile
from tests.made_slides import UInt8Array, he_pixels, write_svs, write_tiff
from wsi_embed import embed, open_store
from wsi_embed.diagnostics.describe import describe
from wsi_embed.errors import SlideError
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.slide import open_slide
from wsi_embed.slide.colour.icc import INTENT, SrgbSlide, profile_digest, to_srgb
from wsi_embed.store.layout import StoreSettings
from wsi_embed.tiling.plan import SlidePlan, plan_slide
from wsi_embed.tiling.settings import Tiling
from wsi_embed.tissue import TissueRecipe

PIXELS = he_pixels(530, 610, seed=5)
GAMMAS = (1.8, 2.2, 2.6)
PROFILE = matrix_profile(GAMMAS)
STORE = StoreSettings(model_id="m" * 32, tile_px=64, mpp=0.5, dtype="float16", feature_dim=8, clusters=4)
ALL = TissueRecipe(name="none")


def write(path: Path, profile: bytes | None = PROFILE, **options: Any) -> Path:
    """PIXELS as a slide of the kind that the name says."""
    if path.suffix == ".svs":
        return write_svs(path, PIXELS, profile=profile, mpp=0.5, **options)
    if path.suffix == ".tif":
        return write_tiff(path, PIXELS, profile=profile, mpp=0.5, **options)
    Image.fromarray(PIXELS).save(path, icc_profile=profile)
    return path


def srgb(path: Path) -> UInt8Array:
    """Level 0 as sRGB."""
    slide, _ = to_srgb(open_slide(path))
    with slide:
        return slide.read(0, 0, 0, *slide.level_sizes[0])


def plan_of(path: Path, *, icc: bool) -> SlidePlan:
    item = SlideInput(path.stem, path, path.name, mpp=0.5)
    plan = plan_slide(item, Tiling(tissue=ALL, icc=icc), STORE)
    plan.slide.close()
    return plan


@pytest.mark.parametrize("name", ["a.svs", "a.tif", "a.png"])
def test_the_profile_is_the_files_own_bytes(tmp_path: Path, name: str) -> None:
    with open_slide(write(tmp_path / name)) as slide:
        assert slide.icc_profile() == PROFILE
    with open_slide(write(tmp_path / f"none{name}", profile=None)) as slide:
        assert slide.icc_profile() is None


def test_the_profile_of_a_dicom_slide_is_found(tmp_path: Path) -> None:
    path = write_dicom(tmp_path, PIXELS, "none", profile=PROFILE)[0]
    assert np.abs(srgb(path).astype(int) - as_srgb(PIXELS, GAMMAS)).max() <= 1


@pytest.mark.parametrize("name", ["a.svs", "a.tif", "a.png"])
@pytest.mark.parametrize(
    ("gammas", "order"), [(GAMMAS, "rgb"), ((2.2, 2.2, 2.2), "bgr"), ((1.0, 1.0, 1.0), "rgb")]
)
def test_pixels_are_what_the_formulas_say(
    tmp_path: Path, name: str, gammas: tuple[float, float, float], order: str
) -> None:
    path = write(tmp_path / name, profile=matrix_profile(gammas, order))
    expected = as_srgb(PIXELS, gammas, order)
    assert np.abs(expected.astype(int) - PIXELS).mean() > 2  # the conversion does something
    # the profile's numbers have 16 bits
    assert np.abs(srgb(path).astype(int) - expected).max() <= 1


def test_srgbs_own_profile_changes_nothing(tmp_path: Path) -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(srgb(write(tmp_path / "a.tif", profile=own)), PIXELS)


def test_every_level_is_converted_and_all_else_is_the_slides_own(tmp_path: Path) -> None:
    path = write(tmp_path / "a.svs", levels=(1, 2, 4))
    with open_slide(path) as plain, to_srgb(open_slide(path))[0] as slide:
        names = "path reader vendor level_sizes level_scales mpp mpp_source objective_power bounds"
        for name in [*names.split(), "fingerprint"]:
            assert getattr(slide, name) == getattr(plain, name), name
        assert slide.icc_profile() is None
        for level in range(3):
            before, after = plain.read(level, 5, 9, 90, 80), slide.read(level, 5, 9, 90, 80)
            assert np.abs(as_srgb(before, GAMMAS).astype(int) - after).max() <= 1


@pytest.mark.parametrize("profile", [PROFILE, matrix_profile(GAMMAS, scale=0.8)])
def test_white_stays_white_inside_and_beyond_the_slide(tmp_path: Path, profile: bytes) -> None:
    pixels = PIXELS.copy()
    pixels[100:200, 100:200] = 255
    alpha = np.full((530, 610, 1), 255, np.uint8)
    alpha[300:400, 300:400] = 0
    rgba = np.concatenate([np.where(alpha > 0, pixels, 0).astype(np.uint8), alpha], 2)
    path = write_tiff(tmp_path / "a.tif", rgba, levels=(1,), profile=profile)
    with to_srgb(open_slide(path))[0] as slide:
        assert (slide.read(0, 100, 100, 100, 100) == 255).all()
        assert (slide.read(0, 300, 300, 100, 100) == 255).all()
        corner = slide.read(0, -20, -20, 40, 40)
        assert (corner[:20] == 255).all()
        assert (corner[:, :20] == 255).all()
        grey = slide.read(0, 0, 0, 20, 20)
    assert np.array_equal(corner[20:, 20:], grey)
    assert (grey < 255).all()


def test_the_thumbnail_is_converted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", levels=(1,))
    expected = as_srgb(PIXELS, GAMMAS).reshape(53, 10, 61, 10, 3).mean((1, 3))
    with to_srgb(open_slide(path))[0] as slide:
        assert np.abs(slide.thumbnail(61) - expected).max() <= 2


def test_many_threads_give_the_bytes_of_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", profile=matrix_profile(GAMMAS, "gbr", 0.9))
    rng = np.random.default_rng(0)
    places = [(0, int(x), int(y), 224, 224) for x, y in rng.integers(-50, 500, (400, 2))]
    with to_srgb(open_slide(path))[0] as slide:
        assert isinstance(slide, SrgbSlide)
        alone = [slide.read(*place) for place in places]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda place: slide.read(*place), places))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other)


def test_closing_closes_the_slide_within_and_twice_is_fine(tmp_path: Path) -> None:
    inner = open_slide(write(tmp_path / "a.svs"))
    slide, _ = to_srgb(inner)
    slide.close()
    slide.close()
    with pytest.raises(Exception, match=r".+"):
        inner.read(0, 0, 0, 5, 5)


@pytest.mark.parametrize("profile", [b"not a profile" * 50, PROFILE[:140], PROFILE[:300], PROFILE[:-40]])
@pytest.mark.parametrize("name", ["a.svs", "a.png"])
def test_a_broken_profile_fails_the_slide_with_one_line(tmp_path: Path, name: str, profile: bytes) -> None:
    path = write(tmp_path / name, profile=profile)
    message = rf"^{name}: its ICC profile \({len(profile)} bytes\) is broken; leave out `icc=True`[^\n]*$"
    with pytest.raises(SlideError, match=message):
        plan_of(path, icc=True)
    assert plan_of(path, icc=False).settings["icc"] is False


def test_a_profile_of_grey_pixels_fails_the_slide(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "a.png", icc_profile=grey_profile())
    with pytest.raises(SlideError, match=r"^a\.png: its ICC profile is of GRAY pixels, not RGB; leave out"):
        plan_of(tmp_path / "a.png", icc=True)


def test_what_is_recorded_identifies_the_profile_and_repeats_none_of_its_texts(tmp_path: Path) -> None:
    plan = plan_of(write(tmp_path / "a.svs"), icc=True)
    digest = hashlib.sha256(PROFILE).hexdigest()[:32]
    assert plan.settings["icc"] == {"to": "sRGB", "intent": "relative colorimetric", "profile": digest}
    assert b"Dr. Made" in PROFILE
    assert "Dr. Made" not in json.dumps(plan.settings)
    assert plan.warnings == []


def test_the_option_and_the_profile_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png")
    off, on = plan_of(path, icc=False), plan_of(path, icc=True)
    none = plan_of(write(tmp_path / "none.png", profile=None), icc=True)
    assert len({off.fingerprint, on.fingerprint, none.fingerprint}) == 3
    assert off.settings["icc"] is False


def test_a_slide_without_profile_goes_on_as_it_is_with_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path / "a.svs", profile=None)
    plan = plan_of(path, icc=True)
    assert plan.settings["icc"] == {"to": "sRGB", "intent": "relative colorimetric", "profile": None}
    assert plan.warnings == ["a.svs: no ICC profile in the file; its colours are left as they are"]
    assert plan_of(path, icc=False).warnings == []
    assert np.array_equal(srgb(path), PIXELS)


def test_a_job_sees_only_converted_pixels_in_mask_and_features(tmp_path: Path) -> None:
    # saturation changes, and with it the mask of fixed limits: it has to see the converted pixels
    recipe: dict[str, Any] = {"tissue": "hsv", "tissue_set": ["min_saturation=90"]}
    flags = ["--tissue", "hsv", "--tissue-set", "min_saturation=90"]
    profile = matrix_profile((2.2, 2.2, 2.9))
    folder = tmp_path / "slides"
    folder.mkdir()
    write_svs(folder / "a.svs", PIXELS, mpp=0.5, levels=(1,), profile=profile)
    write_svs(folder / "b.svs", PIXELS, mpp=0.5, levels=(1,))
    model = make_model(tmp_path)
    report = tmp_path / "report.json"
    done = invoke(
        folder, "--out", tmp_path / "icc.zarr", "--model", model, "--icc", "--report", report, *flags
    )
    assert done.returncode == 0, done.stderr
    slides = json.loads(report.read_text())["slides"]
    assert [len(s["warnings"]) for s in slides] == [0, 1]
    assert "no ICC profile" in done.stdout + done.stderr
    embed(folder, tmp_path / "plain.zarr", model=model, **recipe)
    # the truth: the same slide, converted beforehand by one call of the colour library
    image = ImageCms.profileToProfile(
        Image.fromarray(PIXELS), io.BytesIO(profile), ImageCms.createProfile("sRGB"), renderingIntent=INTENT
    )
    assert image is not None
    before = tmp_path / "before"
    before.mkdir()
    write_svs(before / "a.svs", np.asarray(image), mpp=0.5, levels=(1,))
    embed(before, tmp_path / "before.zarr", model=model, **recipe)

    found, plain = arrays(tmp_path / "icc.zarr"), arrays(tmp_path / "plain.zarr")
    for name, values in arrays(tmp_path / "before.zarr").items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
        np.testing.assert_array_equal(found[name.replace("a/", "b/")], plain[name.replace("a/", "b/")])
    assert not np.array_equal(found["a/tissue_mask"], plain["a/tissue_mask"])
    assert len(found["a/coords"]) > 50

    attrs = open_store(tmp_path / "icc.zarr")["a"].attrs
    assert attrs["settings"]["icc"]["profile"] == profile_digest(profile)
    assert [row.get("colours") for row in describe(str(tmp_path / "icc.zarr"))[1]] == [
        "sRGB",
        "no ICC profile",
    ]
    again = embed(folder, tmp_path / "plain.zarr", model=model, icc=True, **recipe)
    assert [s.status for s in again.slides] == ["failed", "failed"]
    assert all("icc" in str(s.reason) for s in again.slides)


def test_info_says_whether_a_slide_has_a_profile(tmp_path: Path) -> None:
    facts, _ = describe(str(write(tmp_path / "a.svs")))
    assert facts["icc_profile"] == profile_digest(PROFILE)
    facts, _ = describe(str(write(tmp_path / "b.png", profile=None)))
    assert facts["icc_profile"] is None


def test_real_slides_without_profile_are_read_as_they_are(shared_slides: Path) -> None:
    for path in sorted(p for p in shared_slides.iterdir() if p.is_file()):
        with open_slide(path) as slide:
            assert slide.icc_profile() is None, path.name
            assert to_srgb(slide)[0] is slide
