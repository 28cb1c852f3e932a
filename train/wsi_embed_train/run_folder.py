"""The folder of a run: its files, checks before a run starts or resumes, and its summary."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed.util.json_text import json_text
from wsi_embed_train.config import TrainConfig

# Settings that may change on resuming, as they do not affect what is learned.
FREE = frozenset({"devices", "workers", "log_steps", "save_steps", "keep_epochs", "knn_epochs"})


@dataclass(frozen=True)
class RunFolder:
    """Folder of a run.

    Contains `config.yaml`, `checkpoints/`, `metrics.csv`, `tensorboard/`, `curves.png` and `summary.json`.
    """

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        """Path of the checkpoint from which a run resumes."""
        return self.checkpoints / "last.ckpt"

    def check(self, config: TrainConfig, resume: bool) -> dict[str, Any] | None:
        """Check that a run can start or resume in this folder.

        Args:
            config: Settings of the run.
            resume: Whether the run resumes.

        Returns:
            Description of the data in the last checkpoint if the run resumes, else None.

        Raises:
            UsageError: If a new run would overwrite another one, or there is no run to resume, or it has
                other settings.
        """
        if not resume:
            if self.last.exists():
                raise UsageError(
                    "already holds a run",
                    where=self.path,
                    remedy="choose another `out=`, or add `resume=True`",
                )
            return None
        self.settings()  # raises if there are none
        about, _ = load_checkpoint(self.last)
        before, now = _defaults() | about["config"], config.to_dict()
        for name in ["method", *sorted((now.keys() | before.keys()) - FREE)]:  # method first
            if before.get(name) != now.get(name):
                raise UsageError(
                    f"was trained with {name} = {_shown(before.get(name))}, not {_shown(now.get(name))}",
                    where=self.path,
                    remedy="resume with the same settings, or start another run",
                )
        data: dict[str, Any] = about["data"]
        return data

    def settings(self) -> tuple[dict[str, Any], str | None]:
        """Return the settings and the split of the run in this folder, from its last checkpoint.

        Raises:
            UsageError: If there is no checkpoint.
        """
        if not self.last.is_file():
            raise UsageError(
                f"nothing to resume: there is no {self.last.name} in checkpoints/", where=self.path
            )
        about, _ = load_checkpoint(self.last)
        return dict(about["config"]), about["data"].get("split")

    def begin(self, config: TrainConfig) -> None:
        """Create the folder and write the settings."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(config.to_dict(), sort_keys=False)
        (self.path / "config.yaml").write_text(text, "utf-8")

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write `summary.json`."""
        (self.path / "summary.json").write_text(json_text(summary, indent=2) + "\n", "utf-8")


def _shown(value: object) -> object:
    return "''" if value == "" else value


def _defaults() -> dict[str, Any]:
    """Return the defaults of settings, which stand for those that an earlier version did not have."""
    found = {field.name: field.default for field in fields(TrainConfig) if field.default is not MISSING}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in found.items()}


@contextlib.contextmanager
def written_to(run: Path) -> Iterator[None]:
    """Turn errors of writing a run folder, such as a full disk, into errors of one line.

    Raises:
        WsiEmbedError: If the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise WsiEmbedError(
            f"cannot be written ({error.strerror or error})",
            where=run,
            remedy="make room, then go on with `resume=True`",
        ) from error


def known_mpp(settings: Mapping[str, Any], data: Mapping[str, Any]) -> float | None:
    """Return the resolution of a run's tiles: of its settings, or else of the table of tile images.

    Args:
        settings: Settings of the run.
        data: Description of its data.

    Returns:
        Micrometres per pixel; None if it is unknown, or the images have several.
    """
    stated = data.get("image_mpp") or []
    mpp = settings.get("mpp") or (stated[0] if len(stated) == 1 else None)
    return None if mpp is None else float(mpp)


def check_data(run: RunFolder, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Check that a run resumes with the tiles it started with.

    Args:
        run: The run folder.
        before: Description of the data in the checkpoint.
        now: Description of the data of the source.

    Raises:
        UsageError: If the number of tiles or the classes differ.
    """
    for name in ("tiles", "classes"):
        if before.get(name) != now.get(name):
            raise UsageError(
                f"{run.path} was trained with {name} = {before.get(name)}, and the source has "
                f"{now.get(name)}: resume with the same source or start another run"
            )


def load_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Load the description and the weights from a checkpoint, without running code from it.

    Args:
        path: The checkpoint.

    Returns:
        Description (`config`, `data`, ...), and weights by name.

    Raises:
        UsageError: If it is not a checkpoint of `wsi-embed train`.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return content["wsi_embed"], content["state_dict"]
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"not a checkpoint of wsi-embed train ({reason})", where=path) from error
