"""Picture for the documentation: `python -m tests.viewer.picture STORE SLIDES docs/viewer.png`."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

import wsi_embed
from tests.viewer.browser import browser, ready

WIDTH, HEIGHT = 1280, 800


def take(store: Path, slides: Path, out: Path) -> None:
    """Save what the page shows first, in a palette, which makes the file small."""
    with wsi_embed.view(store, slides=slides, port=0) as viewer, browser() as chromium:
        page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(viewer.url)
        ready(page)
        page.locator("#stage").hover(position={"x": 380, "y": 330})
        page.wait_for_timeout(1500)
        shot = Image.open(io.BytesIO(page.screenshot()))
        palette = shot.convert("RGB").quantize(256, kmeans=4)
        palette.save(out, optimize=True)


if __name__ == "__main__":
    take(*map(Path, sys.argv[1:4]))
