"""Maps of the quality of a slide's tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.bag import Bag
from wsi_embed.bags.damage import damage_named
from wsi_embed.errors import StoreError
from wsi_embed.plot.attention import rank_colours
from wsi_embed.plot.legend import Entry
from wsi_embed.quality.measures import BLURRED, MEASURES, Measure
from wsi_embed.slide import UInt8Array
from wsi_embed.util.text import percent

# Parts of the colour scale that the legend shows.
STEPS = (1.0, 0.75, 0.5, 0.25, 0.0)
# Colour of tiles that could not be read.
UNREADABLE = (160, 160, 160)


@dataclass(frozen=True)
class QualityMap:
    """Map of a measure of quality.

    Attributes:
        measure: The measure.
        values: Value of each tile, float64 [N]; NaN for tiles that could not be read.
    """

    measure: Measure
    values: npt.NDArray[np.float64]

    @property
    def colours(self) -> UInt8Array:
        """RGB colour of each tile, uint8 [N, 3]. The scale is the same for all slides."""
        unreadable = np.isnan(self.values)
        colours = rank_colours(np.clip(np.where(unreadable, 0, self.values) / self.measure.top, 0, 1))
        colours[unreadable] = UNREADABLE
        return colours

    @property
    def entries(self) -> list[Entry]:
        """Lines of the legend."""
        colours = rank_colours(np.array(STEPS)).tolist()
        names = [f"{self.measure.top * step:.2g}" for step in STEPS]
        names[0] += " or more" * (self.measure.top != 1)
        steps = [Entry(name, fill=(r, g, b)) for name, (r, g, b) in zip(names, colours, strict=True)]
        if np.isnan(self.values).any():
            steps.append(Entry("unreadable", fill=UNREADABLE))
        return [Entry(f"{self.measure.title.lower()}, {self.measure.unit}"), *steps]

    @property
    def facts(self) -> str:
        """Caption."""
        values = self.values[~np.isnan(self.values)]
        if not len(values):
            return "no tiles"
        text = f"{self.measure.title}: median {np.median(values):.3g} {self.measure.unit}"
        if self.measure is MEASURES["focus"]:
            text += f"; {percent(float((values < BLURRED).mean()))} of the tiles below {BLURRED:g}"
        return text


def quality_map(bag: Bag, name: str) -> QualityMap:
    """Read a measure of quality of a slide.

    Args:
        bag: Bag of the slide.
        name: Name of the measure, a key of `MEASURES`.

    Raises:
        StoreError: If the bag is damaged, or has no such array.
    """
    with damage_named(bag.slide_id):
        if name not in bag.quality:
            raise StoreError(
                f"has no array {name}",
                where=bag.slide_id,
                remedy="it was made without quality, or by a version before 0.3: embed it again into another "
                "store",
            )
        return QualityMap(MEASURES[name], bag.read_quality()[name].astype(np.float64))
