"""Every format that OpenSlide reads, on a file: known pixels in, the same pixels out.

docs/formats.md is the table of what these tests cover; a test here compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from tests.job_tools import arrays, make_model
from tests.made_formats import czi, dicom, hamamatsu, mirax, sakura, tiffs
from tests.made_slides import UInt8Array, he_pixels, write_tiff
from wsi_embed import embed, open_store
from wsi_embed.errors import SlideError
from wsi_embed.inputs.slides import find_slides
from wsi_embed.slide import FOREIGN_SUFFIXES, SLIDE_SUFFIXES, open_slide, resolve_mpp
from wsi_embed.slide.conformance import SlideConformance
from wsi_embed.slide.fingerprint import slide_files
from wsi_embed.slide.ome import ome_pixels

DOCS = Path(__file__).parents[2] / "docs" / "formats.md"
ODD = he_pixels(530, 610, seed=5)
EVEN = he_pixels(512, 768, seed=5)
OVERLAPPING = he_pixels(496, 736, seed=5)  # two by three tiles of 256 that share 16 pixels
LOSSY, COARSE_COLOUR = 40, 70


def within(pixels: UInt8Array, place: tuple[int, int], size: tuple[int, int]) -> UInt8Array:
    """Pixels at a place of a white slide of a size, both (x, y)."""
    slide = np.full((size[1], size[0], 3), 255, np.uint8)
    slide[place[1] : place[1] + pixels.shape[0], place[0] : place[0] + pixels.shape[1]] = pixels
    return slide


# MIRAX images of 32 pixels that were not scanned, in blocks that are one image of the coarsest level:
# the first row and column, and a hole.
BLOCKS = [(0, c) for c in range(6)] + [(r, 0) for r in range(4)] + [(2, 3)]
UNSCANNED = {(4 * r + i, 4 * c + j) for r, c in BLOCKS for i in range(4) for j in range(4)}
SCANNED = EVEN.copy()
for row, col in BLOCKS:
    SCANNED[row * 128 : row * 128 + 128, col * 128 : col * 128 + 128] = 255
SPARSE = ODD.copy()
SPARSE[0:256, 256:512] = 255  # DICOM's frame 1 of 256 pixels


@dataclass(frozen=True)
class Format:
    """How a file is made in a folder of its own, what its level 0 is, and what it says of itself."""

    write: Callable[[Path], Path]
    level0: UInt8Array
    vendor: str
    tolerance: int = 0
    power: float | None = 20.0
    bounds: tuple[int, int, int, int] | None = None
    alone: bool = True


def aperio(encoding: str, tolerance: int) -> Format:
    return Format(lambda f: tiffs.write_aperio(f / "a.svs", ODD, encoding), ODD, "aperio", tolerance)


def generic(encoding: str, tolerance: int, *, bigtiff: bool = False) -> Format:
    suffix = ".btf" if bigtiff else ".tif"
    return Format(
        lambda f: tiffs.write_generic(f / f"a{suffix}", ODD, encoding, bigtiff=bigtiff),
        ODD,
        "generic-tiff",
        tolerance,
        None,
    )


def dicom_of(coding: str, tolerance: int) -> Format:
    return Format(lambda f: dicom.write_dicom(f, ODD, coding)[0], ODD, "dicom", tolerance, alone=False)


def zeiss(compression: czi.Compression) -> Format:
    return Format(lambda f: czi.write_czi(f / "a.czi", EVEN, compression), EVEN, "zeiss")


FORMATS = {
    "aperio uncompressed": aperio("none", 0),
    "aperio lzw": aperio("lzw", 0),
    "aperio jpeg 4:4:4": aperio("jpeg 4:4:4", LOSSY),
    "aperio jpeg 4:2:0": aperio("jpeg 4:2:0", COARSE_COLOUR),
    "aperio jpeg rgb": aperio("jpeg RGB", LOSSY),
    "aperio jpeg 2000 rgb": aperio("jpeg 2000 RGB", 0),
    "aperio jpeg 2000 rgb reversible": aperio("jpeg 2000 RGB, reversible colours", 0),
    "aperio jpeg 2000 ycbcr": aperio("jpeg 2000 YCbCr", 2),
    "tiff uncompressed": generic("none", 0),
    "tiff deflate": generic("deflate", 0),
    "tiff lzw": generic("lzw", 0),
    "tiff jpeg 4:4:4": generic("jpeg 4:4:4", LOSSY),
    "tiff jpeg 4:2:0": generic("jpeg 4:2:0", COARSE_COLOUR),
    "tiff jpeg rgb": generic("jpeg RGB", LOSSY),
    "bigtiff": generic("deflate", 0, bigtiff=True),
    "ome-tiff": Format(lambda f: tiffs.write_ome(f / "a.ome.tif", ODD), ODD, "generic-tiff", power=None),
    "ome-tiff without tags": Format(
        lambda f: tiffs.write_ome(f / "a.ome.tif", ODD, tags=False), ODD, "generic-tiff", power=None
    ),
    "qptiff": Format(
        lambda f: tiffs.write_qptiff(f / "a.qptiff", ODD), ODD, "generic-tiff", LOSSY, power=None
    ),
    "philips": Format(lambda f: tiffs.write_philips(f / "a.tiff", ODD), ODD, "philips", LOSSY, None),
    "leica": Format(
        lambda f: tiffs.write_leica(f / "a.scn", EVEN, offset=(100, 200), slide=(1000, 900)),
        within(EVEN, (100, 200), (1000, 900)),
        "leica",
        LOSSY,
        bounds=(100, 200, 768, 512),
    ),
    "ventana": Format(lambda f: tiffs.write_ventana(f / "a.bif", EVEN), EVEN, "ventana", LOSSY),
    "trestle": Format(
        lambda f: tiffs.write_trestle(f / "a.tif", OVERLAPPING, 16), OVERLAPPING, "trestle", LOSSY
    ),
    "huron": Format(lambda f: tiffs.write_huron(f / "a.tif", ODD), ODD, "huron", LOSSY, None),
    "argos": Format(lambda f: tiffs.write_argos(f / "a.avs", ODD), ODD, "argos", LOSSY),
    "ndpi": Format(lambda f: hamamatsu.write_ndpi(f / "a.ndpi", EVEN), EVEN, "hamamatsu", LOSSY),
    "vms": Format(lambda f: hamamatsu.write_vms(f / "a.vms", EVEN), EVEN, "hamamatsu", LOSSY, alone=False),
    "vmu": Format(lambda f: hamamatsu.write_vmu(f / "a.vmu", EVEN), EVEN, "hamamatsu", alone=False),
    "mirax png": Format(
        lambda f: mirax.write_mirax(f / "a.mrxs", EVEN, side=32, missing=UNSCANNED),
        SCANNED,
        "mirax",
        bounds=(128, 128, 640, 384),
        alone=False,
    ),
    "mirax jpeg": Format(
        lambda f: mirax.write_mirax(f / "a.mrxs", EVEN, lossless=False), EVEN, "mirax", LOSSY, alone=False
    ),
    "sakura": Format(lambda f: sakura.write_sakura(f / "a.svslide", ODD), ODD, "sakura", LOSSY),
    "czi uncompressed": zeiss("none"),
    "czi zstd0": zeiss("zstd0"),
    "czi zstd1": zeiss("zstd1"),
    "dicom uncompressed": dicom_of("none", 0),
    "dicom jpeg": dicom_of("jpeg", LOSSY),
    "dicom jpeg rgb": dicom_of("jpeg RGB", LOSSY),
    "dicom jpeg 2000": dicom_of("jpeg 2000", 0),
    "dicom jpeg 2000 lossless": dicom_of("jpeg 2000 lossless", 0),
    "dicom sparse": Format(
        lambda f: dicom.write_dicom(f, ODD, "none", tiling="TILED_SPARSE", missing=[1])[0],
        SPARSE,
        "dicom",
        alone=False,
    ),
    "dicom in parts": Format(
        lambda f: dicom.write_dicom(f, ODD, "jpeg 2000 lossless", parts=3, suffix="")[0],
        ODD,
        "dicom",
        alone=False,
    ),
}
# One of each kind of reader that OpenSlide has. Generic TIFF and plain SVS have theirs in test_openslide.py;
# Huron and ARGOS are read as they are.
CONFORMING = [
    "aperio jpeg 2000 rgb", "philips", "leica", "ventana", "trestle", "ndpi", "vms", "vmu", "mirax png",
    "sakura", "czi zstd1", "dicom in parts",
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes a file of a format the first time it is asked for. Do not change it."""
    paths: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in paths:
            paths[name] = FORMATS[name].write(tmp_path_factory.mktemp("format"))
        return paths[name]

    return make


@pytest.mark.parametrize("name", FORMATS)
def test_level_0_is_what_was_written(name: str, made: Callable[[str], Path]) -> None:
    expected = FORMATS[name]
    with open_slide(made(name)) as slide:
        assert slide.vendor == expected.vendor
        assert slide.level_sizes[0] == expected.level0.shape[1::-1]
        assert slide.mpp == pytest.approx((0.5, 0.5), rel=1e-6)
        assert resolve_mpp(slide).warning is None
        assert slide.objective_power == expected.power
        assert slide.bounds == (expected.bounds or (0, 0, *slide.level_sizes[0]))
        apart = np.abs(slide.read(0, 0, 0, *slide.level_sizes[0]).astype(int) - expected.level0)
    assert apart.max() <= expected.tolerance
    assert apart.mean() < 2


@pytest.mark.parametrize("name", CONFORMING)
class TestConformance(SlideConformance):
    pyramid_tolerance = (
        4.0  # levels of odd sizes are cut off, not stretched: thumbnails shift by up to a pixel
    )

    @pytest.fixture
    def path(self, name: str, made: Callable[[str], Path]) -> Path:
        self.tolerance = FORMATS[name].tolerance
        self.alone = FORMATS[name].alone
        return made(name)

    @pytest.fixture
    def level0(self, name: str) -> UInt8Array | None:
        return FORMATS[name].level0


def test_a_job_over_all_formats_gives_every_tile_of_each(tmp_path: Path, made: Callable[[str], Path]) -> None:
    rows = [f"{made(name)},{re.sub('[^a-z0-9]', '-', name)}" for name in FORMATS]
    (tmp_path / "all.csv").write_text("\n".join(["path,slide_id", *rows]))
    model = make_model(tmp_path)
    report = embed(tmp_path / "all.csv", tmp_path / "a.zarr", model=model, tissue="none")
    assert [(s.slide, s.reason) for s in report.slides if s.status != "done"] == []
    store = open_store(tmp_path / "a.zarr")
    for name, kind in FORMATS.items():
        bag = store[re.sub("[^a-z0-9]", "-", name)]
        x, y, w, h = kind.bounds or (0, 0, kind.level0.shape[1], kind.level0.shape[0])
        lattice = [[u, v] for v in range(y, y + h - 31, 32) for u in range(x, x + w - 31, 32)]
        assert bag.coords[:].tolist() == lattice, name
    _features_of_lossless_formats_are_those_of_a_plain_tiff(tmp_path, model)


def _features_of_lossless_formats_are_those_of_a_plain_tiff(folder: Path, model: Path) -> None:
    """Bit by bit, at the same coordinates."""
    for name in ("mirax png", "czi zstd1", "vmu", "dicom sparse", "aperio jpeg 2000 rgb"):
        plain = write_tiff(folder / f"{name}.tif", FORMATS[name].level0, levels=(1,))
        embed(plain, folder / f"{name}.zarr", model=model, tissue="none")
        truth = arrays(folder / f"{name}.zarr")
        slide_id = next(iter(truth)).split("/")[0]
        truth_at = {tuple(xy): i for i, xy in enumerate(truth[f"{slide_id}/coords"].tolist())}
        bag = open_store(folder / "a.zarr")[re.sub("[^a-z0-9]", "-", name)]
        rows = [truth_at[tuple(xy)] for xy in bag.coords[:].tolist()]
        np.testing.assert_array_equal(bag.features[:], truth[f"{slide_id}/features"][rows], err_msg=name)


class TestDicomFolders:
    @pytest.mark.parametrize("suffix", ["", ".dcm", ".DCM", ".2.25.7319"])
    def test_a_series_is_one_slide_whatever_its_files_are_called(self, tmp_path: Path, suffix: str) -> None:
        files = dicom.write_dicom(tmp_path / "s", ODD[:300, :300], suffix=suffix, parts=2)
        found = find_slides([tmp_path])
        assert [item.path for item in found] == [files[0]]
        with open_slide(found[0].path) as slide:
            assert slide.level_sizes == [(300, 300), (75, 75)]
            assert set(slide_files(found[0].path)) == set(files)

    def test_the_fingerprint_is_the_series_whichever_file_opens_it(self, tmp_path: Path) -> None:
        files = dicom.write_dicom(tmp_path / "s", ODD[:300, :300], suffix="")
        assert len({open_slide(path).fingerprint for path in files}) == 1

    def test_names_that_are_uids_keep_their_last_number_in_the_id(self, tmp_path: Path) -> None:
        for number in (7, 8):
            dicom.write_dicom(tmp_path / "s", ODD[:300, :300], suffix=f".2.25.{number}", factors=(1,))
        assert [i.slide_id for i in find_slides([tmp_path])] == ["s__1_0.2.25.7", "s__1_0.2.25.8"]

    def test_other_files_without_extension_are_no_slides(self, tmp_path: Path) -> None:
        dicom.write_dicom(tmp_path, ODD[:300, :300])
        (tmp_path / "README").write_text("not DICOM")
        (tmp_path / ".hidden").write_bytes((tmp_path / "1_0.dcm").read_bytes())
        (tmp_path / "log.1").write_text("not DICOM")
        (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + b"\x04\x00\x20\x12SQ\0\0\0\0\0\0")
        assert [item.slide_id for item in find_slides([tmp_path])] == ["1_0"]

    def test_rows_come_before_columns_in_pixel_spacing(self, tmp_path: Path) -> None:
        path = dicom.write_dicom(tmp_path, ODD[:300, :300], mpp=(0.5, 0.505))[0]
        assert open_slide(path).mpp == pytest.approx((0.5, 0.505))


class TestOme:
    @pytest.mark.parametrize("unit", ["µm", "nm", "mm"])
    def test_without_resolution_tags_the_physical_size_is_the_mpp(self, tmp_path: Path, unit: str) -> None:
        path = tiffs.write_ome(tmp_path / "a.ome.tif", ODD, tags=False, unit=unit)
        with openslide.OpenSlide(path) as plain:
            assert "openslide.mpp-x" not in plain.properties
        with open_slide(path) as slide:
            assert resolve_mpp(slide).mpp == pytest.approx(0.5)
            assert resolve_mpp(slide).source == "OME PhysicalSizeX"

    def test_channels_in_planes_of_their_own_are_refused_and_not_read_as_grey(self, tmp_path: Path) -> None:
        path = tiffs.write_ome(tmp_path / "a.ome.tif", ODD, planes=True)
        with pytest.raises(
            SlideError, match=r"its 3 channels lie in separate planes.* convert it to interleaved RGB"
        ):
            open_slide(path)

    def test_openslide_sees_level_0_only(self, made: Callable[[str], Path]) -> None:
        assert len(open_slide(made("ome-tiff")).level_sizes) == 1

    @pytest.mark.parametrize(
        "text", [None, "", "Aperio", "<OME", "<OME/>", '<OME xmlns="x"><Image/></OME>', "<OME>" * 9]
    )
    def test_other_descriptions_say_nothing(self, text: str | None) -> None:
        assert ome_pixels(text) is None

    @pytest.mark.parametrize("size", ['PhysicalSizeX="0.5"', 'PhysicalSizeX="?" PhysicalSizeY="1"'])
    def test_half_a_size_is_none(self, size: str) -> None:
        for unit in ("", 'PhysicalSizeXUnit="pixel" PhysicalSizeYUnit="pixel" PhysicalSizeY="1" '):
            found = ome_pixels(
                f"<OME><Image><Pixels {unit if 'Y=' not in size else ''}{size}/></Image></OME>"
            )
            assert found is not None
            assert (found.mpp, found.samples) == (None, 1)


class TestWhatIsNotRead:
    def test_jpeg_xr_in_czi_is_said_to_be_unsupported_and_not_damaged(self, tmp_path: Path) -> None:
        with pytest.raises(
            SlideError, match=r"compressed as JPEG XR, which OpenSlide does not read; save it"
        ) as caught:
            open_slide(czi.write_czi(tmp_path / "a.czi", EVEN, "jpeg xr"))
        assert "damaged" not in str(caught.value)

    def test_czi_with_a_z_dimension_is_said_to_be_unsupported_and_not_damaged(self, tmp_path: Path) -> None:
        with pytest.raises(
            SlideError, match=r"it has a Z dimension \(focal planes\), which is not read; save one"
        ):
            open_slide(czi.write_czi(tmp_path / "a.czi", EVEN, stack=True))

    @pytest.mark.parametrize("suffix", sorted(FOREIGN_SUFFIXES))
    def test_a_foreign_format_in_a_folder_fails_by_name_and_is_not_passed_over(
        self, tmp_path: Path, suffix: str
    ) -> None:
        (tmp_path / f"a{suffix.upper()}").write_bytes(b"pixels" * 100)
        (tmp_path / "_a_").mkdir()  # of a VSI
        (found,) = find_slides([tmp_path])
        with pytest.raises(
            SlideError, match=rf"{FOREIGN_SUFFIXES[suffix]} is (a format that nothing here reads|not read by)"
        ):
            open_slide(found.path)

    @pytest.mark.parametrize("reader", ["auto", "openslide"])
    def test_a_vsi_without_its_folder_is_refused(self, tmp_path: Path, reader: str) -> None:
        (tmp_path / "a.vsi").write_bytes(b"II*\0" + bytes(1000))
        with pytest.raises(SlideError, match=r"a\.vsi: not a slide without its folder _a_/.* copy both"):
            open_slide(tmp_path / "a.vsi", reader)

    @pytest.mark.parametrize("folder", [True, False])
    def test_the_tiff_of_a_vsi_is_not_taken_for_the_slide(self, tmp_path: Path, folder: bool) -> None:
        """It has the label and the overview; OpenSlide would read it as a generic TIFF."""
        write_tiff(tmp_path / "a.vsi", EVEN)
        if folder:
            (tmp_path / "_a_").mkdir()
        says = "Olympus VSI is not read by default" if folder else "not a slide without its folder _a_/"
        for reader in ("auto", "openslide", "tiff"):
            with pytest.raises(SlideError, match=rf"a\.vsi: {says}"):
                open_slide(tmp_path / "a.vsi", reader)

    def test_an_isyntax_renamed_to_tiff_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "a.tiff").write_bytes(b'<DataObject ObjectType="DPUfsImport">' + bytes(1000))
        with pytest.raises(SlideError, match=r"a\.tiff: not a slide: it is a Philips iSyntax file; name it"):
            open_slide(tmp_path / "a.tiff")

    def test_pages_that_are_not_marked_as_reduced_are_no_levels(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
            for pixels in (ODD, ODD[::2, ::2]):
                tif.write(pixels, tile=(256, 256), photometric="rgb", metadata=None)
        assert open_slide(tmp_path / "a.tif").level_sizes == [(610, 530)]

    def test_an_mrxs_without_its_folder_is_refused(self, tmp_path: Path) -> None:
        path = mirax.write_mirax(tmp_path / "a.mrxs", EVEN)
        path.with_suffix("").rename(tmp_path / "elsewhere")
        with pytest.raises(SlideError, match=r"a\.mrxs: "):
            open_slide(path)


class TestTheTableInTheDocs:
    def test_names_every_extension_and_no_other(self) -> None:
        text = DOCS.read_text("utf-8")
        named = set(re.findall(r"`(\.[a-z0-9.]+)`", text))
        assert SLIDE_SUFFIXES | set(FOREIGN_SUFFIXES) <= named

    def test_names_every_vendor_that_is_tested_here(self) -> None:
        text = DOCS.read_text("utf-8")
        assert {f.vendor for f in FORMATS.values()} <= set(re.findall(r"`([a-z-]+)`", text))
