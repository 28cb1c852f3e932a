"""Available foreign formats."""

from __future__ import annotations

from wsi_embed.convert.incoming_format import Source
from wsi_embed.convert.outgoing_format import Format
from wsi_embed.util.registry import Registry

# Formats that can be written. Other packages can add their own: docs/extending.md.
FORMATS: Registry[type[Format]] = Registry(
    "to",
    {
        "trident": "wsi_embed.convert.trident:Trident",
        "clam": "wsi_embed.convert.clam:Clam",
        "dsmil": "wsi_embed.convert.dsmil:Dsmil",
        "torchmil": "wsi_embed.convert.torchmil:Torchmil",
        "anndata": "wsi_embed.convert.anndata:AnnData",
        "anndata-joined": "wsi_embed.convert.anndata:AnnDataJoined",
        "spatialdata": "wsi_embed.convert.spatialdata:SpatialData",
        "stamp": "wsi_embed.convert.stamp:Stamp",
        "slide-vectors": "wsi_embed.convert.slide_vectors:SlideVectors",
        "titan": "wsi_embed.convert.slide_encoders:Titan",
        "prism": "wsi_embed.convert.slide_encoders:Prism",
    },
    group="wsi_embed.formats",
    base="wsi_embed.convert.outgoing_format:Format",
)
# Formats that can be read.
SOURCES: Registry[type[Source]] = Registry(
    "format_name",
    {"trident": "wsi_embed.convert.trident:TridentSource", "clam": "wsi_embed.convert.clam:ClamSource"},
)
