"""Training on all labelled bags after an evaluation, and export of the network to ONNX."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed.evaluate.mil.bags import GIB, BagFeatures
from wsi_embed.evaluate.mil.run import MilEvaluation
from wsi_embed.evaluate.mil.settings import NETS
from wsi_embed.evaluate.mil.slide_model import KEY, OUTPUTS, MilMetadata, MilModel
from wsi_embed.evaluate.results import check_results_folder
from wsi_embed.store import Store
from wsi_embed.util.atomic_files import replacing
from wsi_embed.util.text import argument

if TYPE_CHECKING:
    from wsi_embed.evaluate.mil.nets import BagNet

# The layers of TransMIL depend on the number of tiles, and are not written as a graph.
EXPORTABLE = ("dsmil", "abmil", "clam")
# Sizes of the bags on which the file is compared with PyTorch, and the largest difference of an output.
SIZES, LARGEST_DIFFERENCE = (1, 2, 37, 1000), 1e-5


def check_export(path: Path, method: str, *, overwrite: bool) -> None:
    """Check, before an evaluation, that its network can be exported; nothing is created.

    Args:
        path: File to write.
        method: The method.
        overwrite: Whether to replace an existing file.

    Raises:
        UsageError: If the method cannot be exported, or the file exists or cannot be written.
    """
    if method not in EXPORTABLE:
        reason = "cannot be exported" if method in NETS else "has no network to export"
        raise UsageError(f"{argument('method', method)} {reason}", remedy=f"use {', '.join(EXPORTABLE)}")
    if path.suffix != ".onnx":
        raise UsageError("the name has to end in .onnx", where=argument("export", path))
    if path.is_dir() or (path.exists() and not overwrite):
        raise UsageError(
            "exists already",
            where=argument("export", path),
            remedy="give another name, or replace it with `overwrite=True`",
        )
    check_results_folder(path.parent)


def export_mil(store: Store, evaluation: MilEvaluation, path: Path, memory: int = 8 * GIB) -> MilMetadata:
    """Train on all bags of an evaluation, and write the network to an ONNX file.

    The number of epochs is the median of the best epochs of the folds. Before the file gets its name, its
    outputs are compared with those of PyTorch.

    Args:
        store: The evaluated store.
        evaluation: Result of `evaluate_mil`.
        path: File to write.
        memory: Maximum size of the features in memory, bytes.

    Returns:
        Metadata of the file.

    Raises:
        WsiEmbedError: If the outputs of the file differ from those of PyTorch, or it cannot be written.
    """
    from wsi_embed.evaluate.mil.fit import fit_all

    bags, settings = evaluation.bags, evaluation.settings
    epochs = round(float(np.median([row["epoch"] for row in evaluation.folds])))
    net = fit_all(BagFeatures(store, bags, memory), evaluation.task, epochs, settings)
    about = store.attrs["settings"]
    metadata = MilMetadata(
        method=settings.method,
        classes=evaluation.task.outputs,
        model_id=store.model_id,
        feature_dim=net.dim,
        mpp=about["mpp"],
        tile_px=about["tile_px"],
        by=bags.by,
        training=_training(evaluation, epochs),
        training_slides=tuple(sorted({slide for bag in bags for slide in bag.slides})),
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        task=evaluation.task.name,
    )
    return write_net(net, metadata, path)


def write_net(net: BagNet, metadata: MilMetadata, path: Path) -> MilMetadata:
    """Write a network with its metadata to an ONNX file, after comparing it with PyTorch.

    Args:
        net: Network in evaluation mode, on the CPU.
        metadata: Metadata without the comparison.
        path: File to write; its folder is created if needed.

    Returns:
        The metadata with the comparison, as written.

    Raises:
        UsageError: If this kind of network cannot be exported.
        WsiEmbedError: If the outputs of the file differ from those of PyTorch, or it cannot be written.
    """
    import onnx

    from wsi_embed.evaluate.mil.onnx_graph import onnx_graph

    model = onnx_graph(net, OUTPUTS[metadata.task])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            _save(onnx, model, metadata, part)
            metadata = replace(metadata, parity=_differences(net, MilModel(part), path))
            _save(onnx, model, metadata, part)
    except OSError as error:
        raise WsiEmbedError(f"cannot be written ({error.strerror or error})", where=path) from error
    return metadata


def _save(onnx: Any, model: Any, metadata: MilMetadata, path: Path) -> None:
    onnx.helper.set_model_props(model, {KEY: metadata.to_json()})
    path.write_bytes(model.SerializeToString())


def _differences(net: BagNet, exported: MilModel, path: Path) -> dict[str, float]:
    """Return the largest differences of outputs and attention on random bags.

    A predicted number is compared in units of the size of the training targets.

    Raises:
        WsiEmbedError: If a difference is too large.
    """
    import torch

    output = OUTPUTS[exported.metadata.task]
    rng, largest = np.random.default_rng(0), {output: 0.0, "attention": 0.0}
    units = {output: net.target_std + abs(net.target_mean), "attention": 1.0}
    mean, std = net.mean.numpy(), net.std.numpy()
    for size in SIZES:
        bag = (rng.standard_normal((size, net.dim)) * std + mean).astype(np.float32)
        expected = net.predict(torch.from_numpy(bag))
        for name, ours, theirs in zip(largest, exported.predict(bag), expected, strict=True):
            largest[name] = max(largest[name], float(np.abs(ours - theirs.numpy()).max()) / units[name])
    if not max(largest.values()) <= LARGEST_DIFFERENCE:  # also refuses NaN
        raise WsiEmbedError(
            f"the file would predict otherwise than PyTorch (by {max(largest.values()):.1g}); not written",
            where=path,
        )
    return largest


def _training(evaluation: MilEvaluation, epochs: int) -> dict[str, Any]:
    """Return the facts of the training for the metadata."""
    scores = {name: interval.mean for name, interval in evaluation.intervals.items()}
    settings = evaluation.settings
    return {
        "bags": evaluation.task.counts(),
        "epochs": epochs,
        "lr": settings.lr,
        "weight_decay": settings.weight_decay,
        "max_tiles": settings.max_tiles,
        "folds": len(evaluation.folds) // evaluation.seeds,
        "seeds": evaluation.seeds,
        "scores_on_folds": scores,
    }
