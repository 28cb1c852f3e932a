"""Stores into the formats of other tools, and their features into stores."""

from wsi_embed.convert.incoming import bring_in
from wsi_embed.convert.incoming_format import Given
from wsi_embed.convert.outgoing import Converted, convert

__all__ = ["Converted", "Given", "bring_in", "convert"]
