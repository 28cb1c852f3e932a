"""Random views of a batch of tiles, on the device of the tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from wsi_embed_train.augment.colour import grey, jitter
from wsi_embed_train.augment.draw import Draw
from wsi_embed_train.augment.resample import blur, box_blurs, crop
from wsi_embed_train.augment.stain import mixing, stain
from wsi_embed_train.config import TrainConfig

# Number of pixels processed at once: on a CPU few enough for temporaries to stay in cache and reused memory
# (twice as fast as whole batches), on other devices few enough for temporaries to stay below about 1 GB.
CPU_PIXELS, DEVICE_PIXELS = 2**18, 2**23


class Views(nn.Module):
    """Independent random views of tiles, computed for a whole batch with separate parameters for each tile.

    The views have the distribution of the published recipe (`published.TwoViews`), with two differences:
    the order of the four colour operations is drawn per batch instead of per tile, and intermediate grey
    levels are not rounded. The module never waits for the device.

    Args:
        config: Crop, flip, stain, jitter, grey and blur settings.
        mean: Mean of the data, RGB, in [0, 1].
        std: Standard deviation of the data, RGB, in [0, 1].
        n_views: Number of views of each tile; local crops of the settings are added.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, config: TrainConfig, mean: Sequence[float], std: Sequence[float], n_views: int = 2
    ) -> None:
        super().__init__()
        self.config = config
        self._crops = [(config.tile_px, config.crop_scale)] * n_views
        if config.local_crops and config.local_px and config.local_scale:
            self._crops += [(config.local_px, config.local_scale)] * config.local_crops
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    @torch.no_grad()
    def forward(self, tiles: Tensor) -> list[Tensor]:
        """Draw views of tiles.

        Args:
            tiles: uint8 [B, S, S, 3], of any S.

        Returns:
            `n_views` tensors, normalised float32 [B, 3, tile_px, tile_px], channels_last; then the local
            crops, [B, 3, local_px, local_px].

        Raises:
            ValueError: If the tiles have another dtype or shape.
        """
        if tiles.dtype != torch.uint8 or tiles.ndim != 4 or tiles.shape[1:] != (tiles.shape[1],) * 2 + (3,):
            raise ValueError(f"expected tiles uint8 [B, S, S, 3], got {tiles.dtype} {tuple(tiles.shape)}")
        with torch.autocast(tiles.device.type, enabled=False):
            return [self._view(tiles, px, scale) for px, scale in self._crops]

    @torch.no_grad()
    def pixels(self, view: Tensor) -> Tensor:
        """Return the pixels of a normalised view, uint8 [B, tile_px, tile_px, 3]."""
        grey_levels = (view * self.std + self.mean).mul_(255).round_().clamp_(0, 255)
        return grey_levels.to(torch.uint8).permute(0, 2, 3, 1)

    def _view(self, tiles: Tensor, px: int, scale: tuple[float, float]) -> Tensor:
        batch = len(tiles)
        draw = Draw.make(self.config, batch, tiles.shape[1], scale)
        view = torch.empty(batch, 3, px, px, device=tiles.device, memory_format=torch.channels_last)
        pixels = CPU_PIXELS if tiles.device.type == "cpu" else DEVICE_PIXELS
        step = max(1, pixels // max(px, tiles.shape[1]) ** 2)
        for start in range(0, batch, step):
            part = slice(start, start + step)
            view[part] = self._changed(tiles[part], draw[part], px).sub_(self.mean).div_(self.std)
        return view

    def _changed(self, tiles: Tensor, draw: Draw, px: int) -> Tensor:
        """Apply the drawn augmentations; return float [B, 3, px, px] in [0, 1]."""
        view = crop(tiles, on(tiles, draw.box), on(tiles, draw.flip), px)
        view = some(view, draw.stained, stain, mixing(draw.stain))
        view = some(view, draw.jittered, lambda chosen, by: jitter(chosen, by, draw.order), draw.jitter)
        view = some(view, draw.greyed, lambda chosen, _: grey(chosen).expand_as(chosen), draw.sigma)
        return some(view, draw.blurred, blur, box_blurs(draw.sigma, self.config.blur_sigma[1]))


def some(tiles: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor], by: Tensor) -> Tensor:
    """Change some tiles in place.

    Args:
        tiles: float [B, ...], on any device.
        chosen: bool [B], on the CPU.
        change: Function from the chosen tiles and their parameters to new tiles.
        by: Parameters of all tiles [B, ...], on the CPU.
    """
    index = chosen.nonzero().squeeze(1)
    if len(index) == 0:
        return tiles
    at = on(tiles, index)
    return tiles.index_copy_(0, at, change(tiles.index_select(0, at), on(tiles, by[index])))


def on(tiles: Tensor, numbers: Tensor) -> Tensor:
    """Copy numbers to the device of tiles without waiting for the copy."""
    if tiles.device.type == "cuda":
        numbers = numbers.pin_memory()
    return numbers.to(tiles.device, non_blocking=True)
