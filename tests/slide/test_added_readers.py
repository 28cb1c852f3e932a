"""Readers of other packages: how they are found, chosen and recorded, and what happens if they are broken."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import wsi_embed
from tests.job_tools import make_model
from tests.made_packages import Packages
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.errors import SlideError, UsageError
from wsi_embed.inputs.slides import find_slides
from wsi_embed.plot.bag_tiles import open_embedded
from wsi_embed.slide import open_slide
from wsi_embed.slide.suffixes import added_suffix, named_as_slide
from wsi_embed.tiling.settings import Tiling

PIXELS = he_pixels(300, 340, seed=3)
# opens pictures in a file of another suffix; `negative` turns their colours round
CODE = """
from wsi_embed.slide.image import ImageSlide

class Picture(ImageSlide):
    reader = "picture"

class Negative(ImageSlide):
    reader = "negative"

    def _read(self, *where):
        return 255 - super()._read(*where)

class Failing(ImageSlide):
    def __init__(self, path):
        raise OSError(5, "the disk is gone")
"""


@pytest.fixture
def picture(packages: Packages) -> None:
    packages.install(
        "made_picture",
        "wsi_embed.readers: picture = made_picture:Picture",
        "wsi_embed.readers: negative = made_picture:Negative",
        "wsi_embed.suffixes: .pic = made_picture:Picture",
        "wsi_embed.suffixes: .tiny.pic = made_picture:Negative",
        "wsi_embed.suffixes: .isyntax = made_picture:Picture",
        "wsi_embed.suffixes: .svs = made_picture:Picture",
        "wsi_embed.suffixes: .gone = made_picture:Failing",
        code=CODE,
        version="0.4",
    )


def save(path: Path) -> Path:
    Image.fromarray(PIXELS).save(path, "PNG")
    return path


@pytest.mark.usefixtures("picture")
@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("a.pic", "picture"),
        ("a.PIC", "picture"),
        ("a.tiny.pic", "negative"),
        ("a.isyntax", "picture"),
        ("a.png", "pillow"),
    ],
)
def test_auto_chooses_by_the_suffix(name: str, reader: str, tmp_path: Path) -> None:
    with open_slide(save(tmp_path / name)) as slide:
        assert slide.reader == reader
        expected = 255 - PIXELS if reader == "negative" else PIXELS
        assert np.array_equal(slide.read(0, 0, 0, 340, 300), expected)


@pytest.mark.usefixtures("picture")
def test_suffixes_that_this_package_reads_stay_its_own(tmp_path: Path) -> None:
    assert added_suffix("a.svs") is None
    assert added_suffix("a.pic") == ".pic"
    with pytest.raises(SlideError, match="PNG"):
        open_slide(save(tmp_path / "a.svs"))
    with open_slide(save(tmp_path / "b.svs"), "picture") as slide:
        assert slide.reader == "picture"


@pytest.mark.usefixtures("picture")
def test_a_reader_that_is_named_reads_every_slide(tmp_path: Path) -> None:
    with open_slide(save(tmp_path / "a.png"), "negative") as slide:
        assert np.array_equal(slide.read(0, 0, 0, 340, 300), 255 - PIXELS)


@pytest.mark.usefixtures("picture")
def test_folders_are_searched_for_its_suffixes(tmp_path: Path) -> None:
    folder = tmp_path / "slides"
    folder.mkdir()
    for name in ("a.pic", "b.png", "c.txt", "d.picture"):
        save(folder / name)
    assert [item.slide_id for item in find_slides([str(folder)])] == ["a", "b"]


def test_without_the_package_its_suffix_is_that_of_no_slide() -> None:
    assert not named_as_slide("a.pic")


@pytest.mark.usefixtures("picture")
def test_the_store_records_the_reader_and_its_version(tmp_path: Path) -> None:
    folder, out, model = tmp_path / "slides", tmp_path / "f.zarr", make_model(tmp_path)
    folder.mkdir()
    save(folder / "a.pic")
    write_tiff(folder / "b.tif", PIXELS, mpp=0.5)
    for status in ("done", "skipped"):
        report = wsi_embed.embed(folder, out, model=model, mpp_override=0.5)
        assert {result.slide_id: result.status for result in report.slides} == {"a": status, "b": status}
    store = wsi_embed.open_store(out)
    assert store["a"].attrs["reader"] == "picture"
    assert store["a"].attrs["versions"]["made_picture"] == "0.4"
    assert "made_picture" not in store["b"].attrs["versions"]
    with open_embedded(folder / "a.pic", store["a"]) as slide:
        assert slide.reader == "picture"
    report = wsi_embed.embed(folder / "a.pic", out, model=model, mpp_override=0.5, reader="negative")
    assert "reader picture -> negative" in str(report.slides[0].reason)


@pytest.mark.usefixtures("picture")
def test_what_the_system_says_becomes_the_error_of_the_slide(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match=r"a\.gone: cannot be read \(.*the disk is gone"):
        open_slide(save(tmp_path / "a.gone"))


def test_a_reader_that_cannot_be_used_fails_its_own_slides_only(packages: Packages, tmp_path: Path) -> None:
    points = ("wsi_embed.readers: ill = made_ill:Ill", "wsi_embed.suffixes: .ill = made_ill:Ill")
    packages.install("made_ill", *points, code="import no_such_module")
    folder = tmp_path / "slides"
    folder.mkdir()
    save(folder / "a.ill")
    save(folder / "b.png")
    report = wsi_embed.embed(folder, tmp_path / "f.zarr", model=make_model(tmp_path), mpp_override=0.5)
    a, b = report.slides
    assert (a.status, b.status) == ("failed", "done")
    assert str(a.reason).startswith("reader of .ill: made_ill 1.0 cannot be used (ModuleNotFoundError")
    sys.modules.pop("made_ill", None)
    with pytest.raises(UsageError, match=r"`reader='ill'`: made_ill 1\.0 cannot be used"):
        Tiling(reader="ill")


def test_a_reader_that_is_no_slide_is_refused(packages: Packages, tmp_path: Path) -> None:
    packages.install("made_odd", "wsi_embed.readers: odd = made_odd:read", code="def read(path): pass")
    with pytest.raises(UsageError, match="made_odd:read is no subclass of Slide"):
        open_slide(save(tmp_path / "a.png"), "odd")


def test_a_name_of_this_package_cannot_be_taken(packages: Packages, tmp_path: Path) -> None:
    packages.install("made_tiff", "wsi_embed.readers: tiff = made_tiff:Tiff", code="")
    with open_slide(save(tmp_path / "a.png")) as slide:
        assert slide.reader == "pillow"
    with pytest.raises(UsageError, match=r"`reader='tiff'`: wsi-embed and made_tiff 1\.0 both have it"):
        open_slide(tmp_path / "a.png", "tiff")


@pytest.mark.usefixtures("picture")
def test_settings_with_such_a_reader_can_be_sent_to_other_processes() -> None:
    assert pickle.loads(pickle.dumps(Tiling(reader="negative"))).reader == "negative"
