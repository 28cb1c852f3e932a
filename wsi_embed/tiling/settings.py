"""How all slides of a job are tiled, and which settings decide a slide's arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
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


def decisive(
    tiling: Tiling,
    target: TilingTarget,
    slide: str,
    mpp: float,
    roi: str | None,
    icc: dict[str, Any] | bool,
    resampling: str,
    reader: str | None,
    levels: list[list[float]] | None,
) -> dict[str, Any]:
    """Return everything that decides a slide's arrays, plain values.

    The reader counts where another gives other pixels, the levels where they are not plainly OpenSlide's.
    """
    settings = {
        **target.decisive(),
        "slide": slide,
        "slide_mpp": mpp,
        "overlap": tiling.overlap,
        "edge": tiling.edge,
        "tissue": tiling.tissue.to_dict(),
        "min_tissue": tiling.min_tissue,
        "roi": roi,
        "icc": icc,
        "resampling": resampling,
    }
    if reader is not None:  # on any level: the tissue is found on another than the tiles
        settings["reader"] = reader
    if levels is not None:
        settings["levels"] = levels
    return settings


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Which settings differ, for people: `overlap 0 -> 16, tissue.close_um 64 -> 32`."""
    a, b = _flat(before), _flat(now)
    names = sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))
    return ", ".join(f"{k} {a.get(k)} -> {b.get(k)}" for k in names)


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, item in value.items():
        out |= _flat(item, f"{prefix}{name}.") if isinstance(item, dict) else {f"{prefix}{name}": item}
    return out
