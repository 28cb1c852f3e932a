"""Stages of a backbone, from its input to its features: what to freeze, and learning rates by stage."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import nn

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument, counted, names_of

WHOLE = "all"
SHOWN = 12
_NUMBERED = re.compile(r"(.*?)\d+")


def stages_of(backbone: nn.Module) -> list[str]:
    """Return the names of the stages of a backbone: submodules that follow each other.

    These are numbered parts with most of the weight tensors, such as `layer1` to `layer4` of a ResNet, or the
    modules of the longest list of modules, such as the blocks of a vision transformer, or else all parts.
    """
    parts = {name: part for name, part in backbone.named_children() if _size(part)}
    numbered: dict[str, list[str]] = {}
    for name in parts:
        if match := _NUMBERED.fullmatch(name):
            numbered.setdefault(match[1], []).append(name)
    named = max(numbered.values(), key=lambda names: sum(_size(parts[name]) for name in names), default=[])
    if len(named) >= 3 and sum(_size(parts[name]) for name in named) >= _size(backbone) / 2:
        return named
    name = max(parts, key=lambda part: _size(parts[part]), default="")
    if not name or _size(parts[name]) < _size(backbone) / 2:
        return list(parts)
    inner = [child for child, part in parts[name].named_children() if _size(part)]
    if isinstance(parts[name], nn.Sequential | nn.ModuleList) and len(inner) > 1:
        return [f"{name}.{child}" for child in inner]
    return [f"{name}.{stage}" for stage in stages_of(parts[name])] or [name]


def frozen_modules(backbone: nn.Module, frozen: frozenset[str]) -> list[str]:
    """Return the names of stages, and of modules before and after them, that are frozen as a whole."""
    stages = stages_of(backbone)
    others = [name for name, part in backbone.named_children() if _size(part)]
    units = [name for name in others if not any(stage.startswith(f"{name}.") for stage in stages)]
    units += [stage for stage in stages if stage not in units]
    tensors = {
        unit: [name for name in backbone.state_dict() if name.startswith(f"{unit}.")] for unit in units
    }
    return [unit for unit in units if tensors[unit] and frozen.issuperset(tensors[unit])]


def stage_of_parameters(backbone: nn.Module) -> dict[str, int]:
    """Return the index of the stage of each parameter and buffer of a backbone.

    Returns:
        By name: 0 for what comes before the first stage, 1 to N for the N stages and what stands between them
        and the next one, N + 1 for what follows.
    """
    stages = stages_of(backbone)
    found: dict[str, int] = {}
    reached = 0
    for name in backbone.state_dict():
        own = next((n for n, stage in enumerate(stages, 1) if name.startswith(f"{stage}.")), None)
        reached = max(reached, own or 0)
        found[name] = own or (reached + (reached == len(stages)))
    return found


def frozen_names(backbone: nn.Module, freeze: str) -> frozenset[str]:
    """Return the names of the parameters and buffers that a training leaves as they are.

    Args:
        backbone: The network.
        freeze: `all`; the number of stages to freeze, beside what comes before the first; or names of
            modules, separated by commas. Empty for none.

    Raises:
        UsageError: If the backbone has no such module, or fewer stages.
    """
    names = list(backbone.state_dict())
    if freeze == WHOLE:
        return frozenset(names)
    if freeze.isdecimal():
        stages = stages_of(backbone)
        if int(freeze) > len(stages):
            raise UsageError(
                f"the backbone has {counted(len(stages), 'stage')}: {names_of(stages, SHOWN)}",
                where=argument("freeze", freeze),
            )
        return frozenset(
            name for name, stage in stage_of_parameters(backbone).items() if stage <= int(freeze)
        )
    frozen: set[str] = set()
    for module in filter(None, (part.strip() for part in freeze.split(","))):
        inside = {name for name in names if name == module or name.startswith(f"{module}.")}
        if not inside:
            parts = [name for name, part in backbone.named_children() if _size(part)]
            raise UsageError(
                f"the backbone has no module {module!r}",
                where=argument("freeze", freeze),
                remedy=f"its modules are {names_of(parts, SHOWN)}; stages have the numbers 0 to "
                f"{len(stages_of(backbone))}",
            )
        frozen |= inside
    return frozenset(frozen)


def freeze_parameters(backbone: nn.Module, frozen: Iterable[str]) -> None:
    """Exclude parameters from the training of a backbone."""
    parameters = dict(backbone.named_parameters())
    for name in frozen:
        if name in parameters:
            parameters[name].requires_grad_(False)


def evaluate_frozen(backbone: nn.Module, frozen: frozenset[str]) -> None:
    """Put modules into evaluation mode whose parameters and buffers are all frozen.

    Their batch norms use and keep the stored statistics, and their dropout is off.
    """
    if not frozen:
        return
    for name, module in backbone.named_modules():
        own = [f"{name}.{key}" if name else key for key in module.state_dict()]
        if own and frozen.issuperset(own):
            module.eval()


def learning_rate_factors(backbone: nn.Module, decay: float) -> dict[str, float]:
    """Return the factor on the learning rate of each parameter of a backbone.

    Layer-wise decay of Clark et al., "ELECTRA", ICLR 2020, by stage: 1 for what follows the last stage,
    `decay` for the last one, `decay ** N` for the first of N.

    Args:
        backbone: The network.
        decay: Factor between a stage and the one before, in (0, 1].
    """
    last = len(stages_of(backbone)) + 1
    stages = stage_of_parameters(backbone)
    return {name: decay ** (last - stages[name]) for name, _ in backbone.named_parameters()}


def _size(module: nn.Module) -> int:
    """Return the number of weight tensors."""
    return len(list(module.parameters()))
