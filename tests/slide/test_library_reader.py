"""The reader of docs/extending.md for a library with OpenSlide's interface, with OpenSlide as the library."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.made_formats.tiffs import write_generic
from tests.made_packages import Packages
from tests.made_slides import UInt8Array, he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.inputs.slides import find_slides
from wsi_embed.slide import open_slide
from wsi_embed.slide.conformance import SlideConformance

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
PIXELS = he_pixels(512, 768, seed=5)


@pytest.fixture(autouse=True)
def _installed(packages: Packages) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (code,) = (block for block in blocks if "class KfbSlide" in block)
    packages.install(
        "wsi_embed_kfb",
        "wsi_embed.readers: kfb = wsi_embed_kfb:KfbSlide",
        "wsi_embed.suffixes: .kfb = wsi_embed_kfb:KfbSlide",
        code=code.replace("import kfbslide", "import openslide as kfbslide"),
    )


class TestConformance(SlideConformance):
    reader = "kfb"

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_generic(tmp_path / "a.kfb", PIXELS, "deflate")

    @pytest.fixture
    def level0(self) -> UInt8Array | None:
        return PIXELS


def test_it_opens_the_files_of_its_suffix(tmp_path: Path) -> None:
    write_generic(tmp_path / "a.kfb", PIXELS, "deflate")
    (item,) = find_slides([tmp_path])
    with open_slide(item.path) as slide, open_slide(item.path, "openslide") as plain:
        assert (slide.reader, slide.vendor) == ("kfb", "kfbio")
        assert slide.mpp == pytest.approx(plain.mpp)
        for level in slide.usable_levels():
            np.testing.assert_array_equal(
                slide.read(level, 10, 20, 90, 80), plain.read(level, 10, 20, 90, 80)
            )


def test_other_files_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "a.kfb").write_bytes(b"junk" * 1000)
    with pytest.raises(SlideError, match=r"a\.kfb: cannot be read"):
        open_slide(tmp_path / "a.kfb")
