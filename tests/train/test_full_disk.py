"""A disk that is full while a run is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.job_tools import no_room
from tests.made_models import tiny_config
from tests.train.test_resume import stopped_at
from wsi_embed.errors import WsiEmbedError
from wsi_embed_train import train


@pytest.mark.parametrize("share", [0.5, 0.02])
def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays(
    share: float, tiles: Path, tmp_path: Path
) -> None:
    run, config = tmp_path / "run", tiny_config(epochs=2, batch_size=4)
    stopped_at(2, tiles, run, config)
    last = run / "checkpoints" / "last.ckpt"
    before = last.read_bytes()
    with (
        pytest.raises(WsiEmbedError, match="cannot be written") as error,
        no_room(round(share * len(before))),
    ):
        train(tiles, run, config, resume=True)
    assert "\n" not in str(error.value)
    assert last.read_bytes() == before
    assert torch.load(last, weights_only=True)["global_step"] == 2
    assert [p for p in run.rglob("*") if ".part" in p.name or p.name.startswith(".")] == []
    train(tiles, run, config, resume=True)
