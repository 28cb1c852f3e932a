from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wsi_embed_train import cluster_similarity

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 24), st.integers(2, 6), st.integers(2, 7))


def reference(representations: Tensor, logits: Tensor) -> Tensor:
    """The published formula, one cluster and one pair at a time."""
    assignment = F.gumbel_softmax(logits, tau=1, hard=True)
    centroids = []
    for k in range(logits.shape[1]):
        total = torch.zeros(representations.shape[1])
        for n in range(len(logits)):
            row = representations[n].detach()
            total = total + assignment[n, k] * row / row.norm()
        if assignment[:, k].sum() > 0.5:
            centroids.append(total / total.norm())
    pairs = [a @ b for i, a in enumerate(centroids) for b in centroids[i + 1 :]]
    return torch.stack(pairs).mean() if pairs else torch.tensor(1.0)


def made(size: tuple[int, int, int], seed: int) -> tuple[Tensor, Tensor]:
    rows, dim, clusters = size
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, dim, generator=generator), torch.randn(rows, clusters, generator=generator)


def similarity(representations: Tensor, logits: Tensor, noise: int = 7) -> Tensor:
    return cluster_similarity(representations, logits, generator=torch.Generator().manual_seed(noise))


def certain(labels: list[int], clusters: int) -> Tensor:
    """Logits so clear that no noise changes the assignment."""
    return 1000.0 * F.one_hot(torch.tensor(labels), clusters).float()


@settings(max_examples=40)
@given(sizes, seeds)
def test_value_equals_the_published_formula(size: tuple[int, int, int], seed: int) -> None:
    representations, logits = made(size, seed)
    torch.manual_seed(seed)
    expected = reference(representations, logits)
    torch.manual_seed(seed)
    torch.testing.assert_close(cluster_similarity(representations, logits), expected, atol=1e-5, rtol=1e-4)


@settings(max_examples=25)
@given(st.tuples(st.integers(8, 24), st.integers(3, 6), st.integers(2, 5)), seeds)
def test_gradient_equals_that_of_the_published_formula(size: tuple[int, int, int], seed: int) -> None:
    representations, logits = made(size, seed)
    # Two rows for either of two clusters: there is always a pair, and no centroid near zero.
    logits[:2, 0] += 50
    logits[2:4, 1] += 50
    gradients = []
    for function in (reference, cluster_similarity):
        leaf = logits.clone().requires_grad_()
        torch.manual_seed(seed)
        function(representations, leaf).backward()  # type: ignore[no-untyped-call]
        gradients.append(leaf.grad)
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-4, rtol=1e-3)


def test_by_hand() -> None:
    # Clusters 0 and 2 hold one axis each, cluster 1 the diagonal, cluster 3 nothing.
    representations = torch.tensor([[5.0, 0.0], [0.1, 0.1], [0.0, 2.0]])
    value = cluster_similarity(representations, certain([0, 1, 2], 4))
    root = 0.5**0.5
    assert value.item() == pytest.approx((root + 0 + root) / 3, abs=1e-6)


@settings(max_examples=40)
@given(sizes, seeds)
def test_value_lies_between_minus_one_and_one(size: tuple[int, int, int], seed: int) -> None:
    assert -1 - 1e-5 <= similarity(*made(size, seed)).item() <= 1 + 1e-5


@settings(max_examples=25)
@given(sizes, seeds)
def test_length_of_a_representation_does_not_matter(size: tuple[int, int, int], seed: int) -> None:
    representations, logits = made(size, seed)
    lengths = torch.rand(len(logits), 1, generator=torch.Generator().manual_seed(seed)) * 9 + 0.1
    scaled = similarity(representations * lengths, logits)
    torch.testing.assert_close(scaled, similarity(representations, logits), atol=1e-4, rtol=1e-4)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=20), seeds)
def test_order_of_the_rows_does_not_matter(labels: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    representations, logits = torch.randn(len(labels), 5, generator=generator), certain(labels, 4)
    order = torch.randperm(len(labels), generator=generator)
    shuffled = similarity(representations[order], logits[order], noise=1)
    torch.testing.assert_close(shuffled, similarity(representations, logits, noise=2), atol=1e-4, rtol=1e-4)


def test_no_gradient_into_representations() -> None:
    representations, logits = made((12, 4, 3), 0)
    representations.requires_grad_()
    logits.requires_grad_()
    similarity(representations, logits).backward()  # type: ignore[no-untyped-call]
    assert representations.grad is None
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize("labels", [[2], [1, 1, 1, 1]])
def test_fewer_than_two_clusters_is_one_without_a_pull(labels: list[int]) -> None:
    logits = certain(labels, 3).requires_grad_()
    value = similarity(torch.randn(len(labels), 4), logits)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.item() == 1.0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_following_the_gradient_spreads_the_clusters() -> None:
    representations, logits = made((64, 8, 4), 3)
    logits.requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.1)
    first = torch.stack([similarity(representations, logits, noise) for noise in range(20)]).mean().item()
    for step in range(100):
        optimizer.zero_grad()
        similarity(representations, logits, 100 + step).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    last = torch.stack([similarity(representations, logits, noise) for noise in range(20)]).mean().item()
    assert last < first - 0.1


def test_float32_under_autocast() -> None:
    representations, logits = made((32, 16, 5), 1)
    expected = similarity(representations.bfloat16().float(), logits.bfloat16().float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = similarity(representations.bfloat16(), logits.bfloat16())
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)


def test_generator_makes_it_reproducible() -> None:
    representations, logits = made((32, 4, 5), 1)
    assert torch.equal(similarity(representations, logits, 5), similarity(representations, logits, 5))
    assert not torch.equal(similarity(representations, logits, 5), similarity(representations, logits, 6))


def test_generator_leaves_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    similarity(*made((8, 4, 3), 0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("representations", "logits"), [((4, 3), (5, 2)), ((4,), (4, 2)), ((4, 3), (4,)), ((2, 2, 3), (2, 3))]
)
def test_wrong_shapes_are_refused(representations: tuple[int, ...], logits: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected representations \[N, D\]"):
        cluster_similarity(torch.zeros(representations), torch.zeros(logits))
