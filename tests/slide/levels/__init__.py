"""Tests of `wsi_embed.slide.levels`."""
