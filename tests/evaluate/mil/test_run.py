"""Methods on bags whose witness is known: they find it, and nothing where labels are shuffled."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchmil")

from tests.evaluate.made import MadeSlide, made_store  # noqa: E402
from tests.evaluate.mil.made import Witnessed, bags_of, split_in_three, witnessed  # noqa: E402
from wsi_embed.bags.labels import join_labels  # noqa: E402
from wsi_embed.errors import DeviceError, UsageError, WsiEmbedError  # noqa: E402
from wsi_embed.evaluate import probe  # noqa: E402
from wsi_embed.evaluate.mil import fit, nets, summary  # noqa: E402
from wsi_embed.evaluate.mil.output import slide_attention  # noqa: E402
from wsi_embed.evaluate.mil.run import evaluate_mil  # noqa: E402
from wsi_embed.evaluate.mil.scores import bootstrap_intervals  # noqa: E402
from wsi_embed.evaluate.mil.settings import LINEAR, NETS, MilSettings  # noqa: E402
from wsi_embed.store import open_store  # noqa: E402


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Witnessed:
    return witnessed(tmp_path_factory.mktemp("witnessed") / "f.zarr")


def small_transmil(dim: int, classes: int) -> nets.Transmil:
    return nets.Transmil(dim, classes, width=32, landmarks=16)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETS.places, "transmil", f"{__name__}:small_transmil")
    monkeypatch.setattr(probe, "STRENGTHS", (0.01, 1.0))
    monkeypatch.setattr(summary, "bootstrap_intervals", functools.partial(bootstrap_intervals, resamples=50))


def quick(method: str, epochs: int = 8) -> MilSettings:
    return MilSettings(method, epochs=epochs, lr=5e-3)


@pytest.mark.parametrize("method", [*NETS, *LINEAR])
def test_a_witness_is_found(made: Witnessed, method: str) -> None:
    bags = bags_of(made.labels, splits=split_in_three(made.labels))
    found = evaluate_mil(made.store, bags, quick(method))
    assert found.intervals["auc"].mean > 0.98
    assert found.intervals["auc a"].mean > 0.98
    if method not in NETS:
        return
    paid = {slide.slide_id: slide for slide in slide_attention(found, made.store)}
    assert paid.keys() == {name for name, side in split_in_three(made.labels).items() if side == "test"}
    hits = [
        int(slide.column("b" if method == "dsmil" else None)[1].argmax()) == made.rows[name]
        for name, slide in paid.items()
        if made.labels[name] == "b"
    ]
    assert np.mean(hits) > 0.8


@pytest.mark.parametrize("method", ["dsmil", "mean"])
def test_shuffled_labels_say_nothing(made: Witnessed, method: str) -> None:
    shuffled = np.random.default_rng(5).permutation(list(made.labels.values())).tolist()
    bags = bags_of(dict(zip(made.labels, shuffled, strict=True)))
    found = evaluate_mil(made.store, bags, quick(method), folds=3)
    assert 0.25 < found.intervals["auc"].mean < 0.75


def test_figures_of_folds_and_seeds(made: Witnessed) -> None:
    said: list[tuple[int, int, int]] = []
    found = evaluate_mil(
        made.store,
        bags_of(made.labels),
        quick("mean"),
        folds=3,
        seeds=2,
        on_fold=lambda n, of, row: said.append((n, of, row["seed"])),
    )
    assert said == [(n, 6, (n - 1) // 3) for n in range(1, 7)]
    assert found.seeds == 2
    mean = np.mean([row["auc"] for row in found.folds])
    assert found.intervals["auc"].mean == pytest.approx(mean)
    assert found.interval_method.startswith("95 % t interval over folds")
    assert found.overall
    assert sum(of.count for of in found.overall.classes.values()) == 36
    split = evaluate_mil(made.store, bags_of(made.labels, splits=split_in_three(made.labels)), quick("mean"))
    assert split.interval_method.startswith("95 % percentile interval")


def test_the_same_seed_is_the_same_evaluation_from_memory_and_store(made: Witnessed) -> None:
    bags = bags_of(made.labels, splits=split_in_three(made.labels))
    before = torch.random.get_rng_state()
    first, again = (evaluate_mil(made.store, bags, quick("dsmil", 3), memory=m) for m in (2**30, 0))
    np.testing.assert_array_equal(first.predictions[0].outputs, again.predictions[0].outputs)
    assert torch.equal(before, torch.random.get_rng_state())  # nobody else's random numbers are used up


def test_the_best_epoch_is_kept_and_training_stops(made: Witnessed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "LEAST_EPOCHS", 1)
    scores = iter([(0.5, 0.0), (0.9, 0.0), (0.9, -1.0), (0.8, 0.0), (0.99, 0.0)])
    monkeypatch.setattr(fit, "_validate", lambda *_: next(scores))
    bags = bags_of(made.labels, splits=split_in_three(made.labels))
    found = evaluate_mil(made.store, bags, MilSettings("abmil", epochs=50, patience=2))
    assert (found.folds[0]["epoch"], found.folds[0]["validation_auc"]) == (2, 0.9)


def test_a_rare_class_is_not_given_up(tmp_path: Path) -> None:
    """Bags that say nothing, five of one class to one of the other: the honest answer is a half."""
    labels = {f"s{n:02}": "rare" if n % 6 == 0 else "common" for n in range(36)}
    slides = {name: MadeSlide(np.ones((3, 4), np.float32)) for name in labels}
    bags = bags_of(labels, splits=split_in_three(labels))
    found = evaluate_mil(
        made_store(tmp_path / "f.zarr", slides), bags, MilSettings("abmil", epochs=8, lr=5e-3)
    )
    assert np.abs(found.predictions[0].outputs - 0.5).max() < 0.15


def test_three_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = {f"s{n:02}": "abc"[n % 3] for n in range(36)}
    slides = {
        name: MadeSlide((rng.normal(size=(8, 6)) + 4 * np.eye(6)[["abc".index(label)]]).astype(np.float32))
        for name, label in labels.items()
    }
    store = made_store(tmp_path / "f.zarr", slides)
    found = evaluate_mil(store, bags_of(labels, splits=split_in_three(labels)), quick("dsmil"))
    assert found.intervals["auc c"].mean > 0.95
    assert found.intervals["accuracy"].mean > 0.8


def test_the_slides_of_a_patient_share_their_attention(tmp_path: Path) -> None:
    made = witnessed(tmp_path / "f.zarr", 24, of_patient=2)
    patients = {bag.patient: made.labels[name] for name, bag in made.store.items()}
    bags = join_labels(made.store, patients, by="patient")
    assert len(bags) == 12
    found = evaluate_mil(made.store, bags, quick("abmil", 2), folds=3)
    paid = {slide.slide_id: slide for slide in slide_attention(found, made.store)}
    assert paid.keys() == made.labels.keys()
    for bag in bags:
        parts = [paid[name] for name in bag.slides]
        assert sum(float(part.attention.sum()) for part in parts) == pytest.approx(1, abs=1e-4)
        for part in parts:
            np.testing.assert_array_equal(part.grid, made.store[part.slide_id].grid[:])
            assert part.label == bag.label


def test_attention_of_several_seeds_is_their_mean(made: Witnessed) -> None:
    bags = bags_of(made.labels, splits=split_in_three(made.labels))
    found = evaluate_mil(made.store, bags, quick("abmil", 2), seeds=2)
    first, second = (f.attention for f in found.predictions)
    assert first is not None
    assert second is not None
    paid = next(slide_attention(found, made.store))
    np.testing.assert_allclose(paid.attention, (first[0] + second[0]) / 2, atol=1e-6)
    probabilities = np.mean([f.outputs[0] for f in found.predictions], axis=0)
    assert list(paid.probabilities.values()) == pytest.approx(probabilities.tolist())


def test_a_fold_that_tests_one_class_has_no_auc(made: Witnessed) -> None:
    """Folds as the table gives them: the first tests class a alone."""
    names = list(made.labels)
    folds = {name: 0 if n in (0, 2, 4) else 1 + n % 3 for n, name in enumerate(names)}
    found = evaluate_mil(made.store, bags_of(made.labels, folds=folds), quick("cluster-histogram"))
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["folds"][0]["auc"] is None
    assert document["folds"][1]["auc"] is not None
    assert found.intervals["auc"].mean == pytest.approx(np.mean([row["auc"] for row in found.folds[1:]]))


@pytest.mark.parametrize("limit", [1, 4])
def test_some_tiles_of_a_bag_a_step(made: Witnessed, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    original = fit._tensor

    def noted(bag: np.ndarray, device: Any) -> Any:
        seen.append(len(bag))
        return original(bag, device)

    monkeypatch.setattr(fit, "_tensor", noted)
    bags = bags_of(made.labels, splits=split_in_three(made.labels))
    evaluate_mil(made.store, bags, MilSettings("abmil", epochs=1, max_tiles=limit))
    assert seen[:19] == [limit] * 19  # 24 bags to learn from, five of them to validate
    assert min(seen[19:]) > 4  # validation and test take all


def test_a_damaged_bag_is_left_out_with_a_note(made: Witnessed, tmp_path: Path) -> None:
    path = Path(shutil.copytree(made.store.path, tmp_path / "f.zarr"))
    name = next(iter(made.labels))
    (path / name / "coords" / "zarr.json").write_text("{")
    store, bags = open_store(path), bags_of(made.labels)
    found = evaluate_mil(store, bags, MilSettings("mean"), folds=3)
    assert name not in [bag.id for bag in found.bags]
    assert len(found.bags) == len(bags) - 1
    assert [note for note in found.notes if note.startswith(f"left out, {name}")]


def test_what_cannot_be(made: Witnessed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="`method='svm'`: choose dsmil, abmil, clam, transmil, mean or "):
        MilSettings("svm")
    with pytest.raises(UsageError, match="`device='tpu'`: choose auto, cpu or cuda"):
        MilSettings("abmil", device="tpu")
    bags = bags_of(made.labels, splits=split_in_three(made.labels))
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="`device='cuda'` cannot be used"):
            evaluate_mil(made.store, bags, MilSettings("abmil", device="cuda"))
    slides = {name: MadeSlide(np.ones((2, 3), np.float32)) for name in made.labels}
    headless = made_store(tmp_path / "h.zarr", slides, clusters=None)
    with pytest.raises(UsageError, match="the store has no clusters"):
        evaluate_mil(headless, bags, MilSettings("cluster-histogram"))
    with pytest.raises(WsiEmbedError, match=r"the training diverged: .* use a lower `lr=`"):
        evaluate_mil(made.store, bags, MilSettings("abmil", epochs=3, lr=1e30))


def test_small_bags_use_one_thread(made: Witnessed, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []

    def noted(*_: Any) -> Any:
        used.append(torch.get_num_threads())
        return fit._Best()

    monkeypatch.setattr(fit, "_fit", noted)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        bags = bags_of(made.labels, splits=split_in_three(made.labels))
        evaluate_mil(made.store, bags, quick("abmil"))
        monkeypatch.setattr(fit, "LARGE", 0)
        evaluate_mil(made.store, bags, quick("abmil"))
        evaluate_mil(made.store, bags, MilSettings("abmil", epochs=1, threads=3))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert used == [1, 2, 3]


def test_training_ends_when_only_the_likelihood_creeps_on(
    made: Witnessed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The witness is found at once; before, 200 epochs polished the likelihood by a hair each."""
    epochs: list[int] = []
    validate = fit._validate

    def counted(*given: Any) -> Any:
        epochs.append(1)
        return validate(*given)

    monkeypatch.setattr(fit, "_validate", counted)
    monkeypatch.setattr(fit, "LEAST_EPOCHS", 5)
    bags = bags_of(made.labels, splits=split_in_three(made.labels))
    found = evaluate_mil(made.store, bags, MilSettings("abmil", epochs=200, patience=5, lr=5e-3))
    assert found.intervals["auc"].mean > 0.98
    assert len(epochs) < 100
