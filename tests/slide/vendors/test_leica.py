"""A Leica SCN whose XML contradicts its TIFF, which OpenSlide does not look at, is refused or doubted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.made_formats import tiffs
from tests.made_slides import he_pixels
from wsi_embed.errors import ResolutionError, SlideError
from wsi_embed.slide import open_slide, resolve_mpp

PIXELS = he_pixels(512, 768, seed=5)
OFFSET, GLASS = (200, 300), (1500, 1400)


def scn(path: Path, monkeypatch: pytest.MonkeyPatch, *changes: tuple[str, str]) -> Path:
    """A slide whose XML is changed."""
    write_pages = tiffs.write_pages

    def write(path: Path, pages: list[tiffs.Page], **options: bool) -> Path:
        xml = pages[0].description
        for old, new in changes:
            assert xml is not None
            assert old in xml
            xml = xml.replace(old, new)
        return write_pages(path, [tiffs.Page(pages[0].pixels, description=xml), *pages[1:]], **options)

    monkeypatch.setattr(tiffs, "write_pages", write)
    return tiffs.write_leica(path, PIXELS, offset=OFFSET, slide=GLASS)


def test_a_slide_without_contradictions_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_slide(scn(tmp_path / "a.scn", monkeypatch)) as slide:
        assert [stated.mpp for stated in slide.stated] == [(0.5, 0.5)] * 2
        assert resolve_mpp(slide).mpp == 0.5
        assert np.abs(slide.read(0, *OFFSET, 768, 512).astype(int) - PIXELS).mean() < 3


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('r="1" ifd="2"', 'r="1" ifd="0"', "calls image 0 a level and the macro image"),
        (
            'sizeX="768" sizeY="512" r="0" ifd="1"',
            'sizeX="64" sizeY="48" r="0" ifd="0"',
            "and the macro image",
        ),
        (
            'sizeX="192" sizeY="128"',
            'sizeX="190" sizeY="128"',
            "says 190 x 128 pixels of image 2, which has 192 x 128",
        ),
        ('r="0" ifd="1"', 'r="0" z="1" ifd="1"', "several focal planes"),
        ('r="1" ifd="2"', 'r="1" c="2" ifd="2"', "several channels"),
        ("brightfield", "fluorescence", r"no brightfield image of an area \(fluorescence\?\)"),
    ],
)
def test_what_contradicts_the_file_is_refused(
    old: str, new: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SlideError, match=rf"a\.scn: [^\n]*{reason}"):
        open_slide(scn(tmp_path / "a.scn", monkeypatch, (old, new)))


@pytest.mark.parametrize("sides", ['sizeX="192000" sizeY="128000"', 'sizeX="192000" sizeY="256000"'])
def test_an_area_of_another_size_than_its_pixels_makes_the_resolution_doubtful(
    sides: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = scn(tmp_path / "a.scn", monkeypatch, ('sizeX="384000" sizeY="256000"', sides))
    with (
        open_slide(path) as slide,
        pytest.raises(ResolutionError, match=r"0\.5 um .* or 0\.25( x 0\.5)? \(SCN view\)"),
    ):
        resolve_mpp(slide)
