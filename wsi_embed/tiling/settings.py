"""How all slides of a job are tiled."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from wsi_embed.errors import UsageError
from wsi_embed.grid import Edge
from wsi_embed.regions import RegionRules
from wsi_embed.slide import Reader
from wsi_embed.slide.readers import check_reader
from wsi_embed.tissue import TissueRecipe


class TilingTarget(Protocol):
    """What all slides of a job share: which tiles are asked for, and what becomes of them."""

    @property
    def tile_px(self) -> int:
        """Side of a tile, pixels."""

    @property
    def mpp(self) -> float:
        """Micrometres per pixel of a tile that was asked for."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""

    def decisive(self) -> dict[str, Any]:
        """Plain values that decide what is made of a slide."""


@dataclass(frozen=True)
class Tiling:
    """How slides are tiled, beyond what the target fixes.

    Attributes:
        overlap: Of neighbouring tiles, target pixels.
        edge: `drop` or `pad` tiles that stick out of the slide.
        tissue: The tissue recipe.
        min_tissue: Tiles with a smaller share of tissue are left out, 0 to 1.
        mpp_override: Micrometres per level-0 pixel of every slide, whatever its metadata say.
        regions: Which annotated regions are taken.
        icc: Whether pixels are converted to sRGB by the slide's embedded ICC profile.
        reader: Which reader opens slides; see `open_slide`.
        fast_downsample: Whether the JPEG decoder does a part of the resampling, where it can.
    """

    overlap: int = 0
    edge: Edge = "drop"
    tissue: TissueRecipe = field(default_factory=TissueRecipe)
    min_tissue: float = 0.25
    mpp_override: float | None = None
    regions: RegionRules = field(default_factory=RegionRules)
    icc: bool = False
    reader: Reader = "auto"
    fast_downsample: bool = False

    def __post_init__(self) -> None:
        if self.edge not in ("drop", "pad"):
            raise UsageError(f"--edge {self.edge}: choose drop or pad")
        check_reader(self.reader)
        if not 0 <= self.min_tissue <= 1:
            raise UsageError(f"--min-tissue {self.min_tissue}: a share from 0 to 1 is expected")

    def to_dict(self) -> dict[str, Any]:
        """Return all options as plain values; regions are called `roi`."""
        values = {f.name: plain(getattr(self, f.name)) for f in fields(self)}
        return {("roi" if name == "regions" else name): value for name, value in values.items()}


def plain(value: Any) -> Any:
    """Return an option's value as plain values: that of `to_dict`, where it has one."""
    return value.to_dict() if hasattr(value, "to_dict") else value
