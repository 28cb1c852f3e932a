"""The Lightning module of a run: views, loss, optimizer and checkpoint contents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from torch import Tensor, nn

from wsi_embed_train.augment import Views
from wsi_embed_train.config import TrainConfig
from wsi_embed_train.data import TileBatch
from wsi_embed_train.distributed import processes
from wsi_embed_train.methods import Encoder, Method, build_method
from wsi_embed_train.methods.distil import Taught
from wsi_embed_train.sampler import TileSampler
from wsi_embed_train.schedule import learning_rate_factor
from wsi_embed_train.stages import evaluate_frozen, freeze_parameters, frozen_names, learning_rate_factors
from wsi_embed_train.teacher import Teacher
from wsi_embed_train.weights.initial import InitialWeights, load_initial


class Training(L.LightningModule):
    """A method, its views and its optimizer, with the learning rate scaled by batch and a cosine per epoch.

    Args:
        config: Settings of the run.
        data: Description of the data for the export: `mean`, `std`, `tiles`, `source`, and `classes` if
            the tiles have labels.
        sampler: Sampler of the batches. Its position is saved in the checkpoint.
        initial: Weights that the backbone starts from; None for random ones.
        teacher: Teacher of a distillation.

    Attributes:
        row: Figures of the current step. Callbacks add to them and log them.
        logits: Cluster logits of all views of the current step.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: dict[str, Any],
        sampler: TileSampler,
        initial: InitialWeights | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__()
        self.config, self.data, self.sampler, self.teacher = config, data, sampler, teacher
        classes = len(data["classes"]) if "classes" in data else None
        self.network = build_method(config.method, vars(config), classes, data.get("teacher")).to(
            memory_format=torch.channels_last
        )
        self._frozen = frozen_names(self.network.encoder.backbone, config.freeze)
        for backbone in self._backbones():
            if initial is not None:
                load_initial(initial, backbone)
            freeze_parameters(backbone, self._frozen)
        self.views = Views(config, data["mean"], data["std"], self.network.n_views)
        self.row: dict[str, float | Tensor] = {}
        self.logits: Tensor | None = None
        self._resumed: dict[str, Any] | None = None
        self.train()

    def _backbones(self) -> list[nn.Module]:
        """Return the backbone that is trained, and those of target networks."""
        return [part.backbone for part in self.network.modules() if isinstance(part, Encoder)]

    def train(self, mode: bool = True) -> Training:
        """Set the training mode of all modules but the frozen ones."""
        super().train(mode)
        for backbone in self._backbones():
            evaluate_frozen(backbone, self._frozen)
        return self

    def training_step(self, batch: TileBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            views: Sequence[Tensor] = self.views(batch.tiles)
            taught = () if self.teacher is None else (self._taught(self.teacher, batch, views),)
        step = self.network(views, batch.labels, *taught)
        self.logits = step.logits
        self.row |= {"loss": step.loss.detach(), **step.terms}
        loss: Tensor = step.loss
        return loss

    def _taught(self, teacher: Teacher, batch: TileBatch, views: Sequence[Tensor]) -> Taught:
        """Return what the teacher says of the tiles, or of the student's view of them."""
        if self.config.teacher_sees == "view":
            return teacher(self.views.pixels(views[0]))
        return teacher(batch.tiles, batch.numbers)

    def on_train_start(self) -> None:
        """Restore the random state of a resumed run, or seed each process differently."""
        if self.teacher is not None and self.teacher.cache is not None:
            if self.trainer.is_global_zero:
                self.teacher.cache.create()
            self.trainer.strategy.barrier("teacher")
            self.teacher.cache.open()
        if self._resumed is not None:
            _restore_random(self._resumed["random"], self.config.seed + self.global_step)
            self._resumed = None
        elif processes() > 1:
            torch.manual_seed(self.config.seed + 1_000_003 * self.global_rank)

    def on_train_epoch_start(self) -> None:
        """Let the method prepare the epoch."""
        self.network.before_epoch(self.progress)

    def on_train_batch_start(self, batch: TileBatch, batch_idx: int) -> None:
        """Start a new row of figures and set the learning rates of the epoch."""
        self.row = {}
        optimizer = self.trainer.optimizers[0]
        set_learning_rates(optimizer, self.config, self.current_epoch)
        self.row["lr"] = learning_rate(self.config, self.current_epoch)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Let the method modify the gradients."""
        self.network.before_step(self.progress)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Step, then update the target network, so that no checkpoint is taken between the two."""
        optimizer.step(closure=optimizer_closure)
        self.network.after_step((self.global_step + 1) / self.trainer.estimated_stepping_batches)

    @property
    def progress(self) -> float:
        """Share of the run's steps that is done, 0 to 1."""
        return self.global_step / self.trainer.estimated_stepping_batches

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Create the optimizer over the parameter groups of the method."""
        return make_optimizer(self.network, self.config)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the values that export and resume need."""
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        batches: int = progress.processed
        ended = batches >= len(self.sampler)
        checkpoint["wsi_embed"] = {
            "config": self.config.to_dict(),
            "data": self.data,
            "epochs_done": self.current_epoch + ended,
            "steps": self.global_step,
            "position": [self.current_epoch + 1, 0] if ended else [self.current_epoch, batches],
            "random": _random_of_all(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Move the sampler to the position of the interrupted run, before the workers prefetch."""
        self._resumed = checkpoint["wsi_embed"]
        self.sampler.start_at(*self._resumed["position"])


def make_optimizer(network: Method, config: TrainConfig) -> torch.optim.Optimizer:
    """Create the optimizer over the parameter groups of a method.

    The learning rate is scaled by the batch size, and by stage of the backbone if `layer_decay` is below 1.
    """
    backbone = network.encoder.backbone
    decay = config.layer_decay
    groups = network.parameter_groups(
        config.weight_decay,
        exclude_norm_bias=config.exclude_norm_bias,
        backbone_factors=learning_rate_factors(backbone, decay) if decay < 1 else None,
    )
    lr = learning_rate(config, 0, scheduled=False)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=lr, betas=(config.momentum, 0.999))
    return torch.optim.SGD(groups, lr=lr, momentum=config.momentum)


def learning_rate(config: TrainConfig, epoch: int, *, scheduled: bool = True) -> float:
    """Return the learning rate of an epoch (from 0), scaled by the batch size.

    Args:
        config: Settings of the run.
        epoch: Index of the epoch.
        scheduled: Whether warm-up and cosine apply.
    """
    factor = learning_rate_factor(epoch, config.epochs, config.warmup_epochs) if scheduled else 1.0
    return config.lr * config.batch_size / 256 * factor


def set_learning_rates(optimizer: torch.optim.Optimizer, config: TrainConfig, epoch: int) -> None:
    """Set the learning rate of every group for an epoch (from 0), except fixed ones (`fix_pred_lr`)."""
    for group in optimizer.param_groups:
        rate = learning_rate(config, epoch, scheduled=not group["fixed_lr"])
        group["lr"] = rate * group["lr_factor"]


def _random_of_all() -> list[dict[str, Tensor]]:
    """Gather the random states of all processes; a collective call."""
    own = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        own["cuda"] = torch.cuda.get_rng_state()
    states: list[Any] = [own]
    if processes() > 1:
        states = [None] * processes()
        dist.all_gather_object(states, own)
    return states


def _restore_random(states: list[dict[str, Tensor]], seed: int) -> None:
    rank = dist.get_rank() if processes() > 1 else 0
    if len(states) != processes():  # no state for each process: a new seed, so that no numbers repeat
        torch.manual_seed(seed + 1_000_003 * rank)
        return
    torch.set_rng_state(states[rank]["cpu"].cpu())
    if "cuda" in states[rank] and torch.cuda.is_available():
        torch.cuda.set_rng_state(states[rank]["cuda"].cpu())
