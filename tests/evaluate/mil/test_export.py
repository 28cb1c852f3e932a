"""The exported network: its outputs are PyTorch's, its file describes itself, what cannot be is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchmil")
onnx = pytest.importorskip("onnx")

from tests.evaluate.mil.made import Witnessed, bags_of, witnessed  # noqa: E402
from wsi_embed.errors import ModelError, SlideError, UsageError, WsiEmbedError  # noqa: E402
from wsi_embed.evaluate.mil import export  # noqa: E402
from wsi_embed.evaluate.mil.export import check_export, export_mil, write_net  # noqa: E402
from wsi_embed.evaluate.mil.nets import Abmil, BagNet, Clam, Dsmil, Transmil  # noqa: E402
from wsi_embed.evaluate.mil.run import evaluate_mil  # noqa: E402
from wsi_embed.evaluate.mil.settings import MilSettings  # noqa: E402
from wsi_embed.evaluate.mil.slide_model import KEY, MilMetadata, MilModel  # noqa: E402

ABOUT = MilMetadata("abmil", ("a", "b", "c"), "sha256:a", 8, 0.5, 224, "slide", created="2026-01-01")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Witnessed:
    return witnessed(tmp_path_factory.mktemp("witnessed") / "f.zarr", 24)


def net_of(kind: type[BagNet]) -> BagNet:
    torch.manual_seed(0)
    net = kind(8, 3).eval()
    net.standardise(torch.linspace(-3, 3, 8), torch.linspace(0.5, 20, 8))
    return net


@pytest.mark.parametrize("kind", [Abmil, Clam, Dsmil])
def test_the_file_predicts_as_pytorch_does(kind: type[BagNet], tmp_path: Path) -> None:
    net = net_of(kind)
    written = write_net(net, ABOUT, tmp_path / "new" / "m.onnx")
    model = MilModel(tmp_path / "new" / "m.onnx")
    assert model.metadata == written
    assert max(written.parity.values()) < 1e-5
    for tiles in (1, 2, 5, 300):
        bag = torch.randn(tiles, 8).half()
        found, expected = model.predict(bag.numpy()), net.predict(bag)
        assert found[1].shape == (tiles, 3 if kind is Dsmil else 1)
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [Abmil, Dsmil])
@pytest.mark.parametrize(("task", "name"), [("survival", "risk"), ("regression", "age")])
def test_a_number_of_the_file_is_pytorchs(kind: type[BagNet], task: str, name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = kind(8, 1).eval()
    if task == "regression":
        net.target_mean, net.target_std = 1000.0, 7.0
    about = replace(ABOUT, classes=(name,), task=task)
    written = write_net(net, about, tmp_path / "m.onnx")
    model = MilModel(tmp_path / "m.onnx")
    assert model.metadata == written
    for tiles in (1, 5, 300):
        bag = torch.randn(tiles, 8)
        (value, attention), expected = model.predict(bag.numpy()), net.predict(bag)
        assert value.shape == (1,)
        assert attention.shape == (tiles, 1)
        np.testing.assert_allclose(value, expected[0].numpy(), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(attention, expected[1].numpy(), atol=1e-5)


def test_files_of_the_first_schema_are_read() -> None:
    old = ABOUT.to_json().replace('"schema": 2', '"schema": 1').replace('"task": "classification", ', "")
    assert "task" not in old
    assert MilMetadata.from_json(old, "m.onnx") == replace(ABOUT, schema=1)


def test_a_file_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(WsiEmbedError, match=r"m\.onnx: the file would predict otherwise than PyTorch"):
        write_net(net_of(Abmil), ABOUT, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_transmil_has_no_graph(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Transmil cannot be exported; use dsmil, abmil or clam"):
        write_net(Transmil(8, 3, width=16, landmarks=4), ABOUT, tmp_path / "m.onnx")


def test_the_network_learns_from_all_bags(made: Witnessed, tmp_path: Path) -> None:
    settings = MilSettings("abmil", epochs=30, lr=5e-3)
    evaluation = evaluate_mil(made.store, bags_of(made.labels), settings, folds=3)
    metadata = export_mil(made.store, evaluation, tmp_path / "m.onnx")
    assert (metadata.method, metadata.classes, metadata.by) == ("abmil", ("a", "b"), "slide")
    assert (metadata.model_id, metadata.feature_dim) == (made.store.model_id, 8)
    assert (metadata.mpp, metadata.tile_px) == (0.5, 224)
    assert metadata.training_slides == tuple(sorted(made.labels))
    assert metadata.training["bags"] == {"a": 12, "b": 12}
    assert metadata.training["epochs"] == sorted(row["epoch"] for row in evaluation.folds)[1]
    assert metadata.training["scores_on_folds"]["auc"] == evaluation.intervals["auc"].mean
    model = MilModel(tmp_path / "m.onnx")
    for slide_id, label in made.labels.items():
        probabilities, attention = model.predict(made.store[slide_id].features[:])
        assert metadata.classes[int(probabilities.argmax())] == label
        if label == "b":
            assert int(attention.argmax()) == made.rows[slide_id]


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    (tmp_path / "there.onnx").write_text("")
    for name, method, says in (
        ("m.onnx", "transmil", "`method='transmil'` cannot be exported; use dsmil, abmil, clam"),
        ("m.onnx", "mean", "`method='mean'` has no network to export"),
        ("m.pt", "abmil", "has to end in .onnx"),
        ("there.onnx", "abmil", "exists already; .* `overwrite=True`"),
        ("there.onnx/m.onnx", "abmil", "cannot be written"),
    ):
        with pytest.raises(UsageError, match=says):
            check_export(tmp_path / name, method, overwrite=False)
    check_export(tmp_path / "there.onnx", "abmil", overwrite=True)


def test_files_that_are_no_network(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write_net(net_of(Abmil), ABOUT, path)
    whole = onnx.load(str(path))

    def with_metadata(text: str | None) -> Path:
        del whole.metadata_props[:]
        if text is not None:
            onnx.helper.set_model_props(whole, {KEY: text})
        onnx.save(whole, str(path))
        return path

    for text, says in (
        (None, "not a multiple-instance network of wsi-embed; make one with"),
        ("{", "its metadata are damaged"),
        ("[1]", "its metadata are damaged"),
        (
            ABOUT.to_json().replace('"schema": 2', '"schema": 3'),
            "metadata schema 3, this wsi-embed reads up to 2",
        ),
        (replace(ABOUT, classes=("a",)).to_json(), "its metadata have a wrong classes"),
        (replace(ABOUT, task="survival").to_json(), "its metadata have a wrong classes"),
        (replace(ABOUT, task="ranking").to_json(), "its metadata have a wrong task"),
        (replace(ABOUT, task="survival", classes=("risk",)).to_json(), "its inputs and outputs contradict"),
        (replace(ABOUT, mpp="x").to_json(), "its metadata have a wrong mpp"),  # type: ignore[arg-type]
        (replace(ABOUT, classes=("a", "b")).to_json(), "its inputs and outputs contradict its metadata"),
        (replace(ABOUT, feature_dim=9).to_json(), "its inputs and outputs contradict its metadata"),
    ):
        with pytest.raises(ModelError, match=says):
            MilModel(with_metadata(text))
    with pytest.raises(ModelError, match="no such file"):
        MilModel(tmp_path / "none.onnx")


def test_a_bag_on_which_the_network_fails(tmp_path: Path) -> None:
    write_net(net_of(Abmil), ABOUT, tmp_path / "m.onnx")
    with pytest.raises(SlideError, match=r"the network fails on 2 tiles \(.*features"):
        MilModel(tmp_path / "m.onnx").predict(np.zeros((2, 9), np.float32))
