"""Clusters of stored features as the cluster head of an exported model."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from wsi_embed.bags.cluster_head import ClusterHead
from wsi_embed.encoder import ModelMetadata, load_encoder
from wsi_embed.errors import UsageError
from wsi_embed.util.digest import canonical_digest
from wsi_embed_export.destination import check_destination, writing
from wsi_embed_export.graph import CLUSTERS
from wsi_embed_export.parity import ParityError, parity_tiles
from wsi_embed_export.write import add_onnx_metadata, save_onnx

# Tiles whose two largest cosines differ by less may change their cluster with the order of summation.
TIE = 1e-4
MOST_CONFIDENCE_ERROR = 2e-3


def add_cluster_head(model: Path, clusters: Path, out: Path, *, name: str | None = None) -> ModelMetadata:
    """Add clusters of stored features to an exported model as its cluster head.

    The new model assigns these clusters during embedding. An existing cluster head is replaced. The file
    only appears under its name once its outputs agree with the features of the model and their clusters.

    Args:
        model: ONNX file exported by wsi-embed.
        clusters: Folder written by `wsi-embed cluster`.
        out: File to write, ending in `.onnx`.
        name: Display name; by default the stem of `out`.

    Returns:
        The metadata of the new file.

    Raises:
        UsageError: If the model is not ONNX, has additional outputs, or the clusters belong to another model.
        ParityError: If the outputs disagree. No file is written.

    Example:
        >>> from pathlib import Path
        >>> from wsi_embed import open_store
        >>> from wsi_embed.clustering import fit_clusters
        >>> from wsi_embed_export import add_cluster_head
        >>> fit_clusters(open_store("feats.zarr"), 3).save(Path("clusters"))
        >>> add_cluster_head(Path("model.onnx"), Path("clusters"), Path("clustered.onnx")).clusters
        3
    """
    if model.suffix != ".onnx" or out.suffix != ".onnx":
        raise UsageError("`cluster_head=` reads and writes .onnx files only", where=model.name)
    check_destination(out)
    before, head = load_encoder(model, device="cpu").metadata, ClusterHead.load(clusters)
    if head.model_id != before.model_id:
        raise UsageError(
            f"clusters of the features of {head.model_id}, but {model.name} is {before.model_id}",
            where=clusters,
            remedy="make clusters of a store of this model",
        )
    if extra := set(before.outputs) - {"features", *CLUSTERS}:
        raise UsageError(
            f"has the output {min(extra)} of another cluster head",
            where=model.name,
            remedy="export it without",
        )
    about = {"clusters": {**head.about, "digest": head.digest, "of": before.model_id}}
    metadata = replace(
        before,
        name=name or out.stem,
        clusters=len(head),
        outputs=("features", *CLUSTERS),
        model_id=f"sha256:{canonical_digest([before.model_id, head.digest])}",
        training={**before.training, **about},
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        parity={},
    )
    proto = onnx.load(str(model))
    _append(proto, head)
    with writing(out) as temporary:
        save_onnx(proto, metadata, temporary)
        del proto
        found = _compare(model, temporary, head, before.tile_px)  # the features are those of the model
        metadata = replace(metadata, parity={**before.parity, **found})
        add_onnx_metadata(temporary, metadata)
    return metadata


def _append(proto: onnx.ModelProto, head: ClusterHead) -> None:
    """Replace the cluster outputs of a graph by those of the head."""
    graph = proto.graph
    kept = [output for output in graph.output if output.name not in CLUSTERS]
    del graph.output[:]
    graph.output.extend(kept)
    _prune(graph)
    constants: dict[str, np.ndarray[Any, Any]] = {
        "head.mean": head.mean,
        "head.centroids": np.ascontiguousarray(head.centroids.T),
        "head.tiny": np.array(np.finfo(np.float32).tiny, np.float32),
        "head.temperature": np.array(head.temperature, np.float32),
        "head.axis": np.array([1], np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(array, key) for key, array in constants.items())
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Sub", ["features", "head.mean"], "head.centred", {}),
        ("ReduceL2", ["head.centred", "head.axis"], "head.length", {"keepdims": 1}),
        ("Max", ["head.length", "head.tiny"], "head.positive", {}),
        ("Div", ["head.centred", "head.positive"], "head.unit", {}),
        ("MatMul", ["head.unit", "head.centroids"], "head.cosine", {}),
        ("Div", ["head.cosine", "head.temperature"], "head.logits", {}),
        ("Softmax", ["head.logits"], "head.softmax", {"axis": 1}),
        ("ReduceMax", ["head.softmax", "head.axis"], CLUSTERS[1], {"keepdims": 0}),
        ("ArgMax", ["head.cosine"], CLUSTERS[0], {"axis": 1, "keepdims": 0}),
    ]
    graph.node.extend(
        helper.make_node(kind, inputs, [output], name=f"head.{kind}.{n}", **attributes)
        for n, (kind, inputs, output, attributes) in enumerate(steps)
    )
    kinds = {CLUSTERS[0]: TensorProto.INT64, CLUSTERS[1]: TensorProto.FLOAT}
    graph.output.extend(helper.make_tensor_value_info(key, kinds[key], ["batch"]) for key in CLUSTERS)


def _prune(graph: onnx.GraphProto) -> None:
    """Remove nodes and constants on which no output of a graph depends."""
    needed, kept = {output.name for output in graph.output}, []
    for node in reversed(graph.node):  # in topological order
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    constants = [constant for constant in graph.initializer if constant.name in needed]
    described = [value for value in graph.value_info if value.name in needed]
    for field, values in ((graph.node, kept[::-1]), (graph.initializer, constants)):
        del field[:]
        field.extend(values)
    del graph.value_info[:]
    graph.value_info.extend(described)


def _compare(model: Path, path: Path, head: ClusterHead, tile_px: int) -> dict[str, float]:
    """Compare a file with the model's features and the clusters computed from them.

    Raises:
        ParityError: If they disagree.
    """
    first, second = (load_encoder(each, device="cpu") for each in (model, path))
    tiles = np.concatenate([batch for kind in parity_tiles(tile_px) for batch in kind])
    a, b = first.encode(tiles), second.encode(tiles)
    cluster, confidence = head.assign(a.features)
    if b.cluster is None or b.confidence is None or not np.array_equal(a.features, b.features):
        raise ParityError("with the cluster head its features are others", where=model.name)
    ordered = np.sort(head.cosines(a.features), axis=1)
    clear = np.ones(len(tiles), np.bool_) if len(head) < 2 else ordered[:, -1] - ordered[:, -2] > TIE
    same = b.cluster == cluster
    agreement = float(same[clear].mean()) if clear.any() else 1.0
    error = float(np.abs(b.confidence.astype(np.float64) - confidence.astype(np.float64)).max())
    if agreement < 1 or error > MOST_CONFIDENCE_ERROR:
        raise ParityError(
            f"clusters agree on {agreement:.4f} of the tiles, confidences within {error:.2g}",
            where=model.name,
            remedy=f"expected all, within {MOST_CONFIDENCE_ERROR:g}",
        )
    shares = {"cluster_agreement": float(same.mean()), "clear_cluster_agreement": agreement}
    return {**shares, "confidence_error": error}
