"""Weights that a training starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument, counted, names_of
from wsi_embed_train.weights.files import load_tensors, named_digest
from wsi_embed_train.weights.positions import fitted
from wsi_embed_train.weights.published import fits, network_weights

# Counters of batch norms, which old files lack.
_COUNTERS = "num_batches_tracked"


@dataclass(frozen=True)
class InitialWeights:
    """Weights of a file that fit a backbone.

    Attributes:
        name: Name of the file, and the beginning of its SHA-256.
        tensors: The weights that fit, by their names in the backbone.
        missing: Names in the backbone for which the file has no weights.
        misfits: Names in the backbone for which the file has weights of another shape.
        unused: Names in the file, behind the same prefix, that the backbone does not have.
        resampled: Lines about position embeddings that were resampled to the grid of the backbone.
        mean: RGB mean of the images that the weights expect; None if the file does not tell.
        std: RGB standard deviation of these images; None if the file does not tell.
        licence: Licence of the weights, as given by the user, or recorded in a run of `wsi-embed train`.
        history: Weights and teacher of the run that the weights are from, as it records them.
    """

    name: str
    tensors: dict[str, Tensor] = field(repr=False)
    missing: tuple[str, ...]
    misfits: tuple[str, ...]
    unused: tuple[str, ...]
    resampled: tuple[str, ...] = ()
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    licence: str = ""
    history: dict[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of tensors of the backbone."""
        return len(self.tensors) + len(self.missing) + len(self.misfits)

    def to_dict(self) -> dict[str, Any]:
        """Return what the run and the exported model record."""
        return {
            "weights": self.name,
            "licence": self.licence,
            "tensors": len(self.tensors),
            "tensors_of_backbone": self.total,
            **({"resampled": list(self.resampled)} if self.resampled else {}),
            **({"of_run": self.history} if self.history else {}),
        }

    def __str__(self) -> str:
        text = f"{self.name}: {len(self.tensors)} of {counted(self.total, 'tensor')} of the backbone"
        for names, what in (
            (self.missing, "not in the file"),
            (self.misfits, "of another shape or type"),
            (self.unused, "not used"),
        ):
            shown = [name if name.isprintable() else repr(name) for name in names]
            text += f"; {what}: {names_of(shown)}" if names else ""
        return "; ".join([text, *self.resampled])


def read_initial(path: Path, backbone: nn.Module, *, least_share: float, licence: str = "") -> InitialWeights:
    """Read the weights of a file that fit a backbone by name and shape.

    Names are compared after the prefix, such as `module.` or `teacher.backbone.`, behind which the most
    weights fit. Names of transformers, DINOv2, open_clip and others are translated, and position embeddings
    of another grid are resampled.

    Args:
        path: A run folder or checkpoint of `wsi-embed train`, a checkpoint of the CluSiam repository, a
            state dict or a safetensors file.
        backbone: The network.
        least_share: Minimum share of the backbone's tensors that must fit, 0 to 1.
        licence: Licence of the weights.

    Raises:
        UsageError: If the file cannot be read, or fewer weights fit.
    """
    folder, path = path, checkpoint_of(path)
    content = load_tensors(path)
    wanted = {name: tensor for name, tensor in backbone.state_dict().items() if not name.endswith(_COUNTERS)}
    try:
        state, resampled = fitted(network_weights(content, wanted), wanted)
    except UsageError as error:
        raise error.replace(where=path.name) from error
    state = {name: tensor for name, tensor in state.items() if not name.endswith(_COUNTERS)}
    fitting = {name: state[name].float() for name in wanted if fits(state.get(name), wanted[name])}
    mean, std = _normalisation(content)
    history = _history(content)
    found = InitialWeights(
        name=f"{folder.resolve().name}/" * folder.is_dir() + named_digest(path),
        tensors=fitting,
        missing=tuple(name for name in wanted if name not in state),
        misfits=tuple(name for name in wanted if name in state and name not in fitting),
        unused=tuple(name for name in state if name not in wanted),
        resampled=resampled,
        mean=mean,
        std=std,
        licence=licence or licence_of(history),
        history=history,
    )
    if len(fitting) < least_share * len(wanted) or not fitting:
        raise UsageError(
            f"too few of its weights fit the backbone: {found}",
            where=argument("init", path.name),
            remedy="choose the `backbone=` they belong to" + ", or a lower `init_share=`" * bool(fitting),
        )
    if bad := [name for name, tensor in fitting.items() if not torch.isfinite(tensor).all()]:
        raise UsageError(f"weights that are NaN or infinite: {names_of(bad)}", where=path.name)
    if bad := [name for name, t in fitting.items() if name.endswith("running_var") and (t < 0).any()]:
        raise UsageError(f"negative variances: {names_of(bad)}", where=path.name, remedy="is the file whole?")
    return found


def checkpoint_of(path: Path) -> Path:
    """Return the weights' file, which is the last checkpoint if a run folder is given.

    Raises:
        UsageError: If there is no such file.
    """
    if "://" in str(path) or str(path).startswith(("http:/", "https:/")):
        raise UsageError(
            "an address, and nothing is downloaded", where=path, remedy="download the file first"
        )
    file = path / "checkpoints" / "last.ckpt" if path.is_dir() else path
    if not file.is_file():
        what = "has no checkpoints/last.ckpt" if path.is_dir() else "no such file"
        raise UsageError(what, where=path, remedy="give weights, or a run folder, as `init=`")
    return file


def load_initial(weights: InitialWeights, backbone: nn.Module) -> None:
    """Copy weights into a backbone; tensors for which there are none stay as they are."""
    backbone.load_state_dict(weights.tensors, strict=False)


def _normalisation(content: Mapping[str, Any]) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Return the normalisation that a checkpoint of `wsi-embed train` records."""
    try:
        data = content["wsi_embed"]["data"]
        mean, std = ([float(value) for value in data[key]] for key in ("mean", "std"))
    except (KeyError, TypeError, ValueError):
        return None, None
    usable = (
        len(mean) == len(std) == 3 and all(0 <= m <= 1 for m in mean) and all(1e-3 <= s <= 1 for s in std)
    )
    return (tuple(mean), tuple(std)) if usable else (None, None)


def _history(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run of `wsi-embed train` records of its initial weights and its teacher."""
    try:
        data = content["wsi_embed"]["data"]
        return {key: data[key] for key in ("init", "teacher") if isinstance(data.get(key), dict)}
    except (KeyError, TypeError, AttributeError):
        return {}


def licence_of(training: Mapping[str, Any]) -> str:
    """Return the licences of the initial weights and of the teacher that a run records."""
    licences = [training.get("init", {}).get("licence")]
    if teacher := training.get("teacher"):
        licences.append(f"{teacher.get('licence') or 'unknown'} (teacher {teacher.get('name')})")
    return "; ".join(filter(None, licences))
