"""Controls of the page in a real browser: keys, focus, and what is said when there is nothing to show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import wsi_embed
from tests.viewer.browser import SIZES, browser, ready, reset
from tests.viewer.conftest import HOSTILE, Cohort
from tests.viewer.test_page import opened

NO_NAMES = '{"names": {}}'


@pytest.fixture(scope="module")
def page_of_module(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    names = tmp_path_factory.mktemp("names") / "names.json"
    names.write_text(NO_NAMES)
    with (
        browser() as chromium,
        wsi_embed.view(
            cohort.store, slides=cohort.slides, annotations=cohort.annotations, clusters=names, port=0
        ) as viewer,
        opened(chromium, viewer.url + "#slide=a", SIZES[0]) as page,
    ):
        yield page
    assert names.read_text() == NO_NAMES


@pytest.fixture
def page(page_of_module: Any) -> Any:
    reset(page_of_module)
    page_of_module.locator("#tab-layers").click()
    return page_of_module


def test_a_checkbox_is_toggled_by_space_and_keeps_the_focus(page: Any) -> None:
    box = page.get_by_label("Fade by confidence")
    box.focus()
    for on in (True, False):
        page.keyboard.press("Space")
        assert page.evaluate("window.wsiEmbed.layers.confidence") is on
        assert page.evaluate("document.activeElement.labels[0].textContent").startswith("Fade by confidence")


def test_keys_work_while_the_slider_has_the_focus_except_its_own(page: Any) -> None:
    page.locator("#opacity").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("window.wsiEmbed.layers.opacity") == 0.55
    page.keyboard.press("f")
    assert page.evaluate("window.wsiEmbed.layers.confidence") is True


def test_arrows_go_through_the_list_that_has_the_focus(page: Any) -> None:
    page.locator("#slide-list").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => window.wsiEmbed.slide?.key === 'b'")
    ready(page)
    page.keyboard.press("ArrowUp")
    page.wait_for_function("() => window.wsiEmbed.slide?.key === 'a'")


def test_a_search_without_a_result_says_so(page: Any) -> None:
    page.locator("#search").fill("no such slide")
    assert page.locator("#slide-list").inner_text() == "No slide is found."
    page.locator("#search").fill("")
    assert page.locator("#slide-list .nothing").count() == 0


def test_escape_gives_up_a_name(page: Any) -> None:
    page.locator("#tab-clusters").click()
    name = page.locator(".class-name").first
    name.fill("a slip")
    name.press("Escape")
    assert name.input_value() == ""
    page.wait_for_timeout(300)
    assert all(not each["named"] for each in page.evaluate("window.wsiEmbed.clusters.classes"))


def test_a_name_that_is_being_typed_outlives_a_redraw(page: Any) -> None:
    page.locator("#tab-clusters").click()
    name = page.locator(".class-name").first
    name.focus()
    name.press_sequentially("half a na")
    for _ in range(2):
        page.evaluate("window.wsiEmbed.emit('clusters')")
        assert page.locator(".class-name").first.input_value() == "half a na"
    assert page.evaluate("document.activeElement.dataset.kind") == "name"
    page.keyboard.press("Escape")
    page.wait_for_timeout(300)
    assert all(not each["named"] for each in page.evaluate("window.wsiEmbed.clusters.classes"))


def test_layers_are_not_drawn_over_the_navigator(page: Any) -> None:
    page.keyboard.press("4")
    page.wait_for_timeout(1000)
    ready(page)
    page.evaluate("window.wsiEmbed.layers.set({opacity: 1})")
    over = page.locator("#navigator").screenshot()
    page.evaluate(
        "window.wsiEmbed.layers.set({show: 'nothing', tissue: false, contours: false, grid: false})"
    )
    assert over == page.locator("#navigator").screenshot()


def test_a_slide_that_cannot_be_shown_leaves_no_navigator(page: Any) -> None:
    assert page.locator("#navigator").is_visible()
    page.locator(".slide", has_text="broken").click()
    page.locator("#message").wait_for()
    assert not page.locator("#navigator").is_visible()


def test_points_are_coloured_by_annotation_after_another_projection(page: Any) -> None:
    page.locator("#tab-map").click()
    page.get_by_label("Colour", exact=True).select_option("label")
    legend = page.locator(f".map-legend :text-is('{HOSTILE}')")
    legend.wait_for()
    # what the choice of another projection does, without waiting for UMAP
    legend.evaluate("element => element.dataset.before = ''")
    page.get_by_label("Projection").dispatch_event("change")
    page.locator(f".map-legend .named:not([data-before]) :text-is('{HOSTILE}')").wait_for()


def test_the_legend_leaves_out_clusters_without_tiles(page: Any) -> None:
    shown = page.locator(".clusters li").count()
    page.evaluate(
        """() => {
          const app = window.wsiEmbed;
          const empty = {cluster: 900, name: "none", members: [900], tiles: 0, colour: "#000000"};
          app.clusters = {...app.clusters, complete: true, classes: [...app.clusters.classes, empty]};
          app.emit("clusters");
        }"""
    )
    assert page.locator(".clusters li").count() <= shown
    assert page.locator(".legend").get_by_text("no tiles.").count() == 1
    page.evaluate("window.wsiEmbed.refreshClusters()")
