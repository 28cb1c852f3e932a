"""The export without a server: what is in it, and the page that a plain web server shows."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import wsi_embed
from tests.job_tools import invoke
from tests.viewer.browser import SIZES, browser, ready
from tests.viewer.conftest import Cohort
from tests.viewer.test_layers import unpack
from tests.viewer.test_page import opened
from wsi_embed.errors import UsageError
from wsi_embed.viewer.app import create_app
from wsi_embed.viewer.session import Session
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
        assert "Similar tiles are found by wsi-embed view" in page.locator("#page-tile").inner_text()
        page.keyboard.press("m")
        page.wait_for_selector("canvas.map:not([hidden])")
        assert failed == []


def test_a_page_opened_as_a_file_says_what_to_do(chromium: Any, written: tuple[Path, StaticSite]) -> None:
    page = chromium.new_page()
    page.goto((written[0] / "index.html").as_uri())
    page.wait_for_selector("#message:not([hidden])")
    assert "python3 -m http.server" in page.locator("#message").inner_text()
    page.close()
