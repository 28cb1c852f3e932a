"""Quality beside the features: what is stored, what limits leave out, and who uses it."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import wsi_embed
from tests.job_tools import invoke, make_model
from tests.made_formats.ome_zarr import write_ome_zarr
from tests.made_slides import he_pixels, write_tiff
from tests.quality.test_selection import half_blurred
from wsi_embed.grid import make_grid, plan_read
from wsi_embed.plot import plot_bag
from wsi_embed.plot.quality import UNREADABLE, quality_map
from wsi_embed.plot.qupath import bag_features
from wsi_embed.quality import MEASURES
from wsi_embed.quality.focus import focus
from wsi_embed.quality.tiles import TileQuality
from wsi_embed.util.text import percent


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("m"))


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sharp slide, one whose right half is blurred, and one out of focus."""
    folder = tmp_path_factory.mktemp("slides")
    sharp = np.full((560, 560, 3), 243, np.uint8)
    sharp[24:-24, 24:-24] = np.tile(he_pixels(128, 128)[40:104, 40:104], (8, 8, 1))
    write_tiff(folder / "sharp.tiff", sharp)
    half = sharp.copy()
    half[24:-24, 24:-24] = half_blurred()
    write_tiff(folder / "half.tiff", half)
    write_tiff(folder / "blurred.tiff", np.asarray(cv2.GaussianBlur(sharp, (0, 0), 5), np.uint8))
    return folder


@pytest.fixture(scope="module")
def store(slides: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("f") / "f.zarr"
    report = embed(slides, out, model)
    assert report.exit_code == 0
    return out


def embed(slides: Path, out: Path, model: Path, **options: Any) -> wsi_embed.JobReport:
    return wsi_embed.embed(slides, out, model=model, device="cpu", **options)


def test_a_store_has_the_quality_of_every_tile(slides: Path, store: Path) -> None:
    bag = wsi_embed.open_store(store)["half"]
    assert list(bag.quality) == list(MEASURES)
    with wsi_embed.open_slide(slides / "half.tiff") as slide:
        tiles = [slide.read(0, x, y, 32, 32) for x, y in bag.coords[:].tolist()]
    expected = np.array([focus(tile) for tile in tiles], np.float16)
    np.testing.assert_array_equal(bag.quality["focus"][:], expected)
    assert bag.quality["focus"].dtype == np.float16
    assert (bag.quality["pen"][:] == 0).all()
    assert 0.05 < np.median(bag.quality["dark"][:]) < 1
    about = bag.attrs["quality"]
    assert about["focus"] == pytest.approx(float(np.median(expected)), rel=1e-2)
    assert about["blurred"] == pytest.approx(float((expected < 4).mean()), abs=1e-3)


def test_the_number_of_threads_does_not_change_it(
    slides: Path, store: Path, model: Path, tmp_path: Path
) -> None:
    embed(slides, tmp_path / "f.zarr", model, workers=3, batch_size=7)
    for slide_id, bag in wsi_embed.open_store(tmp_path / "f.zarr").items():
        for name, values in wsi_embed.open_store(store)[slide_id].quality.items():
            np.testing.assert_array_equal(values[:], bag.quality[name][:])


def test_without_quality_a_store_is_as_before(slides: Path, store: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.zarr"
    assert embed(slides, out, model, quality=False).exit_code == 0
    bag = wsi_embed.open_store(out)["half"]
    assert bag.quality == {}
    assert "quality" not in bag.attrs
    assert not (out / "half" / "focus").exists()
    with_it = wsi_embed.open_store(store)["half"]
    np.testing.assert_array_equal(bag.features[:], with_it.features[:])
    assert bag.attrs["settings_fingerprint"] == with_it.attrs["settings_fingerprint"]
    assert embed(slides, out, model).summary()["skipped"] == 3  # done is done
    assert invoke("verify", out).returncode == invoke("verify", store).returncode == 0


def test_a_limit_leaves_tiles_out_and_is_a_setting(
    slides: Path, store: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "f.zarr"
    every = wsi_embed.open_store(store)["half"]
    sharp = every.quality["focus"][:] >= 8
    assert 0 < sharp.sum() < len(every)
    report = embed(slides / "half.tiff", out, model, min_focus=8.0)
    bag = wsi_embed.open_store(out)["half"]
    np.testing.assert_array_equal(bag.coords[:], every.coords[:][sharp])
    np.testing.assert_allclose(bag.features[:], every.features[:][sharp], atol=1e-3)
    assert report.slides[0].poor_tiles == bag.attrs["quality"]["left_out"] == (~sharp).sum()
    assert bag.attrs["settings"]["limits"]["min_focus"] == 8
    again = embed(slides / "half.tiff", out, model, min_focus=8.0).slides[0]
    assert (again.status, again.poor_tiles) == ("skipped", (~sharp).sum())
    other = embed(slides / "half.tiff", out, model).slides[0]
    assert other.status == "failed"
    assert "limits.min_focus 8.0 -> none" in str(other.reason)
    said = invoke(
        slides / "half.tiff", "--out", tmp_path / "h.zarr", "--model", model, "--device", "cpu",
        "--min-focus", "8", "--dry-run",
    ).stdout  # fmt: skip
    assert f"{sharp.sum()} tiles would be made" in said
    assert f"({(~sharp).sum()} tiles beyond the limits of quality left out)" in said
    # the tiles of complete slides are not counted, nor those left out of them
    both = invoke(slides, "--out", out, "--model", model, "--device", "cpu", "--min-focus", "8").stdout
    poor = {
        bag.slide_id: bag.attrs["quality"].get("left_out", 0) for bag in wsi_embed.open_store(out).values()
    }
    assert poor.pop("half") > 0
    assert f"({sum(poor.values())} tiles beyond the limits of quality left out)" in both
    planned = embed(slides / "half.tiff", tmp_path / "g.zarr", model, min_focus=8.0, dry_run=True).slides[0]
    assert (planned.tiles, planned.poor_tiles) == (sharp.sum(), (~sharp).sum())


def test_tile_takes_the_same_tiles(slides: Path, model: Path, tmp_path: Path) -> None:
    embed(slides / "half.tiff", tmp_path / "f.zarr", model, max_dark=0.45, min_focus=6.0)
    wsi_embed.tile(
        slides / "half.tiff", tmp_path / "t", mpp=0.5, tile_px=32, max_dark=0.45, min_focus=6.0, format="jpeg"
    )
    coords = wsi_embed.open_store(tmp_path / "f.zarr")["half"].coords[:].tolist()
    names = {path.stem for path in (tmp_path / "t" / "half").glob("*.jpg")}
    assert names == {f"{x}_{y}" for x, y in coords}
    assert names


def test_a_slide_with_only_poor_tiles_says_so(slides: Path, model: Path, tmp_path: Path) -> None:
    result = embed(slides / "blurred.tiff", tmp_path / "f.zarr", model, min_focus=8.0).slides[0]
    assert result.status == "done"
    assert result.tiles == 0
    assert f"all {result.poor_tiles} are beyond the limits of quality" in result.warnings[0]
    bag = wsi_embed.open_store(tmp_path / "f.zarr")["blurred"]
    assert len(bag.quality["focus"][:]) == 0
    assert invoke("verify", tmp_path / "f.zarr").returncode == 0


def test_a_blurred_slide_is_an_outlier(slides: Path, store: Path, model: Path, tmp_path: Path) -> None:
    done = invoke(
        slides, "--out", tmp_path / "f.zarr", "--model", model, "--device", "cpu",
        "--report", tmp_path / "r.json", "--report", tmp_path / "r.html",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert "% of its tiles are blurred; look at it, or leave them out with --min-focus" in str(
        report["outliers"]
    )
    blurred = {name for name, texts in report["outliers"].items() if "are blurred" in str(texts)}
    assert blurred == {"blurred", "half"}
    by_id = {slide["slide_id"]: slide for slide in report["slides"]}
    assert by_id["blurred"]["blurred"] == 1
    assert by_id["sharp"]["blurred"] < 0.01  # an edge that is nearly glass
    assert by_id["blurred"]["focus"] < 4 < by_id["sharp"]["focus"]
    assert "tiles are blurred" in (tmp_path / "r.html").read_text("utf-8")
    again = embed(slides, tmp_path / "f.zarr", model)  # of slides that were done before too
    assert {result.slide_id: result.blurred for result in again.slides}["blurred"] == 1


def test_a_patient_has_the_quality_of_all_slides(store: Path) -> None:
    opened = wsi_embed.open_store(store)
    patient = wsi_embed.PatientBag("P1", list(opened.values()))
    for name in MEASURES:
        parts = [bag.quality[name][:] for bag in opened.values()]
        np.testing.assert_array_equal(patient.quality[name][:], np.concatenate(parts))
    assert wsi_embed.PatientBag("P2", []).quality == {}


def test_a_damaged_array_is_found(slides: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.zarr"
    embed(slides / "half.tiff", out, model)
    chunk = next(path for path in (out / "half" / "focus" / "c").rglob("*") if path.is_file())
    content = bytearray(chunk.read_bytes())
    content[3] ^= 4
    chunk.write_bytes(content)
    with pytest.raises(wsi_embed.WsiEmbedError):
        wsi_embed.open_store(out)["half"].quality["focus"][:]
    found = invoke("verify", out)
    assert found.returncode == 1
    assert "focus" in found.stdout + found.stderr
    (out / "half" / "dark" / "zarr.json").unlink()
    assert invoke("verify", out).returncode == 1


@pytest.mark.parametrize("view", MEASURES)
def test_maps_of_quality(slides: Path, store: Path, view: str) -> None:
    bag = wsi_embed.open_store(store)["half"]
    with wsi_embed.open_slide(slides / "half.tiff") as slide:
        picture = np.asarray(plot_bag(slide, bag, max_px=560, view=view))
        clusters = np.asarray(plot_bag(slide, bag, max_px=560))
    assert (picture.reshape(-1, 3) == (68, 1, 84)).all(1).any() or view == "focus"  # the lowest colour
    assert picture.shape[0] == clusters.shape[0]
    assert (picture != 255).any()


def test_sharp_tiles_are_brighter_on_the_map(slides: Path, store: Path, tmp_path: Path) -> None:
    drawn = invoke(
        "plot",
        store,
        "--slides",
        slides / "half.tiff",
        "--view",
        "focus",
        "--out",
        tmp_path,
        "--max-px",
        "560",
    )
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "half-focus.png").exists()
    assert (
        "choose both, map, focus, pen or dark"
        in invoke("plot", store, "--slides", slides, "--view", "blur", "--out", tmp_path).stderr
    )


def test_a_store_without_quality_cannot_be_mapped(slides: Path, model: Path, tmp_path: Path) -> None:
    embed(slides / "half.tiff", tmp_path / "f.zarr", model, quality=False)
    drawn = invoke(
        "plot",
        tmp_path / "f.zarr",
        "--slides",
        slides / "half.tiff",
        "--view",
        "focus",
        "--out",
        tmp_path / "p",
    )
    assert drawn.returncode == 1
    assert "half: has no array focus; it was made without quality" in drawn.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--quality", "no"], "--quality no: choose on or off"),
        (["--min-focus", "-1"], "--min-focus -1.0: a number of at least 0"),
        (["--max-pen", "2"], "--max-pen 2.0: a share from 0 to 1"),
    ],
)
def test_bad_options(slides: Path, tmp_path: Path, options: list[str], says: str) -> None:
    done = invoke(slides, "--out", tmp_path / "f.zarr", *options)
    assert done.returncode == 2
    assert says in done.stderr


def test_a_stop_ends_the_selection(slides: Path, model: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    report = embed(slides, tmp_path / "f.zarr", model, min_focus=8.0, stop=stop)
    assert report.exit_code == 75


def test_colours_count_relative_to_the_glass(model: Path, tmp_path: Path) -> None:
    """The same slide under a greenish lamp has no pen and the same density."""
    plain = he_pixels(400, 400)
    write_tiff(tmp_path / "plain.tiff", plain)
    write_tiff(tmp_path / "green.tiff", (plain * np.array([0.86, 1.0, 0.84])).astype(np.uint8))
    embed(tmp_path, tmp_path / "f.zarr", model)
    one, other = (wsi_embed.open_store(tmp_path / "f.zarr")[name] for name in ("plain", "green"))
    seen = [
        {
            (x, y): float(dark)
            for (x, y), dark in zip(bag.coords[:].tolist(), bag.quality["dark"][:], strict=True)
        }
        for bag in (one, other)
    ]
    both = sorted(seen[0].keys() & seen[1].keys())
    assert len(both) > 10
    np.testing.assert_allclose([seen[0][xy] for xy in both], [seen[1][xy] for xy in both], atol=0.04)
    assert (other.quality["pen"][:] == 0).all()


def test_quality_costs_little() -> None:
    """Its price is in docs/quality.md; here it may not become a multiple of it."""
    side = 4 * 224
    grid = make_grid(plan_read(0.5, [1.0], 0.5, 224), (1.0, 1.0), (side, side), (0, 0, side, side))
    tiles = np.random.default_rng(0).integers(0, 255, (len(grid), 224, 224, 3), dtype=np.uint8)
    seconds = []
    for _ in range(5):
        began = time.thread_time()
        TileQuality(grid).measure(0, tiles)
        seconds.append((time.thread_time() - began) / len(grid))
    assert min(seconds) < 0.002


@pytest.mark.parametrize("limit", [None, 1.0])
def test_unreadable_tiles_do_not_make_a_slide_blurred(
    limit: float | None, model: Path, tmp_path: Path
) -> None:
    """Its sharpness is that of the tiles that were read."""
    folder = write_ome_zarr(tmp_path / "a.ome.zarr", he_pixels(320, 320, seed=1), factors=(1,), chunk=32)
    rng = np.random.default_rng(0)
    chunks = sorted(file for file in (folder / "0").rglob("*") if file.name.isdecimal() and file.is_file())
    for number in rng.permutation(len(chunks))[: len(chunks) // 3].tolist():
        chunks[number].write_bytes(b"damaged")
    result = embed(
        folder, tmp_path / "f.zarr", model, tissue="none", on_bad_tile="white", min_focus=limit
    ).slides[0]
    bag = wsi_embed.open_store(tmp_path / "f.zarr")["a.ome"]
    bad = bag.attrs["bad_tiles"]
    assert len(bad) == result.bad_tiles == 33
    assert (bag.quality["focus"][:][bad] == 0).all()
    read = np.delete(bag.quality["focus"][:].astype(np.float64), bad)
    assert result.focus == pytest.approx(np.median(read), rel=1e-3)
    assert result.blurred == pytest.approx((read < 4).mean(), abs=1e-4)
    assert bag.attrs["quality"]["blurred"] == result.blurred
    values = bag.read_quality()
    for name, array in values.items():
        assert np.flatnonzero(np.isnan(array)).tolist() == bad
        np.testing.assert_array_equal(np.delete(array, bad), np.delete(bag.quality[name][:], bad))
    found = quality_map(bag, "focus")
    assert (found.colours[bad] == UNREADABLE).all()
    assert not (np.delete(found.colours, bad, axis=0) == UNREADABLE).all(1).any()
    assert found.entries[-1].text == "unreadable"
    assert percent(float((read < 4).mean())) in found.facts
    tiles = [json.loads(text) for text in bag_features(bag, ["tiles"])]
    missing = [row for row, tile in enumerate(tiles) if "focus" not in tile["properties"]["measurements"]]
    assert missing == bad
