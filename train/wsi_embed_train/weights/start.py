"""Start of a training: from random weights, from those of a file, or from an interrupted run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument
from wsi_embed_train.backbones import make_backbone
from wsi_embed_train.config import TrainConfig
from wsi_embed_train.listener import Listener
from wsi_embed_train.weights.files import named_digest
from wsi_embed_train.weights.initial import InitialWeights, checkpoint_of, read_initial


def initial_weights(
    init: Path | None, licence: str, config: TrainConfig, data: dict[str, Any], listener: Listener
) -> InitialWeights | None:
    """Read the weights that a new run starts from, and add them and the normalisation to its data.

    Args:
        init: File of the weights; None for random ones.
        licence: Licence of the weights.
        config: Settings of the run.
        data: Description of the data. `mean` and `std` become those of the settings or of the file, and
            `init` describes the weights.
        listener: Receiver of a line that says which weights fit, and of warnings.

    Raises:
        UsageError: If the file cannot be read or does not fit the backbone, or stages are frozen and their
            weights or normalisation are unknown.
    """
    found = None
    if init is not None:
        with torch.random.fork_rng(devices=[]):  # the run draws the same numbers as one without `init`
            backbone, _ = make_backbone(config.backbone)
        found = read_initial(init, backbone, least_share=config.init_share, licence=licence)
        data["init"] = found.to_dict()
        listener.noted(f"starts from {found}")
    elif config.freeze:
        raise UsageError(
            "untrained weights would be frozen",
            where=argument("freeze", config.freeze),
            remedy="give trained ones by `init=FILE`",
        )
    _normalise(config, data, found, listener)
    return found


def _normalise(
    config: TrainConfig, data: dict[str, Any], found: InitialWeights | None, listener: Listener
) -> None:
    if config.mean:
        data["mean"], data["std"] = list(config.mean), list(config.std)
    elif found is not None and found.mean is not None and found.std is not None:
        data["mean"], data["std"] = list(found.mean), list(found.std)
    elif found is not None:
        unknown = f"{found.name} does not tell the normalisation that its weights expect"
        remedy = "give it by `mean=[R,G,B]` and `std=[R,G,B]`"
        if config.freeze:
            raise UsageError(f"{unknown}, and frozen weights cannot adapt to another", remedy=remedy)
        listener.warned(f"{unknown}: that of the training tiles is used; {remedy}")


def check_resumed(init: Path | None, before: dict[str, Any], data: dict[str, Any], run: Path) -> None:
    """Check that a run resumes with the weights it started from, and take over what is known of them.

    Args:
        init: File of the initial weights; None is taken for those of the run.
        before: Description of the data in the checkpoint.
        data: Description of the data of the source, to which `init`, `mean` and `std` are added.
        run: The run folder, for the message.

    Raises:
        UsageError: If the weights are others than those of the run.
    """
    recorded = before.get("init")
    if init is not None:
        name = named_digest(checkpoint_of(init))
        if recorded is None or recorded["weights"].split()[-1] != name.split()[-1]:
            started = recorded["weights"] if recorded else "random weights"
            raise UsageError(
                f"started from {started}, not from {name}",
                where=run,
                remedy="resume without `init=`, or start another run",
            )
    data.update({key: before[key] for key in ("init", "mean", "std") if key in before})
