"""Evaluation of the features between epochs by nearest neighbours on labelled tiles."""

from __future__ import annotations

import lightning as L

from wsi_embed.evaluate.knn import evaluate_knn
from wsi_embed_train.callbacks.checkpoints import Checkpoints
from wsi_embed_train.labelled import LabelledSet, tile_features
from wsi_embed_train.module import Training


class OnlineKnn(L.Callback):
    """Classification of labelled test tiles by their nearest training tile, between epochs and at the end.

    The macro F1 is logged and selects `best.ckpt`. The evaluation does not affect training: it draws no
    random numbers and puts the network into evaluation mode only temporarily.

    Args:
        tiles: The labelled tiles.
        every_epochs: Interval between evaluations, epochs.
        checkpoints: Writer of checkpoints, which receives the score.
    """

    def __init__(self, tiles: LabelledSet, every_epochs: int, checkpoints: Checkpoints) -> None:
        self.tiles, self.every_epochs, self.checkpoints = tiles, every_epochs, checkpoints

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Evaluate in the first process if an evaluation is due; the other processes wait."""
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
