"""Quality of tiles: sharpness, pen marks and darkness, measured on the pixels of each tile."""

from wsi_embed.quality.limits import QualityLimits
from wsi_embed.quality.measures import MEASURES, Measure

__all__ = ["MEASURES", "Measure", "QualityLimits"]
