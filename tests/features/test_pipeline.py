"""One slide's stream: bounded memory, order, clean ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.job_tools import make_model
from tests.made_slides import he_pixels, write_tiff
from wsi_embed import Encoded, load_encoder, open_slide
from wsi_embed.encoder import Encoder, EncoderPool
from wsi_embed.errors import SlideError, Stopped
from wsi_embed.features.pipeline import stream_slide
from wsi_embed.grid import TileGrid, make_grid, plan_read
from wsi_embed.jobs.seconds import Seconds
from wsi_embed.slide import Slide, UInt8Array
from wsi_embed.slide.stream import TileStream


class Rows:
    """Takes what the writer would take."""

    def __init__(self) -> None:
        self.parts: list[Encoded] = []

    def append(self, encoded: Encoded) -> None:
        self.parts.append(encoded)


@pytest.fixture
def slide(tmp_path: Path) -> Iterator[Slide]:
    with open_slide(write_tiff(tmp_path / "s.tif", he_pixels(512, 512), mpp=0.5)) as opened:
        yield opened


@pytest.fixture
def encoder(tmp_path: Path) -> Encoder:
    return load_encoder(make_model(tmp_path / "m"), device="cpu", threads=1)


def whole_grid(slide: Slide) -> TileGrid:
    plan = plan_read(0.5, slide.level_downsamples, 0.5, 32)
    return make_grid(plan, (1.0, 1.0), slide.level_sizes[0], slide.bounds)


def stream(
    slide: Slide,
    encoder: Encoder,
    stop: threading.Event | None = None,
    workers: int = 3,
    others: Sequence[Encoder] = (),
    **more: Any,
) -> Rows:
    rows = Rows()
    pool = EncoderPool(encoder, [partial(_itself, other) for other in others])
    with ThreadPoolExecutor(workers) as readers, pool:
        stream_slide(
            slide,
            whole_grid(slide),
            pool,
            rows,  # type: ignore[arg-type]  # only `append` is called
            batch_size=10,
            readers=readers,
            in_flight=workers + 2,
            seconds=Seconds(),
            stop=stop or threading.Event(),
            on_tiles=lambda count: None,
            **more,
        )
    return rows


def _itself(encoder: Encoder) -> Encoder:
    return encoder


def test_batches_are_full_but_the_last(slide: Slide, encoder: Encoder) -> None:
    sizes = [len(p.features) for p in stream(slide, encoder).parts]
    assert sizes == [10] * 25 + [6]


def test_result_equals_a_plain_loop(slide: Slide, encoder: Encoder) -> None:
    streamed = np.concatenate([p.features for p in stream(slide, encoder).parts])
    tiles = dict(slide.read_tiles(whole_grid(slide)))
    plain = np.concatenate([encoder.encode(tiles[row][None]).features for row in range(len(tiles))])
    np.testing.assert_array_equal(streamed, plain)


def test_a_slow_encoder_does_not_pile_up_batches(
    slide: Slide, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, encoded, ahead = 0, 0, 0
    original = TileStream.read

    def counted(self: TileStream, row: int, out: UInt8Array) -> None:
        nonlocal read
        original(self, row, out)
        read += row % 10 == 9 or row == 255  # the last of its batch

    def slow(tiles: UInt8Array) -> Encoded:
        nonlocal encoded, ahead
        threading.Event().wait(0.01)
        encoded += 1
        ahead = max(ahead, read - encoded)
        return Encoded(np.zeros((len(tiles), 8), np.float32))

    monkeypatch.setattr(TileStream, "read", counted)
    monkeypatch.setattr(encoder, "_encode", slow)
    stream(slide, encoder, workers=2)
    assert encoded == 26
    assert 1 <= ahead <= 4


def test_stop_ends_the_stream(slide: Slide, encoder: Encoder) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        stream(slide, encoder, stop)


def test_a_failing_tile_fails_the_stream_and_nobody_reads_on(
    slide: Slide, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = 0
    original = TileStream.read

    def failing(self: TileStream, row: int, out: UInt8Array) -> None:
        nonlocal reading
        reading += 1
        try:
            if row == 50:
                raise SlideError("corrupt tile")
            original(self, row, out)
        finally:
            reading -= 1

    monkeypatch.setattr(TileStream, "read", failing)
    with pytest.raises(SlideError, match="corrupt tile"):
        stream(slide, encoder)
    assert reading == 0


def test_encoders_of_different_speed_leave_rows_in_order(
    slide: Slide, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = load_encoder(encoder.path, device="cpu", threads=1)
    original, used = slow._encode, set()

    def slowly(tiles: UInt8Array) -> Encoded:
        threading.Event().wait(0.02)
        used.add(threading.get_ident())
        return original(tiles)

    monkeypatch.setattr(slow, "_encode", slowly)
    alone = stream(slide, encoder)
    together = stream(slide, encoder, others=[slow])
    assert used
    for a, b in zip(alone.parts, together.parts, strict=True):
        np.testing.assert_array_equal(a.features, b.features)


def test_readers_are_free_for_another_slide_before_the_last_batches_are_encoded(
    slide: Slide, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, left = 0, []
    original = encoder._encode

    def counting(tiles: UInt8Array) -> Encoded:
        nonlocal encoded
        encoded += 1
        return original(tiles)

    monkeypatch.setattr(encoder, "_encode", counting)
    stream(slide, encoder, all_submitted=lambda: left.append(26 - encoded))
    assert left[0] >= 2


def test_a_model_that_fails_ends_the_stream(
    slide: Slide, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(tiles: UInt8Array) -> Encoded:
        raise RuntimeError("broken")

    monkeypatch.setattr(encoder, "_encode", failing)
    with pytest.raises(RuntimeError, match="broken"):
        stream(slide, encoder)
