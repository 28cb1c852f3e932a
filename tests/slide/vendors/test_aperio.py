"""An Aperio description that was copied to a resized slide does not make its resolution."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.made_formats.raw_tiff import Image, write_images
from tests.made_slides import he_pixels
from wsi_embed.errors import ResolutionError
from wsi_embed.slide import open_slide, resolve_mpp
from wsi_embed.slide.vendors.aperio import described_size

HEAD = "Aperio Image Library v12.0.15 \r\n"
REAL = (  # OpenSlide's CMU-1-Small-Region
    "Aperio Image Library v11.2.1\r\n46000x32914 [42673,5576 2220x2967] (240x240) JPEG/RGB Q=30;Aperio Image "
    "Library v10.0.51\r\n46920x33014 [0,100 46000x32914] (256x256) JPEG/RGB Q=30|AppMag = 20|MPP = 0.4990"
    "|OriginalWidth = 46920|Originalheight = 33014"
)
GT450 = "Aperio Leica Biosystems GT450 v1.0.1 \r\n152341x68096 [0,0,{}] (256x256) JPEG/YCC Q=91|MPP = 0.2639"


@pytest.mark.parametrize(
    ("description", "size"),
    [
        (REAL, (2220, 2967)),
        (GT450.format("152341x68096"), (152341, 68096)),
        (f"{HEAD}46920x33014 [0,100 46000x32914] (256x256) JPEG/RGB Q=30|MPP = 0.499", (46000, 32914)),
        (f"{HEAD}46920x33014 (256x256) JPEG/RGB Q=30|MPP = 0.499", (46920, 33014)),
        (f"{HEAD}46920x33014 (256x256)|MPP = 0.499", (1000, 1000)),  # a crop
        (f"{HEAD}46920x33014 (256x256)|MPP = 0.499", (46900, 33000)),  # its last tiles are missing
        (f"{HEAD}0x0|MPP = 0.499", (1000, 1000)),
        ("Aperio|MPP = 0.499", (1000, 1000)),
        ("", (1000, 1000)),
        ("Aperio|MPP = 0.499|OriginalWidth = 2000|OriginalHeight = 3000", (1000, 1000)),
        ("Aperio|MPP = 0.499|OriginalWidth = 2000", (1000, 1000)),
    ],
)
def test_a_description_of_the_slide_itself_or_of_what_it_is_cut_from_is_believed(
    description: str, size: tuple[int, int]
) -> None:
    assert described_size(description, size) is None


@pytest.mark.parametrize(
    ("description", "size", "before"),
    [
        (REAL, (1110, 1483), (2220, 2967)),
        (GT450.format("152341x68096"), (38085, 17024), (152341, 68096)),
        (f"{HEAD}46000x32914 -> 1024x733 |MPP = 0.499", (1024, 733), (46000, 32914)),
        (f"{HEAD}46920x33014 [0,100 46000x32914] -> 11500x8228|AppMag = 20", (11500, 8228), (46000, 32914)),
        (f"{HEAD}1000x700 (256x256)|MPP = 0.499", (2000, 1400), (1000, 700)),
        ("Aperio|MPP = 0.5|OriginalWidth = 2000|OriginalHeight = 1400", (1000, 700), (2000, 1400)),
    ],
)
def test_a_slide_that_was_resized_since_is_told(
    description: str, size: tuple[int, int], before: tuple[int, int]
) -> None:
    assert described_size(description, size) == before


def write(folder: Path, size: str, fields: str) -> Path:
    """A slide of 300 x 200 pixels, without resolution tags."""
    tags: dict[int, str | list[int]] = {270: f"{HEAD}{size} (64x64) JPEG/RGB Q=70|{fields}", 282: [], 283: []}
    return write_images(folder / "a.svs", [Image(he_pixels(200, 300), tags=tags)])


@pytest.mark.parametrize("fields", ["AppMag = 40|MPP = 0.2500", "AppMag = 40"])
def test_its_resolution_is_refused_with_both_numbers_and_the_flag(fields: str, tmp_path: Path) -> None:
    with open_slide(write(tmp_path, "600x400 [0,0 600x400]", fields)) as slide:
        with pytest.raises(
            ResolutionError,
            match=r"0\.25 um per pixel .* or 0\.5 \(its description is of 600 x 400 pixels, and it has "
            r"300 x 200\); give the right one with `mpp_override=`",
        ):
            resolve_mpp(slide)
        assert resolve_mpp(slide, 0.5).mpp == 0.5


def test_without_any_resolution_there_is_nothing_to_contradict(tmp_path: Path) -> None:
    with open_slide(write(tmp_path, "600x400", "Left = 3")) as slide:
        assert slide.stated == ()


def test_a_description_of_its_own_size_is_believed(tmp_path: Path) -> None:
    with open_slide(write(tmp_path, "900x900 [5,5 300x200]", "AppMag = 40|MPP = 0.2500")) as slide:
        assert resolve_mpp(slide).mpp == 0.25
