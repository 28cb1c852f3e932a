"""Addresses of the viewer's server, one topic in each module; see `wsi_embed.viewer.endpoints`."""
