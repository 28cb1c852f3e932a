"""A real browser for the tests of the page: the installed Chromium, without a window."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZES = [(1280, 800), (2560, 1300)]


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Start Chromium. Where there is none, the test is skipped, or fails if the environment requires it."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        missing = f"no Chromium is installed ({', '.join(NAMES)})"
        if os.environ.get("CHROMIUM") == "required":
            pytest.fail(missing)
        pytest.skip(missing)
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


def ready(page: Any) -> None:
    """Wait until a slide, its tiles, layers and legend are there, and nothing moves."""
    page.wait_for_function(
        """() => {
          const app = window.wsiEmbed;
          return app?.slide && app.stage.item?.getFullyLoaded() && app.tiles && app.clusters.classes.length
            && Object.keys(app.layers.data).length
              === ["tissue", "contours", "attention"].filter((name) => app.slide.layers[name]).length;
        }""",
        timeout=20_000,
    )
    page.wait_for_timeout(100)


def reset(page: Any) -> None:
    """Show slide `a` as at the start: all of it, all layers, no search."""
    page.evaluate(
        """() => {
          const {layers, stage, slide} = window.wsiEmbed;
          Object.assign(layers, {show: "clusters", opacity: 0.5, confidence: false, hidden: new Set()});
          layers.set({tissue: true, contours: true, grid: true, attentionClass: 1});
          document.body.classList.remove("no-slides", "no-panel");
          document.getElementById("search").value = "";
          document.getElementById("search").dispatchEvent(new Event("input"));
          document.activeElement?.blur();
          window.wsiEmbed.selectTile(null);
          if (slide?.key === "a") stage.viewer.viewport.goHome(true);
          else window.wsiEmbed.emit("choose", "a");
        }"""
    )
    page.wait_for_function("() => window.wsiEmbed.slide?.key === 'a'")
    ready(page)


def overlay_at(page: Any, places: Sequence[Sequence[float]]) -> list[list[int]]:
    """Return the RGBA of the overlay at positions (x, y), level-0 pixels."""
    found: list[list[int]] = page.evaluate(
        """(places) => {
          const {stage, layers} = window.wsiEmbed, ratio = window.devicePixelRatio;
          const {data, width} = layers.context.getImageData(0, 0, layers.canvas.width, layers.canvas.height);
          return places.map(([x, y]) => {
            const at = stage.toStage(x, y);
            const start = 4 * (Math.floor(at.y * ratio) * width + Math.floor(at.x * ratio));
            return [...data.slice(start, start + 4)];
          });
        }""",
        places,
    )
    return found


def click_at(page: Any, x: float, y: float) -> None:
    """Click on a position, level-0 pixels."""
    box = page.locator("#stage").bounding_box()
    at = page.evaluate(
        "([x, y]) => { const p = window.wsiEmbed.stage.toStage(x, y); return [p.x, p.y]; }", [x, y]
    )
    page.mouse.click(box["x"] + at[0], box["y"] + at[1])
