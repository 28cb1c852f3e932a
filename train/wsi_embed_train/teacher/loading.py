"""Loading of the teacher of a run, and what the run records of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from wsi_embed.encoder import Encoder, ModelMetadata, load_encoder
from wsi_embed.encoder.loading import ENCODERS, model_file
from wsi_embed.errors import ModelError, UsageError
from wsi_embed.util.cpu import cpu_count
from wsi_embed.util.digest import canonical_digest
from wsi_embed.util.text import argument, counted
from wsi_embed_train.config import TrainConfig
from wsi_embed_train.data import TrainingTiles
from wsi_embed_train.devices import Devices
from wsi_embed_train.listener import Listener
from wsi_embed_train.methods import METHODS
from wsi_embed_train.teacher.cache import TeacherCache
from wsi_embed_train.teacher.teacher import Teacher

MPP_TOLERANCE = 0.02
RECORDED = (
    "name", "model_id", "licence", "method", "backbone", "tile_px", "mpp", "feature_dim", "clusters",
)  # fmt: skip


def load_teacher(model: Path | None, config: TrainConfig, devices: Devices) -> Encoder | None:
    """Load the teacher that a method needs.

    Args:
        model: File exported by wsi-embed; None if none is given.
        config: Settings of the run.
        devices: Hardware of the run, on which the teacher runs, too.

    Returns:
        The model; None if the method needs none.

    Raises:
        UsageError: If a teacher is missing or not needed, the file is no exported model, or it lacks the
            clusters that the student is to learn.
        DeviceError: If the model cannot run on the GPU.
    """
    if model is None:
        if METHODS.get(config.method).needs_teacher:
            raise UsageError(
                f"{config.method} needs a teacher", remedy="give `teacher=`, a file of wsi-embed export"
            )
        return None
    if not METHODS.get(config.method).needs_teacher:
        raise UsageError(
            f"{config.method} has no teacher",
            where=argument("teacher", str(model)),
            remedy="leave it out, or use `recipe='distil'`",
        )
    _check_exported(model)
    try:
        encoder = load_encoder(model, device=_device(devices), threads=_threads(devices))
    except ModelError as error:
        raise error.replace(remedy="a teacher is a file that wsi-embed export has written") from error
    if config.cluster_weight and encoder.clusters is None:
        raise UsageError(
            "has no clusters that the student could learn",
            where=encoder.path.name,
            remedy="add some (wsi-embed export MODEL --cluster-head CLUSTERS), or use `cluster_weight=0`",
        )
    return encoder


def start_teaching(
    encoder: Encoder,
    config: TrainConfig,
    tiles: TrainingTiles,
    data: dict[str, Any],
    before: dict[str, Any] | None,
    run: Path,
    listener: Listener,
) -> Teacher:
    """Return the teacher of a run, and add its facts to the description of the data.

    Args:
        encoder: The teacher.
        config: Settings of the run.
        tiles: Tiles of the run.
        data: Description of the data, to which `teacher` is added.
        before: Description of the data in the checkpoint of a resumed run; None for a new run.
        run: The run folder, in which features of tile images are cached if the teacher sees whole tiles.
        listener: Receiver of lines about the teacher.

    Raises:
        UsageError: If the teacher is for another resolution, or the run had another teacher.
    """
    metadata = encoder.metadata
    _check_resolution(metadata, encoder.path, config, tiles.side)
    data["teacher"] = {name: getattr(metadata, name) for name in RECORDED}
    recorded = (before or {}).get("teacher", {})
    if before is not None and recorded.get("model_id") != metadata.model_id:
        raise UsageError(
            f"was taught by {recorded.get('name')} ({recorded.get('model_id')}), not by {metadata.name} "
            f"({metadata.model_id})",
            where=run,
            remedy="resume with the same teacher, or start another run",
        )
    listener.noted(_description(metadata, config, tiles.side))
    cache = _cache(encoder, tiles, data, run, listener) if config.teacher_sees == "tile" else None
    return Teacher(encoder, cache)


def _cache(
    encoder: Encoder, tiles: TrainingTiles, data: dict[str, Any], run: Path, listener: Listener
) -> TeacherCache | None:
    """Return the cache for the tile images of a run; None if there are none."""
    images = len(tiles.tiles.images)
    if shifted := len(tiles) - images:
        listener.noted(
            f"regions of slides are shifted in every epoch, so the teacher encodes their "
            f"{counted(shifted, 'tile')} anew each time"
        )
    if not images:
        return None
    listener.noted(f"the teacher encodes {counted(images, 'tile image')} once, and its features are kept")
    key = [encoder.model_id, tiles.tiles.images, tiles.side, data["image_digests"]]
    path = run / f"teacher-{canonical_digest(key)[:16]}.npy"
    return TeacherCache(path, images, encoder.feature_dim)


def _check_exported(model: Path) -> None:
    """Check that a file is an exported model, by its suffix."""
    path = model_file(model)
    if path.is_dir() or path.suffix == ".ckpt":
        command = f"wsi-embed export {path} --out model.onnx"
    elif str(model).startswith(("timm:", "torchvision:")):
        command = f"wsi-embed export {model} --weights FILE --out model.onnx"
    elif not path.is_file():
        raise UsageError("no such file", where=path, remedy="check `teacher=`")
    elif path.suffix.lower() in ENCODERS:
        return
    else:
        command = f"wsi-embed export timm:NAME --weights {path} --out model.onnx"
    raise UsageError(
        "is no exported model",
        where=argument("teacher", str(model)),
        remedy=f"export it first: {command}",
    )


def _device(devices: Devices) -> str:
    """Return the device of the teacher: the GPU of this process, or the CPU."""
    if devices.accelerator != "gpu":
        return "cpu"
    return f"cuda:{os.environ.get('LOCAL_RANK') or os.environ.get('SLURM_LOCALID') or 0}"


def _threads(devices: Devices) -> int:
    return max(1, cpu_count() // devices.per_node)


def _check_resolution(teacher: ModelMetadata, path: Path, config: TrainConfig, side: int) -> None:
    """Check that tiles have the teacher's resolution, before or after they are resized for it."""
    if teacher.mpp is None or config.mpp is None:
        return
    shown = config.mpp * side / teacher.tile_px
    if all(abs(mpp / teacher.mpp - 1) > MPP_TOLERANCE for mpp in (config.mpp, shown)):
        raise UsageError(
            f"takes tiles at {teacher.mpp:g} um per pixel, and those of the run are at {config.mpp:g}",
            where=path.name,
            remedy=f"use {argument('mpp', teacher.mpp)}, or a teacher for {config.mpp:g} um per pixel",
        )


def _description(teacher: ModelMetadata, config: TrainConfig, side: int) -> str:
    licence = teacher.licence or "unknown licence"
    text = f"taught by {teacher.name} ({teacher.model_id}; {licence}; {teacher.feature_dim} features)"
    if side == teacher.tile_px:
        return text
    return (
        f"{text}: tiles of {side} pixels ({_mpp(config.mpp)}) are resized to its {teacher.tile_px} "
        f"({_mpp(teacher.mpp)})"
    )


def _mpp(mpp: float | None) -> str:
    return "unknown resolution" if mpp is None else f"{mpp:g} um per pixel"
