"""Two processes with half of a batch each against one with all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tests.forked import CONTEXT
from tests.made_models import TINY_BACKBONE
from tests.train.methods.made import small, views
from wsi_embed_train.clustering import cluster_similarity, global_cluster_similarity
from wsi_embed_train.distributed import gather, processes
from wsi_embed_train.methods import Method

ROWS, PROCESSES = 8, 2
METHODS = ["simclr", "barlow", "swav", "byol", "pcl"]
Result = dict[str, Any]


class Clusters(nn.Module):
    """Projections and logits of given features, and the published loss of them with given noise."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.project, self.assign = nn.Linear(6, 5), nn.Linear(5, 4)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def forward(self, features: Tensor, wanted: Tensor, noise: Tensor) -> Tensor:
        projection = self.project(features)
        cluster = global_cluster_similarity(projection, self.assign(projection), noise=noise)
        invariance = -torch.cosine_similarity(projection, wanted, dim=1).mean()
        return 0.3 * invariance + 0.7 * cluster


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    uniform = torch.rand(ROWS, 4, generator=generator)
    return (
        torch.randn(ROWS, 6, generator=generator),
        torch.randn(ROWS, 5, generator=generator),
        -(-uniform.log()).log(),
    )


def without_batch_norms(module: nn.Module) -> nn.Module:
    """SyncBatchNorm, which makes them see the global batch, refuses the CPU."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            setattr(module, name, nn.Identity())
        else:
            without_batch_norms(child)
    return module


def results(rows: slice, wrap: Any) -> dict[str, Result]:
    """Losses and gradients of every case, of some rows of the batch."""
    found = {}
    clusters = wrap(Clusters())
    loss = clusters(*(part[rows] for part in inputs()))
    torch.autograd.backward(loss)
    found["clusters"] = {"loss": loss.detach(), "gradients": gradients(clusters)}
    for name in METHODS:
        settings: dict[str, Any] = {"backbone": TINY_BACKBONE}
        settings |= {"queue_from": 0.0} if name == "swav" else {}
        method = wrap(without_batch_norms(small(Method, name, **settings)))  # type: ignore[type-abstract]
        for step in range(3):  # queues fill in two
            method.zero_grad()
            loss = method([view[rows] for view in views(step, ROWS)]).loss
            torch.autograd.backward(loss)
        found[name] = {"loss": loss.detach(), "gradients": gradients(method), "queue": queue(method)}
    for name in ("clubyol", "clusiam"):
        step = small(Method, name, backbone=TINY_BACKBONE)([view[rows] for view in views(0, ROWS)])  # type: ignore[type-abstract]
        found[name] = step.terms
    return found


def gradients(module: nn.Module) -> dict[str, Tensor]:
    named = module.named_parameters()
    return {n.removeprefix("module."): p.grad.clone() for n, p in named if p.grad is not None}


def queue(module: nn.Module) -> Tensor:
    buffers = {n.removeprefix("module."): b for n, b in module.named_buffers()}
    return buffers.get("queue", torch.zeros(0)).clone()


def process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=PROCESSES)
    try:
        share = ROWS // PROCESSES
        torch.manual_seed(rank)
        found = results(slice(rank * share, (rank + 1) * share), DistributedDataParallel)
        local = torch.full((1, 2), float(rank), requires_grad=True)
        gathered = gather(local)
        torch.autograd.backward((gathered * torch.tensor([[1.0], [10.0]])).sum())
        assert local.grad is not None
        found["gather"] = {"rows": gathered.detach(), "gradient": local.grad, "processes": processes()}
        torch.save(found, f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Result]]:
    folder = tmp_path_factory.mktemp("processes")
    # the first is this one, which has PyTorch already
    second = CONTEXT.Process(target=process, args=(1, str(folder)))
    second.start()
    process(0, str(folder))
    second.join()
    assert second.exitcode == 0
    return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Result]:
    return results(slice(None), lambda module: module)


@pytest.mark.parametrize("case", ["clusters", *METHODS])
def test_two_processes_learn_what_one_learns(
    together: list[dict[str, Result]], alone: dict[str, Result], case: str
) -> None:
    loss = torch.stack([found[case]["loss"] for found in together]).mean()
    torch.testing.assert_close(loss, alone[case]["loss"], atol=1e-5, rtol=1e-4)
    for found in together:
        assert found[case]["gradients"].keys() == alone[case]["gradients"].keys()
        for name, expected in alone[case]["gradients"].items():
            scale = float(expected.abs().max())
            torch.testing.assert_close(
                found[case]["gradients"][name], expected, atol=1e-3 * scale + 1e-7, rtol=0
            )


@pytest.mark.parametrize("case", ["swav", "pcl"])
def test_queues_hold_the_rows_of_all(
    together: list[dict[str, Result]], alone: dict[str, Result], case: str
) -> None:
    for found in together:
        torch.testing.assert_close(found[case]["queue"], alone[case]["queue"], atol=1e-4, rtol=1e-3)
    assert alone[case]["queue"].flatten(0, -2)[-1].any()


@pytest.mark.parametrize("method", ["clubyol", "clusiam"])
def test_processes_form_their_clusters_together(together: list[dict[str, Result]], method: str) -> None:
    """Each draws noise of its own, and yet they see the same clusters; invariance is of own rows."""
    first, second = (found[method] for found in together)
    assert torch.equal(first["cluster_similarity"], second["cluster_similarity"])
    assert not torch.equal(first["invariance"], second["invariance"])


def test_clusters_are_not_of_each_process_by_itself(
    together: list[dict[str, Result]], alone: dict[str, Result]
) -> None:
    """What DDP alone would do: another number, so the comparison above can fail."""
    module, halves = Clusters(), []
    for rows in (slice(0, 4), slice(4, 8)):
        features, wanted, noise = (part[rows] for part in inputs())
        projection = module.project(features)
        cluster = cluster_similarity(projection, module.assign(projection), noise=noise)
        halves.append(0.7 * cluster - 0.3 * torch.cosine_similarity(projection, wanted, dim=1).mean())
    assert abs(float(torch.stack(halves).mean().detach()) - float(alone["clusters"]["loss"])) > 1e-2


def test_gather_in_the_order_of_the_ranks(together: list[dict[str, Result]]) -> None:
    for rank, found in enumerate(together):
        assert found["gather"]["processes"] == 2
        assert found["gather"]["rows"].tolist() == [[0, 0], [1, 1]]
        assert found["gather"]["gradient"].tolist() == [[2 * 10**rank] * 2]  # from both processes


def test_one_process_gathers_nothing() -> None:
    rows = torch.randn(3, 2)
    assert gather(rows) is rows
    assert processes() == 1
