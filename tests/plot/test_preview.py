"""Reports with pictures before anything is encoded: `--dry-run --report` and `tile --report`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.job_tools import invoke, make_model
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.inputs.slides import find_slides
from wsi_embed.plot.preview import PREVIEW_PX, draw_preview
from wsi_embed.tiles import TileSettings
from wsi_embed.tiling.plan import plan_slide
from wsi_embed.tiling.settings import Tiling


def half_tissue(path: Path, side: int = 800) -> Path:
    """A slide with tissue on its left half, glass on the right."""
    pixels = np.full((side, side, 3), 240, np.uint8)
    pixels[:, : side // 2] = he_pixels(side, side)[:, : side // 2]
    return write_tiff(path, pixels, mpp=0.5)


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    (tmp_path / "slides").mkdir()
    return half_tissue(tmp_path / "slides" / "half.tif")


def test_the_pictures_show_outline_and_tiles(slide: Path) -> None:
    tiling = Tiling()
    plan = plan_slide(find_slides([slide])[0], tiling, TileSettings(64, 0.5))
    with plan.slide:
        grid, mask = plan.make_grid(tiling)
        pictures = draw_preview(plan, grid, mask)
    assert list(pictures) == ["tissue", "tiles"]
    for data in pictures.values():
        image = Image.open(io.BytesIO(data))
        assert (image.format, max(image.size)) == ("JPEG", PREVIEW_PX)
    tiles = np.asarray(Image.open(io.BytesIO(pictures["tiles"])).convert("L"), np.float32)
    assert tiles[:, : PREVIEW_PX // 2 - 8].std() > 10  # frames
    assert tiles[:, PREVIEW_PX // 2 + 24 :].std() < 5  # none on glass


@pytest.mark.parametrize("command", ["embed", "tile"])
def test_a_report_has_pictures_without_a_store(slide: Path, tmp_path: Path, command: str) -> None:
    page, data = tmp_path / "r.html", tmp_path / "r.json"
    model = (
        ["--model", make_model(tmp_path / "model"), "--dry-run"]
        if command == "embed"
        else ["--tile-px", "64"]
    )
    done = invoke(
        command, slide.parent, "--out", tmp_path / "out", "--report", page, "--report", data, *model
    )
    assert done.returncode == 0, done.stderr
    text, result = page.read_text(), json.loads(data.read_text())["slides"][0]
    assert text.count("<img") == 2
    assert f"{result['tiles']} tiles" in text
    assert "level 0" in text
    assert "0.5 µm per pixel" in text
    assert f"{100 * result['tissue']:.3g} % tissue" in text
    assert "previews" not in result
    assert (result["read_level"], result["near_empty"]) == (0, 0.0)


def test_a_dry_run_counts_the_planned_tiles(slide: Path, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    model = make_model(tmp_path / "model")
    done = invoke(slide, "--out", tmp_path / "out", "--dry-run", "--report", page, "--model", model)
    header, row = (line.split() for line in done.stdout.splitlines() if line.startswith(("slide ", "half ")))
    assert header == ["slide", "status", "tiles", "level", "um/px", "tissue", "nearly", "empty"]
    assert row[:5] == ["half", "planned", row[2], "0", "0.5"]
    assert f"<b>{row[2]}</b>tiles planned" in page.read_text()
    assert not (tmp_path / "out").exists()
