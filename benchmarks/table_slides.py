"""Slide-level table of the paper: DSMIL on the bags of a store of a model's features."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import wsi_embed
from benchmarks.table_tiles import print_table
from wsi_embed.errors import SlideError
from wsi_embed.evaluate.mil.run import evaluate_mil
from wsi_embed.evaluate.mil.settings import MilSettings
from wsi_embed.store import Store

# DSMIL on CAMELYON16: accuracy, AUC of normal, AUC of tumour (Wu et al., ICCV 2023).
PAPER = {
    "supervised": (0.651, 0.635, 0.635), "simclr": (0.822, 0.845, 0.874), "swav": (0.876, 0.866, 0.859),
    "pcl": (0.488, 0.535, 0.496), "barlow": (0.860, 0.873, 0.945), "byol": (0.558, 0.501, 0.586),
    "clubyol-paper": (0.923, 0.947, 0.975), "simsiam": (0.721, 0.656, 0.680),
    "clusiam": (0.907, 0.945, 0.952),
}  # fmt: skip


@dataclass(frozen=True)
class Slides:
    """Slides of the bags, and settings of their tiles.

    Attributes:
        source: Files, a folder or a manifest.
        tissue: Tissue recipe, as for `wsi-embed`.
        overlap: Overlap of tiles, pixels.
        mpp: Micrometres per pixel of the tiles; None takes that of the model.
        labels: Table for `wsi-embed eval mil`.
        seeds: Number of repetitions of DSMIL on the bags of each fold.
    """

    source: str
    tissue: str
    overlap: int
    mpp: float | None
    labels: Path
    seeds: int

    def store(self, model: Path, out: Path) -> Store:
        """Embed the slides with a model, except those that the store already contains.

        Raises:
            SlideError: If a slide fails.
        """
        report = wsi_embed.embed(
            self.source, out, model=model, mpp=self.mpp, tissue=self.tissue, overlap=self.overlap
        )
        for slide in report.slides:
            if slide.status == "failed":
                raise SlideError(f"{slide.slide_id}: {slide.reason}; mend it or leave it out of --slides")
        return wsi_embed.open_store(out)

    def score(self, store: Store) -> dict[str, float | None]:
        """Return the mean scores of DSMIL over folds and seeds; None for a score that no fold has."""
        bags = wsi_embed.join_labels(store, self.labels)
        found = evaluate_mil(store, bags, MilSettings("dsmil"), seeds=self.seeds)
        means = {name: interval.mean for name, interval in found.intervals.items()}
        return {name: None if math.isnan(mean) else mean for name, mean in means.items()}


def print_slides(rows: Mapping[str, list[dict[str, float | None]]]) -> None:
    """Print one line per method: mean, minimum and maximum over trainings, and the figures of the paper."""
    figures = list(next(iter(rows.values()))[0])
    print_table(
        figures,
        {row: [[each[name] for name in figures] for each in known] for row, known in rows.items()},
        "paper: accuracy, AUC normal, tumour",
        {name: ", ".join(f"{value:.3f}" for value in values) for name, values in PAPER.items()},
    )
