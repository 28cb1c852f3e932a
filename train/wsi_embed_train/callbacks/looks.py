"""Timing of the callbacks' checks. Not every step is checked, as every check waits for the device."""

from __future__ import annotations

import lightning as L


def is_step_done(trainer: L.Trainer) -> bool:
    """Return whether the batch that has just ended completes a step of the optimizer.

    With `accumulate`, a step takes several batches; the last batch of an epoch always completes one.
    """
    batches = trainer.fit_loop.batch_idx + 1
    return batches % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch


def is_look(trainer: L.Trainer, every: int) -> bool:
    """Return whether the step just done is the first, one in `every`, or the last of an epoch."""
    if not is_step_done(trainer):
        return False
    return trainer.global_step % every == 0 or trainer.global_step == 1 or trainer.is_last_batch


def agreed(trainer: L.Trainer, condition: bool) -> bool:
    """Return whether a condition holds in any process; all of them must call this at the same step."""
    if trainer.world_size == 1:
        return condition
    return bool(trainer.strategy.reduce_boolean_decision(condition, all=False))
