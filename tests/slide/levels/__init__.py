"""Tests of `wsi_embed.slide.ome_zarr`."""
