"""Many slides into one store. The unit of work is a slide: independent and idempotent."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from wsi_embed.encoder import Encoder
from wsi_embed.errors import ModelError
from wsi_embed.inputs import SlideInput
from wsi_embed.pipeline import BadTile
from wsi_embed.plan import Tiling
from wsi_embed.store import StoreSettings, StoreWriter


@dataclass(frozen=True)
class Job:
    """Everything an engine needs to run slides.

    Attributes:
        slides: What to do.
        encoder: The loaded model.
        store: The open store; None for a dry run where there is none yet.
        settings: What all slides of the store share.
        tiling: How slides are tiled.
        batch_size: Tiles a batch.
        workers: Reader threads.
        overwrite: Redo slides that are in the store with other settings.
        on_bad_tile: What to do with a tile that cannot be read: `fail` the slide, or take it as `white`.
        dry_run: Only say what would be done.
        versions: Recorded with every slide.
    """

    slides: list[SlideInput]
    encoder: Encoder
    store: StoreWriter | None
    settings: StoreSettings
    tiling: Tiling
    batch_size: int
    workers: int
    overwrite: bool
    on_bad_tile: BadTile = "fail"
    dry_run: bool = False
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def how(self) -> str:
        """Model, device, reader threads and batch size, for people."""
        readers = f"{self.workers} reader thread{'s' * (self.workers != 1)}"
        name, device = self.encoder.metadata.name, self.encoder.device
        text = f"{name} on {device}, {readers}, batches of {self.batch_size}"
        trained, mpp = self.encoder.metadata.mpp, self.settings.mpp
        if trained is not None and abs(trained - mpp) > 0.01 * trained:
            text += f"; tiles at {mpp:g} um per pixel, but the model was trained at {trained:g}"
        return text

    def names(self, item: SlideInput) -> dict[Path, str]:
        """What reports and logs call the paths that have to do with a slide."""
        names = {item.path: item.name}
        if item.roi is not None:
            names[item.roi] = item.roi.name
        if self.store is not None:
            names[self.store.path] = self.store.path.name
        return names


def store_settings(encoder: Encoder, dtype: str) -> StoreSettings:
    """What a store of this encoder's features fixes.

    Raises:
        ModelError: Neither the model nor the user says a resolution.
    """
    m = encoder.metadata
    if encoder.mpp is None:
        raise ModelError(
            f"{encoder.path.name} does not say at which resolution it was trained; give --mpp (um per pixel)"
        )
    return StoreSettings(m.model_id, m.tile_px, encoder.mpp, dtype, m.feature_dim, m.clusters)
