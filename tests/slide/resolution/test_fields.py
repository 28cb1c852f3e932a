"""Every field that states a resolution is read, and those that contradict each other are no resolution."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pydicom
import pytest
import tifffile

from tests.made_formats.dicom import write_dicom
from tests.made_formats.raw_tiff import Image, write_images
from tests.made_formats.tiffs import write_huron, write_philips
from tests.made_slides import he_pixels, write_svs, write_tiff
from wsi_embed.errors import ResolutionError
from wsi_embed.slide import Resolution, open_slide, resolve_mpp
from wsi_embed.slide.ome import ome_pixels
from wsi_embed.slide.resolution.lengths import MICROMETERS, micrometers
from wsi_embed.slide.resolution.stated import Stated

PIXELS = he_pixels(200, 300)
PIXELS_512 = he_pixels(512, 512)
SIZE = 'SizeX="300" SizeY="200" SizeC="3" SizeZ="1" SizeT="1"'
DEFAULTS = [
    ((10, 10), "CENTIMETER"),  # libvips, 1 pixel per mm
    ((1, 1), "CENTIMETER"),
    ((72, 72), "INCH"),
    ((96, 96), "INCH"),
    ((300, 300), "INCH"),
    ((1, 1), "INCH"),
    ((1, 1), "NONE"),
    ((40000, 40000), "NONE"),
    ((0, 0), "CENTIMETER"),
    ((40000, 0), "CENTIMETER"),
    ((40000, 1), "CENTIMETER"),
]


def tagged(path: Path, resolution: tuple[float, float], unit: str) -> Path:
    """Give level 0 resolution tags, pixels per unit."""
    with tifffile.TiffFile(path, mode="r+") as tif:
        tags = tif.pages.first.aspage().tags
        tags["ResolutionUnit"].overwrite(tifffile.RESUNIT[unit])
        for name, value in zip(("XResolution", "YResolution"), resolution, strict=True):
            tags[name].overwrite((round(value * 1000), 1000))
    return path


def described(
    folder: Path, description: str | None, resolution: tuple[float, float] = (1, 1), unit: str = "NONE"
) -> Path:
    path = write_tiff(folder / "a.tif", PIXELS, mpp=1, levels=(1,), description=description)
    return tagged(path, resolution, unit)


def ome(size: str, pixels: str = SIZE) -> str:
    return f'<OME xmlns="x"><Image ID="0"><Pixels {pixels} {size}/></Image></OME>'


def physical(x: object, y: object = None, unit: str | None = None) -> str:
    # what tifffile writes has to be ASCII
    unit = unit and unit.encode("ascii", "xmlcharrefreplace").decode()
    units = "" if unit is None else f' PhysicalSizeXUnit="{unit}" PhysicalSizeYUnit="{unit}"'
    return f'PhysicalSizeX="{x}" PhysicalSizeY="{x if y is None else y}"{units}'


def resolved(path: Path, *override: Any) -> Resolution:
    with open_slide(path) as slide:
        return resolve_mpp(slide, *override)


def refusal(path: Path) -> str:
    with pytest.raises(ResolutionError) as caught:
        resolved(path)
    return str(caught.value)


class TestOme:
    @pytest.mark.parametrize(("resolution", "unit"), DEFAULTS)
    def test_a_default_of_the_tags_is_passed_over(
        self, resolution: tuple[float, float], unit: str, tmp_path: Path
    ) -> None:
        path = described(tmp_path, ome(physical(0.25)), resolution, unit)
        assert resolved(path) == Resolution(0.25, "OME PhysicalSizeX", None)

    @pytest.mark.parametrize("size", [0, 1000, "0.00025", -0.25, "inf", "nan", "a"])
    def test_a_default_of_the_physical_size_is_passed_over(self, size: object, tmp_path: Path) -> None:
        path = described(tmp_path, ome(physical(size)), (40000, 40000), "CENTIMETER")
        assert resolved(path) == Resolution(0.25, "openslide.mpp-x", None)

    @pytest.mark.parametrize("size", [0.25, 0.2525, 0.2475, 0.2549])
    def test_both_may_be_rounded_apart_by_2_percent(self, size: float, tmp_path: Path) -> None:
        path = described(tmp_path, ome(physical(size)), (40000, 40000), "CENTIMETER")
        assert resolved(path) == Resolution(0.25, "openslide.mpp-x", None)

    @pytest.mark.parametrize(
        ("resolution", "unit", "size", "both"),
        [
            ((40000, 40000), "INCH", "0.25", ("0.635", "0.25")),  # who meant pixels per cm
            ((25400, 25400), "CENTIMETER", "1.0", ("0.393701", "1")),  # who meant pixels per inch
            ((40000, 40000), "CENTIMETER", "0.2552", ("0.25", "0.2552")),
            ((40000, 40000), "CENTIMETER", "0.5", ("0.25", "0.5")),  # of another level
            ((40000, 40000), "CENTIMETER", "1.0", ("0.25", "1")),
            ((40000, 20000), "CENTIMETER", "0.25", ("0.25 x 0.5", "0.25")),
        ],
    )
    def test_two_that_differ_are_refused_with_both_and_the_flag_that_decides(
        self, resolution: tuple[float, float], unit: str, size: str, both: tuple[str, str], tmp_path: Path
    ) -> None:
        path = described(tmp_path, ome(physical(size)), resolution, unit)
        assert refusal(path) == (
            f"a.tif: the metadata contradict each other: {both[0]} um per pixel (openslide.mpp-x) or "
            f"{both[1]} (OME PhysicalSizeX); give the right one with `mpp_override=` or a manifest column mpp"
        )

    def test_the_user_decides_and_is_told_who_says_otherwise(self, tmp_path: Path) -> None:
        path = described(tmp_path, ome(physical(0.25)), (40000, 40000), "INCH")
        assert resolved(path, 0.25, "manifest") == Resolution(
            0.25, "manifest", "a.tif: the metadata say 0.635 um per pixel; using 0.25 (manifest)"
        )
        warning = resolved(path, 0.5).warning
        assert warning == "a.tif: the metadata say 0.635 or 0.25 um per pixel; using 0.5 (override)"

    def test_with_nothing_but_a_default_the_default_is_named(self, tmp_path: Path) -> None:
        assert refusal(described(tmp_path, ome(""), (10, 10), "CENTIMETER")) == (
            "a.tif: the file does not say its resolution: 1000 um per pixel (openslide.mpp-x) is outside "
            "0.05 to 20; if it is right leave the slide out, else give `mpp_default=` (um per "
            "pixel of level 0) or a manifest column mpp"
        )

    def test_a_coarse_resolution_that_is_stated_is_not_called_missing(self, tmp_path: Path) -> None:
        assert refusal(described(tmp_path, ome(physical(29)), (344.8, 344.8), "CENTIMETER")).startswith(
            "a.tif: 29.0023 um per pixel (openslide.mpp-x) is outside 0.05 to 20; "
        )

    def test_the_physical_size_of_an_image_of_another_size_is_not_this_ones(self, tmp_path: Path) -> None:
        """As programs leave it that shrink an image and keep its description."""
        before = ome(physical(0.25), SIZE.replace("300", "600").replace("200", "400"))
        assert "does not say its resolution" in refusal(described(tmp_path, before))
        path = described(tmp_path, before, (20000, 20000), "CENTIMETER")
        assert resolved(path) == Resolution(0.5, "openslide.mpp-x", None)

    def test_a_resized_image_that_kept_its_tags_is_refused(self, tmp_path: Path) -> None:
        before = ome(physical(0.25), SIZE.replace("300", "600").replace("200", "400"))
        path = described(tmp_path, before, (40000, 40000), "CENTIMETER")
        words = "0.25 um per pixel (openslide.mpp-x) or 0.5 (its OME-XML is of 600 x 400 pixels, and it has"
        assert words in refusal(path)

    def test_an_image_of_another_shape_was_not_resized(self, tmp_path: Path) -> None:
        other = ome(physical(0.25), SIZE.replace("300", "600"))
        path = described(tmp_path, other, (20000, 20000), "CENTIMETER")
        assert resolved(path) == Resolution(0.5, "openslide.mpp-x", None)

    @pytest.mark.parametrize("before", ["", "<?xml version='1.0'?>", f"<!-- {'x' * 5000} -->"])
    @pytest.mark.parametrize("prefix", ["", "ome:", "o-1.x:"])
    def test_it_is_recognised_after_a_comment_and_with_a_prefix(
        self, before: str, prefix: str, tmp_path: Path
    ) -> None:
        text = re.sub("(</?)", rf"\1{prefix}", ome(physical(0.25)))
        if prefix:
            text = text.replace("xmlns=", f"xmlns:{prefix[:-1]}=")
        path = described(tmp_path, before + text, (20000, 20000), "CENTIMETER")
        assert "0.5 um per pixel (openslide.mpp-x) or 0.25 (OME PhysicalSizeX)" in refusal(path)

    @pytest.mark.parametrize("text", ["<x><OME/></x>", "<OMEGA/>", "a <OME> b", "<OME"])
    def test_other_text_is_not_ome(self, text: str) -> None:
        assert ome_pixels(text) is None

    @pytest.mark.parametrize("axis", "XY")
    def test_one_side_is_no_resolution_but_compared_with_the_tags(self, axis: str, tmp_path: Path) -> None:
        path = described(tmp_path, ome(f'PhysicalSize{axis}="0.25"'))
        assert "does not say its resolution" in refusal(path)
        assert "or 0.25 (OME" in refusal(tagged(path, (20000, 20000), "CENTIMETER"))
        assert resolved(tagged(path, (40000, 40000), "CENTIMETER")) == Resolution(
            0.25, "openslide.mpp-x", None
        )

    def test_a_side_that_is_invalid_is_not_taken_from_the_other(self, tmp_path: Path) -> None:
        path = described(tmp_path, ome('PhysicalSizeX="0.25" PhysicalSizeY="a"'))
        assert "does not say its resolution" in refusal(path)

    def test_a_decimal_comma_is_read(self, tmp_path: Path) -> None:
        path = described(tmp_path, ome(physical("0,25")))
        assert resolved(path) == Resolution(0.25, "OME PhysicalSizeX", None)

    @pytest.mark.parametrize("here", ["urn:uuid:bbb", "urn:uuid:BBB", "bbb"])
    def test_of_several_files_the_image_in_this_one_counts(self, here: str, tmp_path: Path) -> None:
        text = f'<OME xmlns="x" UUID="{here}">'
        for file, mpp, planes in (("aaa", 0.25, 3), ("bbb", 0.5, 1)):
            uuid = f'<UUID FileName="{file}.tif">urn:uuid:{file}</UUID>'
            size = SIZE.replace('SizeZ="1', f'SizeZ="{planes}')
            text += f'<Image ID="{file}"><Pixels {size} {physical(mpp)}>'
            text += f'<TiffData IFD="0">{uuid}</TiffData></Pixels></Image>'
        found = ome_pixels(text + "</OME>")
        assert found is not None
        assert (found.mpp, found.focal_planes) == ((0.5, 0.5), 1)
        assert resolved(described(tmp_path, text + "</OME>")) == Resolution(0.5, "OME PhysicalSizeX", None)

    def test_the_image_of_the_first_directory_counts(self) -> None:
        images = "".join(
            f"<Image><Pixels {SIZE} {physical(mpp)}>{data}</Pixels></Image>"
            for mpp, data in ((2, '<TiffData IFD="1"/>'), (0.5, "<TiffData/>"), (1, '<TiffData IFD="x"/>'))
        )
        found = ome_pixels(f'<OME xmlns="x">{images}</OME>')
        assert found is not None
        assert found.mpp == (0.5, 0.5)

    @pytest.mark.parametrize(
        ("text", "unit"),
        [
            ("0.25", None), ("0.25", "µm"), ("0.25", "μm"), ("250", "nm"), ("0.00025", "mm"), ("2500", "Å"),
            ("0.000025", "cm"), ("2.5e-7", "m"), ("9.84251968503937e-06", "in"),
            ("0.00984251968503937", "thou"), ("0.000708661417322835", "pt"),
        ],
    )  # fmt: skip
    def test_units_of_length_are_converted(self, text: str, unit: str | None, tmp_path: Path) -> None:
        found = resolved(described(tmp_path, ome(physical(text, unit=unit))))
        assert found.mpp == pytest.approx(0.25, rel=1e-6)
        assert found.source == "OME PhysicalSizeX"

    @pytest.mark.parametrize("unit", ["pixel", "reference frame", "", "furlong"])
    def test_what_is_no_unit_of_length_says_nothing(self, unit: str, tmp_path: Path) -> None:
        found = ome_pixels(ome(physical(0.25, unit=unit)))
        assert found is not None
        assert found.mpp is None
        assert "does not say its resolution" in refusal(described(tmp_path, ome(physical(0.25, unit=unit))))


class TestImageJ:
    @pytest.mark.parametrize(
        ("resolution", "tag_unit", "unit", "mpp"),
        [
            (4, "NONE", "micron", 0.25),
            (4, "NONE", "Micrometers", 0.25),
            (4, "NONE", "\\u00B5m", 0.25),
            (4, "INCH", "um", 0.25),  # its own word for the unit counts, as in ImageJ
            (0.004, "NONE", "nm", 0.25),
            (4000, "NONE", "mm", 0.25),
        ],
    )
    def test_its_unit_is_that_of_the_tags(
        self, resolution: float, tag_unit: str, unit: str, mpp: float, tmp_path: Path
    ) -> None:
        text = f"ImageJ=1.53t\nimages=1\nunit={unit}\nloop=false\n"
        found = resolved(described(tmp_path, text, (resolution, resolution), tag_unit))
        assert found.mpp == pytest.approx(mpp)
        assert found.source == "ImageJ unit"

    @pytest.mark.parametrize("unit", [b"\xb5m", "µm".encode(), "Âµm".encode()])
    def test_micrometres_are_known_in_any_encoding(self, unit: bytes, tmp_path: Path) -> None:
        path = described(tmp_path, "ImageJ=1.53t\nunit=?????\n", (4, 4))
        path.write_bytes(path.read_bytes().replace(b"unit=?????", (b"unit=" + unit).ljust(10)))
        assert resolved(path).mpp == pytest.approx(0.25)

    @pytest.mark.parametrize("unit", ["cm", "inch"])
    def test_it_agrees_with_tags_of_the_same_unit(self, unit: str, tmp_path: Path) -> None:
        text, tag_unit = f"ImageJ=1.53t\nunit={unit}\n", {"cm": "CENTIMETER", "inch": "INCH"}[unit]
        path = described(tmp_path, text, (40000, 40000), tag_unit)
        assert resolved(path).mpp == pytest.approx({"cm": 0.25, "inch": 0.635}[unit])

    def test_another_unit_than_that_of_the_tags_is_refused(self, tmp_path: Path) -> None:
        path = described(tmp_path, "ImageJ=1.53t\nunit=cm\n", (40000, 40000), "INCH")
        assert "0.635 um per pixel (openslide.mpp-x) or 0.25 (ImageJ unit)" in refusal(path)

    @pytest.mark.parametrize("text", ["ImageJ=\n", "ImageJ=1.53t\nunit=pixel\n", "unit=micron\n"])
    def test_without_a_unit_it_says_nothing(self, text: str, tmp_path: Path) -> None:
        assert "does not say its resolution" in refusal(described(tmp_path, text, (4, 4), "NONE"))


class TestAperio:
    @pytest.mark.parametrize("field", ["mpp = 0.2500", "Mpp = 0.25 um", "MPP = 0.25 \xb5m", "MPP = 250 nm"])
    def test_what_openslide_overlooks_is_read(self, field: str, tmp_path: Path) -> None:
        text = f"Aperio Image Library v12.0.15 \r\n203x150 (64x64)|AppMag = 20|{field}"
        image = Image(PIXELS[:150, :203], tags={270: text, 282: [], 283: []})
        found = resolved(write_images(tmp_path / "a.svs", [image]))
        assert found == Resolution(0.25, f"aperio.{field.partition(' ')[0]}")

    @pytest.mark.parametrize(("resolution", "unit"), DEFAULTS)
    @pytest.mark.parametrize("mpp", [0.25, None])
    def test_defaults_of_the_tags_change_nothing(
        self, mpp: float | None, resolution: tuple[float, float], unit: str, tmp_path: Path
    ) -> None:
        path = tagged(write_svs(tmp_path / "a.svs", PIXELS, mpp=mpp, power=40, levels=(1,)), resolution, unit)
        found = resolved(path)
        assert (found.mpp, found.source) == (0.25, "openslide.mpp-x" if mpp else "objective power")

    def test_tags_that_agree_with_mpp_change_nothing(self, tmp_path: Path) -> None:
        path = write_svs(tmp_path / "a.svs", PIXELS, mpp=0.2522, levels=(1,), power=40)
        assert resolved(tagged(path, (40000, 40000), "CENTIMETER")) == Resolution(0.2522, "openslide.mpp-x")

    def test_tags_that_contradict_mpp_are_refused(self, tmp_path: Path) -> None:
        path = tagged(write_svs(tmp_path / "a.svs", PIXELS, mpp=0.25), (40000, 40000), "INCH")
        assert "0.25 um per pixel (openslide.mpp-x) or 0.635 (resolution tags)" in refusal(path)
        assert resolved(path, 0.25).mpp == 0.25

    def test_tags_stand_in_for_mpp_before_the_objective_power(self, tmp_path: Path) -> None:
        path = tagged(write_svs(tmp_path / "a.svs", PIXELS, mpp=None, power=20), (20200, 20200), "CENTIMETER")
        found = resolved(path)
        assert found.mpp == pytest.approx(1e4 / 20200)
        assert (found.source, found.warning) == ("resolution tags", None)


def test_the_tags_of_a_philips_slide_are_compared_too(tmp_path: Path) -> None:
    path = tagged(write_philips(tmp_path / "a.tiff", he_pixels(512, 512)), (20000, 20000), "CENTIMETER")
    assert resolved(path) == Resolution(0.5, "openslide.mpp-x")
    assert "0.5 um per pixel (openslide.mpp-x) or 0.25 (res" in refusal(
        tagged(path, (40000,) * 2, "CENTIMETER")
    )


def replaced(path: Path, old: bytes, new: bytes) -> Path:
    """Replace the first occurrence of some bytes by others of the same length."""
    assert len(old) == len(new)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    return path


def test_the_image_and_the_first_level_of_a_philips_slide_are_compared(tmp_path: Path) -> None:
    path = write_philips(tmp_path / "a.tiff", PIXELS_512)
    assert resolved(path) == Resolution(0.5, "openslide.mpp-x")
    with open_slide(path) as slide:
        assert slide.stated[1:] == (Stated((0.5, 0.5), "spacing of the Philips level"),)
    spacing = b"&quot;%b&quot; &quot;%b&quot;"
    replaced(path, spacing % ((b"0.000500000",) * 2), spacing % ((b"0.000250000",) * 2))
    assert "0.25 um per pixel (openslide.mpp-x) or 0.5 (spacing of the Philips level)" in refusal(path)


@pytest.mark.parametrize("text", [b"0.5 um", b".505um", b"50E-2 ", b"500 nm", b"0.5 px", b"99  um"])
def test_a_huron_description_that_does_not_contradict_the_tags_changes_nothing(
    text: bytes, tmp_path: Path
) -> None:
    path = replaced(write_huron(tmp_path / "a.tif", PIXELS_512), b"0.5 um", text)
    assert resolved(path) == Resolution(0.5, "openslide.mpp-x")


def test_a_huron_description_that_contradicts_the_tags_is_refused(tmp_path: Path) -> None:
    path = replaced(write_huron(tmp_path / "a.tif", PIXELS_512), b"0.5 um", b".25 um")
    assert "0.5 um per pixel (openslide.mpp-x) or 0.25 (Huron Resolution)" in refusal(path)


class TestObjectivePower:
    @pytest.mark.parametrize(
        ("mpp", "power"),
        [(0.25, 40), (0.5, 40), (1.0, 20), (0.1725, 40), (0.2325, 20), (0.2282, 40), (0.1214, 40), (1.0, 10)],
    )
    def test_what_scanners_and_exports_give_needs_no_warning(
        self, mpp: float, power: float, tmp_path: Path
    ) -> None:
        path = write_svs(tmp_path / "a.svs", PIXELS, mpp=mpp, power=power, levels=(1,))
        assert resolved(path) == Resolution(mpp, "openslide.mpp-x", None)

    @pytest.mark.parametrize(("mpp", "power"), [(1.0, 40), (0.25, 5), (0.25, 10), (2.5, 20)])
    def test_a_gross_contradiction_is_warned_of_and_not_refused(
        self, mpp: float, power: float, tmp_path: Path
    ) -> None:
        found = resolved(write_svs(tmp_path / "a.svs", PIXELS, mpp=mpp, power=power, levels=(1,)))
        assert (found.mpp, found.source) == (mpp, "openslide.mpp-x")
        assert found.warning is not None
        assert f"a.svs: the metadata say {mpp:g} um per pixel (openslide.mpp-x)" in found.warning
        assert f"{power:g}x, which gives about {10 / power:g}" in found.warning


class TestDicom:
    def volume(self, folder: Path, width: float, height: float, *, spacing: bool = True) -> Path:
        """A slide of 3000 x 2000 pixels of 0.5 um, in frames of 256, with this imaged volume in mm."""
        path = write_dicom(folder, PIXELS, factors=(1,))[0]
        data = pydicom.dcmread(path)
        data.TotalPixelMatrixColumns, data.TotalPixelMatrixRows, data.NumberOfFrames = 3000, 2000, 12 * 8
        data.ImagedVolumeWidth, data.ImagedVolumeHeight = width, height
        frame = next(pydicom.encaps.generate_frames(data.PixelData, number_of_frames=2))
        data.PixelData = pydicom.encaps.encapsulate([frame] * 12 * 8)
        data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
        if not spacing:
            del data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
        data.save_as(path)
        return path

    @pytest.mark.parametrize(
        ("width", "height"),
        [
            (1.5, 1.0),
            (1.51, 1.007),  # rounded
            (1.4, 0.93),  # of the pixels that are no filling of the last tiles
            (1.0, 1.5),  # exchanged
            (15.0, 15.0),  # of the glass
            (0.0, 0.0),
            (math.nan, math.nan),
        ],
    )
    def test_a_volume_that_is_no_other_resolution_changes_nothing(
        self, width: float, height: float, tmp_path: Path
    ) -> None:
        assert resolved(self.volume(tmp_path, width, height)) == Resolution(0.5, "openslide.mpp-x")

    @pytest.mark.parametrize("mpp", [0.25, 1.0, 0.4])
    def test_a_volume_of_another_resolution_is_refused(self, mpp: float, tmp_path: Path) -> None:
        path = self.volume(tmp_path, 3 * mpp, 2 * mpp)
        message = f"0.5 um per pixel (openslide.mpp-x) or {mpp:g} (DICOM ImagedVolumeWidth)"
        assert message in refusal(path)

    def test_the_spacing_of_single_frames_is_read(self, tmp_path: Path) -> None:
        path = write_dicom(tmp_path, PIXELS, tiling="TILED_SPARSE", factors=(1,), mpp=(0.25, 0.25))[0]
        data = pydicom.dcmread(path)
        (shared,) = data.SharedFunctionalGroupsSequence
        for frame in data.PerFrameFunctionalGroupsSequence:
            frame.PixelMeasuresSequence = shared.PixelMeasuresSequence
        del shared.PixelMeasuresSequence
        data.save_as(path)
        assert resolved(path) == Resolution(0.25, "DICOM PixelSpacing")

    def test_the_volume_stands_in_for_pixel_spacing(self, tmp_path: Path) -> None:
        found = resolved(self.volume(tmp_path, 0.75, 0.5, spacing=False))
        assert found.mpp == pytest.approx(0.25)
        assert found.source == "DICOM ImagedVolumeWidth"


@pytest.mark.parametrize(
    ("name", "mpp"),
    [
        ("CMU-1-Small-Region.svs", 0.499),
        ("CMU-1-Small-Region.ome.tif", 0.499),
        ("CMU-1-Small-Region_true.ome.tif", 0.499),
        ("CMU-1-Small-Region_pyramid_true.tif", 0.499),
        ("test3-TRITC-2-560.ndpi", 0.228175),
    ],
)
def test_real_slides_do_not_contradict_themselves(shared_slides: Path, name: str, mpp: float) -> None:
    found = resolved(shared_slides / name)
    assert found.mpp == pytest.approx(mpp, rel=1e-5)
    assert (found.source, found.warning) == ("openslide.mpp-x", None)


@pytest.mark.parametrize("name", ["camelyon_lowres_jpeg.dcm", "camelyon_lowres_jpeg2000.dcm"])
def test_the_volume_of_a_real_dicom_slide_agrees_with_its_spacing(shared_slides: Path, name: str) -> None:
    with open_slide(shared_slides / name) as slide:
        assert slide.stated == (Stated((28.969, 28.968), "openslide.mpp-x"),)


def test_lengths_are_numbers_with_a_unit() -> None:
    assert micrometers("0.5", "mm") == 500
    assert micrometers("0.5", "parsec") is None
    assert micrometers("half", "mm") is None
    assert all(factor > 0 for factor in MICROMETERS.values())
