"""When the callbacks look: at some steps only, for every look waits for the device."""

from __future__ import annotations

import lightning as L


def is_look(trainer: L.Trainer, every: int) -> bool:
    """Whether the step that has just ended is the first, one in `every`, or the last of an epoch."""
    if trainer.fit_loop._should_accumulate():
        return False
    return trainer.global_step % every == 0 or trainer.global_step == 1 or trainer.is_last_batch


def agreed(trainer: L.Trainer, here: bool) -> bool:
    """Whether it is so in any process; all of them ask at the same step."""
    if trainer.world_size == 1:
        return here
    return bool(trainer.strategy.reduce_boolean_decision(here, all=False))
