"""Tiles as files through the Python API: their pixels, what lands in the folder, resume, failures."""

from __future__ import annotations

import csv
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import wsi_embed
from tests.job_tools import make_model, make_slides, tree
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.report import SlideResult
from wsi_embed.slide import UInt8Array

SMALL: dict[str, Any] = {"tile_px": 32, "mpp": 0.5}


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    return make_slides(tmp_path / "slides")


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return write_tiff(tmp_path / "one.tif", he_pixels(300, 400), mpp=0.5)


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "tiles.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def pixels_of(path: Path) -> UInt8Array:
    """By Pillow, which the code under test does not use."""
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


@pytest.mark.parametrize(
    "settings",
    [
        {"mpp": 0.5},
        {"mpp": 0.5, "overlap": 8, "edge": "pad", "tissue": "none"},
        {"mpp": 1.3, "min_tissue": 0.6, "tissue": "hsv"},
        {"mpp": 1.0, "tissue_set": ["close_um=0"], "mpp_override": 0.4},
    ],
)
def test_tiles_are_those_that_the_encoder_gets(
    settings: dict[str, Any], slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against `embed` with the same settings: every pixel, and every array that says where it is from."""
    mpp = settings["mpp"]
    encoder = wsi_embed.load_encoder(make_model(tmp_path / "model", mpp=mpp), device="cpu", threads=1)
    given: list[UInt8Array] = []
    encode = encoder.encode

    def listen(batch: UInt8Array) -> wsi_embed.Encoded:
        given.append(batch.copy())
        return encode(batch)

    monkeypatch.setattr(encoder, "encode", listen)
    rest = {name: value for name, value in settings.items() if name != "mpp"}
    wsi_embed.embed(slides, tmp_path / "f.zarr", model=encoder, **rest)
    report = wsi_embed.tile(slides, tmp_path / "tiles", tile_px=32, **settings)

    rows, store = rows_of(tmp_path / "tiles"), wsi_embed.open_store(tmp_path / "f.zarr")
    tiles = np.stack([pixels_of(tmp_path / "tiles" / row["path"]) for row in rows])
    np.testing.assert_array_equal(tiles, np.concatenate(given))
    assert report.exit_code == 0
    assert report.tiles == len(rows) > 30
    assert [row["slide_id"] for row in rows] == [i for i, bag in store.items() for _ in range(len(bag))]
    for name, names in {
        "coords": ("x", "y"),
        "grid": ("row", "col"),
        "tissue_fraction": ("tissue_fraction",),
    }.items():
        found = np.array([[float(row[column]) for column in names] for row in rows]).squeeze()
        stored = np.concatenate([getattr(bag, name)[:] for bag in store.values()])
        np.testing.assert_allclose(found, stored, atol=1e-3 if name == "tissue_fraction" else 0)
    for row in rows:
        attrs = store[row["slide_id"]].attrs
        assert float(row["mpp"]) == pytest.approx(attrs["effective_mpp"], rel=1e-5)
        assert float(row["extent"]) == pytest.approx(attrs["extent"])
        assert row["path"] == f"{row['slide_id']}/{row['x']}_{row['y']}.png"


def test_a_folder_of_slides_becomes_a_folder_a_slide(slides: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiles"
    wsi_embed.tile(slides, out, **SMALL)
    assert sorted(p.name for p in out.iterdir()) == [
        ".wsi-embed-tiles", "batch%202__s1", "s0", "s2", "tiles.csv",
    ]  # fmt: skip
    listed = {out / row["path"] for row in rows_of(out)}
    assert listed == set(out.rglob("*.png"))
    record = json.loads((out / "s0" / "tiling.json").read_text())
    assert record["complete"] is True
    assert record["n_tiles"] == len(list((out / "s0").glob("*.png")))
    assert record["slide"] == "s0.tif"
    for name, content in tree(out).items():
        assert str(tmp_path).encode() not in content, name


def test_jpeg_keeps_the_colours_of_every_pixel_apart(one: Path, tmp_path: Path) -> None:
    wsi_embed.tile(one, tmp_path / "png", **SMALL)
    error, size = {}, {}
    for quality in (50, 90):
        out = tmp_path / str(quality)
        wsi_embed.tile(one, out, **SMALL, format="jpeg", quality=quality)
        files = sorted(out.rglob("*.jpg"))
        with Image.open(files[0]) as image:
            layers: Any = image.layer  # type: ignore[attr-defined]
            assert {layer[1:3] for layer in layers} == {(1, 1)}, "4:4:4"
        exact = [pixels_of(tmp_path / "png" / f.relative_to(out).with_suffix(".png")) for f in files]
        lossy = [pixels_of(f) for f in files]
        error[quality] = np.abs(np.stack(exact).astype(int) - np.stack(lossy)).mean()
        size[quality] = sum(f.stat().st_size for f in files)
    assert error[90] < error[50]
    assert error[90] < 6
    assert size[90] > size[50]


def test_a_second_run_does_nothing(slides: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiles"
    first = wsi_embed.tile(slides, out, **SMALL, workers=1)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.name != "tiles.csv" and p.is_file()}
    table = (out / "tiles.csv").read_bytes()
    again = wsi_embed.tile(slides, out, **SMALL, workers=3)
    assert [(s.status, s.tiles) for s in again.slides] == [("skipped", s.tiles) for s in first.slides]
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert (out / "tiles.csv").read_bytes() == table


def test_other_settings_fail_the_slide_and_say_what_differs(slides: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiles"
    wsi_embed.tile(slides, out, **SMALL)
    before = tree(out)
    report = wsi_embed.tile(slides, out, **SMALL, overlap=8, format="jpeg")
    assert report.exit_code == 1
    assert report.count("failed") == 3
    assert "format png -> jpeg, overlap 0 -> 8" in str(report.slides[0].reason)
    assert "`overwrite=True`" in str(report.slides[0].reason)
    assert tree(out) == before


def test_overwrite_replaces_what_differs(slides: Path, tmp_path: Path) -> None:
    wsi_embed.tile(slides, tmp_path / "tiles", **SMALL)
    report = wsi_embed.tile(slides, tmp_path / "tiles", **SMALL, overlap=8, overwrite=True)
    wsi_embed.tile(slides, tmp_path / "fresh", **SMALL, overlap=8)
    assert report.count("done") == 3
    assert tree(tmp_path / "tiles") == tree(tmp_path / "fresh")


def test_a_failed_overwrite_keeps_what_was_there(one: Path, tmp_path: Path) -> None:
    wsi_embed.tile(one, tmp_path / "tiles", **SMALL)
    before = tree(tmp_path / "tiles")

    class Touch(Listener):
        def tiles_done(self, slide_id: str, count: int) -> None:
            one.touch()

    report = wsi_embed.tile(one, tmp_path / "tiles", **SMALL, overlap=8, overwrite=True, listener=Touch())
    assert "changed while it was read" in str(report.slides[0].reason)
    assert tree(tmp_path / "tiles") == before


def test_a_changed_slide_is_not_silently_kept(slides: Path, tmp_path: Path) -> None:
    wsi_embed.tile(slides, tmp_path / "tiles", **SMALL)
    write_tiff(slides / "s0.tif", he_pixels(600, 600, seed=77), mpp=0.5)
    report = wsi_embed.tile(slides, tmp_path / "tiles", **SMALL)
    assert [s.status for s in report.slides] == ["skipped", "failed", "skipped"]


def test_failing_slides_do_not_stop_the_others(slides: Path, tmp_path: Path) -> None:
    (slides / "empty.svs").touch()
    (slides / "text.svs").write_text("not a slide")
    write_tiff(slides / "no_mpp.tif", he_pixels(300, 300), mpp=None)
    whole = (slides / "s0.tif").read_bytes()
    (slides / "cut.tif").write_bytes(whole[: len(whole) // 2])
    report = wsi_embed.tile(slides, tmp_path / "tiles", **SMALL)
    reasons = {s.slide_id: s.reason for s in report.slides if s.status == "failed"}
    assert report.exit_code == 1
    assert report.count("done") == 3
    assert reasons.keys() == {"empty", "text", "no_mpp", "cut"}
    assert "`mpp_default=`" in str(reasons["no_mpp"])
    assert {row["slide_id"] for row in rows_of(tmp_path / "tiles")} == {"batch%202__s1", "s0", "s2"}
    assert not list((tmp_path / "tiles").glob(".*~*"))


def test_a_slide_without_tissue_is_complete_without_tiles(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "glass.tif", np.full((400, 400, 3), 244, np.uint8), mpp=0.5)
    report = wsi_embed.tile(path, tmp_path / "tiles", **SMALL)
    assert report.exit_code == 0
    assert "no tissue" in report.slides[0].warnings[0]
    assert json.loads((tmp_path / "tiles/glass/tiling.json").read_text())["n_tiles"] == 0
    assert rows_of(tmp_path / "tiles") == []
    assert wsi_embed.tile(path, tmp_path / "tiles", **SMALL).count("skipped") == 1


def test_max_tiles_is_the_same_sample_every_time(slides: Path, tmp_path: Path) -> None:
    def sample(name: str, **more: Any) -> list[str]:
        wsi_embed.tile(slides, tmp_path / name, **SMALL, **more)
        return [row["path"] for row in rows_of(tmp_path / name)]

    every = sample("all")
    first = sample("a", max_tiles=10, workers=1)
    assert len(first) == 30
    assert first == sample("b", max_tiles=10, workers=4)
    assert first == [path for path in every if path in set(first)], "in the order of the grid"
    assert set(first) < set(sample("c", max_tiles=20))
    assert set(first) != set(sample("d", max_tiles=10, seed=1))
    assert sample("e", max_tiles=100_000) == every
    again = wsi_embed.tile(slides, tmp_path / "a", **SMALL, max_tiles=11)
    assert "max_tiles 10 -> 11" in str(again.slides[0].reason)


def test_shards_together_are_the_whole(slides: Path, tmp_path: Path) -> None:
    wsi_embed.tile(slides, tmp_path / "whole", **SMALL)
    for index in (0, 1):
        wsi_embed.tile(slides, tmp_path / "tiles", **SMALL, shard=f"{index}/2")
    assert tree(tmp_path / "tiles") == tree(tmp_path / "whole")


def test_the_table_has_the_patients_of_a_manifest(slides: Path, tmp_path: Path) -> None:
    (slides / "all.csv").write_text('path,slide_id,patient,mpp\ns0.tif,first,"p, 7",0.5\ns2.tif,second,,\n')
    wsi_embed.tile(slides / "all.csv", tmp_path / "tiles", **SMALL)
    rows = rows_of(tmp_path / "tiles")
    assert {(row["slide_id"], row["patient"]) for row in rows} == {("first", "p, 7"), ("second", "")}


def test_regions_limit_the_tiles(slides: Path, tmp_path: Path) -> None:
    roi = '{"type": "Polygon", "coordinates": [[[0, 0], [300, 0], [300, 600], [0, 600]]]}'
    (tmp_path / "left.geojson").write_text(roi)
    wsi_embed.tile(
        slides / "s0.tif", tmp_path / "tiles", **SMALL, roi=tmp_path / "left.geojson", tissue="none"
    )
    assert 0 < max(int(row["x"]) for row in rows_of(tmp_path / "tiles")) < 300


def test_stop_drops_the_slide_in_hand_and_resume_goes_on(slides: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    class StopAfterOneSlide(Listener):
        def slide_finished(self, result: SlideResult) -> None:
            stop.set()  # one or two others are in hand

    out = tmp_path / "tiles"
    report = wsi_embed.tile(slides, out, **SMALL, listener=StopAfterOneSlide(), stop=stop)
    assert report.exit_code == 75
    done = {s.slide_id for s in report.slides if s.status == "done"}
    assert {s.status for s in report.slides} == {"done", "stopped"}
    assert {row["slide_id"] for row in rows_of(out)} == done
    assert not list(out.glob(".*~*"))
    assert wsi_embed.tile(slides, out, **SMALL).count("done") == 3 - len(done)
    wsi_embed.tile(slides, tmp_path / "whole", **SMALL)
    assert tree(out) == tree(tmp_path / "whole")


def test_dry_run_writes_nothing(slides: Path, tmp_path: Path) -> None:
    dry = wsi_embed.tile(slides, tmp_path / "tiles", **SMALL, max_tiles=50, dry_run=True)
    assert not (tmp_path / "tiles").exists()
    real = wsi_embed.tile(slides, tmp_path / "tiles", **SMALL, max_tiles=50)
    assert [s.tiles for s in dry.slides] == [s.tiles for s in real.slides]
    assert dry.count("planned") == 3


def test_tiles_among_the_slides_are_no_slides(slides: Path, tmp_path: Path) -> None:
    out = slides / "tiles"
    wsi_embed.tile(slides, out, **SMALL)
    assert (
        wsi_embed.tile(slides, out, **SMALL).count("skipped")
        == len(wsi_embed.tile(slides, out, **SMALL).slides)
        == 3
    )
    with pytest.raises(wsi_embed.UsageError, match="is a folder of tiles"):
        wsi_embed.tile(out, tmp_path / "again", **SMALL)


@pytest.mark.parametrize(("columns", "noted"), [("magnification", 1), ("magnification,mpp", 0), ("stage", 0)])
def test_magnifications_of_a_manifest_are_noted_once(
    slides: Path, tmp_path: Path, columns: str, noted: int
) -> None:
    cells = "20,0.5" if "mpp" in columns else "20"
    rows = [f"{path},{cells}" for path in slides.glob("*.tif")]
    (tmp_path / "m.csv").write_text("\n".join([f"path,{columns}", *rows]))
    report = wsi_embed.tile(tmp_path / "m.csv", tmp_path / "tiles", dry_run=True, **SMALL)
    assert report.count("planned") == len(rows) > 1
    assert (
        len([n for n in report.notes if "'magnification' is not used: " in n]) == noted == len(report.notes)
    )


def test_tiles_of_several_kinds_are_said(one: Path, slides: Path, tmp_path: Path) -> None:
    wsi_embed.tile(one, tmp_path / "tiles", **SMALL)
    report = wsi_embed.tile(slides, tmp_path / "tiles", tile_px=32, mpp=1.0)
    assert report.exit_code == 0
    assert "32 px at 0.5 um per pixel, 32 px at 1 um per pixel" in report.notes[-1]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"format": "bmp"}, "`format='bmp'`"),
        ({"format": "jpeg", "quality": 0}, "`quality=0`"),
        ({"tile_px": 0}, "`tile_px=0`"),
        ({"max_tiles": 0}, "`max_tiles=0`"),
        ({"workers": -1}, "`workers="),
        ({"overlap": 32}, "`overlap="),
        ({"edge": "wrap"}, "`edge="),
        ({"tissue": "magic"}, "`tissue="),
        ({"shard": "4/4"}, "`shard="),
        ({"mpp": 0.0}, "`mpp=0`"),
        ({"mpp_override": 99.0}, "`mpp_override=99`"),
    ],
)
def test_wrong_arguments_do_nothing(options: dict[str, Any], text: str, one: Path, tmp_path: Path) -> None:
    with pytest.raises(wsi_embed.UsageError, match=text):
        wsi_embed.tile(one, tmp_path / "tiles", **{**SMALL, **options})
    assert not (tmp_path / "tiles").exists()
