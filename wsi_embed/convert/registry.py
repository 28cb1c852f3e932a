"""Which foreign formats there are."""

from __future__ import annotations

import importlib
from typing import Any

from wsi_embed.convert.incoming_format import Source
from wsi_embed.convert.outgoing_format import Format
from wsi_embed.errors import UsageError

# Of each that can be written, where its class is.
WRITTEN = {
    "trident": "trident.Trident",
    "clam": "clam.Clam",
    "dsmil": "dsmil.Dsmil",
    "torchmil": "torchmil.Torchmil",
    "anndata": "anndata.AnnData",
    "anndata-joined": "anndata.AnnDataJoined",
    "stamp": "stamp.Stamp",
}
# Of each that can be read.
READ = {"trident": "trident.TridentSource", "clam": "clam.ClamSource"}


def written_format(name: str) -> type[Format]:
    """The class of a format that can be written.

    Raises:
        UsageError: There is no such format.
    """
    kind: type[Format] = _class("--to", name, WRITTEN)
    return kind


def read_format(name: str) -> type[Source]:
    """The class of a format that can be read.

    Raises:
        UsageError: There is no such format.
    """
    kind: type[Source] = _class("--from", name, READ)
    return kind


def _class(flag: str, name: str, places: dict[str, str]) -> Any:
    if name not in places:
        raise UsageError(f"{flag} {name}: choose one of {', '.join(places)}")
    module, _, found = places[name].partition(".")
    return getattr(importlib.import_module(f"wsi_embed.convert.{module}"), found)
