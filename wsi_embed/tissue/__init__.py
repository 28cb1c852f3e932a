"""Tissue detection: recipes, and the mask that they compute from a low-resolution view of a slide."""

from wsi_embed.tissue.mask import TissueMask, tissue_mask
from wsi_embed.tissue.parse import parse_recipe
from wsi_embed.tissue.recipe import RECIPES, TissueRecipe

__all__ = ["RECIPES", "TissueMask", "TissueRecipe", "parse_recipe", "tissue_mask"]
