"""Heat maps of the attention of a multiple-instance model."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from wsi_embed.errors import StoreError, UsageError
from wsi_embed.plot.legend import Entry
from wsi_embed.slide import UInt8Array
from wsi_embed.store import Bag, Store
from wsi_embed.store.attention import Attention, SlideAttention
from wsi_embed.util.text import argument, percent

# Ranks in the legend, and their names.
STEPS = ((1.0, "highest"), (0.75, "75 %"), (0.5, "median"), (0.25, "25 %"), (0.0, "lowest"))
TOP = 0.01


@dataclass(frozen=True)
class Heat:
    """Heat map of the attention of a slide.

    Attributes:
        rank: Rank of the attention of each tile within the slide, 0 (lowest) to 1 (highest), float64 [N].
        facts: Caption.
    """

    rank: npt.NDArray[np.float64]
    facts: str

    @property
    def colours(self) -> UInt8Array:
        """RGB colour of each tile, uint8 [N, 3]."""
        return rank_colours(self.rank)

    @property
    def entries(self) -> list[Entry]:
        """Lines of the legend."""
        colours = rank_colours(np.array([rank for rank, _ in STEPS])).tolist()
        steps = [Entry(name, fill=(r, g, b)) for (_, name), (r, g, b) in zip(STEPS, colours, strict=True)]
        return [Entry("attention, rank"), *steps]


def slide_heat(found: SlideAttention, bag: Bag, method: str, column: str | None = None) -> Heat:
    """Convert the attention of a slide to ranks, as its scale differs between methods and slides.

    Args:
        found: The attention.
        bag: Bag of the slide.
        method: Method that produced the attention.
        column: Class of the attention; by default the predicted one.

    Raises:
        StoreError: If the attention is for other tiles than those of the bag.
        UsageError: If there is no attention for that class.
    """
    if not np.array_equal(found.grid, bag.grid[:]):
        raise StoreError(
            "its attention is about other tiles than the store has",
            where=bag.slide_id,
            remedy="run eval mil again",
        )
    name, paid = found.column(column)
    of = "attention" if len(found.columns) == 1 else f"attention for {name}"
    likely = found.predicted
    if found.probabilities:  # a predicted number has none
        likely += f" ({found.probabilities[found.predicted]:.2f})"
    labelled = f"labelled {found.label}, " if found.label else ""
    facts = f"{method}, {of}; {labelled}predicted {likely}"
    if len(paid):
        most = np.sort(paid)[::-1][: max(1, round(TOP * len(paid)))]
        held = percent(float(most.sum() / max(paid.sum(), 1e-12)))
        facts += f"; {held} of it on the {percent(len(most) / len(paid))} of tiles with the most"
    return Heat(ranks(paid), facts)


def ranks(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the rank of each value, 0 to 1, float64 [N]; equal values get their mean rank."""
    if len(values) < 2:
        return np.ones(len(values))
    ordered = np.sort(values)
    first, last = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    return (first + last - 1) / 2 / (len(values) - 1)


def rank_colours(rank: npt.NDArray[np.float64]) -> UInt8Array:
    """Return the colours of ranks, dark violet to yellow (viridis), RGB uint8 [N, 3]."""
    levels = np.rint(255 * rank).astype(np.uint8)[:, None]
    if not len(levels):
        return np.empty((0, 3), np.uint8)
    return np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[:, 0, ::-1], np.uint8)


def check_attention(attention: Attention, store: Store) -> None:
    """Check that the attention is for features of the model of a store.

    Args:
        attention: The attention.
        store: The store.

    Raises:
        UsageError: If it is for features of another model.
    """
    if (made := attention.attrs.get("model_id")) != store.model_id:
        raise UsageError(
            f"of features of model {made}, and {store.name} has {store.model_id}",
            where=argument("attention", attention.path),
        )
