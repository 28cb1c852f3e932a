"""The page in a real browser: what a pathologist does, at two sizes of the window."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import wsi_embed
from tests.made_slides import he_pixels, write_tiff
from tests.viewer.browser import SIZES, browser, click_at, overlay_at, ready, reset
from tests.viewer.conftest import CONTROL, HOSTILE, Cohort
from wsi_embed import Viewer
from wsi_embed.plot import cluster_colour

TOKEN = "a secret of the test"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def viewer(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    names = tmp_path_factory.mktemp("names") / "names.json"
    names.write_text(json.dumps({"names": {"3": f"<b>{HOSTILE}</b>"}}))
    with wsi_embed.view(
        cohort.store,
        slides=cohort.slides,
        clusters=names,
        attention=cohort.attention,
        annotations=cohort.annotations,
        report=cohort.report,
        port=0,
        token=TOKEN,
    ) as opened:
        yield opened


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size[0]} px")
def page_of_size(chromium: Any, viewer: Viewer, request: pytest.FixtureRequest) -> Iterator[Any]:
    with opened(chromium, viewer.url + "#slide=a", request.param) as page:
        yield page


@pytest.fixture
def page(page_of_size: Any) -> Any:
    """Page with slide `a`, at both sizes of the window."""
    reset(page_of_size)
    return page_of_size


@pytest.fixture(scope="module")
def small_page(chromium: Any, viewer: Viewer) -> Iterator[Any]:
    with opened(chromium, viewer.url + "#slide=a", SIZES[0]) as page:
        yield page


@pytest.fixture
def small(small_page: Any) -> Any:
    """Page with slide `a`, at the smaller size."""
    reset(small_page)
    return small_page


@contextlib.contextmanager
def opened(chromium: Any, url: str, size: tuple[int, int]) -> Iterator[Any]:
    """Open a page, which must cause no error in the console of the browser until it is closed."""
    page = chromium.new_page(viewport={"width": size[0], "height": size[1]})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    page.goto(url)
    ready(page)
    yield page
    page.close()
    # the slide that cannot be read, and its thumbnail, are requests that fail
    assert [line for line in problems if "422" not in line] == []


@dataclass(frozen=True)
class Tiles:
    """Tiles of slide `a`: centres, clusters and confidences."""

    x: Any
    y: Any
    cluster: Any
    confidence: Any

    def __len__(self) -> int:
        return len(self.x)


@pytest.fixture(scope="module")
def tiles(cohort: Cohort) -> Tiles:
    bag = wsi_embed.open_store(cohort.store)["a"]
    assert bag.cluster is not None
    assert bag.cluster_confidence is not None
    x, y = (bag.coords[:] + 16).T.tolist()
    return Tiles(x, y, bag.cluster[:].tolist(), bag.cluster_confidence[:].tolist())


def map_only(page: Any, **changes: Any) -> None:
    """Show the map of the tiles without other layers, and opaque."""
    page.evaluate(
        "changes => window.wsiEmbed.layers.set("
        "{opacity: 1, grid: false, tissue: false, contours: false, ...changes})",
        changes,
    )


def colours_at(page: Any, tiles: Tiles, numbers: Iterable[int]) -> list[list[int]]:
    """Return the RGBA of the overlay at the centres of tiles."""
    return overlay_at(page, [[tiles.x[n], tiles.y[n]] for n in numbers])


def test_the_map_has_the_colours_of_the_clusters(page: Any, tiles: Tiles) -> None:
    map_only(page)
    found = colours_at(page, tiles, range(len(tiles)))
    assert found == [[*cluster_colour(cluster), 255] for cluster in tiles.cluster]
    assert overlay_at(page, [[2, 2]])[0][3] == 0


def test_nothing_of_the_page_overlaps_or_is_cut_off(page: Any) -> None:
    size = page.viewport_size
    boxes = {name: page.locator(name).bounding_box() for name in ("#bar", "#slides", "#stage", "#panel")}
    assert boxes["#bar"]["width"] == size["width"]
    assert boxes["#slides"]["x"] + boxes["#slides"]["width"] == boxes["#stage"]["x"]
    assert boxes["#stage"]["x"] + boxes["#stage"]["width"] == boxes["#panel"]["x"]
    assert boxes["#panel"]["x"] + boxes["#panel"]["width"] == size["width"]
    assert boxes["#stage"]["y"] + boxes["#stage"]["height"] == size["height"]
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
    assert page.locator("#search").bounding_box()["width"] > 0.85 * boxes["#slides"]["width"]
    page.evaluate("window.described = window.wsiEmbed.describe")
    page.evaluate("window.wsiEmbed.describe = () => 'W'.repeat(80)")
    page.locator("#stage").hover()
    bar, status = (page.locator(name).bounding_box() for name in ("#scale-bar", "#status"))
    assert bar["x"] + bar["width"] < status["x"]
    page.evaluate("window.wsiEmbed.describe = window.described")
    for name in ("#scale-bar", "#status", "#navigator"):
        box = page.locator(name).bounding_box()
        assert boxes["#stage"]["x"] < box["x"]
        assert box["x"] + box["width"] < boxes["#panel"]["x"]


def test_the_legend_has_the_shares_of_slide_and_store(small: Any, cohort: Cohort) -> None:
    small.wait_for_function("() => window.wsiEmbed.clusters.complete")
    store = wsi_embed.open_store(cohort.store)
    here = store["a"].cluster_histogram()
    counts = np.sum([bag.cluster_histogram(normalise=False) for bag in store.values()], axis=0)
    for cluster in range(4):
        shown = small.locator(f".clusters li[data-cluster='{cluster}'] .share").all_inner_texts()
        for text, share in zip(shown, (here[cluster], counts[cluster] / counts.sum()), strict=True):
            assert text == (f"{100 * share:.1f} %" if share else "–")


def test_clusters_are_hidden_and_isolated(small: Any, tiles: Tiles) -> None:
    def shown() -> set[int]:
        colours = colours_at(small, tiles, range(len(tiles)))
        opaque = {cluster for cluster, colour in zip(tiles.cluster, colours, strict=True) if colour[3] == 255}
        clear = {cluster for cluster, colour in zip(tiles.cluster, colours, strict=True) if colour[3] == 0}
        assert opaque | clear == set(tiles.cluster)
        assert not opaque & clear
        return opaque

    map_only(small)
    everything, one = set(tiles.cluster), tiles.cluster[5]
    assert shown() == everything
    line = small.locator(f".clusters li[data-cluster='{one}']")
    line.locator(".swatch").click()
    assert shown() == everything - {one}
    line.locator(".swatch").click()
    line.locator(".name").click()
    assert shown() == {one}
    line.locator(".name").click()
    assert shown() == everything
    small.get_by_role("button", name="None", exact=True).last.click()
    assert shown() == set()
    small.keyboard.press("Escape")
    assert shown() == everything


def test_the_grid_is_drawn_around_tiles_of_shown_clusters(small: Any, tiles: Tiles, cohort: Cohort) -> None:
    coords = wsi_embed.open_store(cohort.store)["a"].coords[:].tolist()
    corners = {(x, y): cluster for (x, y), cluster in zip(coords, tiles.cluster, strict=True)}
    one = tiles.cluster[5]
    # left sides of tiles that no tile of another cluster is beside
    sides = {
        cluster == one: [x, y + 16]
        for (x, y), cluster in corners.items()
        if corners.get((x - 32, y), cluster) == cluster and 100 < x < 800 and 100 < y < 600
    }
    assert set(sides) == {True, False}
    map_only(small, grid=True, opacity=0)
    small.evaluate("([x, y]) => window.wsiEmbed.stage.goTo(x, y, 1, true)", [450, 350])
    small.wait_for_timeout(300)

    def drawn() -> dict[bool, bool]:
        return {
            kind: any(colour[3] for colour in overlay_at(small, [[x - 0.5, y], [x + 0.5, y]]))
            for kind, (x, y) in sides.items()
        }

    assert drawn() == {True: True, False: True}
    small.evaluate("(one) => window.wsiEmbed.layers.set({hidden: new Set([one])})", one)
    assert drawn() == {True: False, False: True}
    small.evaluate("window.wsiEmbed.layers.set({show: 'nothing'})")
    assert drawn() == {True: True, False: True}  # without the map, the grid has all tiles


def test_confidence_is_opacity(small: Any, tiles: Tiles) -> None:
    map_only(small)
    small.keyboard.press("f")
    for colour, confidence in zip(colours_at(small, tiles, range(len(tiles))), tiles.confidence, strict=True):
        assert abs(colour[3] - 255 * confidence) <= 2


def test_attention_replaces_the_clusters(small: Any, tiles: Tiles) -> None:
    map_only(small)
    small.keyboard.press("h")
    yellow, violet, ends = [253, 231, 37, 255], [68, 1, 84, 255], (0, len(tiles) - 1)
    assert colours_at(small, tiles, ends) == [violet, yellow]
    small.get_by_label("Class").select_option("normal")
    assert colours_at(small, tiles, ends) == [yellow, violet]


def test_contours_and_outline_are_where_they_belong(small: Any) -> None:
    map_only(small, show="nothing")
    places = [[100, 250], [250, 200], [250, 250], [550, 500], [150, 50]]
    assert {colour[3] for colour in overlay_at(small, places)} == {0}
    small.keyboard.press("a")
    on, hole, inside, other, away = overlay_at(small, places)
    assert on == hole == [0, 0, 0, 255]  # the colour of the second class
    assert other == [0, 0, 205, 255]
    assert inside[3] == away[3] == 0


def test_the_address_holds_the_state(small: Any, chromium: Any, viewer: Viewer) -> None:
    small.keyboard.press("4")
    small.wait_for_timeout(700)
    small.keyboard.press("ArrowRight")
    small.keyboard.press("o")
    small.keyboard.press(".")
    small.locator(".clusters li .swatch").first.click()
    small.wait_for_timeout(1200)
    state = """() => {
        const {stage, layers, slide} = window.wsiEmbed;
        return {slide: slide.key, zoom: stage.zoom, x: stage.centre.x, y: stage.centre.y,
            tissue: layers.tissue, opacity: layers.opacity, hidden: [...layers.hidden]};
    }"""
    before = small.evaluate(state)
    with opened(chromium, viewer.url + small.evaluate("location.hash"), SIZES[0]) as copy:
        after = copy.evaluate(state)
    for name in ("zoom", "x", "y"):
        assert after.pop(name) == pytest.approx(before.pop(name), rel=2e-3, abs=1)
    assert after == before
    assert after["tissue"] is False
    assert len(after["hidden"]) == 1


def test_magnification_scale_bar_and_position(small: Any) -> None:
    small.keyboard.press("3")
    small.wait_for_timeout(900)
    # 10x is 1 um per pixel: at 0.5 um per level-0 pixel, half a screen pixel for each
    assert small.evaluate("window.wsiEmbed.stage.zoom") == pytest.approx(0.5, rel=1e-3)
    assert small.locator("#scale-text").inner_text() == "100 um"
    assert small.locator("#scale-line").bounding_box()["width"] == pytest.approx(100, abs=1)
    box = small.locator("#stage").bounding_box()
    at = small.evaluate("(() => { const p = window.wsiEmbed.stage.toStage(400, 200); return [p.x, p.y]; })()")
    small.mouse.move(box["x"] + at[0], box["y"] + at[1])
    status = small.locator("#status").inner_text()
    assert "x 200  y 100 um" in status
    assert "10.0x" in status


def test_a_click_selects_the_tile_under_it(small: Any, tiles: Tiles) -> None:
    click_at(small, tiles.x[8], tiles.y[8])
    small.wait_for_function("() => window.wsiEmbed.tile === 8")
    click_at(small, 3, 3)
    small.wait_for_function("() => window.wsiEmbed.tile === null")


def test_escape_selects_no_tile_first_and_then_shows_all_clusters(small: Any) -> None:
    small.evaluate("window.wsiEmbed.layers.set({hidden: new Set([0])})")
    small.evaluate("window.wsiEmbed.selectTile(1)")
    for hidden in (1, 0):
        small.keyboard.press("Escape")
        assert small.evaluate("window.wsiEmbed.tile") is None
        assert small.evaluate("window.wsiEmbed.layers.hidden.size") == hidden


def test_slides_are_searched_and_stepped_through_by_keys(small: Any) -> None:
    small.keyboard.press("/")
    small.keyboard.type("img onerror")
    assert small.locator(".slide").count() == 1
    small.keyboard.press("Enter")
    small.wait_for_function("() => window.wsiEmbed.slide?.slide_id.startsWith('%3C')")
    assert small.locator("#title").inner_text() == HOSTILE
    small.locator("#search").fill("")
    small.locator("#search").blur()
    small.keyboard.press("j")
    small.wait_for_function("() => window.wsiEmbed.slide?.slide_id === 'a'")


def test_hostile_names_are_text(small: Any) -> None:
    assert small.locator(".about b").first.inner_text() == HOSTILE
    assert small.locator(".contours li").all_inner_texts() == ["annotation", HOSTILE]
    assert f"<b>{HOSTILE}</b>" in small.locator(".clusters .name").all_inner_texts()
    assert small.locator("img[src=x]").count() == 0
    shown = small.evaluate(
        "text => import('./static/js/dom.js').then(({printable}) => printable(text))", f"{CONTROL} 😀 é"
    )
    assert shown == "bell\\u0007\\u202etxt 😀 é"


def test_a_failed_slide_says_what_is_wrong_and_what_to_do(small: Any) -> None:
    small.locator(".slide", has_text="broken").click()
    small.locator("#message").wait_for()
    text = small.locator("#message").inner_text()
    assert "broken.svs: cannot be read" in text
    assert "Try again" in text
    small.keyboard.press("k")
    small.locator("#message").wait_for(state="hidden")


def test_the_keys_are_shown(small: Any) -> None:
    small.keyboard.press("?")
    text = small.locator("#help").inner_text()
    for words in ("whole slide", "next, previous slide", "hide all layers while it is held"):
        assert words in text
    keys = set(small.locator("#help dt kbd").all_inner_texts())
    page = (Path(__file__).parents[2] / "docs" / "viewer.md").read_text("utf-8")
    table = page.partition("\n## Keys\n")[2].partition("\n## ")[0]
    documented = re.findall("`([^`]+)`", " ".join(re.findall(r"^\|([^|]+)\|", table, re.MULTILINE)))
    assert keys == set(documented)
    small.get_by_role("button", name="Close").click()
    small.locator("#help").wait_for(state="hidden")
    width = small.locator("#stage").bounding_box()["width"]
    small.keyboard.press("s")
    small.keyboard.press("l")
    assert small.locator("#stage").bounding_box()["width"] == small.viewport_size["width"] > width


def test_a_slide_that_vanishes_while_it_is_open(chromium: Any, copied: Cohort) -> None:
    path = write_tiff(copied.slides / "large.tiff", he_pixels(1600, 1800), compression="jpeg", mpp=None)
    with wsi_embed.view(copied.store, slides=copied.slides, port=0) as viewer:
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.goto(viewer.url + "#slide=large")
        page.wait_for_function("() => window.wsiEmbed?.stage.item?.getFullyLoaded()")
        assert page.locator("#zooms button:disabled").count() == 5  # its resolution is unknown
        assert page.locator("#scale-text").inner_text().endswith(" px")
        path.rename(path.with_suffix(".gone"))
        for _ in range(5):
            page.keyboard.press("+")  # needs tiles that the browser does not have yet
        page.locator("#message").wait_for()
        assert "large.tiff: the file is gone" in page.locator("#message").inner_text()
        assert "Traceback" not in page.locator("body").inner_text()
        path.with_suffix(".gone").rename(path)
        page.get_by_role("button", name="Try again").click()
        page.wait_for_function("() => window.wsiEmbed.stage.item?.getFullyLoaded()")
        assert page.locator("#message").is_hidden()
        page.close()


def _held_but_one(page: Any, pattern: str) -> list[Any]:
    """Let the first request through; return the list of the others, which wait for an answer."""
    held: list[Any] = []
    passed: list[Any] = []

    def answer(route: Any) -> None:
        if passed:
            held.append(route)
        else:
            passed.append(route)
            route.continue_()

    page.route(pattern, answer)
    return held


def test_a_slide_that_is_replaced_while_it_is_open(chromium: Any, copied: Cohort) -> None:
    path = write_tiff(copied.slides / "large.tiff", he_pixels(1600, 1800), compression="jpeg")
    with wsi_embed.view(copied.store, slides=copied.slides, port=0) as viewer:
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.goto(viewer.url + "#slide=large")
        page.wait_for_function("() => window.wsiEmbed?.stage.item?.getFullyLoaded()")
        path.unlink()
        write_tiff(path, he_pixels(800, 900, seed=3), compression="jpeg")
        late = _held_but_one(page, f"**/*.jpg?v={page.evaluate('window.wsiEmbed.slide.version')}")
        page.keyboard.press("+")
        page.keyboard.press("+")
        page.wait_for_function("() => window.wsiEmbed.slide?.width === 900")
        assert late
        for route in late:
            route.abort()
        page.wait_for_function("() => window.wsiEmbed.stage.item?.getFullyLoaded()")
        assert page.locator("#notice").inner_text() == "The file of this slide has been replaced."
        page.close()


def test_a_server_that_ends_is_said(chromium: Any, cohort: Cohort) -> None:
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    with wsi_embed.view(cohort.store, slides=cohort.slides, port=0) as viewer:
        page.goto(viewer.url)
        ready(page)
    page.locator(".slide").nth(2).click()
    page.locator("#message").wait_for()
    assert "the server does not answer" in page.locator("#message").inner_text()
    page.close()


def test_the_slide_is_on_the_screen(page: Any) -> None:
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    box = page.locator("#stage").bounding_box()
    stage = shot[int(box["y"]) :, int(box["x"]) : int(box["x"] + box["width"])]
    assert (stage.std(axis=2) > 12).mean() > 0.15


def test_a_pasted_address_and_another_store_are_shown(chromium: Any, cohort: Cohort) -> None:
    with (
        wsi_embed.view([cohort.store, cohort.store], slides=cohort.slides, port=0) as viewer,
        opened(chromium, viewer.url + "#slide=a&hidden=0", SIZES[0]) as page,
    ):
        page.evaluate("location.hash = '#slide=b'")
        page.wait_for_function("() => window.wsiEmbed?.slide?.key === 'b'")
        ready(page)
        page.locator(".clusters .swatch").first.click()
        assert page.locator(".clusters li.off").count() == 1
        place = "() => { const {centre, zoom} = window.wsiEmbed.stage; return [centre.x, centre.y, zoom]; }"
        page.keyboard.press("4")
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(1000)
        before = page.evaluate(place)
        page.locator("#store").select_option("1")
        page.wait_for_function("() => window.wsiEmbed.slide?.path.startsWith('api/stores/1/slides/b')")
        ready(page)
        assert page.locator(".clusters li.off").count() == 0
        assert page.evaluate(place) == pytest.approx(before, rel=1e-3, abs=1)
