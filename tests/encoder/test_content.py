"""Files that are named like a model and are something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsi_embed.diagnostics.describe import describe
from wsi_embed.encoder import load_encoder
from wsi_embed.encoder.content import check_content
from wsi_embed.errors import ModelError

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1234\n"


@pytest.mark.parametrize("suffix", ["onnx", "ts"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (LFS, "a Git LFS pointer, not the model; fetch it with `git lfs pull`"),
        (b"\n<!DOCTYPE html><html>gated repo", "a web page, saved in place of the model; download it again"),
        (b"<html>", "a web page"),
        (b"", "it is empty"),
    ],
)
def test_failed_downloads_are_named(tmp_path: Path, suffix: str, content: bytes, said: str) -> None:
    path = tmp_path / f"m.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelError) as failed:
        load_encoder(path, device="cpu")
    assert said in str(failed.value)
    with pytest.raises(ModelError) as failed:
        describe(str(path))
    assert said in str(failed.value)


def test_a_model_passes(tiny: Path) -> None:
    check_content(tiny)
