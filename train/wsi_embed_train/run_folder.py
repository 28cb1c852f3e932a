"""A run on disk: what lies where, whether a run may begin or go on in it, its summary."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from wsi_embed.errors import UsageError
from wsi_embed_train.config import TrainConfig

# May change from start to start without changing what is learned.
FREE = frozenset({"devices", "workers", "log_steps", "save_steps", "keep_epochs", "knn_epochs"})


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run.

    It holds `config.yaml`, `checkpoints/`, `metrics.csv`, `tensorboard/`, `curves.png` and `summary.json`.
    """

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints are."""
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        """What a run goes on from."""
        return self.checkpoints / "last.ckpt"

    def check(self, config: TrainConfig, resume: bool) -> dict[str, Any] | None:
        """Make sure that a run may begin here, or go on.

        Returns:
            What the last checkpoint says of its data, where the run goes on.

        Raises:
            UsageError: A run is in the way, there is none to resume, or it has other settings.
        """
        if not resume:
            if self.last.exists():
                raise UsageError(f"{self.path} holds a run already: choose another --out, or add --resume")
            return None
        if not self.last.is_file():
            raise UsageError(f"{self.path}: nothing to resume, there is no {self.last.name} in checkpoints/")
        said, _ = load_checkpoint(self.last)
        before, now = said["config"], config.to_dict()
        for name in ["method", *sorted((now.keys() | before.keys()) - FREE)]:  # the method says most
            if before.get(name) != now.get(name):
                raise UsageError(
                    f"{self.path} was trained with {name} = {before.get(name)}, not {now.get(name)}: "
                    "resume with the same settings or start another run"
                )
        data: dict[str, Any] = said["data"]
        return data

    def begin(self, config: TrainConfig) -> None:
        """Make the folder, and write the settings."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(config.to_dict(), sort_keys=False)
        (self.path / "config.yaml").write_text(text, "utf-8")

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write `summary.json`."""
        (self.path / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", "utf-8")


def check_data(run: RunFolder, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Make sure that a run goes on with the tiles it began with.

    Raises:
        UsageError: Their number or their classes differ.
    """
    for name in ("tiles", "classes"):
        if before.get(name) != now.get(name):
            raise UsageError(
                f"{run.path} was trained with {name} = {before.get(name)}, and the source has "
                f"{now.get(name)}: resume with the same source or start another run"
            )


def load_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a checkpoint says, and its weights. No code from the file runs (`weights_only=True`).

    Raises:
        UsageError: It is no checkpoint of ours.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return content["wsi_embed"], content["state_dict"]
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{path}: not a checkpoint of wsi-embed train ({reason})") from error
