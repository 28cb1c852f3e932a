"""Bags of which one class has a witness: a tile that is like no other. A method has to find it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.evaluate.made import MadeSlide, made_store
from wsi_embed.bags.labels import LabelledBag, LabelledBags
from wsi_embed.store import Store

DIM = 8


@dataclass(frozen=True)
class Witnessed:
    """A store, the class of each slide (`a`, or `b` with a witness), and the witness's row."""

    store: Store
    labels: dict[str, str]
    rows: dict[str, int]


def witnessed(path: Path, count: int = 36, *, of_patient: int = 1) -> Witnessed:
    """Make such a store; `of_patient` slides of one class are of one patient."""
    rng = np.random.default_rng(0)
    slides, labels, rows = {}, {}, {}
    for number in range(count):
        slide_id, tiles = f"s{number:02}", int(rng.integers(6, 14))
        features = rng.normal(size=(tiles, DIM)).astype(np.float32)
        clusters, row = rng.integers(0, 3, tiles), int(rng.integers(tiles))
        if number % 2:
            features[row] += np.where(np.arange(DIM) % 2, 5, -5)
            clusters[row] = 3
        patient = f"p{number // 2 // of_patient}{'ab'[number % 2]}"
        slides[slide_id] = MadeSlide(features, clusters, patient)
        labels[slide_id], rows[slide_id] = "ab"[number % 2], row
    return Witnessed(made_store(path, slides), labels, rows)


def bags_of(
    labels: Mapping[str, str],
    *,
    patients: Mapping[str, str] | None = None,
    splits: Mapping[str, str] | None = None,
    folds: Mapping[str, int] | None = None,
) -> LabelledBags:
    """Bags of one slide each."""
    bags = tuple(
        LabelledBag(
            name,
            (name,),
            (patients or {}).get(name),
            label,
            (splits or {}).get(name),
            (folds or {}).get(name),
        )
        for name, label in labels.items()
    )
    return LabelledBags(bags, tuple(sorted(set(labels.values()))), "slide")


def split_in_three(labels: Mapping[str, str]) -> dict[str, str]:
    """The last third of the bags is tested."""
    return {name: "test" if n >= 2 * len(labels) / 3 else "train" for n, name in enumerate(labels)}
