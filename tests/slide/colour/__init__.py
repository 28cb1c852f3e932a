"""Tests of `wsi_embed.slide.colour`."""
