"""Processing of a slide by `wsi-embed embed`: features and clusters of its tiles, as a group in a store."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from wsi_embed.encoder import Encoder, EncoderPool
from wsi_embed.encoder.batch_size import default_batch
from wsi_embed.errors import ModelError, SlideError
from wsi_embed.features.pipeline import BadTile, stream_slide
from wsi_embed.jobs.job import Job, threads
from wsi_embed.jobs.report import SlideResult
from wsi_embed.jobs.slide_work import SlideWork
from wsi_embed.quality.tiles import TileQuality
from wsi_embed.storage.folder import METADATA_FILE
from wsi_embed.storage.open_folder import place_at
from wsi_embed.store import StoreSettings, StoreWriter

# If more than this share of the tiles cannot be read, the whole slide is considered damaged.
MOST_BAD = 0.5


@dataclass(frozen=True, kw_only=True)
class FeatureJob(Job):
    """Job that writes slides into a feature store.

    Attributes:
        settings: Settings shared by all slides of the store.
        encoders: Loaded model.
        store: Open store; None for a dry run without an existing one.
        batch_size: Number of tiles per batch; None if each process that receives the job determines it.
        on_bad_tile: Handling of a tile that cannot be read: `fail` the slide, or take the tile as `white`.
        quality: Whether the quality of every tile is measured and stored.
    """

    settings: StoreSettings
    encoders: EncoderPool
    store: StoreWriter | None
    batch_size: int | None
    on_bad_tile: BadTile = "fail"
    quality: bool = True
    output: ClassVar[str] = "the store"

    @property
    def how(self) -> str:
        """Description of model, device, reader threads and batch size."""
        about, where = self.encoders.first.metadata, self.encoders.where
        text = f"{about.name} on {where}, {threads(self.workers)}"
        if self.batch_size is not None:
            text += f", batches of {self.batch_size}"
        trained, mpp = about.mpp, self.settings.mpp
        if trained is not None and abs(trained - mpp) > 0.01 * trained:
            text += f"; tiles at {mpp:g} um per pixel, but the model was trained at {trained:g}"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return the settings for the report."""
        return {
            **super().to_dict(),
            "on_bad_tile": self.on_bad_tile,
            "batch_size": self.batch_size,
            "quality": self.quality,
        }

    @property
    def lock_file(self) -> Path | None:
        """Metadata document of the store's root."""
        return place_at(self.out).lock_file(METADATA_FILE)

    @contextlib.contextmanager
    def lock(self, slide_id: str) -> Iterator[bool]:
        """Lock a slide, and finish its replacement if a job ended in the middle of it."""
        with super().lock(slide_id) as free:
            if free and self.store is not None:
                self.store.recover(slide_id)
            yield free

    def committed(self, slide_id: str) -> dict[str, Any] | None:
        """Return the attributes of a slide that is complete in the store, or None."""
        return self.store.committed(slide_id) if self.store else None

    def in_worker(self) -> Self:
        """Prepare the job in a worker process, and check its model.

        Raises:
            ModelError: If the worker loaded another model than the job was started with.
        """
        here = self.encoders.first
        if here.model_id != self.settings.model_id:
            raise ModelError("another model than where the job was started", where=here.path)
        return replace(super().in_worker(), batch_size=self.batch_size or default_batch(here))

    @property
    def around_unreadable(self) -> bool:
        """Whether parts of a slide that cannot be read are passed over."""
        return self.on_bad_tile == "white"

    def describe_complete(self, result: SlideResult, committed: dict[str, Any]) -> None:
        """Add the store's facts about a complete slide to its result."""
        super().describe_complete(result, committed)
        result.bad_tiles = len(committed.get("bad_tiles", ()))
        if result.bad_tiles:
            result.warnings.append(_bad_tiles(result))

    def write(
        self,
        work: SlideWork,
        readers: ThreadPoolExecutor,
        stop: threading.Event,
        on_tiles: Callable[[int], None],
    ) -> None:
        """Encode the tiles and commit the slide's group."""
        plan, grid, mask = work.plan, work.grid, work.mask
        result, seconds = work.result, work.seconds
        assert self.store is not None, "only a dry run has none"
        assert self.batch_size is not None, "a job that was sent has found one"
        quality = TileQuality(grid, mask.glass) if self.quality else None
        with self.store.slide(plan.item.slide_id, grid, mask, quality.arrays if quality else {}) as writer:
            try:
                bad = stream_slide(
                    plan.slide,
                    grid,
                    self.encoders,
                    writer,
                    batch_size=self.batch_size,
                    readers=readers,
                    in_flight=self.workers + self.encoders.size + 2,
                    seconds=seconds,
                    stop=stop,
                    on_tiles=on_tiles,
                    on_bad_tile=self.on_bad_tile,
                    quality=quality,
                    all_submitted=work.all_read.set,
                )
            except SlideError:
                plan.check_unchanged()  # if the file changed, that is the better explanation
                raise
            _count_bad(result, bad)
            plan.check_unchanged()
            began = time.perf_counter()
            found = {"bad_tiles": bad, "tissue_share": result.tissue, **_quality(result, quality, bad)}
            writer.commit({**plan.attributes(grid, self.tiling, self.versions), **found})
            seconds.write += time.perf_counter() - began


def _quality(result: SlideResult, quality: TileQuality | None, bad: list[int]) -> dict[str, Any]:
    """Return the attribute on the quality of a slide's tiles, and add it to the result."""
    found = quality.attributes(bad) if quality else {}
    result.focus, result.blurred = found.get("focus"), found.get("blurred")
    if result.poor_tiles:
        found["left_out"] = result.poor_tiles
    return {"quality": found} if found else {}


def _count_bad(result: SlideResult, bad: list[int]) -> None:
    result.bad_tiles = len(bad)
    if len(bad) > MOST_BAD * result.tiles:
        raise SlideError(
            f"{len(bad)} of {result.tiles} tiles cannot be read",
            where=result.slide,
            remedy="copy the slide again",
        )
    if bad:
        result.warnings.append(_bad_tiles(result))


def _bad_tiles(result: SlideResult) -> str:
    return (
        f"{result.slide}: {result.bad_tiles} of {result.tiles} tiles could not be read and were taken as "
        "white; the group's attribute bad_tiles has their rows"
    )


def store_settings(encoder: Encoder, dtype: str) -> StoreSettings:
    """Return the settings of a store with this encoder's features.

    Raises:
        ModelError: If neither the model nor the user states a resolution.
    """
    m = encoder.metadata
    if encoder.mpp is None:
        raise ModelError(
            f"{encoder.path.name} does not say at which resolution it was trained",
            remedy="give `mpp=` (um per pixel)",
        )
    return StoreSettings(m.model_id, m.tile_px, encoder.mpp, dtype, m.feature_dim, m.clusters)
