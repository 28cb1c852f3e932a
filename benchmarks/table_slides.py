"""The paper's table at slide level: a store of each model's features, and DSMIL on its bags."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import wsi_embed
from wsi_embed_export import Given, export, read_source
from wsi_embed_train import build_method, load_recipe
from wsi_embed_train.evaluate.mil.run import evaluate_mil
from wsi_embed_train.evaluate.mil.settings import MilSettings

# DSMIL on CAMELYON16: accuracy, AUC of normal, AUC of tumour (Wu et al., ICCV 2023).
PAPER = {
    "supervised": (0.651, 0.635, 0.635), "simclr": (0.822, 0.845, 0.874), "swav": (0.876, 0.866, 0.859),
    "pcl": (0.488, 0.535, 0.496), "barlow": (0.860, 0.873, 0.945), "byol": (0.558, 0.501, 0.586),
    "clubyol-paper": (0.923, 0.947, 0.975), "simsiam": (0.721, 0.656, 0.680),
    "clusiam": (0.907, 0.945, 0.952),
}  # fmt: skip
SEEDS = 3


@dataclass(frozen=True)
class Bags:
    """What slides become bags, and how.

    Attributes:
        slides: Files, a folder or a manifest.
        labels: A table for `wsi-embed eval mil`.
        tissue: As for `wsi-embed`.
        overlap: Of tiles, pixels.
        mpp: Of tiles; None takes that of the training.
    """

    slides: Path
    labels: Path
    tissue: str
    overlap: int
    mpp: float | None

    def score(self, model: Path, out: Path) -> dict[str, float | None]:
        """Mean scores of DSMIL over folds and seeds, on features of a model; the store goes to `out`.

        Raises:
            RuntimeError: A slide failed.
        """
        report = wsi_embed.embed(
            self.slides, out, model=model, mpp=self.mpp, tissue=self.tissue, overlap=self.overlap
        )
        if report.exit_code:
            bad = next(slide for slide in report.slides if slide.status == "failed")
            raise RuntimeError(f"{bad.slide_id}: {bad.reason}")
        store = wsi_embed.open_store(out)
        found = evaluate_mil(
            store, wsi_embed.join_labels(store, self.labels), MilSettings("dsmil"), seeds=SEEDS
        )
        means = {name: interval.mean for name, interval in found.intervals.items()}
        return {name: None if math.isnan(mean) else mean for name, mean in means.items()}


def export_untrained(run: Path, seed: int, out: Path) -> None:
    """The network of a run as it starts, with the run's normalisation."""
    trained = read_source(run)
    torch.manual_seed(seed)
    backbone = build_method(load_recipe("clubyol")).encoder.backbone
    weights = out.with_suffix(".pt")
    torch.save(backbone.state_dict(), weights)
    given = Given(tuple(trained.mean), tuple(trained.std), trained.tile_px, trained.mpp)
    export("torchvision:resnet18", out, given=given, weights=weights, name="untrained")


def print_slides(scores: dict[str, list[dict[str, Any]]]) -> None:
    """One line a method: mean of its trainings, least and most; the paper's accuracy and AUCs beside it."""
    figures = list(next(iter(scores.values()))[0])
    heads = ["features", "trainings", *figures, "paper: accuracy, AUC normal, tumour"]
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for name, found in scores.items():
        cells = [spread([each[figure] for each in found]) for figure in figures]
        paper = ", ".join(f"{value:.3f}" for value in PAPER.get(name, ()))
        print("| " + " | ".join([name, str(len(found)), *cells, paper]) + " |")


def spread(values: list[float | None]) -> str:
    """Mean, least and most of those that there are."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return "".join(f"{value:.3f}" for value in known) or "-"
    return f"{statistics.mean(known):.3f} ({min(known):.3f} to {max(known):.3f})"
