"""Right colours or a refusal, where the file says one thing and its codestream another."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import PIL.Image
import pydicom
import pytest
import tifffile
from pydicom.encaps import encapsulate

from tests.made_formats import hamamatsu, mirax
from tests.made_formats.dicom import write_dicom
from tests.made_formats.jpeg_tiles import Kind, encode, segments, write_jpeg_slide
from tests.made_formats.pixels import jpeg2000, jpeg_rgb, shrunk, tiles, with_bits
from tests.made_formats.raw_tiff import Image, Samples, write_images
from tests.made_formats.tiffs import write_aperio, write_leica, write_philips
from tests.made_slides import UInt8Array, he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.slide import Reader, Slide, open_slide

PIXELS = he_pixels(300, 400, seed=3)
WORDS = {"rgb": 2, "ycbcr": 6}
OTHER = {"rgb": "ycbcr", "ycbcr": "rgb"}


def difference(slide: Slide) -> float:
    """Mean grey values between level 0 and what was written."""
    height, width = PIXELS.shape[:2]
    return float(np.abs(slide.read(0, 0, 0, width, height).astype(int) - PIXELS).mean())


def said(path: Path, photometric: int | None = None, compression: int | None = None) -> Path:
    """A TIFF whose tags say something else of its tiles."""
    with tifffile.TiffFile(path, mode="r+") as tif:
        for page in tif.pages:
            tags = page.aspage().tags
            if photometric and tags["Compression"].value == 7 and page.aspage().is_tiled:
                tags["PhotometricInterpretation"].overwrite(photometric)
            if compression and page.aspage().is_tiled:
                tags["Compression"].overwrite(compression)
    return path


def mixed(path: Path, kind_of: Callable[[int], Kind], word: int, tile: int = 128) -> Path:
    """A TIFF whose tiles are of several kinds, by their number."""
    numbers = itertools.count()

    def encode_tile(pixels: Samples) -> bytes:
        return encode(pixels, kind_of(next(numbers)), 95)

    return write_images(path, [Image(PIXELS, word, 7, tile, encode=encode_tile)])


CONTRADICTED = [
    Kind("ycbcr", "444", "none"),
    Kind("ycbcr", "444", "jfif"),
    Kind("ycbcr", "420", "jfif"),
    Kind("ycbcr", "444", "adobe"),
    Kind("ycbcr", "444", "both"),
    Kind("ycbcr", "420", "none"),
    Kind("ycbcr", "420", "jfif", tables=True),
    Kind("rgb", "444", "adobe"),
    Kind("rgb", "444", "adobe", tables=True),
    Kind("rgb", "444", "none"),
]


class TestTiff:
    @pytest.mark.parametrize("aperio", [False, True], ids=["generic", "aperio"])
    @pytest.mark.parametrize("kind", CONTRADICTED, ids=lambda kind: kind.label)
    def test_tiles_whose_tag_is_wrong_are_read_as_what_they_are(
        self, kind: Kind, aperio: bool, tmp_path: Path
    ) -> None:
        path = write_jpeg_slide(tmp_path / "a.tif", PIXELS, kind, aperio=aperio, quality=95)
        with open_slide(path) as slide:
            assert slide.warnings == ()
            expected = [slide.read(level, 0, 0, 90, 70) for level in range(3)]
        said(path, WORDS[OTHER[kind.photometric]])
        with open_slide(path) as slide:
            assert slide.reader == "tiff"
            assert slide.reader_decides  # OpenSlide would give other pixels
            (warning,) = slide.warnings
            assert warning.startswith("a.tif: its tag PhotometricInterpretation says ")
            assert difference(slide) < 5
            for level in range(3):
                assert np.array_equal(slide.read(level, 0, 0, 90, 70), expected[level])

    @pytest.mark.parametrize("kind", CONTRADICTED, ids=lambda kind: kind.label)
    def test_openslide_which_believes_the_tag_refuses_them(self, kind: Kind, tmp_path: Path) -> None:
        path = said(write_jpeg_slide(tmp_path / "a.tif", PIXELS, kind), WORDS[OTHER[kind.photometric]])
        with pytest.raises(SlideError, match=r"but its JPEG tiles hold .* leave out `reader='openslide'`"):
            open_slide(path, "openslide")

    @pytest.mark.parametrize("kind", [Kind("rgb", "444"), Kind("ycbcr", "444"), Kind("rgb", "420")], ids=str)
    def test_tiles_without_a_mark_are_what_the_tag_says(self, kind: Kind, tmp_path: Path) -> None:
        path = write_jpeg_slide(tmp_path / "a.tif", PIXELS, kind, quality=95)
        with open_slide(path) as slide, open_slide(path, "openslide") as theirs:
            assert slide.warnings == ()
            assert max(difference(slide), difference(theirs)) < 5

    @pytest.mark.parametrize("kind", [Kind("rgb", "444", "jfif"), Kind("rgb", "444", "lie")], ids=str)
    def test_a_wrong_mark_changes_nothing(self, kind: Kind, tmp_path: Path) -> None:
        path = write_jpeg_slide(tmp_path / "a.tif", PIXELS, kind, quality=95)
        with open_slide(path) as slide, open_slide(path, "openslide") as theirs:
            assert slide.warnings == ()
            assert max(difference(slide), difference(theirs)) < 5

    @pytest.mark.parametrize("reader", ["auto", "openslide"])
    @pytest.mark.parametrize("marks", ["adobe", "none"])
    @pytest.mark.parametrize("word", [2, 6])
    def test_tiles_of_two_kinds_are_refused(
        self, word: int, marks: Literal["adobe", "none"], reader: Reader, tmp_path: Path
    ) -> None:
        """As of a program that copies tiles from two slides; chroma of half the size is a mark, too."""
        kinds = [Kind("rgb", "444", "adobe"), Kind("ycbcr", "420", marks)]
        path = mixed(tmp_path / "a.tif", lambda number: kinds[number == 6], word)
        with pytest.raises(SlideError, match=r"a\.tif: some of its JPEG tiles hold RGB and others YCbCr"):
            open_slide(path, reader)

    def test_a_tile_of_another_kind_that_was_not_looked_at_is_not_read_wrongly(self, tmp_path: Path) -> None:
        kinds = [Kind("ycbcr", "420", "none"), Kind("rgb", "444", "adobe")]
        path = mixed(tmp_path / "a.tif", lambda number: kinds[number == 11], 6, tile=32)
        with open_slide(path) as slide:
            assert np.abs(slide.read(0, 0, 0, 320, 32).astype(int) - PIXELS[:32, :320]).mean() < 6
            with pytest.raises(SlideError, match=r"its JPEG tile 11 does not hold YCbCr as those do that"):
                slide.read(0, 320, 0, 64, 32)

    def test_tiles_with_other_marks_but_the_same_colours_are_read(self, tmp_path: Path) -> None:
        kinds = [Kind("ycbcr", "420", "none"), Kind("ycbcr", "420", "jfif"), Kind("ycbcr", "444", "adobe")]
        path = mixed(tmp_path / "a.tif", lambda number: kinds[number % 3], 6, tile=32)
        with open_slide(path) as slide:
            assert slide.warnings == ()
            assert difference(slide) < 6

    def test_hidden_levels_are_looked_at_as_well(self, tmp_path: Path) -> None:
        kind = Kind("ycbcr", "444", "jfif")
        path = write_jpeg_slide(tmp_path / "a.tif", PIXELS, kind, subifds=True, quality=95)
        with tifffile.TiffFile(path, mode="r+") as tif:
            for page in (*(tif.pages.first.pages or ()), *tif.pages):
                page.aspage().tags["PhotometricInterpretation"].overwrite(2)
        with open_slide(path) as slide:
            small = shrunk(PIXELS, 4)
            found = slide.read(2, 0, 0, small.shape[1], small.shape[0])
            assert np.abs(found.astype(int) - small).mean() < 5

    def test_levels_that_only_openslide_reads_are_looked_at_too(self, tmp_path: Path) -> None:
        """Of an Aperio slide that leaves out a tile, OpenSlide renders the coarser levels."""
        kind = Kind("ycbcr", "444", "jfif")
        path = write_jpeg_slide(
            tmp_path / "a.svs", PIXELS, kind, tile=64, missing={0: [3]}, aperio=True, factors=(1, 2)
        )
        open_slide(path).close()
        with pytest.raises(SlideError, match="says RGB, but its JPEG tiles hold YCbCr"):
            open_slide(said(path, 2))

    @pytest.mark.parametrize(
        "write",
        [
            write_philips,
            lambda path, pixels: write_leica(path, pixels, offset=(0, 0), slide=(600, 600)),
        ],
        ids=["philips", "leica"],
    )
    def test_formats_that_only_openslide_reads_are_refused(
        self, write: Callable[[Path, UInt8Array], Path], tmp_path: Path
    ) -> None:
        path = write(tmp_path / "a.tif", np.resize(PIXELS, (512, 512, 3)))
        open_slide(path).close()
        with pytest.raises(SlideError, match=r"says RGB, .* hold YCbCr, .*; set it to 6 \(YCbCr\)"):
            open_slide(said(path, 2))


class TestAperioJpeg2000:
    @pytest.mark.parametrize(
        "encoding", ["jpeg 2000 RGB", "jpeg 2000 RGB, reversible colours", "jpeg 2000 YCbCr"]
    )
    def test_those_that_say_what_they_hold_are_read(self, encoding: str, tmp_path: Path) -> None:
        with open_slide(write_aperio(tmp_path / "a.svs", PIXELS, encoding)) as slide:
            assert difference(slide) < 2

    @pytest.mark.parametrize(
        ("encoding", "right"),
        [("jpeg 2000 RGB", 33005), ("jpeg 2000 RGB, reversible colours", 33005), ("jpeg 2000 YCbCr", 33003)],
    )
    def test_the_other_word_is_refused(self, encoding: str, right: int, tmp_path: Path) -> None:
        path = write_aperio(tmp_path / "a.svs", PIXELS, encoding)
        wrong = 33003 + 33005 - right
        with pytest.raises(SlideError, match=rf"a\.svs: its tag Compression, {wrong}, .*; set it to {right}"):
            open_slide(said(path, compression=wrong))

    def test_rgb_by_the_codestream_that_is_said_to_be_ycbcr_is_refused(self, tmp_path: Path) -> None:
        path = write_aperio(tmp_path / "a.svs", PIXELS, "jpeg 2000 RGB, reversible colours")
        with pytest.raises(SlideError, match=r"a\.svs: its tag Compression, 33003, .*; set it to 33005"):
            open_slide(said(path, compression=33003))

    @pytest.mark.parametrize(
        ("number", "words"), [(11, "samples of 12 bits"), (135, "signed samples of 8 bits")]
    )
    def test_samples_of_more_bits_than_the_tags_say_are_refused(
        self, number: int, words: str, tmp_path: Path
    ) -> None:
        tags = {270: "Aperio Image Library|AppMag = 20|MPP = 0.5"}
        image = Image(PIXELS, compression=33005, encode=lambda p: with_bits(jpeg2000(p), number), tags=tags)
        path = write_images(tmp_path / "a.svs", [image])
        with pytest.raises(
            SlideError, match=rf"a\.svs: its JPEG 2000 tiles hold {words}, but the file says 8"
        ):
            open_slide(path)


def recoded(path: Path, encode_frame: Callable[[UInt8Array], bytes], word: str) -> Path:
    """A DICOM file with other frames and another word for their colours."""
    data = pydicom.dcmread(path)
    side = data.Rows
    data.PixelData = encapsulate([encode_frame(tile) for tile in tiles(PIXELS, side)])
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    data.PhotometricInterpretation = word
    data.save_as(path)
    return path


class TestDicom:
    @pytest.mark.parametrize("word", ["RGB", "YBR_FULL_422"])
    @pytest.mark.parametrize(
        "kind",
        [
            *(Kind("rgb", "444", marks) for marks in ("jfif", "adobe", "lie", "both", "none")),
            *(Kind("ycbcr", "420", marks) for marks in ("jfif", "adobe", "both", "none")),
            Kind("ycbcr", "444", "jfif"),
        ],
        ids=lambda kind: kind.label,
    )
    def test_a_jpeg_is_read_in_its_colours_or_refused(self, kind: Kind, word: str, tmp_path: Path) -> None:
        path = write_dicom(tmp_path, PIXELS, factors=(1,))[0]
        recoded(path, lambda tile: encode(tile, kind, 95), word)
        right = (word == "RGB") == (kind.photometric == "rgb")
        if right:
            with open_slide(path) as slide:
                assert difference(slide) < 5
        elif kind in (Kind("rgb", "444", "jfif"), Kind("rgb", "444", "lie")):  # no pixel is looked at
            open_slide(path).close()  # word and mark agree
        else:
            other = "YBR_FULL_422" if word == "RGB" else "RGB"
            with pytest.raises(SlideError, match=rf"1_0\.dcm: .* says {word}, .*; set it to {other}"):
                open_slide(path)

    def test_a_real_encoder_marks_rgb(self, tmp_path: Path) -> None:
        path = recoded(write_dicom(tmp_path, PIXELS, factors=(1,))[0], jpeg_rgb, "YBR_FULL_422")
        with pytest.raises(SlideError, match="hold RGB"):
            open_slide(path)

    def test_a_frame_larger_than_its_head_is_decoded_whole(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(0).integers(200, 256, (256, 256, 3), np.uint8)
        kind = Kind("rgb", "444", "jfif")
        assert len(encode(noise, kind, 100)) > 1 << 16
        path = write_dicom(tmp_path, PIXELS, factors=(1,))[0]
        open_slide(
            recoded(path, lambda _: encode(noise, kind, 100), "RGB")
        ).close()  # right, whatever its mark
        recoded(path, lambda _: encode(noise, Kind("ycbcr", "444", "jfif"), 100), "RGB")
        with pytest.raises(SlideError, match="hold YCbCr"):
            open_slide(path)

    def test_every_level_is_looked_at_but_no_label(self, tmp_path: Path) -> None:
        *levels, label = write_dicom(tmp_path, PIXELS, factors=(1, 2))
        for path, refused in ((label, False), (levels[1], True)):
            data = pydicom.dcmread(path)
            data.PhotometricInterpretation = "RGB"  # of YCbCr with a JFIF segment
            data.save_as(path)
            if refused:
                with pytest.raises(SlideError, match=rf"{path.name}: .* hold YCbCr"):
                    open_slide(levels[0])
            else:
                open_slide(levels[0]).close()

    @pytest.mark.parametrize("mct", [False, True])
    @pytest.mark.parametrize("word", ["RGB", "YBR_ICT", "YBR_RCT"])
    def test_rgb_in_jpeg_2000_is_read_whatever_its_transform_is_called(
        self, word: str, mct: bool, tmp_path: Path
    ) -> None:
        path = write_dicom(tmp_path, PIXELS, "jpeg 2000", factors=(1,))[0]
        with open_slide(recoded(path, lambda tile: jpeg2000(tile, mct=mct), word)) as slide:
            assert difference(slide) == 0

    def test_jpeg_2000_of_more_bits_than_the_file_says_is_refused(self, tmp_path: Path) -> None:
        path = write_dicom(tmp_path, PIXELS, "jpeg 2000", factors=(1,))[0]
        with pytest.raises(
            SlideError, match=r"JPEG 2000 frames hold samples of 12 bits, but the file says 8"
        ):
            open_slide(recoded(path, lambda tile: with_bits(jpeg2000(tile), 11), "RGB"))

    def test_frames_of_two_kinds_are_refused(self, tmp_path: Path) -> None:
        path, kinds = write_dicom(tmp_path, PIXELS, factors=(1,))[0], iter("abcd")

        def one_of_another_kind(tile: UInt8Array) -> bytes:
            rgb = next(kinds) == "c"
            return encode(tile, Kind("rgb", "444", "adobe") if rgb else Kind("ycbcr", "420", "jfif"))

        with pytest.raises(SlideError, match=r"1_0\.dcm: some of its JPEG frames hold RGB and others YCbCr"):
            open_slide(recoded(path, one_of_another_kind, "YBR_FULL_422"))

    @pytest.mark.parametrize("word", ["RGB", "YBR_ICT", "YBR_RCT"])
    def test_ycbcr_in_jpeg_2000_that_is_called_a_transform_is_refused(
        self, word: str, tmp_path: Path
    ) -> None:
        path = write_dicom(tmp_path, PIXELS, "jpeg 2000", factors=(1,))[0]
        with pytest.raises(SlideError, match=rf"says {word}, but .* hold YCbCr without a colour transform"):
            open_slide(recoded(path, lambda tile: jpeg2000(tile, ycc=True), word))


def unmarked_rgb(pixels: UInt8Array, *, restart: int = 0) -> bytes:
    """A JPEG of RGB that does not say so: without an Adobe segment, and with the usual component names."""
    out = io.BytesIO()
    PIL.Image.fromarray(pixels).save(
        out, "JPEG", quality=95, keep_rgb=True, subsampling=0, restart_marker_blocks=restart
    )
    data = bytearray(out.getvalue())
    for marker, at, end in reversed(list(segments(bytes(data)))):
        if marker == 0xEE:
            del data[at:end]
        elif marker in (0xC0, 0xDA):
            first, step = (10, 3) if marker == 0xC0 else (5, 2)
            data[at + first : at + first + 3 * step : step] = b"\1\2\3"
    return bytes(data)


@pytest.mark.parametrize("name", ["a.ndpi", "a.mrxs", "a.vms"])
@pytest.mark.parametrize("wrong", [False, True])
def test_unmarked_rgb_that_only_openslide_finds_is_refused(
    name: str, wrong: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = he_pixels(512, 512, seed=3)
    if wrong:
        for module in (hamamatsu, mirax):
            monkeypatch.setattr(module, "jpeg", unmarked_rgb)
    path = tmp_path / name
    if name == "a.mrxs":
        mirax.write_mirax(path, pixels, lossless=False)
    else:
        {"a.ndpi": hamamatsu.write_ndpi, "a.vms": hamamatsu.write_vms}[name](path, pixels)
    if not wrong:
        with open_slide(path) as slide:
            assert np.abs(slide.read(0, 0, 0, 512, 512).astype(int) - pixels).mean() < 3
        return
    with pytest.raises(SlideError, match="its JPEG images seem to hold RGB without saying so"):
        open_slide(path)
