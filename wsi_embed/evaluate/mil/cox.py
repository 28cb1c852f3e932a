"""Loss of survival: the negative partial log likelihood of Cox's model, with Efron's handling of ties."""

from __future__ import annotations

import torch
from torch import Tensor


def cox_loss(risks: Tensor, times: Tensor, events: Tensor) -> Tensor:
    """Return the negative partial log likelihood divided by the number of events; 0 if there is none.

    At each time with d events, the risk set contains the bags whose time is not earlier. Efron (JASA 72,
    1977) takes the d events as occurring one after the other: for the k-th, counted from 0, k/d of the summed
    hazard of all of them has left the risk set. Without ties this is Cox (Biometrika 62, 1975).

    Args:
        risks: Log hazard ratios, float [bags].
        times: Time of the event or of the end of observation, [bags].
        events: 1 if the event was observed, 0 if the time is censored, [bags].
    """
    observed = events > 0
    if not bool(observed.any()):
        return risks.sum() * 0
    # relative to the largest, so that no hazard overflows, and in float64, so that few vanish
    risks = risks.double() - risks.detach().max()
    hazards = risks.exp()
    at, tied = torch.unique(times[observed], return_inverse=True)
    at_risk = ((times[None] >= at[:, None]).to(risks.dtype) * hazards).sum(1)
    of_events = torch.zeros_like(at_risk).index_add(0, tied, hazards[observed])
    counts = torch.bincount(tied).to(risks.dtype)
    left = (_place_in_tie(tied) / counts[tied]) * of_events[tied]
    likelihood = risks[observed] - (at_risk[tied] - left).log()
    loss: Tensor = -likelihood.mean()
    return loss


def _place_in_tie(tied: Tensor) -> Tensor:
    """Return how many earlier elements have the same value, for each element of an integer tensor."""
    same = tied[None] == tied[:, None]
    return same.tril(-1).sum(1)
