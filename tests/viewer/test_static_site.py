"""The export without a server: what is in it, and the page that a plain web server shows."""

from __future__ import annotations

import functools
import http.server
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import wsi_embed
from tests.job_tools import invoke
from tests.made_models import tiny_onnx
from tests.made_slides import write_tiff
from tests.viewer.browser import SIZES, browser, ready
from tests.viewer.conftest import Cohort, made_attention
from tests.viewer.test_layers import unpack
from tests.viewer.test_page import opened
from wsi_embed.errors import UsageError
from wsi_embed.slide import open_slide
from wsi_embed.store.attention import write_attention
from wsi_embed.viewer.app import create_app
from wsi_embed.viewer.page_script import page_script
from wsi_embed.viewer.session import Session, open_session
from wsi_embed.viewer.static_neighbours import NEIGHBOURS
from wsi_embed.viewer.static_site import StaticSite, write_static_site

SLIDES = "api/stores/0/slides"


@pytest.fixture(scope="module")
def written(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StaticSite]:
    out = tmp_path_factory.mktemp("static") / "site"
    session = cohort.session()
    try:
        return out, write_static_site(session, out)
    finally:
        session.close()


def test_files_are_the_answers_of_the_server(
    written: tuple[Path, StaticSite], session: Session, cohort: Cohort
) -> None:
    out, site = written
    client = TestClient(create_app(session), base_url="http://localhost")
    assert site.slides == (tuple(wsi_embed.open_store(cohort.store).slide_ids),)
    pictures = sorted((out / SLIDES / "a" / "pyramid").rglob("*.jpg"))
    assert len(pictures) == sum(-(-900 // step) * -(-700 // step) for step in (256, 512, 1024))
    for path in [*pictures, out / SLIDES / "a" / "thumbnail.jpg"]:
        assert path.read_bytes() == client.get(f"/{path.relative_to(out).as_posix()}").content
    for layer in ("tiles", "tissue", "contours", "attention"):
        found = (out / SLIDES / "a" / f"{layer}.bin").read_bytes()
        assert found == client.get(f"/{SLIDES}/a/{layer}").content
    files = [path for path in out.rglob("*") if path.is_file()]
    assert (site.files, site.bytes) == (len(files), sum(path.stat().st_size for path in files))
    columns, facts = unpack((out / "api/stores/0/map.bin").read_bytes())
    assert (len(columns["tile"]), facts["complete"]) == (
        sum(map(len, wsi_embed.open_store(cohort.store).values())),
        True,
    )


def test_only_chosen_slides_and_no_patients_and_folders_are_in_it(copied: Cohort, tmp_path: Path) -> None:
    manifest = copied.slides / "chosen.csv"
    manifest.write_text("path,slide_id,patient\na.tiff,a,Jane Doe\n")
    done = invoke(
        "view", copied.store, "--slides", manifest, "--static", tmp_path / "site", "--static-um", "1"
    )
    assert done.returncode == 0, done.stderr
    assert "1 slide, " in done.stdout
    listed = json.loads((tmp_path / "site" / f"{SLIDES}.json").read_text())["slides"]
    assert [line["slide_id"] for line in listed] == ["a"]
    counts = json.loads((tmp_path / "site/api/stores/0/clusters.json").read_text())["classes"]
    assert sum(each["tiles"] for each in counts) == len(wsi_embed.open_store(copied.store)["a"])
    facts = json.loads((tmp_path / "site" / SLIDES / "a.json").read_text())
    assert (facts["finest"], facts["levels"]) == (1, 3)  # 0.5 um per pixel, halved once
    assert sorted(path.name for path in (tmp_path / "site" / SLIDES / "a" / "pyramid").iterdir()) == [
        "0",
        "1",
    ]
    for path in (tmp_path / "site" / "api").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"Jane Doe" not in content
            assert str(copied.slides).encode() not in content


def test_what_cannot_be_exported_is_refused(copied: Cohort, tmp_path: Path) -> None:
    session = copied.session()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty; choose another folder"):
        write_static_site(session, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
    with pytest.raises(UsageError, match="um per pixel are expected"):
        write_static_site(session, tmp_path / "out", finest_um=-1)
    (copied.slides / "a.tiff").write_bytes(b"II*\0 damaged")
    site = write_static_site(session, tmp_path / "out")
    session.close()
    assert "a" not in site.slides[0]
    assert site.notes[0].startswith("left out, a: ")
    assert not (tmp_path / "out" / SLIDES / "a").exists()


def test_damaged_layers_and_slides_are_left_out_with_a_note(copied: Cohort, tmp_path: Path) -> None:
    (copied.annotations / "a.geojson").write_text("{")
    store = wsi_embed.open_store(copied.store)
    found = made_attention(store["a"])
    about = {"model_id": store.model_id, "method": "dsmil"}
    write_attention(tmp_path / "other.zarr", about, [replace(found, grid=found.grid + 1)])
    for path in (copied.store / "b" / "cluster" / "c").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1] + b"!")
    session = copied.session(attention=tmp_path / "other.zarr")
    site = write_static_site(session, tmp_path / "site")
    session.close()
    assert "b" not in site.slides[0]
    assert [note.partition(": ")[0] for note in site.notes] == [
        "left out, b", "without contours, a", "without attention, a",
    ]  # fmt: skip
    layers = json.loads((tmp_path / "site" / SLIDES / "a.json").read_text())["layers"]
    assert layers == {"tiles": True, "clusters": True, "tissue": True, "contours": False, "attention": False}
    assert not (tmp_path / "site" / SLIDES / "a" / "contours.bin").exists()


@pytest.mark.parametrize("existed", [True, False])
def test_an_export_that_fails_leaves_nothing_behind(
    copied: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existed: bool
) -> None:
    def full(store: object) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "site"
    if existed:
        out.mkdir()
    session = copied.session()
    monkeypatch.setattr("wsi_embed.viewer.static_documents.neighbour_layers", full)
    with pytest.raises(UsageError, match="No space left on device"):
        write_static_site(session, out)
    session.close()
    assert (out.exists(), list(out.iterdir()) if existed else []) == (existed, [])


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def served(written: tuple[Path, StaticSite]) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=written[0]))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def test_a_plain_web_server_shows_slides_layers_clusters_and_map(chromium: Any, served: str) -> None:
    with opened(chromium, served + "#slide=a", SIZES[0]) as page:
        failed: list[str] = []
        page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
        assert page.locator("#title").inner_text() == "a"
        assert page.locator(".clusters li").count() > 2
        page.keyboard.press("n")
        page.wait_for_selector(".sheet img")
        page.wait_for_function(
            "() => [...document.querySelectorAll('.sheet img')].slice(0, 4).every((img) => img.naturalWidth)"
        )
        assert page.locator(".cluster-bar").count() == 0
        page.locator(".sheet .fly").first.click()
        page.wait_for_function("() => window.wsiEmbed.tile !== null")
        ready(page)
        page.keyboard.press("t")
        page.wait_for_selector(".found .tile")
        assert page.locator(".found .tile").count() == NEIGHBOURS
        assert page.locator(".kinds, .tile-actions").count() == 0
        page.keyboard.press("m")
        page.wait_for_selector("canvas.map:not([hidden])")
        assert failed == []


def test_similar_tiles_are_those_of_a_search_and_have_pictures(
    chromium: Any, written: tuple[Path, StaticSite], cohort: Cohort
) -> None:
    store = wsi_embed.open_store(cohort.store)
    with opened(chromium, (written[0] / "index.html").as_uri() + "#slide=a&panel=tile", SIZES[0]) as page:
        page.evaluate("() => window.wsiEmbed.selectTile(5)")
        page.wait_for_selector(".found .tile")
        found = page.locator(".found .tile").evaluate_all("all => all.map(each => +each.dataset.tile)")
        expected = wsi_embed.similar_tiles(store, "a", 5, k=NEIGHBOURS)
        assert found == [tile.tile for tile in expected]
        page.wait_for_timeout(500)
        x, y = store["a"].coords[5].tolist()
        shot = Image.open(io.BytesIO(page.locator(".tile-card .tile-picture").screenshot())).convert("RGB")
        with open_slide(cohort.slides / "a.tiff") as slide:
            pixels = slide.read(0, x, y, 32, 32)
        assert np.asarray(shot, float).mean((0, 1)) == pytest.approx(pixels.mean((0, 1)), abs=6)


def test_the_page_can_be_opened_as_a_file(chromium: Any, written: tuple[Path, StaticSite]) -> None:
    with opened(chromium, (written[0] / "index.html").as_uri() + "#slide=a", SIZES[0]) as page:
        assert page.locator("#title").inner_text() == "a"
        assert page.locator(".clusters li").count() > 2
        page.keyboard.press("j")
        page.wait_for_function("() => window.wsiEmbed.slide?.key === 'b'")
        ready(page)
        page.keyboard.press("n")
        page.wait_for_function("() => document.querySelector('.sheet img')?.naturalWidth")
        page.keyboard.press("m")
        page.wait_for_selector("canvas.map:not([hidden])")


def test_a_store_with_too_few_tiles_for_a_map_is_exported(tmp_path: Path) -> None:
    slide = write_tiff(tmp_path / "a.tiff", np.full((40, 40, 3), (180, 80, 150), np.uint8), levels=(1,))
    wsi_embed.embed(slide, tmp_path / "feats.zarr", model=tiny_onnx(tmp_path / "model.onnx"), tissue="none")
    session = open_session([str(tmp_path / "feats.zarr")], [str(slide)])
    site = write_static_site(session, tmp_path / "out")
    session.close()
    assert site.slides == (("a",),)
    assert not (tmp_path / "out" / "api/stores/0/map.bin").exists()


def test_the_script_has_all_modules_in_order(tmp_path: Path) -> None:
    (tmp_path / "main.js").write_text(
        'import { two } from "./b.js";\nimport { one } from "./a.js";\nout(one + two());\n'
    )
    (tmp_path / "b.js").write_text(
        'import { one } from "./a.js";\nexport function two() {\n  return one + 1;\n}\n'
    )
    (tmp_path / "a.js").write_text("const own = 1;\nexport const one = own;\n")
    script = page_script(tmp_path)
    assert [script.index(f"const ${name}") for name in "ab"] == sorted(
        script.index(f"const ${n}") for n in "ab"
    )
    assert script.index("const $b") < script.index("const $main")
    assert "return { two };" in script
    for wrong in (
        'import "./a.js";',
        'import { main } from "./main.js";\nexport const one = 1;',
        "export default 1;",
    ):
        (tmp_path / "a.js").write_text(wrong + "\n")
        with pytest.raises(ValueError, match=r"a\.js|import each other"):
            page_script(tmp_path)
