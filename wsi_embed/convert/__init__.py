"""Stores into the formats of other tools, and their features into stores."""

from wsi_embed.convert.incoming import bring_in
from wsi_embed.convert.job import Converted, convert
from wsi_embed.convert.source import Given

__all__ = ["Converted", "Given", "bring_in", "convert"]
