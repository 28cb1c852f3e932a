"""Figures of an evaluation of clusters."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ClusterRow:
    """Figures of one cluster.

    Attributes:
        cluster: Number of the cluster.
        name: Name that people gave it; None without one.
        tiles: Number of its tiles.
        share: Share of all tiles.
        slides: Number of slides with the cluster.
        evenness: Normalised entropy of its shares of the slides, each slide with the same weight: 1 if it has
            the same share of every slide, 0 if it is on one slide only. None for a single slide.
        label: Most frequent label of its labelled tiles; None if no tile is labelled.
        purity: Share of its labelled tiles with that label.
    """

    cluster: int
    name: str | None
    tiles: int
    share: float
    slides: int
    evenness: float | None
    label: str | None = None
    purity: float | None = None


@dataclass(frozen=True)
class Agreement:
    """Agreement of clusters with labels, over the labelled tiles.

    Attributes:
        tiles: Number of labelled tiles.
        classes: Number of labelled tiles of each class.
        purity: Share of tiles with the most frequent label of their cluster (Manning et al., Introduction
            to Information Retrieval, 2008, 16.3).
        largest_class: Purity of a single cluster, for comparison.
        nmi: Mutual information, normalised by the arithmetic mean of the entropies.
        ari: Adjusted Rand index (Hubert and Arabie, 1985); 0 is chance level.
    """

    tiles: int
    classes: dict[str, int]
    purity: float
    largest_class: float
    nmi: float
    ari: float


@dataclass(frozen=True)
class ClusterEvaluation:
    """Result of `evaluate_clusters`.

    Attributes:
        tiles: Number of tiles of all slides.
        slides: Number of slides with tiles.
        clusters: Number of clusters, or of classes of merged clusters.
        used: Number of clusters with at least one tile.
        entropy: Entropy of the clusters' shares of the tiles, divided by that of equal shares, 0 to 1.
        effective: Number of equally large clusters with that entropy.
        slide_distance: Mean Jensen-Shannon distance (base 2, 0 to 1) between the cluster histograms of two
            slides; None for a single slide.
        slide_nmi: Normalised mutual information of cluster and slide. It grows with differences in stain,
            scanner or tissue between slides. None for a single slide.
        rows: Figures of every used cluster, the largest first.
        agreement: Agreement with labels; None without labels.
        notes: Notes on data that was left out.
    """

    tiles: int
    slides: int
    clusters: int
    used: int
    entropy: float
    effective: float
    slide_distance: float | None
    slide_nmi: float | None
    rows: list[ClusterRow]
    agreement: Agreement | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values for JSON."""
        return asdict(self)
