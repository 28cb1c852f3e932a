"""A piece of real tissue that comes with the package, and slides made of it."""

from wsi_embed.sample.slide import tissue_picture, write_sample_slide

__all__ = ["tissue_picture", "write_sample_slide"]
