"""How good are the features so far? Nearest neighbours on labelled tiles, between epochs."""

from __future__ import annotations

import lightning as L

from wsi_embed.evaluate.knn import evaluate_knn
from wsi_embed_train.callbacks.checkpoints import Checkpoints
from wsi_embed_train.labelled import LabelledSet, tile_features
from wsi_embed_train.module import Training


class OnlineKnn(L.Callback):
    """Classifies the set's test tiles by their nearest training tile, every so many epochs and at the end.

    The macro F1 goes into the epoch's row and decides about `best.ckpt`. Training is as it would be
    without: no random numbers are drawn, and the network is in evaluation mode meanwhile.

    Args:
        tiles: The labelled tiles.
        every_epochs: Epochs from one to the next.
        checkpoints: Told the score.
    """

    def __init__(self, tiles: LabelledSet, every_epochs: int, checkpoints: Checkpoints) -> None:
        self.tiles, self.every_epochs, self.checkpoints = tiles, every_epochs, checkpoints

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Evaluate, where it is due; in the first process, the others wait."""
        epoch = trainer.current_epoch + 1
        if epoch % self.every_epochs and epoch != trainer.max_epochs:
            return
        assert isinstance(pl_module, Training)
        score = 0.0
        if trainer.is_global_zero:
            train, test = (
                tile_features(
                    pl_module.network.encoder.backbone, tiles, pl_module.data["mean"], pl_module.data["std"],
                    pl_module.config.tile_px, pl_module.device,
                )
                for tiles in (self.tiles.train, self.tiles.test)
            )  # fmt: skip
            found = evaluate_knn(train, self.tiles.train.labels, test, self.tiles.test.labels)
            pl_module.row |= {
                "knn_f1": found.f1_macro,
                "knn_balanced_accuracy": found.balanced_accuracy,
            }
            score = found.f1_macro
        trainer.strategy.barrier("knn")
        self.checkpoints.score = float(trainer.strategy.broadcast(score))
