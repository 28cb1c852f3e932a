"""Evaluation of the clusters of a store: agreement with labels, and distribution over slides."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import pdist
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from wsi_embed.bags.cluster_head import ARRAYS
from wsi_embed.bags.cluster_names import ClusterNames
from wsi_embed.bags.damage import damage_named, left_out, sound_bags
from wsi_embed.errors import StoreError, UsageError
from wsi_embed.evaluate.cluster_figures import Agreement, ClusterEvaluation, ClusterRow
from wsi_embed.evaluate.results import check_results_folder, results_in, write_json, write_table
from wsi_embed.evaluate.store_labels import TileLabels
from wsi_embed.store import Store
from wsi_embed.util.text import argument

Int = npt.NDArray[np.int64]
Float = npt.NDArray[np.float64]


def evaluate_clusters(
    store: Store, labels: TileLabels | None = None, *, merged: bool = False
) -> ClusterEvaluation:
    """Evaluate the clusters of a store.

    Args:
        store: The store.
        labels: Classes of some of its tiles.
        merged: Whether to evaluate clusters of the same name as one, by the number of the first.

    Raises:
        UsageError: If the store has no clusters, no tiles, or fewer than two labelled classes.
        StoreError: If the store is damaged.

    Example:
        >>> from wsi_embed import open_store
        >>> from wsi_embed.evaluate.clusters import evaluate_clusters
        >>> found = evaluate_clusters(open_store("feats.zarr"))
        >>> found.clusters
        4
    """
    total = store.clusters
    if total is None:
        raise UsageError("the model that made it has no clusters: nothing to evaluate", where=store.name)
    of_slides, damaged = _clusters(store)
    names = store.cluster_names if merged else ClusterNames()
    first = np.array([names.first(cluster) for cluster in range(total)])
    of_slides = {slide_id: first[found] for slide_id, found in of_slides.items()}
    if not of_slides:
        raise UsageError("no slide has tiles: nothing to evaluate", where=store.name)
    counts = np.stack([np.bincount(found, minlength=total) for found in of_slides.values()])
    share = counts.sum(0) / counts.sum()
    several = len(counts) > 1
    numbers, slides = (
        np.concatenate(list(of_slides.values())),
        np.repeat(np.arange(len(counts)), counts.sum(1)),
    )
    entropy = _entropy(share)
    by_label = _by_label(of_slides, labels, total) if labels else None
    classes = len(np.unique(first))
    return ClusterEvaluation(
        tiles=int(counts.sum()),
        slides=len(counts),
        clusters=classes,
        used=int((share > 0).sum()),
        entropy=entropy / math.log(classes) if classes > 1 else 0.0,
        effective=math.exp(entropy),
        slide_distance=_distance(counts) if several else None,
        slide_nmi=float(normalized_mutual_info_score(slides, numbers)) if several else None,
        rows=_rows(counts, by_label, labels, store.cluster_names),
        agreement=_agreement(by_label, labels) if labels and by_label is not None else None,
        notes=(*damaged, *(labels.notes if labels else ())),
    )


def check_clusters_folder(folder: Path | None) -> None:
    """Check, before an evaluation, that its results can be written; see `check_results_folder`.

    Raises:
        UsageError: If they cannot, or would replace the `clusters.json` of a folder of clusters.
    """
    check_results_folder(folder)
    if folder is not None and (folder / ARRAYS).exists():
        raise UsageError(
            "holds clusters of wsi-embed cluster, whose clusters.json would be replaced",
            where=argument("out", folder),
            remedy="choose another folder",
        )


def write_clusters(evaluation: ClusterEvaluation, folder: Path) -> list[Path]:
    """Write `clusters.json` and `clusters.csv`.

    Args:
        evaluation: The result.
        folder: Folder of the files, created if needed.

    Returns:
        Paths of the files.

    Raises:
        UsageError: If the folder is one of `wsi-embed cluster`.
        WsiEmbedError: If the files cannot be written.
    """
    check_clusters_folder(folder)
    files = [folder / "clusters.json", folder / "clusters.csv"]
    with results_in(folder):
        write_json(files[0], evaluation.to_dict())
        rows = (asdict(row).values() for row in evaluation.rows)
        write_table(files[1], [ClusterRow.__dataclass_fields__, *rows])
    return files


def _clusters(store: Store) -> tuple[dict[str, Int], list[str]]:
    """Return the clusters of the tiles of every slide that has tiles, and a line on each damaged slide."""
    found: dict[str, Int] = {}
    bags, notes = sound_bags(store, store)
    for slide_id, bag in bags.items():
        try:
            with damage_named(slide_id):
                if len(bag) and bag.cluster is not None:
                    found[slide_id] = np.asarray(bag.cluster[:], np.int64)
        except StoreError as error:
            notes.append(left_out(slide_id, error))
    if notes and not found:
        raise StoreError(notes[0], where=store.name)
    return found, notes


def _entropy(shares: Float) -> float:
    """Return the entropy in nats."""
    positive = shares[shares > 0]
    return max(0.0, float(-(positive * np.log(positive)).sum()))


def _distance(counts: Int) -> float:
    """Return the mean Jensen-Shannon distance (base 2) between two rows as histograms."""
    histograms = counts / counts.sum(1, keepdims=True)
    return float(pdist(histograms, "jensenshannon").mean() / math.sqrt(math.log(2)))


def _by_label(of_slides: dict[str, Int], labels: TileLabels, total: int) -> Int:
    """Count the labelled tiles of each cluster and class, int64 [clusters, classes]."""
    table = np.zeros((total, len(labels.names)), np.int64)
    for slide_id in of_slides.keys() & labels.codes.keys():
        numbers, codes = of_slides[slide_id], labels.codes[slide_id]
        np.add.at(table, (numbers[codes >= 0], codes[codes >= 0]), 1)
    if (table.sum(0) > 0).sum() < 2:
        there = [name for name, count in zip(labels.names, table.sum(0), strict=True) if count]
        has = f"all labelled tiles are {there[0]!r}" if there else "no tile has a label"
        raise UsageError(f"{has}; two classes at least are needed", where=labels.source)
    return table


def _agreement(table: Int, labels: TileLabels) -> Agreement:
    clusters, classes = (np.repeat(axis.ravel(), table.ravel()) for axis in np.indices(table.shape))
    sizes = table.sum(0)
    return Agreement(
        tiles=int(table.sum()),
        classes={name: int(size) for name, size in zip(labels.names, sizes, strict=True)},
        purity=float(table.max(1).sum() / table.sum()),
        largest_class=float(sizes.max() / table.sum()),
        nmi=float(normalized_mutual_info_score(classes, clusters)),
        ari=float(adjusted_rand_score(classes, clusters)),
    )


def _rows(counts: Int, table: Int | None, labels: TileLabels | None, names: ClusterNames) -> list[ClusterRow]:
    shares = counts / counts.sum(1, keepdims=True)
    rows = []
    for cluster in np.argsort(-counts.sum(0), kind="stable").tolist():
        of_slides, tiles = shares[:, cluster], int(counts[:, cluster].sum())
        if not tiles:
            continue
        even = _entropy(of_slides / of_slides.sum()) / math.log(len(counts)) if len(counts) > 1 else None
        label = purity = None
        if table is not None and labels is not None and table[cluster].any():
            label = labels.names[int(table[cluster].argmax())]
            purity = float(table[cluster].max() / table[cluster].sum())
        share = tiles / int(counts.sum())
        on_slides = int((of_slides > 0).sum())
        name = names.names.get(cluster)
        rows.append(ClusterRow(cluster, name, tiles, share, on_slides, even, label, purity))
    return rows
