"""Read a training run: weights, settings, and what is known of the data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_embed.errors import UsageError
from wsi_embed_train.config import settings_of_run
from wsi_embed_train.methods import Method, build_method
from wsi_embed_train.run_folder import load_checkpoint


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and what the exported file should say about it.

    Attributes:
        network: In evaluation mode, float32, on the CPU.
        config: The training settings.
        training: Data, epochs and steps of the training.
        name: File name and digest of the checkpoint.
        slides: Ids of the slides that the training saw.
    """

    network: Method
    config: dict[str, Any]
    training: dict[str, Any]
    name: str
    slides: tuple[str, ...] = ()


def read_checkpoint(source: Path) -> Checkpoint:
    """Read a run folder or a checkpoint file of `wsi-embed train`.

    No code from the file runs (`weights_only=True`).

    Raises:
        UsageError: There is no checkpoint, or it is not one of ours.
    """
    path = source / "checkpoints" / "last.ckpt" if source.is_dir() else source
    if not path.is_file():
        raise UsageError(f"{source}: no checkpoint found (expected a run folder, or a .ckpt file)")
    ours, weights = load_checkpoint(path)
    config = ours["config"]
    classes = len(ours["data"]["classes"]) if "classes" in ours["data"] else None
    network = build_method(settings_of_run(config), classes)
    network.load_state_dict({k.removeprefix("network."): v for k, v in weights.items()})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    data = {
        name: value for name, value in ours["data"].items() if name not in ("slide_ids", "skipped_slides")
    }
    training = {**data, "epochs": ours["epochs_done"], "steps": ours["steps"], "settings": config}
    slides = tuple(ours["data"].get("slide_ids", ()))
    return Checkpoint(network.eval(), config, training, f"{path.name} sha256:{digest}", slides)
