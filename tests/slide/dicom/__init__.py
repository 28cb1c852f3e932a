"""Tests of `wsi_embed.slide.dicom`."""
