"""The file to write: what is checked before the work, and that nothing is left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.job_tools import no_room
from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed_export import TrainedModel, export
from wsi_embed_export.destination import check_destination, check_space, writing


def network() -> TrainedModel:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 64, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return TrainedModel(layers, 64, None, None, None, "made", "made", 16, 0.5, (0.5,) * 3, (0.25,) * 3)


@pytest.mark.parametrize("suffix", ["onnx", "ts"])
def test_a_disk_that_is_full_is_said_in_one_line(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / "new" / "folder" / f"m.{suffix}"
    with no_room(2**16), pytest.raises(WsiEmbedError) as failed:  # the weights have 196,608 bytes
        export(network(), out)
    assert "\n" not in str(failed.value)
    assert str(failed.value).startswith(f"{out}: cannot be written (File too large); nothing was written")
    assert list(tmp_path.iterdir()) == []


def test_too_little_space_is_said_before_the_work(tmp_path: Path) -> None:
    check_space(tmp_path / "new", 1000)
    with pytest.raises(WsiEmbedError, match=r"needs 1,099,511,627,777 MiB, and [\d,]+ MiB are free"):
        check_space(tmp_path / "new", 2**60)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.onnx").mkdir()
    check_destination(tmp_path / "new" / "m.onnx")
    with pytest.raises(UsageError, match=r"file/m\.onnx'`: cannot be written \(Not a directory\)"):
        export("no such source", tmp_path / "file" / "m.onnx")
    with pytest.raises(UsageError, match=r"folder\.onnx'`: is a folder"):
        export("no such source", tmp_path / "folder.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder.onnx"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match=r"cannot be written \(Permission denied\)"):
        check_destination(tmp_path / "m.onnx")
    tmp_path.chmod(0o700)


def test_other_errors_stay_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), writing(tmp_path / "new" / "m.onnx"):
        Path("no such file").read_text()
    with pytest.raises(WsiEmbedError, match=r"^reason$"), writing(tmp_path / "new" / "m.onnx"):
        raise WsiEmbedError("reason")
    assert list(tmp_path.iterdir()) == []


def test_the_file_before_survives_a_failure(tmp_path: Path) -> None:
    out = tmp_path / "m.onnx"
    out.write_text("before")
    with pytest.raises(UnicodeEncodeError), writing(out) as temporary:
        temporary.write_text("hälf", "ascii")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"m.onnx": "before"}
