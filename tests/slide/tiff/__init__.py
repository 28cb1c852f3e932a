"""Tests of `wsi_embed.slide.tiff`."""
