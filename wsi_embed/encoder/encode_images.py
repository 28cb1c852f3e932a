"""Features of tile images from an exported model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from wsi_embed.encoder.base import Encoded, Encoder, concatenated
from wsi_embed.slide import UInt8Array
from wsi_embed.slide.tile_images import fit_image, read_image
from wsi_embed.util.progress import tracked


def encode_images(
    model: Encoder,
    paths: Sequence[Path],
    batch_size: int = 32,
    on_tiles: Callable[[int], None] | None = None,
) -> Encoded:
    """Encode tile images: the central square of each, downsampled by area to the model's tile size.

    Args:
        model: Encoder to run.
        paths: Image files; at least one.
        batch_size: Number of tiles per batch.
        on_tiles: Function called after each batch with the number of its tiles.

    Returns:
        Features and clusters of the images, in the order of `paths`.

    Raises:
        TileError: If an image cannot be read, or is smaller than the model's tiles.

    Example:
        >>> from pathlib import Path
        >>> import wsi_embed
        >>> from wsi_embed.encoder.encode_images import encode_images
        >>> report = wsi_embed.tile("slides/", "patches/", mpp=0.5, tile_px=224)
        >>> paths = sorted(Path("patches").glob("*/*.png"))
        >>> encoded = encode_images(wsi_embed.load_encoder("model.onnx"), paths)
        >>> len(encoded.features) == len(paths)
        True
    """
    encoded = []
    batches = image_batches(paths, model.metadata.tile_px, batch_size)
    for batch in tracked(batches, "batches of tiles encoded", -(-len(paths) // batch_size)):
        encoded.append(model.encode(batch))
        if on_tiles:
            on_tiles(len(batch))
    return concatenated(encoded)


def image_batches(paths: Sequence[Path], px: int, size: int) -> Iterator[UInt8Array]:
    """Yield tile images in batches, uint8 [B, px, px, 3], decoded by several threads."""

    def read(path: Path) -> UInt8Array:
        return fit_image(read_image(path), px, px, path)

    with ThreadPoolExecutor(thread_name_prefix="wsi-embed-tiles") as pool:
        for start in range(0, len(paths), size):
            yield np.stack(list(pool.map(read, paths[start : start + size])))
