"""Count of tiles that cannot be read. They are replaced; too many of them end the run."""

from __future__ import annotations

import lightning as L

from wsi_embed.errors import WsiEmbedError
from wsi_embed_train.callbacks.looks import agreed
from wsi_embed_train.data import TileBatch

LARGEST_SHARE = 0.01


class UnreadableTiles(L.Callback):
    """Counter of the tiles that the loader had to replace.

    Args:
        tiles: Number of tiles of the source.

    Raises:
        WsiEmbedError: If more than 1 % of the tiles cannot be read. It is raised during training.
    """

    def __init__(self, tiles: int) -> None:
        self.tiles = tiles
        self.names: set[str] = set()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: TileBatch, batch_idx: int
    ) -> None:
        """Count the unreadable tiles of a batch."""
        self.names.update(batch.bad)
        if agreed(trainer, len(self.names) > LARGEST_SHARE * self.tiles):
            first = ", ".join(sorted(self.names)[:3]) + (", ..." if len(self.names) > 3 else "")
            raise WsiEmbedError(
                f"{len(self.names)} of {self.tiles} tiles cannot be read, more than 1 %: {first}",
                remedy="repair or remove them",
            )

    def state_dict(self) -> dict[str, object]:
        """Return the names of the unreadable tiles, for a resumed run."""
        return {"names": sorted(self.names)}

    def load_state_dict(self, state_dict: dict[str, list[str]]) -> None:
        """Restore the names of an interrupted run."""
        self.names = set(state_dict["names"])
