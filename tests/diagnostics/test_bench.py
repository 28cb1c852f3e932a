"""The benchmark that users run: its rates are those of the parts it measures."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.job_tools import make_model, run
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.diagnostics.bench import Bench, decode_rate, encode_rate, run_bench
from wsi_embed.encoder import Encoded, EncoderPool, load_encoder, load_pool
from wsi_embed.errors import UsageError
from wsi_embed.grid import make_grid, plan_read
from wsi_embed.slide import UInt8Array, open_slide
from wsi_embed.slide.stream import TileStream
from wsi_embed.tiling.settings import Tiling

BATCH = np.zeros((4, 32, 32, 3), np.uint8)


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_tiff(tmp_path / "s.tif", he_pixels(400, 500), mpp=0.5)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[EncoderPool]:
    with load_pool(make_model(tmp_path / "m"), device="cpu", cores=2) as opened:
        yield opened


def test_all_three_are_measured(slide: Path, pool: EncoderPool) -> None:
    bench = run_bench(pool, slide, tiling=Tiling(), workers=2, batch_size=4, seconds=0.1)
    assert bench.decode_mb == pytest.approx(bench.decode * 32 * 32 * 3 / 1e6)
    assert bench.ideal == pytest.approx(1 / (1 / bench.decode + 1 / bench.encode))
    assert bench.ratio == bench.end_to_end / bench.ideal
    assert (bench.slide, bench.tiles > 50, bench.readers) == ("s.tif", True, 2)
    assert 0 <= bench.added_mb < bench.memory_mb


def test_the_slower_side_limits(slide: Path, pool: EncoderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    original = TileStream.read

    def slow(self: TileStream, row: int, out: UInt8Array) -> None:
        time.sleep(0.01)
        original(self, row, out)

    monkeypatch.setattr(TileStream, "read", slow)
    bench = run_bench(pool, slide, tiling=Tiling(reader="openslide"), workers=1, batch_size=4, seconds=0.1)
    assert bench.limit == "reader"
    assert bench.decode <= 100


def test_encoding_is_timed_with_all_encoders_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoders = [load_encoder(make_model(tmp_path / "m"), device="cpu", threads=1) for _ in range(2)]

    def slow(tiles: UInt8Array) -> Encoded:
        time.sleep(0.02)
        return Encoded(np.zeros((len(tiles), 8), np.float32))

    for encoder in encoders:
        monkeypatch.setattr(encoder, "_encode", slow)
    with EncoderPool(encoders[0], [lambda: encoders[1]]) as two, EncoderPool(encoders[0]) as one:
        assert encode_rate(two, BATCH, 0.4) > 1.4 * encode_rate(one, BATCH, 0.4)
        assert encode_rate(one, BATCH, 0.4) <= 4 / 0.02


def test_a_slide_that_is_read_before_the_time_is_over_is_read_again(slide: Path) -> None:
    with open_slide(slide) as opened:
        plan = plan_read(0.5, opened.level_downsamples, 0.5, 32)
        grid = make_grid(plan, (1.0, 1.0), opened.level_sizes[0], opened.bounds)
        assert decode_rate(opened, grid, 2, 0.5) * 0.5 > len(grid)


def test_peak_memory_grows_with_what_is_used() -> None:
    # in a process of its own: the peak of this one may be gigabytes
    script = """
from wsi_embed.diagnostics.bench import peak_memory

before = peak_memory()
kept = b"x" * (before + 50_000_000)
print(before, peak_memory(), len(kept))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after, size = (int(number) for number in done.stdout.split())
    assert after > before > 0
    assert after > size


def test_no_tissue_is_said(tmp_path: Path, pool: EncoderPool) -> None:
    white = write_tiff(tmp_path / "w.tif", np.full((300, 300, 3), 245, np.uint8), mpp=0.5)
    with pytest.raises(UsageError, match=r"w\.tif: no tissue found"):
        run_bench(pool, white, tiling=Tiling(), workers=1, batch_size=4, seconds=0.1)


def test_the_command_makes_a_slide_where_none_is_given(tmp_path: Path) -> None:
    done = run("bench", "--model", make_model(tmp_path), "--seconds", "0.1", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["slide"] == "sample.tif"
    assert found["reader"] == "tiff"
    assert {"decode", "encode", "end_to_end", "ideal", "ratio", "limit", "memory_mb"} <= found.keys()


def test_ideal_on_a_gpu_is_the_smaller(slide: Path, pool: EncoderPool) -> None:
    pool.first.device = "cuda:0"
    bench: Bench = run_bench(pool, slide, tiling=Tiling(), workers=2, batch_size=4, seconds=0.1)
    assert bench.ideal == min(bench.decode, bench.encode)
    with ThreadPoolExecutor(1):
        assert bench.to_dict()["limit"] in ("reader", "encoder")
