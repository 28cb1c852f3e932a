"""The API of the viewer: what it says of stores and slides, its pictures, and what it does not give away."""

from __future__ import annotations

import io
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import simplejpeg
from PIL import Image
from starlette.testclient import TestClient

import wsi_embed
from tests.made_models import tiny_onnx
from tests.made_slides import he_pixels, write_svs, write_tiff
from tests.viewer.conftest import HOSTILE, SIZES, Cohort
from tests.viewer.test_layers import unpack
from wsi_embed.cli.wording import in_flags
from wsi_embed.viewer.app import STATIC, create_app
from wsi_embed.viewer.session import Session, open_session

HOSTILE_ID = quote(HOSTILE, safe="")


@pytest.fixture(scope="module")
def client(session: Session) -> TestClient:
    return TestClient(create_app(session), base_url="http://localhost")


def path_of(slide_id: str) -> str:
    return f"/api/stores/0/slides/{quote(slide_id.replace('%', '~'), safe='')}"


def picture(client: TestClient, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_slides_are_listed_with_tiles_and_failures(client: TestClient, cohort: Cohort) -> None:
    listed = {line["slide_id"]: line for line in client.get("/api/stores/0/slides").json()["slides"]}
    assert list(listed) == [HOSTILE_ID, "a", "b", "broken"]
    for slide_id, bag in wsi_embed.open_store(cohort.store).items():
        assert listed[slide_id]["tiles"] == len(bag)
        assert listed[slide_id]["problem"] is None
    assert listed[HOSTILE_ID]["title"] == HOSTILE
    assert listed["broken"]["tiles"] is None
    assert "cannot be read" in listed["broken"]["problem"]
    assert listed["broken"]["remedy"]


def test_a_slide_that_a_running_job_adds_is_listed(copied: Cohort) -> None:
    adding = TestClient(create_app(copied.session()), base_url="http://localhost")
    before = adding.get("/api/stores/0/slides").json()["slides"]
    (copied.store / "b").rename(copied.store / "later")  # any group that was not there
    after = adding.get("/api/stores/0/slides").json()["slides"]
    assert {line["slide_id"] for line in after} - {line["slide_id"] for line in before} == {"later"}


def test_a_slide_is_described(client: TestClient, cohort: Cohort) -> None:
    facts = client.get(path_of("a")).json()
    assert (facts["width"], facts["height"]) == SIZES["a"]
    assert facts["mpp"] == 0.5
    assert facts["layers"] == dict.fromkeys(("tiles", "clusters", "tissue", "contours", "attention"), True)
    assert client.get(path_of("b")).json()["layers"]["contours"] is False


def test_layers_arrive_packed(client: TestClient, cohort: Cohort) -> None:
    bag = wsi_embed.open_store(cohort.store)["a"]
    assert bag.cluster is not None
    columns, _ = unpack(client.get(f"{path_of('a')}/tiles").content)
    np.testing.assert_array_equal(columns["cluster"], bag.cluster[:])
    for layer in ("tissue", "contours", "attention"):
        columns, _ = unpack(client.get(f"{path_of('a')}/{layer}").content)
        assert columns, layer
    assert client.get(f"{path_of('b')}/attention").status_code == 404
    assert client.get(f"{path_of('b')}/contours").status_code == 404


def test_the_legend_counts_the_clusters_of_the_store(client: TestClient, cohort: Cohort) -> None:
    for _ in range(50):
        answer = client.get("/api/stores/0/clusters").json()
        if answer["complete"]:
            break
        time.sleep(0.1)
    bags = wsi_embed.open_store(cohort.store).values()
    counts = Counter(
        cluster for bag in bags if bag.cluster is not None for cluster in bag.cluster[:].tolist()
    )
    assert {each["cluster"]: each["tiles"] for each in answer["classes"]} == {c: counts[c] for c in range(4)}


def test_deep_zoom_tiles_are_the_slides_pixels(client: TestClient, cohort: Cohort) -> None:
    levels = client.get(path_of("a")).json()["levels"]
    with wsi_embed.open_slide(cohort.slides / "a.tiff") as slide:
        for column, row, (w, h) in ((0, 0, (256, 256)), (3, 2, (900 - 768, 700 - 512))):
            found = picture(client, f"{path_of('a')}/pyramid/{levels - 1}/{column}_{row}.jpg")
            expected = slide.read(0, 256 * column, 256 * row, w, h)
            assert found.shape == expected.shape
            assert np.abs(found.astype(int) - expected).mean() < 4


def test_the_picture_of_a_store_tile_is_what_the_encoder_saw(client: TestClient, cohort: Cohort) -> None:
    bag = wsi_embed.open_store(cohort.store)["a"]
    with wsi_embed.open_slide(cohort.slides / "a.tiff") as slide:
        for number in (0, len(bag) - 1):
            x, y = bag.coords[number : number + 1][0].tolist()
            found = picture(client, f"{path_of('a')}/tiles/{number}.jpg?px=32")
            assert np.abs(found.astype(int) - slide.read(0, x, y, 32, 32)).mean() < 6
    for px in ("", "x", "-1", "0", "99999999", "٣"):
        assert 16 <= picture(client, f"{path_of('a')}/tiles/0.jpg?px={px}").shape[0] <= 512
    assert client.get(f"{path_of('a')}/tiles/{len(bag)}.jpg").status_code == 404


def test_pictures_of_another_viewer_at_the_same_address_are_not_taken_for_its_own(
    client: TestClient, cohort: Cohort, tmp_path: Path
) -> None:
    """A browser keeps pictures by their address, and one viewer after the other has the same port."""
    slides = tmp_path / "slides"
    slides.mkdir()
    write_tiff(slides / "a.tiff", he_pixels(700, 900, seed=5), compression="jpeg")
    model = tiny_onnx(tmp_path / "model.onnx", tile_px=64)
    wsi_embed.embed(slides, tmp_path / "other.zarr", model=model, device="cpu")
    other = TestClient(
        create_app(open_session([tmp_path / "other.zarr"], [slides])), base_url="http://localhost"
    )
    for path in ("thumbnail.jpg", "tiles/3.jpg?px=64"):
        first = client.get(f"{path_of('a')}/{path}")
        tag = {"if-none-match": first.headers["etag"]}
        again = client.get(f"{path_of('a')}/{path}", headers=tag)
        assert (again.status_code, again.content) == (304, b"")
        answer = other.get(f"{path_of('a')}/{path}", headers=tag)
        assert answer.status_code == 200
        assert answer.content != first.content
        assert "max-age" not in first.headers["cache-control"]
        assert "no-cache" in first.headers["cache-control"]


def test_deep_zoom_tiles_are_those_of_the_version_that_the_page_shows(copied: Cohort) -> None:
    write_tiff(copied.slides / "new.tiff", he_pixels(300, 300, seed=1), compression="jpeg")
    client = TestClient(create_app(copied.session()), base_url="http://localhost")
    tile, old = f"{path_of('new')}/pyramid/0/0_0.jpg", client.get(path_of("new")).json()["version"]
    assert "max-age" in client.get(f"{tile}?v={old}").headers["cache-control"]
    assert "max-age" not in client.get(tile).headers["cache-control"]
    (copied.slides / "new.tiff").unlink()
    write_tiff(copied.slides / "new.tiff", he_pixels(520, 300, seed=2), compression="jpeg")
    answer = client.get(f"{tile}?v={old}")
    assert (answer.status_code, answer.json()["error"]["what"]) == (422, "was replaced by another file")
    new = client.get(path_of("new")).json()
    assert (new["version"] != old, new["height"]) == (True, 520)
    assert client.get(f"{tile}?v={new['version']}").status_code == 200


def test_slides_of_a_report_cannot_lead_out_of_the_store(copied: Cohort) -> None:
    report = json.loads(copied.report.read_text())
    ids = ["..", ".", "../feats.zarr/a", "a\0b", "", "\udcff", "x" * 5000]
    failed = next(line for line in report["slides"] if line["status"] == "failed")
    report["slides"] = [{**failed, "slide_id": slide_id} for slide_id in ids]
    copied.report.write_text(json.dumps(report))
    client = TestClient(create_app(copied.session()), base_url="http://localhost")
    listed = {line["slide_id"]: line for line in client.get("/api/stores/0/slides").json()["slides"]}
    for slide_id in ids:
        found = listed.get(slide_id) or listed["\\udcff"]
        for layer in ("", "/tiles", "/thumbnail.jpg", "/tiles/0.jpg"):
            answer = client.get(f"/api/stores/0/slides/{quote(found['key'], safe='')}{layer}")
            assert answer.status_code == 422, (slide_id, layer, answer.text)


def test_a_thumbnail_is_small_and_cached(client: TestClient, session: Session) -> None:
    found = picture(client, f"{path_of(HOSTILE_ID)}/thumbnail.jpg")
    assert max(found.shape) <= 192
    before = session.pictures.size
    picture(client, f"{path_of(HOSTILE_ID)}/thumbnail.jpg")
    assert session.pictures.size == before


@pytest.mark.parametrize(
    "path",
    [
        "/api/stores/1/slides",
        "/api/stores/-1/slides",
        "/api/stores/x/slides",
        path_of("nothing"),
        path_of(".."),
        path_of("../../etc/passwd"),
        path_of("../feats.zarr/a"),
        path_of("a/features"),
        path_of("a\0"),
        path_of("%2e%2e%2f"),
        f"{path_of('a')}/pyramid/99/0_0.jpg",
        f"{path_of('a')}/pyramid/0/1_0.jpg",
        f"{path_of('a')}/pyramid/0/0_-1.jpg",
        f"{path_of('nothing')}/thumbnail.jpg",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e%2f%2e%2e%2f%2e%2e%2fpyproject.toml",
        "/static//etc/passwd",
        "/static/vendor/",
        "/etc/passwd",
    ],
)
def test_nothing_else_can_be_read(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "Traceback" not in answer.text


def test_errors_name_files_but_no_folders(client: TestClient, cohort: Cohort) -> None:
    answer = client.get(path_of("broken"))
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["where"] == "broken.svs"
    assert str(cohort.slides) not in answer.text
    assert error["what"]


def test_a_slide_that_vanishes_is_an_error_with_advice(copied: Cohort) -> None:
    vanishing = TestClient(create_app(copied.session()), base_url="http://localhost")
    path = f"{path_of('a')}/pyramid/0/0_0.jpg"
    assert vanishing.get(path).status_code == 200
    (copied.slides / "a.tiff").rename(copied.slides / "moved")
    for gone in (path, path_of("a")):
        answer = vanishing.get(gone)
        assert answer.status_code == 422
        assert answer.json()["error"]["what"].startswith("the file is gone")
        assert answer.json()["error"]["where"] == "a.tiff"
    (copied.slides / "moved").rename(copied.slides / "a.tiff")
    assert vanishing.get(path).status_code == 200


def test_another_slide_of_the_same_name_is_refused(copied: Cohort) -> None:
    write_tiff(copied.slides / "b.tiff", he_pixels(512, 640, seed=77), compression="jpeg")
    answer = TestClient(create_app(copied.session()), base_url="http://localhost").get(path_of("b"))
    assert answer.status_code == 422
    assert "is not the slide that the store has" in answer.json()["error"]["what"]


def test_a_damaged_slide_of_the_store_is_an_error_and_listed(copied: Cohort) -> None:
    (copied.store / "a" / "zarr.json").write_text("{")
    client = TestClient(create_app(copied.session()), base_url="http://localhost")
    assert client.get(path_of("a")).status_code == 422
    listed = {line["slide_id"]: line for line in client.get("/api/stores/0/slides").json()["slides"]}
    assert listed["a"]["problem"]
    assert listed["b"]["problem"] is None


def test_a_slide_without_its_file_shows_its_layers(copied: Cohort) -> None:
    client = TestClient(create_app(copied.session(annotations=None)), base_url="http://localhost")
    (copied.slides / "a.tiff").unlink()
    client = TestClient(create_app(copied.session(annotations=None)), base_url="http://localhost")
    facts = client.get(path_of("a")).json()
    assert facts["picture"] is False
    assert (facts["width"], facts["height"]) == SIZES["a"]
    assert client.get(f"{path_of('a')}/tiles").status_code == 200
    assert client.get(f"{path_of('a')}/thumbnail.jpg").json()["error"]["remedy"]


def test_remedies_name_flags_if_the_command_line_started_the_viewer(copied: Cohort) -> None:
    (copied.slides / "a.tiff").unlink()
    found = []
    for changes in ({}, {"word": in_flags}):
        client = TestClient(
            create_app(copied.session(annotations=None, **changes)), base_url="http://localhost"
        )
        found.append(client.get(f"{path_of('a')}/thumbnail.jpg").json()["error"]["remedy"])
    start = "start the viewer with the folder it is in"
    assert found == [f"{start} (`slides=`)", f"{start} (--slides)"]


def test_names_that_are_not_utf8_are_listed_and_shown(copied: Cohort) -> None:
    name = os.fsdecode(b"caf\xe9.tiff")
    try:
        (copied.slides / "b.tiff").rename(copied.slides / name)
    except OSError:
        pytest.skip("this file system has only names in UTF-8")
    client = TestClient(create_app(copied.session()), base_url="http://localhost")
    listed = {line["slide_id"]: line for line in client.get("/api/stores/0/slides").json()["slides"]}
    assert (listed["caf%E9"]["key"], listed["caf%E9"]["title"]) == ("caf~E9", "caf\ufffd")
    assert client.get(path_of("caf%E9")).json()["width"] == SIZES["b"][0]
    assert picture(client, f"{path_of('caf%E9')}/thumbnail.jpg").size
    (copied.slides / name).unlink()
    assert client.get(path_of("caf%E9")).json()["error"]["where"] == "caf\\udce9.tiff"


def test_an_internal_error_shows_no_traceback(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("wsi_embed.viewer.pictures.jpeg", lambda pixels: 1 / 0)
    answer = client.get(f"{path_of('a')}/tiles/0.jpg?px=33")
    assert answer.status_code == 500
    assert "ZeroDivisionError" not in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_label_and_macro_images_are_never_served(tmp_path: Path, cohort: Cohort) -> None:
    """Every picture of a slide with a red label and a blue macro image is of its levels."""
    import tifffile

    (tmp_path / "slides").mkdir()
    path = write_svs(tmp_path / "slides" / "labelled.svs", np.full((600, 600, 3), 200, np.uint8))
    with tifffile.TiffWriter(path, append=True) as tif:
        for name, colour in (("label", (255, 0, 0)), ("macro", (0, 0, 255))):
            image = np.full((120, 120, 3), colour, np.uint8)
            tif.write(
                image,
                description=f"Aperio Image Library v11.2.1 \r\n{name} 120x120",
                subfiletype=1,
                photometric="rgb",
                metadata=None,
            )
    session = open_session([cohort.store], [tmp_path / "slides"])
    client = TestClient(create_app(session), base_url="http://localhost")
    levels = client.get(path_of("labelled")).json()["levels"]
    places = [(level, column, row) for level in range(levels) for column in range(3) for row in range(3)]
    paths = [f"{path_of('labelled')}/pyramid/{z}/{x}_{y}.jpg" for z, x, y in places]
    found = [client.get(path) for path in [*paths, f"{path_of('labelled')}/thumbnail.jpg"]]
    pictures = [simplejpeg.decode_jpeg(answer.content) for answer in found if answer.status_code == 200]
    assert len(pictures) >= 1 + 4 + 9
    assert all(np.abs(each.astype(int) - 200).max() < 8 for each in pictures)
    session.close()


def test_the_page_is_static_and_has_no_inline_code() -> None:
    page = (STATIC / "index.html").read_text("utf-8")
    assert " style=" not in page
    assert "<style" not in page
    assert page.count("<script") == page.count("<script src=")
    for module in (STATIC / "js").glob("*.js"):
        text = module.read_text("utf-8")
        assert "innerHTML" not in text
        assert "insertAdjacentHTML" not in text
        assert "eval(" not in text


def test_the_vendored_library_has_its_licence() -> None:
    folder = STATIC / "vendor" / "openseadragon"
    assert "OpenSeadragon contributors" in (folder / "LICENSE.txt").read_text("utf-8")
    assert "openseadragon 6.1.1" in (folder / "openseadragon.min.js").read_text("utf-8")[:200]


def test_json_has_no_numbers_that_are_none(client: TestClient) -> None:
    text = client.get(path_of("a")).text
    json.loads(text, parse_constant=lambda name: pytest.fail(name))
