"""Regions of a slide: annotations from GeoJSON and ASAP XML; tissue, tiles and clusters to GeoJSON."""

from __future__ import annotations

from wsi_embed.regions.annotation_files import read_annotations, slide_annotations, with_annotations
from wsi_embed.regions.classes import tile_classes
from wsi_embed.regions.polygons import Polygon, Regions, Ring
from wsi_embed.regions.roi_rules import RegionRules, check_rules, read_regions, slide_regions

__all__ = [
    "Polygon",
    "RegionRules",
    "Regions",
    "Ring",
    "check_rules",
    "read_annotations",
    "read_regions",
    "slide_annotations",
    "slide_regions",
    "tile_classes",
    "with_annotations",
]
