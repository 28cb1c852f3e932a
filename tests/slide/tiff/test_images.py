"""What the images of a TIFF are by the file's own words, and which is level 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.fuzz.ome.bases import image_xml, ome_xml
from tests.fuzz.picture import MPP, PICTURE
from tests.made_formats.jpeg_tiles import Kind, write_jpeg_slide
from tests.made_formats.pixels import shrunk
from tests.made_formats.tiffs import Page, write_pages
from tests.made_slides import UInt8Array, he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.slide import open_slide

PIXELS, OTHER = he_pixels(600, 800, seed=3), he_pixels(700, 900, seed=8)
LABEL = np.full((300, 400, 3), 250, np.uint8)
LABEL[140:160, 50:350] = 0
LEVELS = [Page(PIXELS, mpp=0.5), Page(shrunk(PIXELS, 2), reduced=True)]
PAGE_NAME = 285


def named(pixels: UInt8Array, description: str, *, reduced: bool = True) -> Page:
    return Page(pixels, reduced=reduced, description=description)


def levels_of(
    path: Path, pages: Sequence[Page]
) -> tuple[list[tuple[int, int]], tuple[str, ...], tuple[str, ...]]:
    with open_slide(write_pages(path / "a.tif", pages)) as slide:
        return slide.level_sizes, slide.left_out, slide.warnings


def test_levels_are_levels(tmp_path: Path) -> None:
    assert levels_of(tmp_path, LEVELS) == ([(800, 600), (400, 300)], (), ())


@pytest.mark.parametrize(
    ("description", "role"),
    [
        ("label", "a label"),
        ("Label 400x300", "a label"),
        ("Aperio Image Library v12.0.15 \r\nmacro 400x300", "a macro"),
        ("Thumbnail", "a thumbnail"),
        ("overview image", "an overview"),
        ("MASK", "a mask"),
    ],
)
@pytest.mark.parametrize("pixels", [LABEL, shrunk(PIXELS, 2)], ids=["label", "slide"])
def test_what_the_file_calls_something_else_is_no_level(
    description: str, role: str, pixels: UInt8Array, tmp_path: Path
) -> None:
    sizes, left_out, _ = levels_of(tmp_path, [LEVELS[0], named(pixels, description)])
    assert sizes == [(800, 600)]
    assert left_out == (f"image 2 of the file (400 x 300): the file calls it {role}",)


@pytest.mark.parametrize(
    ("mpp", "warned"), [(0.25, True), (2, True), (1, False), (0.5, False), (352.8, False)]
)
def test_a_level_with_another_pixel_size_than_its_sides_say_is_a_warning(
    mpp: float, warned: bool, tmp_path: Path
) -> None:
    """Tags of a level that are a copy of level 0's, or a default such as 72 dpi, mean nothing."""
    sizes, _, warnings = levels_of(tmp_path, [LEVELS[0], Page(shrunk(PIXELS, 2), reduced=True, mpp=mpp)])
    assert sizes == [(800, 600), (400, 300)]
    text = (
        f"a.tif: its tags say {mpp:g} um per pixel of image 2 of the file and 0.5 of level 0, but the former"
    )
    assert [warning.partition(" has 1/2 ")[0] for warning in warnings] == [text] * warned


def test_levels_in_strips_are_named_and_labels_in_strips_are_not(tmp_path: Path) -> None:
    level, label = (Page(p, tile=None, reduced=True) for p in (shrunk(PIXELS, 2), LABEL[:, :200]))
    text = "image 2 of the file (400 x 300): stored in strips, so it is no level"
    assert levels_of(tmp_path, [LEVELS[0], level, label]) == ([(800, 600)], (text,), ())


@pytest.mark.parametrize("description", ["a level of the labelled set", "tissue of 3 mm, maps well", "1/2"])
def test_other_words_say_nothing(description: str, tmp_path: Path) -> None:
    sizes, *_ = levels_of(tmp_path, [LEVELS[0], named(shrunk(PIXELS, 2), description)])
    assert sizes == [(800, 600), (400, 300)]


def test_a_page_name_counts_as_a_word(tmp_path: Path) -> None:
    page = Page(LABEL, reduced=True, tags=[(PAGE_NAME, "s", 0, "Label", True)])
    assert levels_of(tmp_path, [LEVELS[0], page])[0] == [(800, 600)]


def test_a_label_without_a_word_is_left_out_or_refused(tmp_path: Path) -> None:
    square = Page(np.ascontiguousarray(LABEL[:, :300]), reduced=True)
    sizes, left_out, _ = levels_of(tmp_path, [*LEVELS, square])
    assert sizes == [(800, 600), (400, 300)]
    assert left_out == ("image 3 of the file (300 x 300): its sides are 1/2.667 and 1/2 of level 0's",)
    path = write_pages(tmp_path / "b.tif", [LEVELS[0], Page(LABEL, reduced=True)])
    with open_slide(path) as slide:
        seen = slide.thumbnail(300).astype(int)
        assert np.abs(seen - cv2.resize(PIXELS, (300, 225), interpolation=cv2.INTER_AREA)).mean() < 2
        assert slide.left_out == ("level 1 (400 x 300): it does not show what level 0 shows",)
        with pytest.raises(SlideError, match=r"its level 1 .* does not show what level 0 shows"):
            slide.read(1, 0, 0, 9, 9)


@pytest.mark.parametrize(
    ("pages", "reason"),
    [
        (
            [named(LABEL, "label", reduced=False), *LEVELS],
            "the first image is a label by the file's own words",
        ),
        (
            [Page(shrunk(PIXELS, 2), mpp=1.0), LEVELS[0]],
            "image 2 of the file has 800 x 600 pixels, more than",
        ),
        (
            [LEVELS[1], LEVELS[0]],
            "image 2 of the file has 800 x 600 pixels, more than the first with 400 x 300",
        ),
        (
            [Page(LABEL), Page(PIXELS, reduced=True)],
            "the first image has 400 x 300 pixels, another 800 x 600",
        ),
        (
            [Page(LABEL), Page(PIXELS, tile=None)],
            "image 2 of the file has 800 x 600 pixels, more than the first",
        ),
        (
            [Page(PIXELS, mpp=0.5), Page(OTHER, mpp=0.25)],
            "image 2 of the file has 900 x 700 pixels, more than",
        ),
    ],
)
def test_it_has_to_be_certain_which_image_is_level_0(pages: list[Page], reason: str, tmp_path: Path) -> None:
    with pytest.raises(SlideError) as caught:
        levels_of(tmp_path, pages)
    assert str(caught.value).startswith(f"{tmp_path / 'a.tif'}: {reason}")
    assert str(caught.value).endswith("full-resolution image first and the coarser levels marked as reduced")


def test_further_scans_are_a_warning(tmp_path: Path) -> None:
    for scan in (Page(OTHER, mpp=0.5), Page(np.ascontiguousarray(OTHER[:500]), mpp=0.5)):
        sizes, left_out, warnings = levels_of(tmp_path, [*LEVELS, scan])
        h, w = scan.pixels.shape[:2]
        assert sizes == [(800, 600), (400, 300)]
        assert left_out == (f"image 3 of the file ({w} x {h}): a further picture",)
        assert warnings == (
            f"a.tif: holds further pictures that are not read (image 3 of the file ({w} x {h})); save each "
            "scan as a file of its own",
        )


def test_levels_that_are_not_marked_are_named(tmp_path: Path) -> None:
    sizes, left_out, warnings = levels_of(tmp_path, [LEVELS[0], Page(shrunk(PIXELS, 2))])
    assert (sizes, warnings) == ([(800, 600)], ())
    assert left_out == ("image 2 of the file (400 x 300): not marked as a reduced image, so it is no level",)


def test_scenes_of_an_ome_tiff_are_named(tmp_path: Path) -> None:
    def image(name: str, ifd: int, w: int, h: int) -> str:
        return (
            f'<Image ID="Image:{ifd}" Name="{name}"><Pixels ID="Pixels:{ifd}" SizeX="{w}" SizeY="{h}" '
            f'SizeC="3" SizeZ="1" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5">'
            f'<Channel SamplesPerPixel="3"/><TiffData IFD="{ifd}"/></Pixels></Image>'
        )

    parts = image("scene 1", 0, 800, 600), image("scene 2", 1, 900, 700), image("Label image", 2, 400, 300)
    description = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{"".join(parts)}</OME>'
    pages = [Page(PIXELS, description=description), Page(OTHER), Page(LABEL, reduced=True)]
    sizes, left_out, warnings = levels_of(tmp_path, pages)
    assert sizes == [(800, 600)]
    assert "image 2 of the file (900 x 700): a further picture" in left_out
    assert "image 3 of the file (400 x 300): the file calls it a label" in left_out
    assert warnings[0].startswith("a.tif: holds further pictures that are not read (image 2 of the file")


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("label_image", "a label"),
        ("LabelImage", "a label"),
        ("Label1", "a label"),
        ("slidelabel", "a label"),
        ("Slide Label", "a label"),
        ("My slide - label", "a label"),
        ("s.svs [label]", "a label"),
        ("1: label", "a label"),
        ("macro_image", "a macro"),
        ("Slide Macro", "a macro"),
        ("Thumb", "a thumb"),
        ("preview", "a preview"),
    ],
)
def test_a_word_counts_anywhere_in_a_name(name: str, role: str, tmp_path: Path) -> None:
    sizes, left_out, _ = levels_of(tmp_path, [LEVELS[0], named(shrunk(PIXELS, 2), name)])
    assert sizes == [(800, 600)]
    assert left_out == (f"image 2 of the file (400 x 300): the file calls it {role}",)
    with pytest.raises(SlideError, match=f"the first image is {role} by the file's own words"):
        levels_of(tmp_path, [named(LABEL, name, reduced=False), Page(PIXELS)])


@pytest.mark.parametrize(
    "description",
    [
        "label-free imaging",
        "node 3, macro-metastasis",
        "Aperio Image Library v12.0.15 \r\n400x300 (128x128) Q=70|AppMag = 20|Barcode = 4711|Title = label",
        "Filename = case 17 label",
        "unlabeled tissue, masked, macroscopic",
    ],
)
def test_facts_of_a_slide_are_no_names_of_other_images(description: str, tmp_path: Path) -> None:
    page = Page(PIXELS, description=description)
    path = write_pages(tmp_path / "a.tif", [page, LEVELS[1]])
    with open_slide(path) as slide:
        assert slide.level_sizes == [(800, 600), (400, 300)]


@pytest.mark.parametrize("mpp", [0.5, 352.8, 25_400.0, None])
@pytest.mark.parametrize("levels", [False, True])
def test_a_macro_image_is_never_level_0(mpp: float | None, levels: bool, tmp_path: Path) -> None:
    """Even with the resolution tags of the slide, as written by programs that copy all tags."""
    macro = Page(he_pixels(300, 500, seed=5), mpp=mpp)
    pages = [macro, Page(PIXELS, mpp=mpp), *([Page(shrunk(PIXELS, 2), reduced=True)] if levels else [])]
    with pytest.raises(SlideError, match="image 2 of the file has 800 x 600 pixels, more than the first"):
        levels_of(tmp_path, pages)


@pytest.mark.parametrize("tile", [256, None])
def test_further_pictures_that_are_marked_as_reduced_are_a_warning_too(
    tile: int | None, tmp_path: Path
) -> None:
    """Such as the wells of a plate, or the other colours of a grey image."""
    wells = [Page(he_pixels(600, 800, seed=n), tile=tile, reduced=True) for n in (4, 5)]
    sizes, left_out, warnings = levels_of(tmp_path, [LEVELS[0], *wells])
    assert sizes == [(800, 600)]
    assert len(left_out) == 2
    (warning,) = warnings
    assert warning.startswith("a.tif: holds further pictures that are not read (")
    assert warning.count("(800 x 600)") == 2


@pytest.mark.parametrize("sizes", ["0.5 0", "0 0.5", "-0.5 0.5", "nan nan", "inf 0.5", "1e-320 0.5"])
def test_sizes_that_no_pixel_has_do_not_end_the_opening(tmp_path: Path, sizes: str) -> None:
    x, y = sizes.split()
    stated = f'PhysicalSizeX="{x}" PhysicalSizeY="{y}"'
    path = tmp_path / "a.ome.tif"
    write_jpeg_slide(
        path, PICTURE, Kind("ycbcr", "420", "jfif"), tile=64, mpp=MPP, subifds=False,
        description=ome_xml(image_xml(sizes=stated)),
    )  # fmt: skip
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx((MPP, MPP))
        assert len(slide.level_sizes) > 1
