"""The reader fastslide: what it is trusted with, and that it has to be asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.job_tools import make_model
from tests.made_formats import czi
from tests.made_slides import UInt8Array, he_pixels, write_tiff
from wsi_embed import embed, open_store
from wsi_embed.errors import MissingExtraError, SlideError
from wsi_embed.slide import open_slide
from wsi_embed.slide.conformance import SlideConformance

INSTALLED = pytest.mark.skipif(find_spec("fastslide") is None, reason="needs the extra `formats`")
EVEN = he_pixels(512, 768, seed=5)
SQUARES = np.tile(czi.jpeg_xr_tile(), (2, 3, 1))
SLIDES: dict[str, tuple[Callable[[Path], Path], UInt8Array]] = {
    "jpeg xr": (lambda f: czi.write_czi(f / "a.czi", SQUARES, "jpeg xr"), SQUARES),
    "zstd1": (lambda f: czi.write_czi(f / "a.czi", EVEN, "zstd1"), EVEN),
}


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastslide", None)
    path = czi.write_czi(tmp_path / "a.czi", EVEN)
    with pytest.raises(MissingExtraError, match=r"the reader fastslide needs fastslide, .*\[formats\]"):
        open_slide(path, "fastslide")


def test_jpeg_xr_is_refused_by_default_with_the_way_to_read_it(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match=r"JPEG XR, .* or install the extra `formats` and use `reader='fast"):
        open_slide(czi.write_czi(tmp_path / "a.czi", SQUARES, "jpeg xr"))


@INSTALLED
@pytest.mark.parametrize("name", SLIDES)
class TestConformance(SlideConformance):
    reader = "fastslide"

    @pytest.fixture
    def path(self, name: str, tmp_path: Path) -> Path:
        (tmp_path / "made").mkdir()
        return SLIDES[name][0](tmp_path / "made")

    @pytest.fixture
    def level0(self, name: str) -> UInt8Array | None:
        return SLIDES[name][1]


@INSTALLED
class TestWithFastslide:
    def test_facts(self, tmp_path: Path) -> None:
        with open_slide(czi.write_czi(tmp_path / "a.czi", SQUARES, "jpeg xr"), "fastslide") as slide:
            assert (slide.vendor, slide.mpp, slide.objective_power) == ("zeiss", (0.5, 0.5), 20.0)
            assert slide.level_sizes == [(768, 512), (384, 256)]
            assert slide.usable_levels() == [0, 1]
            assert slide.reader_decides
            assert slide.warnings == (
                "a.czi: fastslide reads tiles that cannot be decoded as white, without an error",
            )

    def test_a_store_records_its_version(self, tmp_path: Path) -> None:
        path, out = czi.write_czi(tmp_path / "a.czi", SQUARES, "jpeg xr"), tmp_path / "f.zarr"
        for status in ("done", "skipped"):
            report = embed(path, out, model=make_model(tmp_path), tissue="none", reader="fastslide")
            assert [slide.status for slide in report.slides] == [status]
        attrs = open_store(out)["a"].attrs
        assert (attrs["reader"], attrs["versions"]["fastslide"]) == ("fastslide", version("fastslide"))

    def test_a_damaged_tile_is_white_as_the_warning_says(self, tmp_path: Path) -> None:
        """If this fails, fastslide has learnt to tell: drop the warning, and let `auto` use it."""
        path = czi.write_czi(tmp_path / "a.czi", SQUARES, "jpeg xr")
        content = path.read_bytes()
        path.write_bytes(content.replace(czi.JPEG_XR, bytes(len(czi.JPEG_XR)), 1))
        with open_slide(path, "fastslide") as slide:
            assert (slide.read(0, 0, 0, 256, 256) == 255).all()
            assert (slide.read(0, 256, 0, 256, 256) == SQUARES[:256, :256]).all()

    def test_16_bits_are_refused(self, tmp_path: Path) -> None:
        path = czi.write_czi(tmp_path / "a.czi", EVEN, kind=czi.BGR48)
        with pytest.raises(SlideError, match=r"a\.czi: its samples have 16 bits"):
            open_slide(path, "fastslide")

    def test_formats_that_others_read_are_left_to_them(self, tmp_path: Path) -> None:
        """It decodes JPEG with the fast, less exact transform, and waits for ever at damaged ones."""
        path = write_tiff(tmp_path / "a.tif", EVEN, compression="jpeg")
        with pytest.raises(
            SlideError, match=r"a\.tif: not for the reader fastslide: it is a TIFF; use `reader"
        ):
            open_slide(path, "fastslide")

    @pytest.mark.parametrize(
        ("name", "content", "says"),
        [
            ("a.isyntax", b"junk" * 1000, r"a\.isyntax: cannot be read \(ReadXmlHeader: .*copy it again"),
            ("a.vsi", b"II*\0" + bytes(1000), r"a\.vsi: not a slide without its folder _a_/.*; copy both"),
            ("a.czi", b"ZISRAWFILE" + bytes(40), r"a\.czi: cannot be read \("),
            (
                "a.tiff",
                b'<DataObject ObjectType="DPUfsImport">' + bytes(1000),
                r"a\.tiff: not for the reader fastslide: it is a Philips iSyntax file; .*`reader='auto'`",
            ),
        ],
    )
    def test_broken_files_are_one_clear_line(
        self, tmp_path: Path, name: str, content: bytes, says: str
    ) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SlideError, match=says) as caught:
            open_slide(tmp_path / name, "fastslide")
        assert "\n" not in str(caught.value)
        assert str(caught.value).count(str(tmp_path)) == 1

    def test_a_vsi_with_an_empty_folder(self, tmp_path: Path) -> None:
        (tmp_path / "a.vsi").write_bytes(b"II*\0" + bytes(1000))
        (tmp_path / "_a_").mkdir()
        with pytest.raises(
            SlideError, match=r"a\.vsi: cannot be read \(Olympus VSI: no stack.*ets files found"
        ):
            open_slide(tmp_path / "a.vsi", "fastslide")


def test_the_folder_of_a_vsi_is_part_of_it(tmp_path: Path) -> None:
    from wsi_embed.slide.fingerprint import slide_files

    (tmp_path / "_a_/stack1").mkdir(parents=True)
    for name in ("a.vsi", "_a_/stack1/frame_t.ets", "_b_"):
        (tmp_path / name).write_bytes(b"x")
    assert slide_files(tmp_path / "a.vsi") == [tmp_path / "a.vsi", tmp_path / "_a_/stack1/frame_t.ets"]
