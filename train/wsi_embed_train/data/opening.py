"""Opening of a training source: from the path that the user gives to the tiles of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from wsi_embed.errors import SlideError, UsageError
from wsi_embed.slide import UInt8Array
from wsi_embed.slide.tile_images import common_size, image_digest, image_size
from wsi_embed.util.text import argument, names_of
from wsi_embed_train.data.labels import class_names, tile_labels
from wsi_embed_train.data.regions import UNSHIFTED
from wsi_embed_train.data.slides import Laid, SlideTiles, lay_slides
from wsi_embed_train.data.sources import Source, find_source
from wsi_embed_train.data.statistics import pixel_statistics, sample_of
from wsi_embed_train.data.tile_list import TileList
from wsi_embed_train.data.tiles import TrainingTiles

if TYPE_CHECKING:  # imports the networks, which the decoding processes do not need
    from wsi_embed_train.config import TrainConfig

MOST_BAD = 0.01
MPP_TOLERANCE = 0.01
DIGESTS = 2000


def open_tiles(
    source: Path,
    config: TrainConfig,
    *,
    split: str | None = None,
    labelled: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> TrainingTiles:
    """Find the training tiles of a source, and measure a sample of them.

    Args:
        source: Slides or tile images, or both: a folder (searched at any depth), one file, or a CSV with a
            column `path` (relative to the CSV) and optional columns `split`, `label`, `mpp` and `slide_id`.
        config: Settings, of which `tile_px`, `mpp`, `tissue`, `min_tissue`, `region_tiles`, `reader` and
            `seed` are used.
        split: Value of the column `split` of the CSV; other rows are ignored.
        labelled: Whether each tile needs a label.
        on_progress: Function called with the number of slides whose tissue has been found, and the number of
            all slides.

    Raises:
        UsageError: If there is nothing to train on, slides have no resolution, tiles are smaller than
            `tile_px`, labels are missing, no slide can be used, or more than 1 % of the sample is unreadable.
    """
    found = find_source(source, split)
    names = class_names(found) if labelled else None
    laid = lay_slides(found.slides, config, on_progress)
    slides = _used(found, laid)
    side = _side(found, config)
    labels = tile_labels(found, names, [(s.item.slide_id, len(s)) for s in slides]) if names else None
    tiles = TrainingTiles(
        TileList(found.root, found.images, slides, labels), side, config.tile_px, config.seed, config.reader
    )
    tiles.class_names = names
    tiles.slide_ids = sorted({slide.item.slide_id for slide in slides} | found.image_slides)
    tiles.warnings = _warnings(found, laid, config)
    tiles.facts = {"source": found.name, "split": split, "image_mpp": sorted(found.image_mpps)}
    tiles.facts["image_digests"] = _image_digests(found, config.seed)
    tiles.facts["skipped_slides"] = [{"slide": s.name, "reason": s.reason} for s in laid if s.tiles is None]
    tiles.mean, tiles.std = pixel_statistics(_sample(tiles, config.seed))
    return tiles


def _image_digests(found: Source, seed: int) -> list[str]:
    """Return digests of a sample of the images, by which an evaluation recognises training images."""
    paths = [found.root / found.images[n] for n in sample_of(len(found.images), seed, DIGESTS)]
    with ThreadPoolExecutor() as pool:
        digests = pool.map(_digest_or_none, paths)
        return sorted({digest for digest in digests if digest is not None})


def _digest_or_none(path: Path) -> str | None:
    try:
        return image_digest(path)
    except SlideError:
        return None  # the error is reported when the image is read


def _used(found: Source, laid: list[Laid]) -> list[SlideTiles]:
    """Return the slides with tiles; raise if no slide can be used or there are no tiles at all."""
    failed = [slide for slide in laid if slide.tiles is None]
    if failed and len(failed) == len(laid):
        reasons = names_of([slide.reason for slide in failed], most=1)
        raise UsageError(f"none of its {len(laid)} slides can be used: {reasons}", where=found.name)
    slides = [slide.tiles for slide in laid if slide.tiles]
    if not slides and not found.images:
        raise UsageError(
            f"no tissue found on its {len(laid)} slides",
            where=found.name,
            remedy="look with `wsi-embed plot`, or try `tissue='otsu-local'` or `min_tissue=0`",
        )
    return slides


def _side(found: Source, config: TrainConfig) -> int:
    """Return the side of the tiles: the most common side of the images, or `tile_px` if there are slides."""
    paths = [found.root / found.images[n] for n in sample_of(len(found.images), config.seed)]
    size = common_size(map(image_size, paths))
    if size is None:
        return config.tile_px
    if min(size) < config.tile_px:
        raise UsageError(
            f"tiles are {size[0]} x {size[1]} pixels, smaller than {argument('tile_px', config.tile_px)}",
            where=found.name,
            remedy=f"use {argument('tile_px', min(size))}",
        )
    return config.tile_px if found.slides else min(size)


def _sample(tiles: TrainingTiles, seed: int) -> Iterator[UInt8Array]:
    """Yield the tiles of the sample; raise at the end if too many could not be read."""
    numbers, bad = sample_of(len(tiles), seed), dict[int, SlideError]()
    for number in numbers:
        tile = tiles.read([(number, UNSHIFTED)])[number, UNSHIFTED]
        if isinstance(tile, SlideError):
            bad[number] = tile
        else:
            yield tile
    tiles.close()
    if len(bad) > MOST_BAD * len(numbers):
        reasons = [tiles.tiles.reason(n, error) for n, error in bad.items()]
        raise UsageError(
            f"{len(bad)} of {len(numbers)} tiles that were tried cannot be used, more than "
            f"{100 * MOST_BAD:g} %: {names_of(reasons)}"
        )


def _warnings(found: Source, laid: list[Laid], config: TrainConfig) -> list[str]:
    warnings = [text for slide in laid for text in slide.warnings]
    skipped = [slide.reason for slide in laid if slide.tiles is None]
    warnings += [f"slide left out: {reason}" for reason in skipped]
    other = [
        m for m in sorted(found.image_mpps) if config.mpp and abs(m - config.mpp) > MPP_TOLERANCE * config.mpp
    ]
    if other:
        listed = names_of(f"{m:g}" for m in other)
        warnings.append(
            f"{found.name}: tile images at {listed} um per pixel are taken as they are, "
            f"for the run's {config.mpp:g}"
        )
    return warnings
