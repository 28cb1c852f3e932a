"""Which part of a slide is tissue: recipes, and the mask that they make of a low-resolution view."""

from wsi_embed.tissue.mask import TissueMask, tissue_mask
from wsi_embed.tissue.parse import parse_recipe
from wsi_embed.tissue.recipe import RECIPES, TissueRecipe

__all__ = ["RECIPES", "TissueMask", "TissueRecipe", "parse_recipe", "tissue_mask"]
