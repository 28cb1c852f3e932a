"""Stores whose tiles have places, features and clusters that the tests choose; annotations for them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.store.made_stores import make_settings, open_writer, write_slide
from wsi_embed.encoder.base import Encoded
from wsi_embed.evaluate.tile_set import TileSet
from wsi_embed.store import Store, open_store
from wsi_embed.util.digest import canonical_digest

# Tiles lie four a row and do not overlap; see `make_grid`.
EXTENT = 800


@dataclass(frozen=True)
class MadeSlide:
    """What a slide of a made store has."""

    features: npt.NDArray[np.float32]
    cluster: npt.NDArray[np.int64] | None = None
    patient: str | None = None


def made_store(
    path: Path,
    slides: Mapping[str, MadeSlide],
    *,
    clusters: int | None = 4,
    model: Mapping[str, Any] | None = None,
) -> Store:
    """Write a store; `model` replaces values of the model's metadata."""
    dim = next(iter(slides.values())).features.shape[1]
    settings = make_settings(dim=dim, clusters=clusters)
    writer = open_writer(path, settings)
    for slide_id, slide in slides.items():
        n = len(slide.features)
        cluster = np.zeros(n, np.int64) if slide.cluster is None else slide.cluster
        encoded = (
            Encoded(slide.features, cluster, np.ones(n, np.float32)) if clusters else Encoded(slide.features)
        )
        write_slide(writer, slide_id, encoded, batch=1000, attributes=_attributes(slide_id, slide.patient))
    if model:
        document = path / "zarr.json"
        values = json.loads(document.read_text())
        attributes = values["attributes"]
        attributes["model"].update(model)
        covered = {name: value for name, value in attributes.items() if name != "digest"}
        attributes["digest"] = canonical_digest(covered)
        document.write_text(json.dumps(values))
    return open_store(path)


def _attributes(slide_id: str, patient: str | None) -> dict[str, Any]:
    return {
        "slide": f"{slide_id}.tif", "patient": patient, "slide_fingerprint": slide_id, "size": [8000, 8000],
        "bounds": [0, 0, 8000, 8000], "level": 1, "read_px": 200, "tile_px": 224, "effective_mpp": 0.5,
        "level_downsample": 4.0, "stride": 200, "settings": {}, "extent": 800.0,
    }  # fmt: skip


def region(label: str, first: tuple[int, int], last: tuple[int, int]) -> dict[str, Any]:
    """A rectangle around whole tiles, as QuPath writes it: from (row, column) to (row, column)."""
    top, left = (EXTENT * place for place in first)
    bottom, right = (EXTENT * (place + 1) for place in last)
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"classification": {"name": label}},
    }


def annotate(folder: Path, slide_id: str, *regions: dict[str, Any]) -> None:
    """Write a slide's annotation file."""
    folder.mkdir(exist_ok=True)
    (folder / f"{slide_id}.geojson").write_text(json.dumps(list(regions)))


def grouped_tiles(labels: Sequence[str], groups: Sequence[object], **changes: Any) -> TileSet:
    """Tiles with labels and groups; `changes` replaces values of the other columns."""
    empty = np.full(len(labels), "")
    columns: dict[str, Any] = {
        "source": "tiles.csv", "names": [f"t{n}" for n in range(len(labels))], "labels": np.array(labels),
        "test": np.zeros(len(labels), np.bool_), "groups": np.array([str(group) for group in groups]),
        "slides": empty, "patients": empty,
    }  # fmt: skip
    return TileSet(**(columns | changes))


def table(path: Path, header: str, *rows: str) -> Path:
    """Write a CSV."""
    path.write_text("\n".join([header, *rows]) + "\n")
    return path
