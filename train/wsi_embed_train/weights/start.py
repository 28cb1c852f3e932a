"""Start of a training: from random weights, from those of a file, or from an interrupted run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument, names_of
from wsi_embed_train.backbones import make_backbone, sized
from wsi_embed_train.config import TrainConfig
from wsi_embed_train.listener import Listener
from wsi_embed_train.stages import SHOWN, frozen_modules, frozen_names
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
    if licence and init is None:
        raise UsageError(
            "there are no weights with this licence",
            where=argument("init_licence", licence),
            remedy="give them by `init=FILE`",
        )
    if init is not None:
        with torch.random.fork_rng(devices=[]):  # the run draws the same numbers as one without `init`
            backbone, _ = make_backbone(sized(config.backbone, config.tile_px))
        found = read_initial(init, backbone, least_share=config.init_share, licence=licence)
        data["init"] = found.to_dict()
        listener.noted(f"starts from {found}")
        _check_frozen(backbone, found, config, listener)
    elif config.freeze:
        raise UsageError(
            "untrained weights would be frozen",
            where=argument("freeze", config.freeze),
            remedy="give trained ones by `init=FILE`",
        )
    _normalise(config, data, found, listener)
    return found


def _check_frozen(
    backbone: nn.Module, found: InitialWeights, config: TrainConfig, listener: Listener
) -> None:
    """Check that no tensor without initial weights is frozen, and tell what is frozen."""
    frozen = frozen_names(backbone, config.freeze)
    if untrained := [name for name in (*found.missing, *found.misfits) if name in frozen]:
        raise UsageError(
            f"the weights do not have what would be frozen: {names_of(untrained)}",
            where=argument("freeze", config.freeze),
            remedy="freeze less, or use the `tile_px=` and `backbone=` of the weights",
        )
    if frozen:
        modules = names_of(frozen_modules(backbone, frozen), SHOWN)
        listener.noted(f"frozen: {modules} ({len(frozen)} of {len(backbone.state_dict())} tensors)")


def _normalise(
    config: TrainConfig, data: dict[str, Any], found: InitialWeights | None, listener: Listener
) -> None:
    if config.mean:
        data["mean"], data["std"] = list(config.mean), list(config.std)
    elif found is not None and found.mean is not None and found.std is not None:
        data["mean"], data["std"] = list(found.mean), list(found.std)
    elif found is not None:
        unknown = f"{found.name} does not tell the normalisation that its weights expect"
        remedy = "give it, such as ImageNet's `mean=(0.485, 0.456, 0.406)` and `std=(0.229, 0.224, 0.225)`"
        if config.freeze:
            raise UsageError(f"{unknown}, and frozen weights cannot adapt to another", remedy=remedy)
        listener.warned(f"{unknown}: that of the training tiles is used; {remedy}")


def check_resumed(
    init: Path | None, licence: str, before: dict[str, Any], data: dict[str, Any], run: Path
) -> None:
    """Check that a run resumes with the weights it started from, and take over what is known of them.

    Args:
        init: File of the initial weights; None is taken for those of the run.
        licence: Licence of the weights; empty is taken for that of the run.
        before: Description of the data in the checkpoint.
        data: Description of the data of the source, to which `init`, `mean` and `std` are added.
        run: The run folder, for the message.

    Raises:
        UsageError: If the weights, or their licence, are others than those of the run.
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
    if licence and licence != (recorded or {}).get("licence"):
        raise UsageError(
            f"records the licence {(recorded or {}).get('licence', '')!r} of its initial weights",
            where=run,
            remedy="resume without `init_licence=`",
        )
    data.update({key: before[key] for key in ("init", "mean", "std") if key in before})
