"""Networks with a head a class: against slow versions, on bags of any size, and the attention they pay."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchmil")

from torchmil.nn.attention.nystrom_attention import NystromAttention  # noqa: E402

from wsi_embed.evaluate.mil.nets import (  # noqa: E402
    Abmil,
    BagNet,
    Clam,
    ClassTokenAttention,
    Dsmil,
    Transmil,
)

DIM = 8


def small_transmil(dim: int, classes: int) -> BagNet:
    return Transmil(dim, classes, width=16, landmarks=4)


ALL = [Dsmil, Abmil, Clam, small_transmil]
Make = Callable[[int, int], BagNet]


def made(make: Make, classes: int = 3) -> BagNet:
    torch.manual_seed(0)
    return make(DIM, classes).eval()


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("tiles", [1, 2, 7, 30])
def test_bags_of_any_size(make: Make, tiles: int) -> None:
    net, bag = made(make), torch.randn(tiles, DIM).half()
    probabilities, attention = net.predict(bag)
    assert probabilities.shape == (3,)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert attention.shape == (tiles, 3 if make is Dsmil else 1)
    assert torch.allclose(attention.sum(0), torch.ones(attention.shape[1]), atol=1e-5)
    assert (attention >= 0).all()
    assert net.train().loss(bag, torch.tensor(2)).isfinite()


@pytest.mark.parametrize("make", ALL)
def test_every_weight_that_is_used_learns(make: Make) -> None:
    net, bag = made(make).train(), torch.randn(30, DIM)
    net.loss(bag, torch.tensor(1)).backward()  # type: ignore[no-untyped-call]
    idle = {name for name, p in net.named_parameters() if p.grad is None}
    assert all("norm2" in name for name in idle)  # of torchmil's layers without a perceptron


@pytest.mark.parametrize("make", [Dsmil, Abmil, Clam])
def test_the_order_of_tiles_does_not_matter(make: Make) -> None:
    net, bag, order = made(make), torch.randn(20, DIM), torch.randperm(20)
    first, second = net.predict(bag), net.predict(bag[order])
    assert torch.allclose(first[0], second[0], atol=1e-5)
    assert torch.allclose(first[1][order], second[1], atol=1e-5)


@pytest.mark.parametrize("make", ALL)
def test_features_are_standardised(make: Make) -> None:
    net, bag = made(make), torch.randn(9, DIM)
    plain = net.predict(bag)[0]
    mean, std = torch.linspace(-3, 3, DIM), torch.linspace(0.5, 20, DIM)
    net.standardise(mean, std)
    assert torch.allclose(net.predict(bag * std + mean)[0], plain, atol=1e-4)
    assert "mean" in net.state_dict()


@pytest.mark.parametrize("make", [Abmil, Clam, small_transmil])
def test_probabilities_of_one_choice_sum_to_one(make: Make) -> None:
    assert float(made(make).predict(torch.randn(9, DIM))[0].sum()) == pytest.approx(1, abs=1e-5)


def test_dsmil_by_its_definition() -> None:
    """Li et al., 2021, class by class: critical tile, its query against all, a head over all classes."""
    net, bag = made(Dsmil), torch.randn(11, DIM)
    assert isinstance(net, Dsmil)
    model = net.model
    probabilities, attention = net.predict(bag)
    with torch.inference_mode():
        instance = model.inst_classifier(bag)  # [11, 3]
        queries = model.q_nn(bag)
        bags = []
        for c in range(3):
            critical = queries[instance[:, c].argmax()]
            weights = (queries @ critical / math.sqrt(queries.shape[1])).softmax(0)
            assert torch.allclose(weights, attention[:, c], atol=1e-5)
            bags.append(weights @ bag)
        logits = (model.bag_classifier.weight * torch.stack(bags)).sum((1, 2)) + model.bag_classifier.bias
        expected = (logits.sigmoid() + instance.amax(0).sigmoid()) / 2
        assert torch.allclose(probabilities, expected, atol=1e-5)


def test_dsmil_loss_by_its_definition() -> None:
    net, bag = made(Dsmil), torch.randn(11, DIM)
    assert isinstance(net, Dsmil)
    with torch.inference_mode():
        logits, instances = net.model(bag[None], return_inst_pred=True)
        wanted = torch.tensor([0.0, 1.0, 0.0])
        terms = [
            -(wanted * x.sigmoid().log() + (1 - wanted) * (1 - x.sigmoid()).log()).mean()
            for x in (logits[0], instances[0].amax(0))
        ]
        assert float(net.loss(bag, torch.tensor(1))) == pytest.approx(float(sum(terms)) / 2, rel=1e-4)


def test_clams_loss_by_its_definition() -> None:
    """The true class's classifier: most attention 1, least 0. The others': most attention 0."""
    net, bag = made(Clam), torch.randn(30, DIM)
    assert isinstance(net, Clam)
    with torch.inference_mode():
        logits, attention, embedded = net.model(bag[None], return_att=True, return_emb=True)
        order = attention[0].argsort(descending=True)
        high, low = embedded[0][order[:8]], embedded[0][order[-8:]]
        total = 0.0
        for number, classifier in enumerate(net.model.inst_classifiers):
            rows, truth = (high, [0] * 8) if number != 2 else (torch.cat([high, low]), [1] * 8 + [0] * 8)
            logs = classifier(rows).log_softmax(1)
            total += float(-logs[range(len(truth)), truth].mean()) / 3
        expected = 0.7 * float(-logits[0].log_softmax(0)[2]) + 0.3 * total
        assert float(net.loss(bag, torch.tensor(2))) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("tokens", [3, 4, 5, 37])
def test_the_first_tokens_attention_is_the_first_row_of_all(tokens: int) -> None:
    torch.manual_seed(1)
    layer = ClassTokenAttention(16, 16, 16, n_heads=2, n_landmarks=4).eval()
    x = torch.randn(1, tokens, 16)
    with torch.inference_mode():
        out, whole = NystromAttention.forward(layer, x, return_att=True)
        ours, row = layer(x, return_att=True)
    assert row.shape == (1, 2, 1, tokens)
    assert torch.allclose(row, whole[:, :, :1], atol=1e-5)
    assert torch.allclose(ours, out)
