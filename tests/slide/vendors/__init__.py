"""Tests of `wsi_embed.slide.vendors`."""
