"""Formats of which OpenSlide alone knows the levels: no label comes out in the place of one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from tests.made_formats import czi, mirax, tiffs
from tests.made_formats.pixels import shrunk
from tests.made_slides import UInt8Array, he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.slide import open_slide

PIXELS = he_pixels(512, 768, seed=5)


def label(height: int, width: int) -> UInt8Array:
    made = np.full((height, width, 3), 235, np.uint8)
    made[height // 3 : height // 2, width // 8 : -width // 8 : 6] = 20
    return made


WRITERS: dict[str, Callable[[Path], Path]] = {
    "a.mrxs": lambda path: mirax.write_mirax(path, PIXELS),
    "a.czi": lambda path: czi.write_czi(path, PIXELS),
    "a.scn": lambda path: tiffs.write_leica(path, PIXELS, offset=(200, 300), slide=(1500, 1400)),
    "a.bif": lambda path: tiffs.write_ventana(path, PIXELS),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_label_in_the_place_of_a_level_is_never_shown(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_label(pixels: UInt8Array, factor: int) -> UInt8Array:
        level = shrunk(pixels, factor)
        return level if factor == 1 else label(*level.shape[:2])

    for module in (czi, mirax, tiffs):
        monkeypatch.setattr(module, "shrunk", with_label)
    with open_slide(WRITERS[name](tmp_path / name)) as slide:
        for _ in range(2):
            with pytest.raises(SlideError, match="does not show what"):
                slide.read(1, 0, 0, 50, 50)
        if len(slide.level_sizes) > 2:  # two labels against one picture: level 0 is in doubt
            with pytest.raises(SlideError, match="its level 0 does not show what its other levels show"):
                slide.thumbnail(200)
            return
        seen = slide.thumbnail(200)
        of_level0 = cv2.resize(
            slide.read(0, 0, 0, *slide.level_sizes[0]), seen.shape[1::-1], interpolation=cv2.INTER_AREA
        )
        assert np.abs(seen.astype(int) - of_level0).max() <= 1
        assert "its level 1" in slide.warnings[0]


CROPPED: dict[str, Callable[[Path], Path]] = {
    "a.avs": lambda path: tiffs.write_argos(path, PIXELS),
    "a.tiff": lambda path: tiffs.write_philips(path, PIXELS),
    "a.bif": lambda path: tiffs.write_ventana(path, PIXELS),
    "a.tif": lambda path: tiffs.write_huron(path, PIXELS),
}


@pytest.mark.parametrize("name", CROPPED)
@pytest.mark.parametrize("axis", [0, 1])
def test_a_cropped_level_is_left_out(
    name: str, axis: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tiles would lie elsewhere than their coordinates say."""

    def cropped(pixels: UInt8Array, factor: int) -> UInt8Array:
        level = shrunk(pixels, factor)
        keep = [level.shape[0], level.shape[1]]
        if factor > 1:
            keep[axis] = keep[axis] * 9 // 10
        return np.ascontiguousarray(level[: keep[0], : keep[1]])

    monkeypatch.setattr(tiffs, "shrunk", cropped)
    with open_slide(CROPPED[name](tmp_path / name)) as slide:
        assert slide.level_sizes == [(768, 512)]
        assert "level 0's" in slide.left_out[0]
        assert slide.read(0, 0, 0, 768, 512).shape == (512, 768, 3)


@pytest.mark.parametrize("name", CROPPED)
def test_a_whole_level_is_kept(name: str, tmp_path: Path) -> None:
    with open_slide(CROPPED[name](tmp_path / name)) as slide:
        assert slide.level_sizes[:2] == [(768, 512), (384, 256)]
        assert slide.level_scales[1] == (2.0, 2.0)
        difference = np.abs(slide.read(1, 0, 0, 384, 256).astype(int) - shrunk(PIXELS, 2))
        assert difference.mean() < 5


def test_a_trestle_image_of_another_shape_is_no_level(tmp_path: Path) -> None:
    pages = [
        tiffs.Page(
            PIXELS,
            "jpeg 4:4:4",
            raw_resolution=0.5,
            description="Objective Power=20;Background Color=FFFFFF;OverlapsXY= 0 0 0 0 ",
            software="MedScan",
        ),
        tiffs.Page(label(256, 200), "jpeg 4:4:4", raw_resolution=0.5, description="label"),
    ]
    with open_slide(tiffs.write_pages(tmp_path / "a.tif", pages)) as slide:
        assert (slide.vendor, slide.level_sizes) == ("trestle", [(768, 512)])
        assert slide.left_out == ("level 1 (200 x 256): its sides are 1/3.84 and 1/2 of level 0's",)


def placed(pixels: UInt8Array, factor: int, left: int, top: int, share: float) -> UInt8Array:
    """A level that begins beside level 0, or is cropped evenly."""
    level = shrunk(pixels, factor)
    if factor > 1:
        level = np.roll(level, (top, left), (0, 1))
        level = level[: round(share * level.shape[0]), : round(share * level.shape[1])]
    return np.ascontiguousarray(level)


LARGE = he_pixels(1024, 1280, seed=5)
GRIDS: dict[str, Callable[[Path], Path]] = {
    "a.avs": lambda path: tiffs.write_argos(path, LARGE),
    "a.tiff": lambda path: tiffs.write_philips(path, LARGE),
    "a.bif": lambda path: tiffs.write_ventana(path, LARGE),
    "a.scn": lambda path: tiffs.write_leica(path, LARGE, offset=(200, 300), slide=(1800, 1600)),
}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize(
    ("left", "top", "share"),
    [(5, 5, 1), (0, -5, 1), (-4, 0, 1), (0, 0, 0.95), (0, 0, 0.97), (0, 0, 1), (1, -1, 1)],
)
def test_a_level_that_is_displaced_is_not_read(
    name: str, left: int, top: int, share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiffs, "shrunk", partial(placed, left=left, top=top, share=share))
    path = GRIDS[name](tmp_path / name)
    if share < 1 and name == "a.scn":
        with pytest.raises(SlideError, match="its XML says"):
            open_slide(path)
        return
    with open_slide(path) as slide:
        usable = slide.usable_levels()
        assert (usable == [0]) == (max(abs(left), abs(top)) > 1 or share < 1)
        assert bool(slide.left_out) == (usable == [0])


def test_a_philips_level_that_lacks_tiles_with_content_is_left_out(tmp_path: Path) -> None:
    path = tiffs.write_philips(tmp_path / "a.tiff", LARGE)
    with tifffile.TiffFile(path, mode="r+") as file:
        sizes = file.pages[1].aspage().tags["TileByteCounts"]
        sizes.overwrite([0 if n == 4 else size for n, size in enumerate(sizes.value)])
    with open_slide(path) as slide:
        assert slide.level_sizes == [(1280, 1024), (320, 256)]
        assert slide.left_out == ("level 1 (640 x 512): it lacks 1 tiles, also where level 0 has content",)
        assert slide.usable_levels() == [0, 1]
