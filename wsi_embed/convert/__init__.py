"""Conversion of stores to the formats of other tools, and of their features to stores."""

from wsi_embed.convert.incoming import bring_in
from wsi_embed.convert.incoming_format import Given
from wsi_embed.convert.outgoing import Converted, convert
from wsi_embed.convert.outgoing_format import Format, Item

__all__ = ["Converted", "Format", "Given", "Item", "bring_in", "convert"]
