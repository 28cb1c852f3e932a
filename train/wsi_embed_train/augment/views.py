"""Random views of a batch of tiles, on the device that the tiles are on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from wsi_embed_train.augment.colour import grey, jitter
from wsi_embed_train.augment.draw import Draw
from wsi_embed_train.augment.resample import blur, box_blurs, crop
from wsi_embed_train.augment.stain import mixing, stain
from wsi_embed_train.config import TrainConfig

# Pixels that are worked on at once: on a CPU so few that temporaries stay in its cache and in freed memory
# (twice as fast as whole batches), on other devices so many that temporaries stay below about 1 GB.
CPU_PIXELS, DEVICE_PIXELS = 2**18, 2**23


class Views(nn.Module):
    """Independent augmentations of tiles, all of a batch at once and each tile by its own draw.

    The published recipe in distribution (`published.TwoViews`); only the order of the four colour operations
    is drawn for a batch instead of a tile, and grey levels are not rounded in between. It never waits for the
    device.

    Args:
        config: Crop, flip, stain, jitter, grey and blur settings.
        mean: Mean of the data, RGB, in [0, 1].
        std: Standard deviation of the data, RGB, in [0, 1].
        n_views: Views of each tile.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, config: TrainConfig, mean: Sequence[float], std: Sequence[float], n_views: int = 2
    ) -> None:
        super().__init__()
        self.config, self.n_views = config, n_views
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    @torch.no_grad()
    def forward(self, tiles: Tensor) -> list[Tensor]:
        """Draw views of tiles.

        Args:
            tiles: uint8 [B, S, S, 3], of any S.

        Returns:
            `n_views` of float32 [B, 3, tile_px, tile_px], normalised, channels_last.

        Raises:
            ValueError: The tiles are something else.
        """
        if tiles.dtype != torch.uint8 or tiles.ndim != 4 or tiles.shape[1:] != (tiles.shape[1],) * 2 + (3,):
            raise ValueError(f"expected tiles uint8 [B, S, S, 3], got {tiles.dtype} {tuple(tiles.shape)}")
        with torch.autocast(tiles.device.type, enabled=False):
            return [self._view(tiles) for _ in range(self.n_views)]

    def _view(self, tiles: Tensor) -> Tensor:
        batch, px = len(tiles), self.config.tile_px
        draw = Draw.make(self.config, batch, tiles.shape[1])
        view = torch.empty(batch, 3, px, px, device=tiles.device, memory_format=torch.channels_last)
        pixels = CPU_PIXELS if tiles.device.type == "cpu" else DEVICE_PIXELS
        step = max(1, pixels // max(px, tiles.shape[1]) ** 2)
        for start in range(0, batch, step):
            part = slice(start, start + step)
            view[part] = self._changed(tiles[part], draw[part]).sub_(self.mean).div_(self.std)
        return view

    def _changed(self, tiles: Tensor, draw: Draw) -> Tensor:
        """Float [B, 3, tile_px, tile_px] in [0, 1]."""
        view = crop(tiles, on(tiles, draw.box), on(tiles, draw.flip), self.config.tile_px)
        view = some(view, draw.stained, stain, mixing(draw.stain))
        view = some(view, draw.jittered, lambda chosen, by: jitter(chosen, by, draw.order), draw.jitter)
        view = some(view, draw.greyed, lambda chosen, _: grey(chosen).expand_as(chosen), draw.sigma)
        return some(view, draw.blurred, blur, box_blurs(draw.sigma, self.config.blur_sigma[1]))


def some(tiles: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor], by: Tensor) -> Tensor:
    """Change some tiles in place.

    Args:
        tiles: float [B, ...], on any device.
        chosen: bool [B], on the CPU.
        change: From the chosen tiles and their numbers to what replaces them.
        by: Numbers [B, ...], on the CPU.
    """
    index = chosen.nonzero().squeeze(1)
    if len(index) == 0:
        return tiles
    at = on(tiles, index)
    return tiles.index_copy_(0, at, change(tiles.index_select(0, at), on(tiles, by[index])))


def on(tiles: Tensor, numbers: Tensor) -> Tensor:
    """Send numbers to where tiles are, without waiting for it."""
    if tiles.device.type == "cuda":
        numbers = numbers.pin_memory()
    return numbers.to(tiles.device, non_blocking=True)
