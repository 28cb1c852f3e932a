"""What is not exported, and what is said of it."""

from __future__ import annotations

import math
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from wsi_embed.errors import UsageError
from wsi_embed_export import Given, export


@pytest.mark.parametrize("name", ["model.pt", "model", "model.onnx.gz"])
def test_wrong_ending_is_refused(run: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"ends in \.onnx or \.ts"):
        export(run, tmp_path / name)


def test_unknown_precision_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`precision='int4'`: choose fp32, fp16, int8"):
        export(run, tmp_path / "model.onnx", precision="int4")


def test_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no checkpoint found"):
        export(tmp_path, tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="no checkpoint found"):
        export(tmp_path / "missing.ckpt", tmp_path / "model.onnx")


def test_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "theirs.ckpt")
    torch.save([1], tmp_path / "list.ckpt")
    (tmp_path / "text.ckpt").write_text("not a checkpoint")
    for name, reason in (
        ("theirs.ckpt", "neither a checkpoint of wsi-embed train nor of the CluSiam repository"),
        ("list.ckpt", "holds a list, expected a state dict"),
        ("text.ckpt", "cannot be read as plain weights|not a checkpoint that PyTorch can read"),
    ):
        with pytest.raises(UsageError, match=f"{name}: ({reason})"):
            export(tmp_path / name, tmp_path / "model.onnx")


@pytest.mark.parametrize("lost", ["config", "data", "steps"])
def test_a_damaged_checkpoint_is_refused(run: Path, tmp_path: Path, lost: str) -> None:
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    del content["wsi_embed"][lost]
    torch.save(content, tmp_path / "damaged.ckpt")
    with pytest.raises(UsageError, match="damaged checkpoint of wsi-embed train"):
        export(tmp_path / "damaged.ckpt", tmp_path / "model.onnx")


def test_a_weight_that_is_lost_is_named(run: Path, tmp_path: Path) -> None:
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    del content["state_dict"]["network.encoder.backbone.conv1.0.weight"]
    torch.save(content, tmp_path / "damaged.ckpt")
    with pytest.raises(UsageError, match=r"damaged\.ckpt: .* lacks encoder\.backbone\.conv1\.0\.weight$"):
        export(tmp_path / "damaged.ckpt", tmp_path / "model.onnx")


def test_what_the_run_knows_cannot_be_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`tile_px=` is known to the run"):
        export(run, tmp_path / "model.onnx", given=Given(tile_px=64))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mean": (1, 2)}, "`mean=1,2`: expected three numbers"),
        ({"mean": (0.5, 0.5, 128)}, "`mean=0.5,0.5,128`: expected three numbers"),
        ({"std": (0.2, 0.2, 0.0)}, "`std=0.2,0.2,0`: expected three numbers"),
        ({"std": (0.2, 0.2, math.nan)}, "`std=0.2,0.2,nan`"),
        ({"tile_px": 0}, "`tile_px=0`"),
        ({"mpp": 250.0}, "`mpp=250`"),
    ],
)
def test_nonsense_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Given(**given)


def test_int8_needs_tiles_and_onnx(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="int8'` needs `calibrate="):
        export(run, tmp_path / "model.onnx", precision="int8")
    with pytest.raises(UsageError, match=r"int8 is written as \.onnx only"):
        export(run, tmp_path / "model.ts", precision="int8", calibrate=tmp_path)


@pytest.mark.parametrize("output", ["logits", "cluster"])
def test_unknown_outputs_are_refused(run: Path, tmp_path: Path, output: str) -> None:
    with pytest.raises(UsageError, match=f"`outputs='{output}'`: choose of projection, cluster_logits"):
        export(run, tmp_path / "model.ts", outputs=[output])


class Harmful:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_code_in_a_checkpoint_does_not_run(run: Path, tmp_path: Path) -> None:
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    torch.save(content | {"extra": Harmful(tmp_path / "made")}, tmp_path / "harmful.ckpt")
    with pytest.raises(UsageError, match="would run code from the file"):
        export(tmp_path / "harmful.ckpt", tmp_path / "model.onnx")
    assert not (tmp_path / "made").exists()
    pickle.loads(pickle.dumps(Harmful(tmp_path / "made")))
    assert (tmp_path / "made").exists()  # it would have
