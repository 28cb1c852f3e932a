"""Tiling settings shared by all slides of a job."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from wsi_embed.errors import UsageError
from wsi_embed.grid import Edge
from wsi_embed.quality import QualityLimits
from wsi_embed.regions import RegionRules
from wsi_embed.slide import Reader
from wsi_embed.slide.readers import check_reader
from wsi_embed.tissue import TissueRecipe
from wsi_embed.util.text import argument


class TilingTarget(Protocol):
    """Requested tiles and output, shared by all slides of a job."""

    @property
    def tile_px(self) -> int:
        """Side of a tile, pixels."""

    @property
    def mpp(self) -> float:
        """Requested micrometres per pixel of a tile."""

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""

    def decisive(self) -> dict[str, Any]:
        """Return the settings that determine the output for a slide."""


@dataclass(frozen=True)
class Tiling:
    """Tiling settings beyond those of the target.

    Attributes:
        overlap: Overlap of neighbouring tiles, target pixels.
        edge: Whether to `drop` or `pad` tiles that extend beyond the slide.
        tissue: Tissue recipe.
        min_tissue: Smallest share of tissue in a tile, 0 to 1.
        mpp_default: Micrometres per level-0 pixel of slides whose metadata do not say it.
        mpp_override: Micrometres per level-0 pixel of every slide, instead of the slide's metadata.
        force: Whether a given resolution may differ from the metadata by more than a factor of two.
        regions: Rules for annotated regions.
        icc: Whether pixels are converted to sRGB with the slide's embedded ICC profile.
        reader: Name of the reader; see `open_slide`.
        fast_downsample: Whether the JPEG decoder does part of the resampling, where it can.
        limits: Limits of quality, beyond which tiles are left out.
    """

    overlap: int = 0
    edge: Edge = "drop"
    tissue: TissueRecipe = field(default_factory=TissueRecipe)
    min_tissue: float = 0.25
    mpp_default: float | None = None
    mpp_override: float | None = None
    force: bool = False
    regions: RegionRules = field(default_factory=RegionRules)
    icc: bool = False
    reader: Reader = "auto"
    fast_downsample: bool = False
    limits: QualityLimits = field(default_factory=QualityLimits)

    def __post_init__(self) -> None:
        if self.edge not in ("drop", "pad"):
            raise UsageError("choose drop or pad", where=argument("edge", self.edge))
        check_reader(self.reader)
        if not 0 <= self.min_tissue <= 1:
            raise UsageError("a share from 0 to 1 is expected", where=argument("min_tissue", self.min_tissue))

    def to_dict(self) -> dict[str, Any]:
        """Return all options as JSON values; regions are named `roi`."""
        values = {f.name: plain(getattr(self, f.name)) for f in fields(self)}
        if "roi" in values:
            raise ValueError("an option cannot be named 'roi': that is what reports call `regions`")
        return {("roi" if name == "regions" else name): value for name, value in values.items()}


def plain(value: Any) -> Any:
    """Return an option as a JSON value: the result of its `to_dict`, if it has one."""
    return value.to_dict() if hasattr(value, "to_dict") else value
