"""Survival and regression on bags whose answer is known, from the labels to the predictions of a file."""

from __future__ import annotations

import csv
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

torch = pytest.importorskip("torch")
pytest.importorskip("torchmil")
pytest.importorskip("onnx")

from tests.evaluate.mil.made_numbers import Shares, made_shares  # noqa: E402
from wsi_embed.bags.labels import LabelledBag, LabelledBags, join_survival, join_values  # noqa: E402
from wsi_embed.cli import app  # noqa: E402
from wsi_embed.errors import UsageError, WsiEmbedError  # noqa: E402
from wsi_embed.evaluate.mil.folds import make_folds  # noqa: E402
from wsi_embed.evaluate.mil.run import evaluate_mil  # noqa: E402
from wsi_embed.evaluate.mil.settings import MilSettings  # noqa: E402
from wsi_embed.evaluate.mil.slide_model import MilModel  # noqa: E402
from wsi_embed.evaluate.mil.tasks import Regression, Survival, task_of  # noqa: E402
from wsi_embed.store.attention import Attention  # noqa: E402

SURVIVAL = ("--task", "survival", "--time", "months", "--event", "died")
REGRESSION = ("--task", "regression", "--target", "age")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Shares:
    return made_shares(tmp_path_factory.mktemp("shares"))


def typed(made: Shares, labels: Path, *arguments: object) -> Result:
    words = ["eval", "mil", made.store.path, "--labels", labels, *arguments]
    return CliRunner().invoke(app, list(map(str, words)))


def numbers(*values: tuple[float, ...], columns: tuple[str, ...], split: str = "") -> LabelledBags:
    """Bags of one slide and patient each; `split` names the split of each by its first letter."""
    names = {"r": "train", "v": "val", "t": "test"}
    bags = tuple(
        LabelledBag(f"s{n}", (f"s{n}",), None, "", names[split[n]] if split else None, values=value)
        for n, value in enumerate(values)
    )
    return LabelledBags(bags, (), "slide", columns=columns)


@pytest.mark.parametrize(
    ("method", "least"), [("abmil", 0.7), ("dsmil", 0.6), ("mean", 0.7), ("cluster-histogram", 0.7)]
)
def test_the_risk_is_found(made: Shares, method: str, least: float) -> None:
    bags = join_survival(made.store, made.survival, time="months", event="died")
    settings = MilSettings(method, epochs=6, lr=3e-3)
    found = evaluate_mil(made.store, bags, settings, folds=3)
    assert found.intervals.keys() == {"concordance"}
    assert found.intervals["concordance"].mean > least
    assert found.overall is None
    events = int(bags.values[:, 1].sum())
    assert found.to_dict()["targets"] == {"events": events, "censored": len(bags) - events}


@pytest.mark.parametrize("method", ["abmil", "mean"])
def test_the_same_seed_is_the_same_evaluation(made: Shares, method: str) -> None:
    bags = join_survival(made.store, made.survival, time="months", event="died")
    settings = MilSettings(method, epochs=2)
    first, again = (evaluate_mil(made.store, bags, settings, folds=2, memory=m) for m in (2**30, 0))
    for one, other in zip(first.predictions, again.predictions, strict=True):
        np.testing.assert_array_equal(one.outputs, other.outputs)


@pytest.mark.parametrize(("method", "loss"), [("abmil", "mse"), ("dsmil", "l1"), ("mean", "mse")])
def test_the_value_is_found(made: Shares, method: str, loss: str) -> None:
    bags = join_values(made.store, made.values, target="age")
    found = evaluate_mil(made.store, bags, MilSettings(method, epochs=12, lr=3e-3, loss=loss), folds=3)
    scores = {name: interval.mean for name, interval in found.intervals.items()}
    assert scores["r2"] > 0.5
    assert scores["pearson"] > 0.75
    assert scores["spearman"] > 0.75
    assert scores["mae"] < 4
    low, high = found.intervals["mae"].low, found.intervals["mae"].high
    assert low is not None
    assert high is not None
    assert 0 <= low < scores["mae"] < high


def test_shuffled_times_say_nothing(made: Shares) -> None:
    bags = join_survival(made.store, made.survival, time="months", event="died")
    order = np.random.default_rng(1).permutation(len(bags))
    shuffled = tuple(
        LabelledBag(bag.id, bag.slides, bag.patient, "", values=bags[int(n)].values)
        for bag, n in zip(bags, order, strict=True)
    )
    mixed = LabelledBags(shuffled, (), "slide", columns=bags.columns)
    found = evaluate_mil(made.store, mixed, MilSettings("mean"), folds=3)
    assert 0.3 < found.intervals["concordance"].mean < 0.7


def test_a_given_split_has_percentile_intervals(made: Shares) -> None:
    bags = join_values(made.store, made.values, target="age")
    parted = tuple(
        LabelledBag(b.id, b.slides, None, "", "test" if n > 30 else "train", values=b.values)
        for n, b in enumerate(bags)
    )
    found = evaluate_mil(
        made.store, LabelledBags(parted, (), "slide", columns=("age",)), MilSettings("mean"), seeds=2
    )
    assert found.interval_method.startswith("95 % percentile interval")
    assert found.intervals["r2"].has_spread


def test_folds_are_disjoint_by_patient_and_have_both_kinds(made: Shares) -> None:
    for bags in (
        join_survival(made.store, made.survival, time="months", event="died"),
        join_values(made.store, made.values, target="age"),
    ):
        strata = task_of(bags).strata()
        for fold in make_folds(bags, 3, 2, strata):
            sides = [
                {bags[int(n)].patient for n in side} for side in (fold.train, fold.validation, fold.test)
            ]
            assert all(not a & b for a, b in itertools.combinations(sides, 2))
            for side in (fold.train, fold.validation, fold.test):
                assert set(strata.numbers[side].tolist()) == {0, 1}


def test_halves_have_the_same_size_although_targets_are_equal() -> None:
    bags = numbers((0,), (0,), (0,), (0,), (0,), (9,), columns=("age",))
    assert Regression(bags).strata().numbers.tolist() == [0, 0, 0, 1, 1, 1]
    assert Regression(bags).strata().names == ("the lower half of age", "the upper half of age")


def no_event() -> Iterator[tuple[LabelledBags, str]]:
    for part, split in (("training", "rrvt"), ("validation", "vrrt"), ("test", "trrv")):
        values = [
            (1.0, 0.0 if name == part[0].replace("t", "r" if part == "training" else "t") else 1.0)
            for name in split
        ]
        yield numbers(*values, columns=("time", "event"), split=split), f"among the . {part} bags? of fold 0"


@pytest.mark.parametrize(("bags", "says"), list(no_event()))
def test_a_part_without_an_event_is_refused(bags: LabelledBags, says: str) -> None:
    (fold,) = make_folds(bags, strata=Survival(bags).strata())
    with pytest.raises(UsageError, match=f"no event {says}; give other folds, or draw them"):
        Survival(bags).check(fold)


def test_constant_training_targets_are_refused() -> None:
    bags = numbers((3,), (3,), (4,), (5,), columns=("age",), split="rrvt")
    (fold,) = make_folds(bags, strata=Regression(bags).strata())
    with pytest.raises(
        UsageError, match="all 2 training bags of fold 0 have the age 3: there is nothing to learn"
    ):
        Regression(bags).check(fold)


def test_files_and_predictions_of_survival(made: Shares, tmp_path: Path) -> None:
    file, out = tmp_path / "risk.onnx", tmp_path / "out"
    options = ("--method", "abmil", "--folds", 3, "--epochs", 6, "--lr", 3e-3, "--export", file, "--out", out)
    done = typed(made, made.survival, *SURVIVAL, *options)
    assert done.exit_code == 0, done.output
    assert "[3/3] seed 0, fold 2: epoch " in done.stderr
    assert "validation concordance 0." in done.stderr
    assert " events, " in done.stdout
    assert sorted(path.name for path in out.iterdir()) == ["attention.zarr", "predictions.csv", "scores.json"]
    rows = list(csv.DictReader((out / "predictions.csv").open()))
    assert list(rows[0]) == ["slide", "patient", "months", "died", "seed", "fold", "risk"]
    assert sorted(row["slide"] for row in rows) == sorted(made.share)
    assert json.loads((out / "scores.json").read_text())["task"] == "survival"
    paid = Attention(out)["s00"]
    assert (paid.columns, paid.probabilities) == (("all",), {})
    assert paid.predicted.startswith("risk ")
    assert paid.label.endswith(("(event)", "(censored)"))

    code = "import sys; from wsi_embed.cli import main; sys.argv[0] = 'wsi-embed'\ntry: main()\n"
    code += "finally: assert not {'torch', 'torchmil', 'sklearn', 'scipy'} & set(sys.modules)"
    command = [
        sys.executable,
        "-c",
        code,
        "predict",
        made.store.path,
        "--mil",
        file,
        "--out",
        tmp_path / "new",
    ]
    found = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert "60 slides: risk " in found.stdout
    rows = list(csv.DictReader((tmp_path / "new" / "predictions.csv").open()))
    assert list(rows[0]) == ["slide_id", "patient", "risk"]
    risks = np.array([float(row["risk"]) for row in rows])
    assert np.corrcoef(risks, [made.share[row["slide_id"]] for row in rows])[0, 1] > 0.6
    model = MilModel(file)
    assert (model.metadata.task, model.metadata.classes) == ("survival", ("risk",))
    assert max(model.metadata.parity.values()) < 1e-5


def test_files_and_predictions_of_a_regression(made: Shares, tmp_path: Path) -> None:
    file, out = tmp_path / "age.onnx", tmp_path / "out"
    options = ("--method", "dsmil", "--folds", 3, "--epochs", 8, "--lr", 3e-3, "--export", file, "--out", out)
    done = typed(made, made.values, *REGRESSION, *options)
    assert done.exit_code == 0, done.output
    assert "validation R2 " in done.stderr
    assert "60 slides: lowest 50, mean " in done.stdout
    rows = list(csv.DictReader((out / "predictions.csv").open()))
    assert list(rows[0]) == ["slide", "patient", "age", "seed", "fold", "predicted age"]
    done = CliRunner().invoke(
        app, ["predict", str(made.store.path), "--mil", str(file), "--out", str(tmp_path / "new"), "--json"]
    )
    assert done.exit_code == 0, done.output
    slides = json.loads(done.stdout)["slides"]
    found = {each["slide_id"]: each["value"] for each in slides}
    errors = [abs(found[name] - 50 - 20 * share) for name, share in made.share.items()]
    assert np.mean(errors) < 4
    assert slides[0]["prediction"] == f"age {slides[0]['value']:.3g}"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--task", "ranking"), "--task ranking: choose classification, survival or regression"),
        (("--time", "months"), "--time months: is for --task survival"),
        (("--task", "survival", "--target", "age"), "--target age: is for --task regression"),
        (
            (*SURVIVAL, "--method", "clam"),
            "--method clam needs classes, which survival does not have; use dsmil",
        ),
        ((*SURVIVAL, "--loss", "l1"), "--loss l1 is for regression, and this is survival"),
        ((*REGRESSION, "--loss", "huber"), "--loss huber: choose mse or l1"),
    ],
)
def test_options_that_do_not_fit(made: Shares, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    labels = made.values if "--target" in arguments and "regression" in arguments else made.survival
    done = typed(made, labels, *arguments, "--out", tmp_path / "out")
    assert isinstance(done.exception, WsiEmbedError)
    assert says in str(done.exception)
    assert "fold" not in done.stderr


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["abmil", "dsmil"])
def test_a_gpu_trains_as_well_as_the_cpu(made: Shares, method: str) -> None:
    bags = join_values(made.store, made.values, target="age")
    found = evaluate_mil(made.store, bags, MilSettings(method, epochs=12, lr=3e-3, device="cuda"), folds=3)
    assert found.intervals["r2"].mean > 0.5
