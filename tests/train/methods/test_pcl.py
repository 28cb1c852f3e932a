from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.train.methods.made import linears, small, views, without_gradient
from wsi_embed_train.kmeans import Prototypes
from wsi_embed_train.methods.pcl import PCL, info_nce, proto_nce

Floats = npt.NDArray[np.float64]


def units(count: int, dim: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def reference_instance(q: Floats, k: Floats, negatives: Floats, temperature: float) -> float:
    """He et al., 2020, equation 1."""
    losses = []
    for query, key in zip(q, k, strict=True):
        others = sum(math.exp(query @ n / temperature) for n in negatives)
        own = math.exp(query @ key / temperature)
        losses.append(-math.log(own / (own + others)))
    return sum(losses) / len(losses)


def reference_prototype(q: Floats, k: Floats, clusterings: list[tuple[Floats, Floats]]) -> float:
    """Li et al., 2021, equation 11, right part: mean of -log softmax(v c_j / phi_j) at j = s."""
    losses = []
    for query, key in zip(q, k, strict=True):
        for centroids, phi in clusterings:
            s = int(np.argmin([np.linalg.norm(key - c) for c in centroids]))
            scores = [math.exp(query @ c / p) for c, p in zip(centroids, phi, strict=True)]
            losses.append(-math.log(scores[s] / sum(scores)))
    return sum(losses) / len(losses)


def test_terms_equal_the_papers() -> None:
    q, k, negatives = units(5, 4, 0), units(5, 4, 1), units(9, 4, 2)
    made = [(units(n, 4, n), torch.rand(n) + 0.1) for n in (3, 6)]
    ours = info_nce(q, k, negatives, 0.2)
    assert float(ours) == pytest.approx(
        reference_instance(q.double().numpy(), k.double().numpy(), negatives.double().numpy(), 0.2), abs=1e-4
    )
    theirs = [(c.double().numpy(), p.double().numpy()) for c, p in made]
    found = proto_nce(q, k, [Prototypes(c, p) for c, p in made])
    assert float(found) == pytest.approx(
        reference_prototype(q.double().numpy(), k.double().numpy(), theirs), abs=1e-4
    )


def test_keys_that_are_not_there_yet_are_left_out() -> None:
    q, k, negatives = units(5, 4, 0), units(5, 4, 1), units(3, 4, 2)
    padded = torch.cat([negatives, torch.zeros(4, 4)])
    torch.testing.assert_close(info_nce(q, k, padded, 0.2), info_nce(q, k, negatives, 0.2))
    nothing = Prototypes(torch.zeros(3, 4), torch.zeros(3))
    assert float(proto_nce(q, k, [nothing])) == 0.0


def test_a_run_comes_to_use_prototypes() -> None:
    method = small(PCL, "pcl", concepts_from=0.5, queue=16, concepts=[2, 4])
    assert linears(method.encoder.projector) == [(512, 32, True), (32, 16, True)]
    for step in range(4):
        method.before_epoch(step / 4)
        out = method(views(step))
        # not before half of the run, although the queue has had enough keys before
        assert (float(out.terms["prototype"]) > 0) == (step >= 2)
        torch.testing.assert_close(out.loss.detach(), out.terms["instance"] + out.terms["prototype"])
        method.after_step(step / 4)
    out.loss.backward()
    assert all(p.grad is None for p in method.target.parameters())
    assert without_gradient(method) == []
    density = method.get_buffer("density_4")
    assert float(density.mean()) == pytest.approx(0.2, abs=1e-5)
    torch.testing.assert_close(method.get_buffer("centroids_4").norm(dim=1), torch.ones(4))


def test_queue_holds_the_newest_keys() -> None:
    method = small(PCL, "pcl", queue=10)
    for seed in range(2):
        method(views(seed))
    method.eval()
    method.target.train()
    keys = F.normalize(method.target(views(1)[1]), dim=1)
    torch.testing.assert_close(method.queue[:6], keys.detach())
    assert method.queue.shape == (10, 16)


def test_key_encoder_follows() -> None:
    method = small(PCL, "pcl", ema=0.75)
    old = method.target.get_parameter("projector.0.weight").clone()
    with torch.no_grad():
        method.encoder.get_parameter("projector.0.weight").add_(1.0)
    method.after_step(0.3)
    torch.testing.assert_close(method.target.get_parameter("projector.0.weight"), old + 0.25)
