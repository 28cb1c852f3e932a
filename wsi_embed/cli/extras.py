"""Where the commands find `needs_extra`."""

from wsi_embed.extras import needs_extra

__all__ = ["needs_extra"]
