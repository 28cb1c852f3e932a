"""The tabs about tiles, clusters and the map in a real browser, against oracles."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wsi_embed
from tests.explore.test_similar import oracle
from tests.job_tools import invoke
from tests.viewer.browser import SIZES, browser, click_at, ready
from tests.viewer.conftest import HOSTILE, Cohort
from tests.viewer.test_page import opened
from wsi_embed import Store, Viewer
from wsi_embed.bags.cluster_edits import ClusterNamesFile
from wsi_embed.plot.legend import slide_entries
from wsi_embed.store import open_named_store


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def viewer(cohort: Cohort) -> Iterator[Viewer]:
    with wsi_embed.view(cohort.store, slides=cohort.slides, port=0, read_only=True) as started:
        yield started


@pytest.fixture(scope="module")
def store(cohort: Cohort) -> Store:
    return wsi_embed.open_store(cohort.store)


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size[0]} px")
def page_of_size(chromium: Any, viewer: Viewer, request: pytest.FixtureRequest) -> Iterator[Any]:
    with opened(chromium, viewer.url + "#slide=a", request.param) as page:
        yield page


@pytest.fixture(scope="module")
def page(chromium: Any, viewer: Viewer) -> Iterator[Any]:
    with opened(chromium, viewer.url + "#slide=a", SIZES[0]) as page:
        yield page


def found_tiles(page: Any) -> list[tuple[str, int]]:
    """Wait for a search, and return the tiles that the page shows."""
    page.wait_for_selector(".found .tile")
    found = page.locator(".found .tile").evaluate_all(
        "all => all.map(each => [each.dataset.slide, +each.dataset.tile])"
    )
    return [(key.replace("~", "%"), tile) for key, tile in found]


def choose(page: Any, store: Store, tile: int) -> None:
    page.keyboard.press("Escape")
    x, y = (store["a"].coords[tile] + float(store["a"].attrs["extent"]) / 2).tolist()
    click_at(page, x, y)
    page.wait_for_function("(tile) => window.wsiEmbed.tile === tile", arg=tile)


def expected(
    store: Store, like: list[tuple[str, int]], unlike: list[tuple[str, int]], most: int | None = None
) -> list[tuple[str, int]]:
    return [(name, row) for name, row, _ in oracle(store, like, unlike, 24, most)]


def test_similar_tiles_of_a_clicked_one_are_those_of_the_oracle(page: Any, store: Store) -> None:
    page.keyboard.press("t")
    choose(page, store, 5)
    assert found_tiles(page) == expected(store, [("a", 5)], [])
    other = next(i for i, (name, _) in enumerate(found_tiles(page)) if name != "a")
    wanted = found_tiles(page)[other]
    page.locator(".found .tile").nth(2).locator(".like").click()
    like = [expected(store, [("a", 5)], [])[2]]
    page.wait_for_selector(".example.like")
    assert found_tiles(page) == expected(store, like, [])
    page.locator(".tile-actions .unlike").click()
    page.wait_for_selector(".example.unlike")
    assert found_tiles(page) == expected(store, like, [("a", 5)])
    page.get_by_label("Tiles per slide").select_option("1")
    page.wait_for_function("() => document.querySelectorAll('.found .tile').length === 3")
    assert found_tiles(page) == expected(store, like, [("a", 5)], 1)
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Tiles per slide").select_option("")
    page.wait_for_function("() => document.querySelectorAll('.found .tile').length === 24")
    page.locator(".found .tile").nth(other).locator(".fly").click()
    page.wait_for_function("(key) => window.wsiEmbed.slide?.key === key", arg=wanted[0].replace("%", "~"))
    page.wait_for_function("(tile) => window.wsiEmbed.tile === tile", arg=wanted[1])
    ready(page)
    centre = page.evaluate("() => [window.wsiEmbed.stage.centre.x, window.wsiEmbed.stage.centre.y]")
    bag = store[wanted[0]]
    assert centre == pytest.approx((bag.coords[wanted[1]] + float(bag.attrs["extent"]) / 2).tolist(), abs=3)


def test_a_lasso_selects_tiles_and_marks_them_on_the_slide(page: Any, store: Store) -> None:
    page.evaluate("() => window.wsiEmbed.emit('choose', 'a')")
    page.wait_for_function("() => window.wsiEmbed.slide?.key === 'a' && window.wsiEmbed.tiles")
    ready(page)
    page.keyboard.press("m")
    page.wait_for_selector("canvas.map:not([hidden])")
    box = page.locator("canvas.map").bounding_box()
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)]
    for number, (x, y) in enumerate(corners):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3)
        if not number:
            page.mouse.down()
    page.mouse.up()
    tiles = sum(map(len, store.values()))
    page.wait_for_selector(f"text={tiles} tiles on 3 slides")
    lines = page.locator(".on-slides li").all_inner_texts()
    assert sorted(int(line.split()[-1]) for line in lines) == sorted(map(len, store.values()))
    assert marked(page) > 100
    page.get_by_role("button", name="Clear").click()
    assert marked(page) == 0


def marked(page: Any) -> int:
    """Number of pixels of the marks on the slide."""
    found: int = page.evaluate(
        """() => {
          const canvas = document.querySelector("canvas.marks");
          const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return data.filter((value, index) => index % 4 === 3 && value).length;
        }"""
    )
    return found


def test_nothing_can_be_changed_in_a_viewer_that_only_reads(page: Any, store: Store) -> None:
    page.keyboard.press("n")
    page.wait_for_selector(".sheet img")
    assert page.locator(".cluster-bar").count() == 0
    assert page.locator(".class-name:enabled, .class-head input[type=color]:enabled").count() == 0
    used = {int(c) for bag in store.values() for c in np.asarray(bag.cluster)}
    assert page.locator(".cluster-card").count() == len(used)


@pytest.mark.parametrize("tab", ["tile", "clusters", "map"])
def test_the_tabs_fit_into_the_panel(page_of_size: Any, store: Store, tab: str) -> None:
    page = page_of_size
    page.evaluate("() => window.wsiEmbed.flyTo('a', 3)")
    page.locator(f"#tab-{tab}").click()
    page.wait_for_selector(
        {"tile": ".found img", "clusters": ".sheet img", "map": "canvas.map:not([hidden])"}[tab]
    )
    wide = page.evaluate(
        """() => {
          const panel = document.getElementById("panel").getBoundingClientRect();
          return [...document.querySelectorAll(".page:not([hidden]) *")].filter((each) => {
            const {left, right, width} = each.getBoundingClientRect();
            return width && (left < panel.left - 1 || right > panel.right + 1);
          }).map((each) => each.className);
        }"""
    )
    assert wide == []


def test_a_cluster_is_named_merged_and_seen_by_plot(chromium: Any, copied: Cohort, tmp_path: Path) -> None:
    store = wsi_embed.open_store(copied.store)
    numbers = Counter(int(c) for bag in store.values() for c in np.asarray(bag.cluster))
    first, second = (cluster for cluster, _ in numbers.most_common(2))
    with (
        wsi_embed.view(copied.store, slides=copied.slides, port=0) as viewer,
        opened(chromium, viewer.url + "#slide=a&panel=clusters", SIZES[0]) as page,
    ):
        page.wait_for_selector(".sheet img")
        name_of(page, first).fill(HOSTILE)
        name_of(page, first).press("Enter")
        page.wait_for_function(
            "(name) => window.wsiEmbed.clusters.classes.some((each) => each.name === name)", arg=HOSTILE
        )
        assert open_named_store(copied.store).cluster_names.names == {first: HOSTILE}
        for cluster in (first, second):
            page.locator(f'[data-class="{cluster}"] [data-kind="choose"]').check()
        page.get_by_role("button", name="Merge 2").click()
        page.wait_for_selector(".members")
        names = open_named_store(copied.store).cluster_names
        assert names.names == {first: HOSTILE, second: HOSTILE}
        (entry,) = slide_entries(Counter({first: 3, second: 1}), {}, False, names)
        assert (entry.text, entry.value) == (HOSTILE, "100.0 %")
        done = invoke("plot", copied.store, "--geojson", "--geojson-parts", "clusters", "--out", tmp_path)
        assert done.returncode == 0, done.stderr
        classes = [each["properties"]["classification"]["name"] for each in regions(tmp_path / "a.geojson")]
        assert HOSTILE in classes
        page.locator("#tab-layers").click()
        assert page.locator(".clusters .name", has_text=HOSTILE).count() == 1
        page.keyboard.press("u")
        page.wait_for_function(
            "() => window.wsiEmbed.clusters.classes.every((each) => each.members.length === 1)"
        )
        # somebody else names another cluster meanwhile
        file = ClusterNamesFile(store.names_path, store.clusters or 0, store.model_id)
        file.rename([second], "of somebody else")
        page.locator("#tab-clusters").click()
        name_of(page, first).fill("too late")
        name_of(page, first).press("Enter")
        page.wait_for_selector("#page-clusters .bad")
        assert "changed by someone else meanwhile" in page.locator("#page-clusters .bad").inner_text()
        assert name_of(page, second).input_value() == "of somebody else"
        assert file.read().names.names == {first: HOSTILE, second: "of somebody else"}
        # or names the same cluster while its name is being typed, and the page learns of it
        name_of(page, second).focus()
        file.rename([second], "meanwhile")
        page.evaluate("() => window.wsiEmbed.refreshClusters()")
        name_of(page, second).fill("typed")
        name_of(page, second).press("Enter")
        page.wait_for_function(
            "(n) => document.querySelector(`[data-class='${n}'] .class-name`).value === 'meanwhile'",
            arg=second,
        )
        assert file.read().names.names == {first: HOSTILE, second: "meanwhile"}


def name_of(page: Any, cluster: int) -> Any:
    return page.locator(f'[data-class="{cluster}"] .class-name')


def regions(path: Path) -> list[Any]:
    document = json.loads(path.read_text())
    found: list[Any] = document["features"] if isinstance(document, dict) else document
    return found


def test_points_have_the_colours_of_slides_and_annotations(chromium: Any, cohort: Cohort) -> None:
    with (
        wsi_embed.view(cohort.store, slides=cohort.slides, annotations=cohort.annotations, port=0) as viewer,
        opened(chromium, viewer.url + "#slide=a&panel=map", SIZES[0]) as page,
    ):
        page.wait_for_selector("canvas.map:not([hidden])")
        page.get_by_label("Colour", exact=True).select_option("slide")
        page.wait_for_selector(".map-legend")
        assert page.locator(".map-legend .named").all_inner_texts() == [HOSTILE, "a", "b"]
        page.get_by_label("Colour", exact=True).select_option("label")
        page.wait_for_selector(f".map-legend :text-is('{HOSTILE}')")
        assert page.locator(".map-legend .named").all_inner_texts()[-2:] == [HOSTILE, "none"]
