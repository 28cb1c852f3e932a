"""Why a file is no slide: the real reason, and a remedy that works."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from tests.made_formats.dicom import write_dicom
from tests.made_formats.pixels import jpeg2000, jpeg_grey
from tests.made_formats.raw_tiff import Image, write_images
from tests.made_formats.tiffs import write_philips
from tests.made_slides import he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.slide import open_slide

PIXELS = he_pixels(150, 203, seed=3)
STRIPS = Image(PIXELS, tile=None)
APERIO = "Aperio Image Library v11.2.1 \r\n203x150 (64x64) JPEG/RGB Q=90|AppMag = 20|MPP = 0.5"
OME = '<?xml version="1.0"?><OME><Image><Pixels SizeC="3" SizeZ="1" SizeT="1"/></Image></OME>'
TIFFSAVE = "`vips tiffsave IN OUT.tif --tile --pyramid --compression jpeg --Q 90 --bigtiff`"


def refused(path: Path) -> str:
    with pytest.raises(SlideError) as caught:
        open_slide(path)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif", "a.svs"])
@pytest.mark.parametrize("big", [False, True])
def test_strips_are_named_and_how_to_make_tiles_of_them(big: bool, name: str, tmp_path: Path) -> None:
    text = {"a.tif": "", "a.ome.tif": OME, "a.svs": APERIO}[name]
    image = Image(PIXELS, tile=None, tags={270: text})
    expected = (
        f"its first image is stored in strips, and OpenSlide reads tiles only; convert it with {TIFFSAVE}"
    )
    assert refused(write_images(tmp_path / name, [image], big=big)) == expected


def test_big_endian_tiff_of_old_is_named_and_big_endian_bigtiff_is_read(tmp_path: Path) -> None:
    message = refused(write_images(tmp_path / "a.tif", [Image(PIXELS)], order=">"))
    assert (
        message
        == f"its numbers are big-endian, which OpenSlide reads of BigTIFF only; convert it with {TIFFSAVE}"
    )
    with open_slide(write_images(tmp_path / "b.tif", [Image(PIXELS)], order=">", big=True)) as slide:
        assert np.array_equal(slide.read(0, 0, 0, 203, 150), PIXELS)


def test_aperio_levels_that_do_not_become_smaller_are_named(tmp_path: Path) -> None:
    levels = [Image(PIXELS, tags={270: APERIO}), Image(PIXELS[::4, ::4]), Image(PIXELS[::2, ::2])]
    assert refused(write_images(tmp_path / "a.svs", levels)).startswith("its levels do not become smaller")


def test_philips_levels_whose_spacings_are_in_another_order_are_named(tmp_path: Path) -> None:
    path = write_philips(tmp_path / "a.tiff", he_pixels(512, 512))
    one, two, other = b"0.001000000", b"0.002000000", b"other......"
    path.write_bytes(path.read_bytes().replace(one, other).replace(two, one).replace(other, two))
    words = "the DICOM_PIXEL_SPACING of its levels does not become larger from one to the next"
    assert refused(path) == f"{words}; convert it with {TIFFSAVE}"


@pytest.mark.parametrize(
    ("compression", "name"),
    [(50001, "WebP"), (34887, "LERC"), (50002, "JPEG XL"), (33005, "JPEG 2000"), (99, "99")],
)
def test_compressions_that_are_not_read_are_named(compression: int, name: str, tmp_path: Path) -> None:
    image = Image(PIXELS, compression=compression, encode=jpeg2000)
    expected = f"its pixels are compressed as {name}, which is not read; convert it with {TIFFSAVE}"
    assert refused(write_images(tmp_path / "a.tif", [image])) == expected


def test_jpeg_tiles_of_one_sample_in_rgb_are_not_called_damaged(tmp_path: Path) -> None:
    image = Image(PIXELS, compression=7, tile=64, encode=lambda p: jpeg_grey(np.ascontiguousarray(p[..., 1])))
    text = "convert it to another variety, or to DICOM or a pyramidal TIFF"
    with (
        open_slide(write_images(tmp_path / "a.tif", [image])) as slide,
        pytest.raises(SlideError, match=text),
    ):
        slide.read(0, 0, 0, 64, 64)


def dicom(folder: Path, changes: Sequence[tuple[int, str, Any]]) -> Path:
    """Write an image in three files, a level and a label, and change attributes of some of them by number."""
    paths = write_dicom(folder, he_pixels(600, 500), parts=3)
    for number, name, value in changes:
        data = dcmread(paths[number])
        setattr(data, name, value)
        data.save_as(paths[number])
    return paths[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            [(n, "InConcatenationTotalNumber", 4) for n in range(3)],
            "one of its images is in 4 files, of which 3 are here; put all files of the series "
            "into one folder",
        ),
        (
            [(1, "InConcatenationNumber", 1)],
            "several parts of one of its images say that they are number 1; export it anew",
        ),
        (
            [(3, "ImageType", ["DERIVED", "PRIMARY", "LABEL", "NONE"])],
            "its series has several pictures of the glass of one kind (labels, or overviews?); "
            "keep one of each",
        ),
    ],
)
def test_faults_of_dicom_series_are_named(
    changes: Sequence[tuple[int, str, Any]], message: str, tmp_path: Path
) -> None:
    assert refused(dicom(tmp_path / "s", changes)) == message


def test_a_truncated_tiff_is_called_damaged_and_not_in_strips(tmp_path: Path) -> None:
    for image in (STRIPS, Image(PIXELS)):
        path = write_images(tmp_path / "a.tif", [image])
        path.write_bytes(path.read_bytes()[:-100])
        assert refused(path).endswith("the file may be damaged or truncated: copy it again")


CONTENTS = {
    "web page": (
        b"\n <!DOCTYPE HTML>\n<html><title>Log in</title>",
        "a web page, saved in place of the slide",
    ),
    "commented web page": (b"<!-- x -->\n<html>", "a web page, saved in place of the slide"),
    "error": (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code>', "the error message of a server"),
    "other error": (b'{"message": "Forbidden"}', "the error message of a server"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "`git lfs pull`"),
    "annex": (b"../.git/annex/objects/aa/bb/SHA256E-s9--1.svs", "`git annex get`"),
    "zip": (b"PK\x03\x04\x14\0", "a zip archive; unpack it"),
    "gzip": (b"\x1f\x8b\x08\0", "compressed with gzip; unpack it with `gunzip`"),
    "tar": (bytes(range(1, 250)) + bytes(8) + b"ustar\0", "a tar archive; unpack it"),
    "zeros": (bytes(5000), "nothing but zeros where it begins"),
    "isyntax": (b'<DataObject ObjectType="DPUfsImport">', "a Philips iSyntax file; name it .isyntax"),
    "macos": (b"\0\x05\x16\x07\0\x02", "take the one without `._`"),
}
IMAGES = {
    "jpeg": (b"\xff\xd8\xff\xe0", "a JPEG image; name it .jpg"),
    "png": (b"\x89PNG\r\n\x1a\n", "a PNG image; name it .png"),
}


@pytest.mark.parametrize("suffix", [".svs", ".tif", ".ndpi", ".dcm", ".czi"])
@pytest.mark.parametrize(
    ("content", "words"), [*CONTENTS.values(), *IMAGES.values()], ids=[*CONTENTS, *IMAGES]
)
def test_other_files_are_called_what_they_are(
    content: bytes, words: str, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    message = refused(path)
    assert message.startswith("not a slide: it is ")
    assert words in message


@pytest.mark.parametrize(("content", "words"), CONTENTS.values(), ids=CONTENTS)
def test_so_are_other_files_that_are_named_like_images(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    message = refused(path)
    assert message.startswith("not a PNG or JPEG image: it is ")
    assert words in message


def test_a_tiff_that_is_called_png_is_called_a_tiff(tmp_path: Path) -> None:
    path = write_images(tmp_path / "a.png", [STRIPS])
    assert refused(path) == "not a PNG or JPEG image: it is a TIFF; name it .tif"
