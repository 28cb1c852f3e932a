"""Stores whose slides have files and patients, to join labels to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.store.made_stores import make_encoded, make_settings, open_writer, write_slide
from wsi_embed.store import Store, open_store

# Of each slide its file, patient and number of tiles.
SLIDES: dict[str, tuple[str, str | None, int]] = {
    "a1": ("a1.svs", "ann", 5),
    "a2": ("a2.svs", "ann", 9),
    "b1": ("b1.ome.tif", "bo", 4),
    "batch%202__c1": ("batch 2/c1.svs", "cy", 3),
    "d.2024": ("d.2024.svs", None, 2),
}


def make_store(path: Path, slides: Mapping[str, tuple[str, str | None, int]] = SLIDES) -> Store:
    settings = make_settings()
    writer = open_writer(path, settings)
    for number, (slide_id, (file, patient, tiles)) in enumerate(slides.items()):
        attributes = {"slide": file, "patient": patient}
        write_slide(writer, slide_id, make_encoded(tiles, settings, seed=number), attributes=attributes)
    return open_store(path)
