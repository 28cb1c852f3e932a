"""Export of trained encoders to one self-describing file (extra `export`)."""

from wsi_embed_export.cluster_head import add_cluster_head
from wsi_embed_export.export import export
from wsi_embed_export.foreign import wrap_onnx
from wsi_embed_export.graph import TileModel
from wsi_embed_export.sources import read_source
from wsi_embed_export.stage_pooling import StagePooling
from wsi_embed_export.trained import Given, TrainedModel

__all__ = [
    "Given",
    "StagePooling",
    "TileModel",
    "TrainedModel",
    "add_cluster_head",
    "export",
    "read_source",
    "wrap_onnx",
]
