"""Runs and checkpoints of `wsi-embed train`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsi_embed.errors import UsageError
from wsi_embed_export.trained import Given, TrainedModel
from wsi_embed_train.methods import build_method
from wsi_embed_train.recipe import settings_of_run
from wsi_embed_train.run_folder import known_mpp
from wsi_embed_train.weights.files import load_strictly, named_digest, without_prefix


def read_run(path: Path, content: Mapping[str, Any], given: Given) -> TrainedModel:
    """Read a checkpoint of `wsi-embed train`.

    Args:
        path: The file, for messages.
        content: Contents of the file.
        given: Only `mpp` may be set; the run contains the other values.

    Raises:
        UsageError: If the checkpoint is damaged, or `given` sets a value that the run contains.
    """
    known = {"mean": given.mean, "std": given.std, "tile_px": given.tile_px}
    if said := [f"`{name}=`" for name, value in known.items() if value is not None]:
        raise UsageError(f"{said[0]} is known to the run and cannot be given", where=path.name)
    try:
        ours, config, data = (
            content["wsi_embed"],
            content["wsi_embed"]["config"],
            content["wsi_embed"]["data"],
        )
        mean, std, epochs, steps = data["mean"], data["std"], ours["epochs_done"], ours["steps"]
        state = content["state_dict"]
    except (LookupError, TypeError) as error:
        raise UsageError(f"a damaged checkpoint of wsi-embed train ({error!r})", where=path.name) from error
    classes = len(data["classes"]) if "classes" in data else None
    teacher = data.get("teacher")
    network = build_method(config["method"], vars(settings_of_run(config)), classes, teacher)
    clusters = config.get("clusters") or (teacher or {}).get("clusters")
    load_strictly(network, without_prefix(state, "network."), path.name)
    facts = {name: value for name, value in data.items() if name not in ("slide_ids", "skipped_slides")}
    return TrainedModel(
        backbone=network.encoder.plain_backbone(),
        feature_dim=network.encoder.feature_dim,
        projector=network.encoder.projector,
        cluster_head=network.cluster_head,
        clusters=clusters if network.cluster_head is not None else None,
        method=config["method"],
        architecture=config["backbone"],
        tile_px=config["tile_px"],
        mpp=known_mpp(config, data) if given.mpp is None else given.mpp,
        mean=tuple(mean),
        std=tuple(std),
        training={**facts, "epochs": epochs, "steps": steps, "settings": config},
        slides=tuple(data.get("slide_ids", ())),
        name=named_digest(path),
    )
