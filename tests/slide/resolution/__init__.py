"""Tests of `wsi_embed.slide.resolution`."""
