"""Levels of an OME-Zarr: only arrays that show what level 0 shows, and where it shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.made_formats.ome_zarr import (
    change_attributes,
    multiscale,
    write_array,
    write_attributes,
    write_ome_zarr,
)
from tests.made_formats.pixels import shrunk
from tests.made_slides import he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.slide import open_slide

PIXELS = he_pixels(640, 800, seed=3)
LABEL = he_pixels(120, 90, seed=4)


def moved(level: int, by: float) -> list[dict[str, Any]]:
    """Return `multiscales` of which one level begins elsewhere, by pixels of level 0 of 0.5 um."""
    found = multiscale("0.4", translated=True)
    begin = found["datasets"][level]["coordinateTransformations"][1]["translation"]
    begin[2] += 0.5 * by
    return [found]


@pytest.mark.parametrize(
    ("by", "levels"), [(0.0, 3), (-1.5, 3), (1.9, 3), (-1.5 - 2.1, 2), (2.1, 2), (40, 2)]
)
def test_a_level_that_begins_beside_level_0_is_left_out(tmp_path: Path, by: float, levels: int) -> None:
    """By half a pixel of the level; a position that is not written is that of the first pixel's corner."""
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS)
    change_attributes(folder, multiscales=moved(2, by))
    with open_slide(folder) as slide:
        assert len(slide.level_sizes) == levels
        assert [("level 2 (200 x 160): it begins" in text) for text in slide.left_out] == [True] * (
            3 - levels
        )


def test_all_levels_may_begin_anywhere_together(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS)
    found = multiscale("0.4", translated=True)
    for dataset in found["datasets"]:
        begin = dataset["coordinateTransformations"][1]["translation"]
        begin[1:] = [begin[1] + 1000, begin[2] - 3000]
    change_attributes(folder, multiscales=[found])
    assert len(open_slide(folder).level_sizes) == 3


def test_a_level_of_other_sides_is_left_out(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, factors=(1, 2))
    write_array(folder / "2", shrunk(PIXELS, 2)[::2], "0.4")
    change_attributes(folder, multiscales=[multiscale("0.4", factors=(1, 2, 4))])
    with open_slide(folder) as slide:
        assert slide.level_sizes == [(800, 640), (400, 320)]
        assert slide.left_out == ("level 2 (400 x 160): its sides are 1/2 and 1/4 of level 0's",)


def test_a_level_of_another_picture_is_not_read(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, factors=(1, 2))
    write_array(folder / "2", he_pixels(160, 200, seed=9), "0.4")
    change_attributes(folder, multiscales=[multiscale("0.4", factors=(1, 2, 4))])
    with open_slide(folder) as slide:
        assert slide.usable_levels() == [0, 1]
        with pytest.raises(SlideError, match=r"its level 2 .* does not show what level 0 shows"):
            slide.read(2, 0, 0, 10, 10)


def test_stated_scales_count_if_the_sides_allow_them(tmp_path: Path) -> None:
    """Sides are rounded: 1/8 of 331 pixels is 41, and 331 / 41 is 8.07."""
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS[:331, :397], factors=(1, 8))
    assert open_slide(folder).level_scales == [(1.0, 1.0), (8.0, 8.0)]
    change_attributes(folder, multiscales=[multiscale("0.4", factors=(1, 6))])
    with open_slide(folder) as slide:  # the same picture, so the number is wrong
        assert slide.level_scales[1] == pytest.approx((397 / 49, 331 / 41))


def test_levels_out_of_order(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS)
    found = multiscale("0.4")
    found["datasets"] = [found["datasets"][n] for n in (0, 2, 1)]
    change_attributes(folder, multiscales=[found])
    assert open_slide(folder).level_sizes == [(800, 640), (400, 320), (200, 160)]
    found["datasets"] = [found["datasets"][n] for n in (1, 0, 2)]
    change_attributes(folder, multiscales=[found])
    with pytest.raises(SlideError, match="its first level is not the largest; list its `datasets` by size"):
        open_slide(folder)


def test_the_first_of_several_multiscales_counts(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS)
    change_attributes(folder, multiscales=[multiscale("0.4"), multiscale("0.4", mpp=(9, 9))])
    with open_slide(folder) as slide:
        assert slide.mpp == (0.5, 0.5)
        assert slide.left_out == ("1 further `multiscales` of the same image",)


class TestBioformats2raw:
    @pytest.fixture(params=["listed", "counted"])
    def folder(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        """What it writes of an SVS: the slide, its label and its macro image."""
        folder = tmp_path / "a.zarr"
        write_attributes(folder, {"bioformats2raw.layout": 3})
        write_ome_zarr(folder / "0", PIXELS, axes="tczyx", planar=True)
        for number in (1, 2):
            write_ome_zarr(folder / str(number), LABEL, axes="tczyx", planar=True, factors=(1,))
        (folder / "OME").mkdir()
        (folder / "OME/METADATA.ome.xml").write_text("<OME/>")
        if request.param == "listed":
            write_attributes(folder / "OME", {"series": ["0", "1", "2"]})
        return folder

    def test_the_first_image_is_the_slide(self, folder: Path) -> None:
        with open_slide(folder) as slide:
            assert (slide.read(0, 0, 0, 800, 640) == PIXELS).all()
            assert slide.left_out == (
                "image 1 (90 x 120): another image",
                "image 2 (90 x 120): another image",
            )
            assert slide.warnings == ()

    def test_another_slide_in_it_gives_a_warning_and_can_be_named(self, folder: Path) -> None:
        other = he_pixels(600, 800, seed=8)
        write_ome_zarr(folder / "3", other, axes="tczyx")
        if (folder / "OME/.zattrs").exists():
            write_attributes(folder / "OME", {"series": ["0", "1", "2", "3"]})
        with open_slide(folder) as slide:
            assert slide.warnings == (
                "a.zarr: holds another picture, image 3 (800 x 600), which is not read; name it as a.zarr/3",
            )
        with open_slide(folder / "3") as slide:
            assert (slide.read(0, 0, 0, 800, 600) == other).all()

    def test_a_larger_one_leaves_in_doubt_which_is_the_slide(self, folder: Path) -> None:
        write_ome_zarr(folder / "1", he_pixels(900, 800, seed=8), axes="tczyx", overwrite=True)
        with pytest.raises(
            SlideError,
            match=r"image 1 \(800 x 900\) is larger than its first \(800 x 640\); name .* such as a.zarr/1",
        ):
            open_slide(folder)

    def test_an_image_of_another_kind_is_left_out_with_the_reason(self, folder: Path) -> None:
        file = folder / "1/.zattrs"
        file.write_text(json.dumps({"multiscales": []}))
        assert "image 1: its `multiscales`, which name" in open_slide(folder).left_out[0]

    def test_without_images(self, tmp_path: Path) -> None:
        write_attributes(tmp_path / "b.zarr", {"bioformats2raw.layout": 3})
        with pytest.raises(SlideError, match=r"b\.zarr: holds no image; is it complete\? copy it again"):
            open_slide(tmp_path / "b.zarr")


@pytest.mark.parametrize("kind", ["plate", "well"])
def test_a_plate_is_refused_and_an_image_in_it_is_read(tmp_path: Path, kind: str) -> None:
    write_attributes(tmp_path / "a.zarr", {kind: {"images": []}})
    image = write_ome_zarr(tmp_path / "a.zarr/A/1/0", PIXELS)
    with pytest.raises(SlideError, match=r"is a plate with images of wells, not a slide; name one image"):
        open_slide(tmp_path / "a.zarr")
    assert open_slide(image).level_sizes[0] == (800, 640)


def test_without_multiscales(tmp_path: Path) -> None:
    write_attributes(tmp_path / "a.zarr", {"omero": {}})
    with pytest.raises(SlideError, match=r"a\.zarr: has no `multiscales`, which name its levels; convert it"):
        open_slide(tmp_path / "a.zarr")
