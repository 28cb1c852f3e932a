"""What a sample of a slide's files notices that its size, head and tail do not show."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

import wsi_embed
from tests.job_tools import make_model
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.slide.content_sample import BLOCK_BYTES, BLOCKS, ZERO_BYTES, content_sample
from wsi_embed.slide.fingerprint import fingerprint

SIZE = 6 * 2**20


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def content() -> bytes:
    return random.Random(0).randbytes(SIZE)


def test_name_folder_and_time_do_not_matter(tmp_path: Path, content: bytes) -> None:
    one, other = write(tmp_path / "a.svs", content), write(tmp_path / "b" / "b.tif", content)
    assert content_sample(one) == content_sample(other)
    assert content_sample(one).zeros is None
    assert content_sample(one).warning is None


@pytest.mark.parametrize("start", range(2**18, SIZE - 2**19, 3 * 2**18))
def test_a_gap_that_the_fingerprint_does_not_see_is_seen(tmp_path: Path, content: bytes, start: int) -> None:
    gap = SIZE // BLOCKS + BLOCK_BYTES
    half = content[:start] + bytes(gap) + content[start + gap :]
    whole, part = write(tmp_path / "a.svs", content), write(tmp_path / "b.svs", half)
    assert fingerprint(whole) == fingerprint(part)
    assert content_sample(whole).digest != content_sample(part).digest


def test_a_long_run_of_zeros_is_told_with_its_place(tmp_path: Path, content: bytes) -> None:
    part = content[: 2**20] + bytes(2 * ZERO_BYTES) + content[3 * 2**20 :]
    sample = content_sample(write(tmp_path / "a.svs", part))
    assert sample.zeros is not None
    name, offset = sample.zeros
    assert name == "a.svs"
    assert 2**20 <= offset <= 2 * 2**20
    assert sample.warning is not None
    assert sample.warning.startswith(f"a.svs: at least 1 MiB from byte {offset:,} on are zero")


@pytest.mark.parametrize("size", [0, 1, 100, BLOCK_BYTES, ZERO_BYTES - 1])
def test_small_files_of_zeros_are_no_copy_by_half(tmp_path: Path, size: int) -> None:
    assert content_sample(write(tmp_path / "a.svs", bytes(size))).zeros is None


def test_short_runs_of_zeros_are_usual(tmp_path: Path, content: bytes) -> None:
    striped = b"".join(bytes(2**19) + content[:64] for _ in range(12))
    assert content_sample(write(tmp_path / "a.svs", striped)).zeros is None


def test_every_file_of_a_slide_takes_part_by_its_size(tmp_path: Path, content: bytes) -> None:
    index = write(tmp_path / "a.mrxs", b"index")
    files = [write(tmp_path / "a" / f"Data{n}.dat", content[n::3]) for n in range(3)]
    before = content_sample(index).digest
    for file in files:
        kept = file.read_bytes()
        file.write_bytes(kept[: len(kept) // 4] + bytes(len(kept) // 2) + kept[-(len(kept) // 4) :])
        assert content_sample(index).digest != before
        file.write_bytes(kept)
    assert content_sample(index).digest == before


def half_copied(whole: Path, path: Path) -> Path:
    """Write a slide whose middle is still zeros, as in a copy that reserves the space first."""
    content = whole.read_bytes()
    edge = 300 * 1024
    path.write_bytes(content[:edge] + bytes(len(content) - 2 * edge) + content[-edge:])
    return path


def test_a_slide_that_was_copied_by_half_is_redone(tmp_path: Path) -> None:
    pixels = np.tile(he_pixels(512, 512, seed=1), (2, 2, 1))
    whole = write_tiff(tmp_path / "whole.tif", pixels, mpp=0.5, compression=None)
    (tmp_path / "s").mkdir()
    slide, model = half_copied(whole, tmp_path / "s" / "a.tif"), make_model(tmp_path / "m")

    def embed() -> wsi_embed.JobReport:
        return wsi_embed.embed(tmp_path / "s", tmp_path / "f.zarr", model=model, tissue="none")

    report = embed()
    assert report.count("done") == 1
    assert [w for w in report.slides[0].warnings if "MiB from byte" in w]
    assert embed().count("skipped") == 1
    shutil.copy(whole, slide)
    report = embed()
    assert report.count("done") == 1
    assert not [w for w in report.slides[0].warnings if "MiB from byte" in w]
    assert embed().count("skipped") == 1
    wsi_embed.embed(whole, tmp_path / "fresh.zarr", model=model, tissue="none")
    redone, fresh = (wsi_embed.open_store(tmp_path / name) for name in ("f.zarr", "fresh.zarr"))
    np.testing.assert_array_equal(redone["a"].features[:], fresh["whole"].features[:])
    assert wsi_embed.verify(tmp_path / "f.zarr") == []
