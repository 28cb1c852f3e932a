"""Ventana BIF: areas and resolutions that contradict the TIFF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.made_formats.tiffs import MPP, write_ventana
from tests.made_slides import he_pixels
from wsi_embed.errors import ResolutionError, SlideError
from wsi_embed.slide import open_slide, resolve_mpp

PIXELS = he_pixels(512, 768, seed=5)


@pytest.mark.parametrize("origin", [(256, 0), (0, 256), (-256, 0), (0, -512), (1 << 40, 0), (1 << 62, 0)])
def test_an_area_outside_of_the_picture_is_refused(origin: tuple[int, int], tmp_path: Path) -> None:
    """OpenSlide would abort the whole process while reading."""
    path = write_ventana(tmp_path / "a.bif", PIXELS, origin=origin)
    with pytest.raises(
        SlideError, match=r"a\.bif: its metadata \(AoiOrigin\) place a scanned area outside of the"
    ):
        open_slide(path)


def test_coordinates_count_from_the_corner_of_the_scanned_areas(tmp_path: Path) -> None:
    stored = np.full((1024, 1024, 3), 255, np.uint8)
    stored[512:, 256:] = PIXELS
    path = write_ventana(tmp_path / "a.bif", PIXELS, origin=(256, 512), stored=stored)
    with open_slide(path) as slide:
        assert slide.level_sizes == [(768, 512), (384, 256)]
        assert np.abs(slide.read(0, 0, 0, 768, 512).astype(int) - PIXELS).mean() < 2
        assert slide.usable_levels() == [0, 1]


@pytest.mark.parametrize("tags_mpp", [None, MPP, MPP * 1.01, 1000.0])
def test_resolution_tags_that_agree_or_are_a_default_do_no_harm(
    tags_mpp: float | None, tmp_path: Path
) -> None:
    with open_slide(write_ventana(tmp_path / "a.bif", PIXELS, tags_mpp=tags_mpp)) as slide:
        assert resolve_mpp(slide).mpp == MPP


def test_resolution_tags_that_contradict_scanres_are_refused(tmp_path: Path) -> None:
    with open_slide(write_ventana(tmp_path / "a.bif", PIXELS, tags_mpp=0.25)) as slide:
        with pytest.raises(
            ResolutionError, match=r"0\.5 um per pixel \(openslide\.mpp-x\) or 0\.25 \(resolution tags\)"
        ):
            resolve_mpp(slide)
        assert resolve_mpp(slide, 0.25).mpp == 0.25
