"""Train, export, embed: the project's whole path through its own commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import wsi_embed
from tests.job_tools import invoke, run
from tests.made_models import TINY_BACKBONE, TINY_DIM
from tests.made_slides import he_pixels, write_svs
from wsi_embed.util.extras import install_command


def test_tiles_to_encoder_to_file_to_store(tmp_path: Path) -> None:
    pixels = he_pixels(512, 512, seed=5)
    (tmp_path / "tiles" / "a").mkdir(parents=True)
    for index, (y, x) in enumerate(np.ndindex(4, 4)):
        tile = pixels[128 * y : 128 * y + 128, 128 * x : 128 * x + 128, ::-1]
        cv2.imwrite(str(tmp_path / "tiles" / "a" / f"{index}.png"), tile)
    write_svs(tmp_path / "slide.svs", he_pixels(700, 900, seed=6), mpp=0.5)

    small = [
        "--backbone",
        TINY_BACKBONE,
        "--tile-px",
        "32",
        "--batch-size",
        "8",
        "--feat-size",
        "16",
        "--clusters",
        "4",
        "--workers",
        "0",
    ]
    trained = run(
        "train", tmp_path / "tiles", "--out", tmp_path / "run", "--epochs", "2", "--mpp", "0.5", *small
    )
    assert trained.returncode == 0, trained.stderr
    lines = [line.split(":")[0] for line in trained.stdout.splitlines()]
    assert lines == ["clubyol on 16 tiles, batch 8, CPU, precision 32", "epoch 1/2", "epoch 2/2", "trained"]
    assert trained.stderr == "", "of all that Lightning and PyTorch have to say"
    exported = invoke("export", tmp_path / "run", "--out", tmp_path / "model.onnx", "--precision", "fp16")
    assert exported.returncode == 0, exported.stderr
    assert "against PyTorch fp32" in exported.stdout
    # nothing but progress, which a slow machine shows
    assert [line for line in exported.stderr.splitlines() if not re.fullmatch(r".*, \d+ s", line)] == []

    embedded = invoke(
        tmp_path / "slide.svs", "--out", tmp_path / "f.zarr", "--model", tmp_path / "model.onnx"
    )
    assert embedded.returncode == 0, embedded.stderr
    store = wsi_embed.open_store(tmp_path / "f.zarr")
    assert store.attrs["model"]["training"]["tiles"] == 16
    assert store["slide"].features.shape == (len(store["slide"]), TINY_DIM)
    assert len(store["slide"]) > 100
    assert wsi_embed.verify(tmp_path / "f.zarr") == []


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [("train", "torch", "train"), ("train", "lightning", "train"), ("export", "onnx", "export")],
)
def test_a_missing_extra_is_named(command: str, module: str, extra: str, tmp_path: Path) -> None:
    # a Python of its own: one that has PyTorch does not survive to lose it and import it again
    without = f"import sys; sys.modules[{module!r}] = None; from wsi_embed.cli import main; main()"
    typed: list[str | Path] = [sys.executable, "-c", without, command, tmp_path, "--out", tmp_path / "x.onnx"]
    done = subprocess.run(typed, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert install_command(extra) in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
