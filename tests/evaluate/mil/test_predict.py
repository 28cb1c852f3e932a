"""Predictions of the slides of a store by an exported network: PyTorch's numbers, without PyTorch."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchmil")
pytest.importorskip("onnx")

from tests.evaluate.made import MadeSlide, made_store  # noqa: E402
from tests.job_tools import invoke  # noqa: E402
from wsi_embed import Store, predict  # noqa: E402
from wsi_embed.errors import ModelError, StoreMismatchError, UsageError  # noqa: E402
from wsi_embed.evaluate.mil.export import write_net  # noqa: E402
from wsi_embed.evaluate.mil.nets import BagNet, Dsmil  # noqa: E402
from wsi_embed.evaluate.mil.slide_model import MilMetadata  # noqa: E402
from wsi_embed.plot.attention import slide_heat  # noqa: E402
from wsi_embed.store.attention import Attention  # noqa: E402

ABOUT = MilMetadata("dsmil", ("a", "b"), "sha256:a", 4, 0.5, 224, "slide", training_slides=("s1", "x"))


@dataclass(frozen=True)
class Made:
    """A store of slides s0 to s3, of which s2 has no tiles; a network, and its file."""

    store: Store
    net: BagNet
    file: Path


def made_slides() -> dict[str, MadeSlide]:
    rng = np.random.default_rng(0)
    tiles = {"s0": 1, "s1": 7, "s2": 0, "s3": 30}
    return {
        name: MadeSlide(rng.normal(size=(n, 4)).astype(np.float32), patient="p" if n == 7 else None)
        for name, n in tiles.items()
    }


@pytest.fixture
def made(tmp_path: Path) -> Made:
    torch.manual_seed(0)
    net = Dsmil(4, 2).eval()
    write_net(net, ABOUT, tmp_path / "m.onnx")
    return Made(made_store(tmp_path / "f.zarr", made_slides()), net, tmp_path / "m.onnx")


def test_predictions_and_attention_are_pytorchs(made: Made, tmp_path: Path) -> None:
    report = predict(made.store, made.file, tmp_path / "out")
    rows = {row["slide_id"]: row for row in csv.DictReader((tmp_path / "out" / "predictions.csv").open())}
    attention = Attention(tmp_path / "out")
    assert list(rows) == list(attention) == [slide.slide_id for slide in report.slides] == ["s0", "s1", "s3"]
    for slide in report.slides:
        bag, row = made.store[slide.slide_id], rows[slide.slide_id]
        probabilities, paid = made.net.predict(torch.from_numpy(bag.features[:]))
        np.testing.assert_allclose(list(slide.probabilities.values()), probabilities.numpy(), atol=1e-5)
        assert [float(row["p a"]), float(row["p b"])] == pytest.approx(probabilities.tolist(), abs=1e-5)
        assert row["prediction"] == slide.prediction == "ab"[int(probabilities.argmax())]
        assert row["patient"] == ("p" if slide.slide_id == "s1" else "")
        found = attention[slide.slide_id]
        np.testing.assert_allclose(found.attention, paid.numpy(), atol=1e-5)
        assert found.columns == ("a", "b")
        facts = slide_heat(found, bag, "dsmil").facts
        assert facts.startswith(f"dsmil, attention for {slide.prediction}; predicted {slide.prediction} (")
    assert report.notes[0] == "no prediction for 1 slide without tiles: s2"
    assert report.notes[1].startswith("the network was trained on 1 slide of these (s1)")


def test_pytorch_is_not_loaded(made: Made, tmp_path: Path) -> None:
    code = (
        "import sys, wsi_embed; wsi_embed.predict(*sys.argv[1:]); "
        "print(*{'torch', 'torchmil', 'sklearn', 'onnx', 'matplotlib'} & set(sys.modules))"
    )
    arguments = map(str, (made.store.path, made.file, tmp_path / "out"))
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    assert (tmp_path / "out" / "predictions.csv").exists()


def test_a_damaged_slide_fails_alone(made: Made, tmp_path: Path) -> None:
    data = made.store.path / "s1" / "features" / "c" / "0" / "0"
    data.write_bytes(data.read_bytes()[:-3])
    done = invoke("predict", made.store.path, "--mil", made.file, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.startswith("failed: s1/features: cannot be read")
    assert len(done.stderr.splitlines()) == 1
    assert "2 slides: " in done.stdout
    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").open()))
    assert [row["slide_id"] for row in rows] == ["s0", "s3"]
    assert sorted(Attention(tmp_path / "out")) == ["s0", "s3"]


def test_other_stores_are_refused(made: Made, tmp_path: Path) -> None:
    for change, says in (
        (replace(ABOUT, model_id="sha256:b"), r"f\.zarr: the encoder is sha256:a, and n\.onnx .* sha256:b"),
        (replace(ABOUT, mpp=0.25), "mpp is 0.5, and n.onnx was trained with 0.25"),
        (replace(ABOUT, tile_px=256), "tile_px is 224, and n.onnx was trained with 256"),
    ):
        write_net(made.net, change, tmp_path / "n.onnx")
        with pytest.raises(StoreMismatchError, match=says):
            predict(made.store.path, tmp_path / "n.onnx", tmp_path / "out")
    write_net(Dsmil(5, 2).eval(), replace(ABOUT, feature_dim=5), tmp_path / "n.onnx")
    with pytest.raises(StoreMismatchError, match=r"the number of features is 4, and .* trained with 5"):
        predict(made.store.path, tmp_path / "n.onnx", tmp_path / "out")
    (tmp_path / "text.onnx").write_text("text")
    with pytest.raises(ModelError, match=r"text\.onnx"):
        predict(made.store.path, tmp_path / "text.onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_earlier_predictions_are_kept(made: Made, tmp_path: Path) -> None:
    first = invoke("predict", made.store.path, "--mil", made.file, "--out", tmp_path / "out")
    assert first.returncode == 0, first.stderr
    assert "note: no prediction for 1 slide without tiles: s2" in first.stdout
    with pytest.raises(UsageError, match="contains earlier predictions"):
        predict(made.store, made.file, tmp_path / "out")
    assert len(predict(made.store, made.file, tmp_path / "out", overwrite=True).slides) == 3


def test_a_network_for_patients_is_named(made: Made, tmp_path: Path) -> None:
    write_net(made.net, replace(ABOUT, by="patient"), tmp_path / "n.onnx")
    assert (
        "all slides of a patient together"
        in predict(made.store, tmp_path / "n.onnx", tmp_path / "o").notes[-1]
    )
