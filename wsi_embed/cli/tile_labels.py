"""`wsi-embed view STORE --export-labels FILE`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsi_embed.cli.lines import say
from wsi_embed.cli.wording import in_flags

LABELS = "Labels of tiles"


def write_labels(
    stores: Sequence[str], clusters: Path | None, file: Path, images: Path | None, min_confidence: float
) -> None:
    """Write the labels of the tiles of one store, and show how many there are."""
    from wsi_embed.cli.tables import show_facts
    from wsi_embed.errors import UsageError
    from wsi_embed.explore.tile_labels import export_labels
    from wsi_embed.store import open_named_store
    from wsi_embed.util.text import counted

    if len(stores) != 1:
        raise UsageError("--export-labels takes one store")
    store = open_named_store(stores[0], clusters=clusters)
    found = export_labels(store, file, images=images, min_confidence=min_confidence)
    facts: dict[str, object] = {"labels": file, "slides": found.slides}
    facts |= {name: counted(count, "tile") for name, count in found.tiles.items()}
    show_facts(facts, [])
    for note in found.notes:
        say(f"note: {in_flags(note)}")
