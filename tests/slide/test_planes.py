"""Pictures in several planes are refused: OpenSlide would read one of them without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.made_formats.czi import BGR24, BGR48, GRAY8, GRAY16, write_czi
from tests.made_formats.dicom import write_dicom
from tests.made_formats.pixels import jpeg
from tests.made_formats.raw_tiff import GREY, Image, write_images
from tests.made_slides import he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.slide import open_slide
from wsi_embed.slide.ome import ome_pixels

PIXELS = he_pixels(150, 203, seed=3)
OTHER = 255 - PIXELS
PLANES = [Image(PIXELS[..., i], GREY) for i in range(3)]
MASK = (np.arange(203) > 90) * np.ones((150, 1), np.uint8)
APERIO = "Aperio Image Library v11.2.1 \r\n203x150 (64x64) JPEG/RGB Q=90|AppMag = 20|MPP = 0.5"
DESCRIPTION, SUBSAMPLING = 270, 530


def ome(pixels: str, inside: str = "", before: str = "") -> str:
    return (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'{before}<Image ID="Image:0"><Pixels DimensionOrder="XYCZT" Type="uint8" SizeX="203" SizeY="150" '
        f'PhysicalSizeX="0.5" PhysicalSizeY="0.5" {pixels}>{inside}</Pixels></Image></OME>'
    )


def described(image: Image, text: str) -> Image:
    return Image(image.pixels, image.photometric, tags={DESCRIPTION: text})


def refused(path: Path) -> str:
    with pytest.raises(SlideError) as caught:
        open_slide(path)
    message = str(caught.value)
    assert "\n" not in message
    assert not any(word in message for word in ("complete?", "damaged"))
    return message.removeprefix(f"{path}: ")


CHANNEL = '<Channel ID="Channel:0:{}" SamplesPerPixel="1"/>'


class TestOme:
    @pytest.mark.parametrize("inside", ["", "".join(map(CHANNEL.format, range(3)))], ids=["without", "with"])
    def test_channels_are_counted_without_channel_elements_too(self, inside: str, tmp_path: Path) -> None:
        first = described(PLANES[0], ome('SizeC="3" SizeZ="1" SizeT="1"', inside))
        message = refused(write_images(tmp_path / "a.ome.tif", [first, *PLANES[1:]]))
        assert message.startswith("its 3 channels lie in separate planes, of which OpenSlide reads only the")
        assert 'vips bandjoin "IN[page=0] IN[page=1] IN[page=2]"' in message

    @pytest.mark.parametrize(
        ("inside", "size"),
        [
            ('<Channel ID="Channel:0:0" SamplesPerPixel="3"/>', 3),
            ("", 3),
            ("".join(map(CHANNEL.format, range(3))), 3),  # as if in planes, but each pixel has all
            ('<Channel ID="Channel:0:0" SamplesPerPixel="3"/>', 1),
        ],
    )
    def test_interleaved_channels_are_one_plane(self, inside: str, size: int, tmp_path: Path) -> None:
        image = described(Image(PIXELS), ome(f'SizeC="{size}" SizeZ="1" SizeT="1"', inside))
        with open_slide(write_images(tmp_path / "a.ome.tif", [image])) as slide:
            assert np.array_equal(slide.read(0, 0, 0, 203, 150), PIXELS)

    @pytest.mark.parametrize(
        ("sizes", "what"), [('SizeZ="3"', "focal planes"), ('SizeZ="1" SizeT="3"', "times")]
    )
    def test_focal_planes_and_times_of_rgb_are_refused(self, sizes: str, what: str, tmp_path: Path) -> None:
        first = described(Image(PIXELS), ome(f'SizeC="3" {sizes}'))
        path = write_images(tmp_path / "a.ome.tif", [first, Image(OTHER), Image(OTHER)])
        assert refused(path).startswith(f"it has 3 {what} (Size")

    def test_the_image_that_begins_the_file_counts(self, tmp_path: Path) -> None:
        """Image 0 is elsewhere in the file, and of many planes."""
        other = (
            '<Image ID="Image:1"><Pixels SizeC="5" SizeZ="9" SizeT="1"><TiffData IFD="1"/></Pixels></Image>'
        )
        text = ome('SizeC="3" SizeZ="1" SizeT="1"', '<TiffData IFD="0"/>', before=other)
        path = write_images(tmp_path / "a.ome.tif", [described(Image(PIXELS), text), Image(OTHER[:64, :64])])
        with open_slide(path) as slide:
            assert np.array_equal(slide.read(0, 0, 0, 203, 150), PIXELS)

    def test_planes_that_another_file_describes_are_refused_where_they_are_grey(self, tmp_path: Path) -> None:
        text = '<?xml version="1.0"?><OME><BinaryOnly MetadataFile="a.companion.ome" UUID="x"/></OME>'
        path = write_images(tmp_path / "a.ome.tif", [described(PLANES[0], text)])
        assert refused(path).startswith("its planes are described in another file (OME BinaryOnly)")
        with open_slide(write_images(path, [described(Image(PIXELS), text)])) as slide:
            assert np.array_equal(slide.read(0, 0, 0, 203, 150), PIXELS)

    @pytest.mark.parametrize(
        ("pixels", "expected"),
        [
            ('SizeC="3" SizeZ="2" SizeT="4"', (3, 2, 4)),
            ("", (1, 1, 1)),
            ('SizeC="?" SizeZ="-1" SizeT="0"', (1, 1, 1)),
        ],
    )
    def test_numbers_that_are_none_count_as_one(self, pixels: str, expected: tuple[int, int, int]) -> None:
        found = ome_pixels(ome(pixels))
        assert found is not None
        assert (found.samples, found.focal_planes, found.times) == expected


class TestPages:
    def test_grey_images_of_one_size_are_channels(self, tmp_path: Path) -> None:
        coarse = [Image(PIXELS[::2, ::2, i], GREY, subfile=1) for i in range(3)]
        for images in (PLANES, [*PLANES, *coarse]):
            assert refused(write_images(tmp_path / "a.tif", images)).startswith(
                "its 3 channels lie in separate planes"
            )
        assert refused(write_images(tmp_path / "a.tif", PLANES[:2])).endswith("convert it to interleaved RGB")

    def test_a_grey_slide_with_levels_and_mask_is_one_picture(self, tmp_path: Path) -> None:
        images = [PLANES[0], Image(PIXELS[::2, ::2, 0], GREY, subfile=1), Image(MASK * 255, GREY, subfile=4)]
        with open_slide(write_images(tmp_path / "a.tif", images)) as slide:
            assert np.array_equal(slide.read(0, 0, 0, 203, 150)[..., 2], PIXELS[..., 0])


class TestAperio:
    @pytest.mark.parametrize("order", [(1, 1), (1, 2, 1, 2), (1, 1, 2, 2), (1, 1, 1, 2, 2, 2)])
    def test_a_level_0_that_is_there_again_is_another_focal_plane(
        self, order: tuple[int, ...], tmp_path: Path
    ) -> None:
        images = [Image(PIXELS[::n, ::n], 6, 7, encode=jpeg, tags={SUBSAMPLING: [1, 1]}) for n in order]
        images[0] = Image(PIXELS, 6, 7, encode=jpeg, tags={SUBSAMPLING: [1, 1], DESCRIPTION: APERIO})
        message = refused(write_images(tmp_path / "a.svs", images))
        assert message.startswith(f"it has {order.count(1)} focal planes, of which one has to be chosen")

    def test_volumes_are_focal_planes(self, tmp_path: Path) -> None:
        image = Image(PIXELS, tags={DESCRIPTION: APERIO, 32997: [3]})
        assert refused(write_images(tmp_path / "a.svs", [image])).startswith(
            "it has 3 focal planes (ImageDepth)"
        )


class TestMasks:
    @pytest.mark.parametrize("photometric", [GREY, 4])
    def test_a_mask_within_the_file_is_said_not_to_be_applied(self, photometric: int, tmp_path: Path) -> None:
        mask = Image(MASK * 255, photometric, tile=None, subfile=4)
        with open_slide(write_images(tmp_path / "a.tif", [Image(PIXELS), mask])) as slide:
            (warning,) = slide.warnings
            assert np.array_equal(slide.read(0, 0, 0, 203, 150), PIXELS)
        assert warning.startswith("a.tif: its mask of valid pixels (image 2) is not applied: ")

    def test_a_mask_beside_the_file_is_said_not_to_be_applied(self, tmp_path: Path) -> None:
        path = write_images(tmp_path / "a.tif", [Image(PIXELS)])
        path.with_name("a.tif.msk").write_bytes(b"")
        with open_slide(path) as slide:
            assert "(a.tif.msk) is not applied" in slide.warnings[0]


class TestCzi:
    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            (BGR48, "its samples have 16 bits, of which OpenSlide gives the upper 8"),
            (GRAY8, "its pixels are of type GRAY8, and only RGB of 8 bits is read"),
            (GRAY16, "its pixels are of type GRAY16, and only RGB of 8 bits is read"),
        ],
    )
    def test_pixels_other_than_bgr24_are_refused(self, kind: int, reason: str, tmp_path: Path) -> None:
        assert refused(write_czi(tmp_path / "a.czi", PIXELS[:128, :128], kind=kind)).startswith(reason)

    def test_bgr24_is_read(self, tmp_path: Path) -> None:
        with open_slide(write_czi(tmp_path / "a.czi", PIXELS[:128, :128], kind=BGR24)) as slide:
            assert np.array_equal(slide.read(0, 0, 0, 128, 128), PIXELS[:128, :128])


def deep(data: pydicom.Dataset) -> None:
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelData = np.frombuffer(data.PixelData, np.uint8).astype(np.uint16).tobytes()


def grey(data: pydicom.Dataset) -> None:
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    del data.PlanarConfiguration
    data.PixelData = data.PixelData[::3]


def three_times(data: pydicom.Dataset) -> None:
    data.NumberOfFrames, data.PixelData = 3 * data.NumberOfFrames, 3 * data.PixelData


def focal_planes(data: pydicom.Dataset) -> None:
    three_times(data)
    data.TotalPixelMatrixFocalPlanes = 3


def unsaid_focal_planes(data: pydicom.Dataset) -> None:
    three_times(data)
    del data.TotalPixelMatrixFocalPlanes


def optical_paths(data: pydicom.Dataset) -> None:
    three_times(data)
    data.NumberOfOpticalPaths = 3


def planar(data: pydicom.Dataset) -> None:
    data.PlanarConfiguration = 1


def signed(data: pydicom.Dataset) -> None:
    data.PixelRepresentation = 1


def other_colours(data: pydicom.Dataset) -> None:
    data.PhotometricInterpretation = "YBR_FULL"


def jpeg_ls(data: pydicom.Dataset) -> None:
    data.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLSLossless
    data.PixelData = pydicom.encaps.encapsulate([b"no JPEG-LS, which nobody decodes"])
    data["PixelData"].is_undefined_length = True


def label(data: pydicom.Dataset) -> None:
    data.ImageType = ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]


def tomography(data: pydicom.Dataset) -> None:
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (deep, "its samples have 16 bits, not 8; export it"),
        (grey, "its pixels are grey, and only RGB is read; export it"),
        (focal_planes, "it has 3 focal planes; export one"),
        (unsaid_focal_planes, "it has 3 frames for 1 tiles"),
        (optical_paths, "it has 3 optical paths"),
        (planar, "its colours lie in separate planes; export"),
        (signed, "its samples are not unsigned of 8 bits; export"),
        (other_colours, "its colours are YBR_FULL in a way that is not read; export"),
        (jpeg_ls, "its pixels are compressed as JPEG-LS, which is not read; decompress it"),
        (label, "no file of its series here is a level of a slide; put all files"),
        (tomography, "a DICOM file, but no whole-slide microscopy image (its SOP class is 1.2.840."),
    ],
)
def test_dicom_is_refused_with_the_reason(
    change: Callable[[pydicom.Dataset], None], reason: str, tmp_path: Path
) -> None:
    path, *others = write_dicom(tmp_path / "s", PIXELS[:64, :64], "none", factors=(1,))
    for other in others:
        other.unlink()
    data = pydicom.dcmread(path)
    change(data)
    pydicom.dcmwrite(path, data)
    assert refused(path).startswith(reason)
