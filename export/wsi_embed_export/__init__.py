"""Export of trained encoders to one self-describing file (extra `export`)."""

from wsi_embed_export.export import export
from wsi_embed_export.graph import TileModel

__all__ = ["TileModel", "export"]
