from __future__ import annotations

from typing import Any

import lightning as L
import pytest
import torch

from wsi_embed_train.callbacks.looks import is_step_done


class Line(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(batch[0]).mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


class Watch(L.Callback):
    def __init__(self) -> None:
        self.said: list[bool] = []
        self.steps = [0]

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        self.said.append(is_step_done(trainer))
        self.steps.append(trainer.global_step)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_step_is_done_when_the_optimizer_has_moved(accumulate: int) -> None:
    watch = Watch()
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=2,
        accumulate_grad_batches=accumulate,
        callbacks=[watch],
        enable_model_summary=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        logger=False,
    )
    data = torch.utils.data.TensorDataset(torch.ones(7, 1))
    trainer.fit(Line(), torch.utils.data.DataLoader(data))
    moved = [after > before for before, after in zip(watch.steps, watch.steps[1:], strict=False)]
    assert watch.said == moved
    assert sum(moved) == 2 * (7 if accumulate == 1 else 3)
