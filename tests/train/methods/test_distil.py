from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.made_models import TINY_BACKBONE, TINY_DIM
from tests.train.methods.made import TEACHER, linears, small, views, without_gradient
from wsi_embed_train.methods.distil import Distil, Taught, centred, cosine_distance, similarity_distance

Floats = npt.NDArray[np.float64]
DIM, CLUSTERS = TEACHER["feature_dim"], TEACHER["clusters"]


def taught(count: int = 6, seed: int = 1) -> Taught:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, DIM, generator=generator) + 5
    return Taught(features, torch.randint(CLUSTERS, (count,), generator=generator))


def cosine(a: Floats, b: Floats) -> float:
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def reference_similarity_distance(student: Floats, teacher: Floats) -> float:
    """Tung and Mori, 2019, equations 2 to 4, of cosines, for every pair of tiles; times B."""
    total, count = 0.0, len(student)
    for i in range(count):
        rows = []
        for features in (student, teacher):
            row = np.array([cosine(features[i], features[j]) for j in range(count)])
            rows.append(row / np.sqrt((row**2).sum()))
        total += float(((rows[0] - rows[1]) ** 2).sum())
    return count * total / count**2


def test_loss_is_that_of_centred_features() -> None:
    method = small(Distil, "distil", relational=3.0, cluster_weight=0.5)
    said = taught()
    assert said.clusters is not None
    step = method(views(), None, said)
    features = method.encoder.backbone(views()[0]).detach().double().numpy()
    p, t = step.projection.double().numpy(), said.features.double().numpy()
    f, p, t = (rows - rows.mean(0) for rows in (features, p, t))
    distance = 1 - np.mean([cosine(a, b) for a, b in zip(p, t, strict=True)])
    assert step.logits is not None
    odds = np.exp(step.logits.double().numpy())
    chosen = (odds / odds.sum(1, keepdims=True))[np.arange(6), said.clusters.numpy()]
    terms = {
        "cosine_distance": distance,
        "relational": reference_similarity_distance(f, t),
        "cross_entropy": -np.log(chosen).mean(),
        "cluster_agreement": np.mean(odds.argmax(1) == said.clusters.numpy()),
    }
    assert {name: float(value) for name, value in step.terms.items()} == pytest.approx(terms, abs=1e-5)
    loss = distance + 3 * terms["relational"] + 0.5 * terms["cross_entropy"]
    assert float(step.loss.detach()) == pytest.approx(loss, abs=1e-5)


@settings(max_examples=25)
@given(st.integers(3, 8), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_similarities_do_not_depend_on_scale_shift_and_rotation(rows: int, dim: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = torch.from_numpy(rng.normal(size=(rows, dim)))
    rotation = torch.from_numpy(np.linalg.qr(rng.normal(size=(dim, dim)))[0])
    moved = (features @ rotation) * 7 + torch.from_numpy(rng.normal(size=dim))
    assert float(similarity_distance(centred(features), centred(moved))) == pytest.approx(0, abs=1e-9)
    other = torch.from_numpy(rng.normal(size=(rows, dim + 1)))
    distance = float(similarity_distance(centred(features), centred(other)))
    assert 0 <= distance <= 4
    reference = reference_similarity_distance(centred(features).numpy(), centred(other).numpy())
    assert distance == pytest.approx(reference, abs=1e-9)


def test_cosine_distance_is_blind_to_what_all_tiles_have_in_common() -> None:
    features = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    common = features.mean(0) + 100
    assert float(cosine_distance(centred(features + 100), centred(features))) == pytest.approx(0, abs=1e-4)
    assert float(cosine_distance(centred(-features), centred(features))) == pytest.approx(2, abs=1e-4)
    # a student that gives every tile the mean of the teacher has learnt nothing
    constant = common.expand(8, 5)
    assert float(cosine_distance(centred(constant), centred(features + 100))) == pytest.approx(1, abs=1e-4)


def test_gradient_reaches_everything() -> None:
    method = small(Distil, "distil", cluster_weight=1.0)
    method(views(), None, taught()).loss.backward()
    assert without_gradient(method) == []


def test_projector_is_linear_and_heads_are_as_wide_as_the_teacher() -> None:
    method = small(Distil, "distil", cluster_weight=1.0, backbone=TINY_BACKBONE)
    assert linears(method.encoder.projector) == [(TINY_DIM, DIM, False)]
    assert method.cluster_head is not None
    assert linears(method.cluster_head) == [(DIM, CLUSTERS, True)]
    assert small(Distil, "distil", cluster_weight=0.0, backbone=TINY_BACKBONE).cluster_head is None


def test_it_needs_a_teacher() -> None:
    with pytest.raises(ValueError, match="needs the outputs of a teacher"):
        small(Distil, "distil", backbone=TINY_BACKBONE)(views())


def test_student_learns_to_predict_the_teacher() -> None:
    """The teacher says the mean colours of the quadrants; the student sees other tiles in the end."""
    method = small(Distil, "distil", cluster_weight=1.0, backbone=TINY_BACKBONE)
    generator = torch.Generator().manual_seed(3)

    def tiles(count: int) -> tuple[torch.Tensor, Taught]:
        colours = torch.randn(count, 3, 2, 2, generator=generator)
        clusters = colours[:, 0, 0].argmax(1) + 2 * colours[:, 1, 0].argmax(1)
        images = torch.nn.functional.interpolate(colours, size=(32, 32))
        return images, Taught(colours.flatten(1) + 5, clusters)

    def figures() -> dict[str, float]:
        with torch.no_grad():
            step = method([held_out[0]], None, held_out[1])
        return {name: float(value) for name, value in step.terms.items()}

    held_out = tiles(48)
    before = figures()
    optimizer = torch.optim.AdamW(method.parameters(), lr=3e-3)
    for _ in range(60):
        images, said = tiles(24)
        optimizer.zero_grad()
        method([images], None, said).loss.backward()
        optimizer.step()
    after = figures()
    assert before["cosine_distance"] > 0.9
    assert after["cosine_distance"] < 0.4
    assert after["relational"] < 0.7 * before["relational"]
    assert after["cluster_agreement"] > 0.5
