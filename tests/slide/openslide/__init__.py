"""Tests of `wsi_embed.slide.openslide`."""
