from __future__ import annotations

import importlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from torchvision.transforms import functional

from tests.made_models import TINY_BACKBONE, TINY_DIM, tiny_config
from tests.made_slides import he_pixels, write_svs
from wsi_embed.encoder import Encoded, ModelMetadata, load_encoder
from wsi_embed.encoder.metadata import FILE, KEY
from wsi_embed_export import export, read_source
from wsi_embed_export.graph import TileModel
from wsi_embed_export.parity import ParityError, made_tiles
from wsi_embed_train import build_method, train
from wsi_embed_train.methods import METHODS
from wsi_embed_train.methods.clubyol import CluBYOL

Floats = npt.NDArray[np.float32]
NAMES = ["fp32.onnx", "fp16.onnx", "fp32.ts", "fp16.ts"]
writers = importlib.import_module("wsi_embed_export.export")  # the package names a function like the module


def tiles(count: int, seed: int = 5) -> npt.NDArray[np.uint8]:
    return made_tiles(np.random.default_rng(seed), count, 32)


def network(run: Path) -> tuple[CluBYOL, dict[str, Any]]:
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    config = tiny_config()
    net = build_method(config.method, vars(config))
    assert isinstance(net, CluBYOL)
    net.load_state_dict({k.removeprefix("network."): v for k, v in content["state_dict"].items()})
    return net.eval(), content["wsi_embed"]


def independent(run: Path, batch: npt.NDArray[np.uint8]) -> tuple[Floats, ...]:
    """Features, cluster probabilities, projections and cluster logits by torchvision's normalisation and the
    unfused network.
    """
    net, ours = network(run)
    mean, std = ours["data"]["mean"], ours["data"]["std"]
    images = torch.stack([functional.normalize(functional.to_tensor(t), mean, std) for t in batch])
    with torch.inference_mode():
        features = net.encoder.backbone(images)
        projection = net.encoder.projector(features)
        logits = net.assign(projection)
    return features.numpy(), logits.softmax(1).numpy(), projection.numpy(), logits.numpy()


@pytest.mark.parametrize("name", NAMES)
def test_computes_what_the_network_computes(exported: dict[str, Path], run: Path, name: str) -> None:
    batch = tiles(32)
    features, probabilities, _, _ = independent(run, batch)
    near = 1e-5 if name.startswith("fp32") else 2e-2
    assert_same(load_encoder(exported[name], device="cpu").encode(batch), features, probabilities, near)


def assert_same(encoded: Encoded, features: Floats, probabilities: Floats, near: float) -> None:
    assert encoded.cluster is not None
    assert encoded.confidence is not None
    np.testing.assert_allclose(encoded.features, features, atol=near * np.abs(features).max())
    np.testing.assert_allclose(encoded.confidence, probabilities.max(1), atol=near)
    best = np.sort(probabilities, axis=1)
    clear = best[:, -1] - best[:, -2] > near
    assert clear.sum() > 8
    assert np.array_equal(encoded.cluster[clear], probabilities.argmax(1)[clear])


@pytest.mark.filterwarnings("ignore:.*torch.jit.load:FutureWarning")
def test_further_outputs(run: Path, exported_further: dict[str, Path]) -> None:
    batch = tiles(32)
    features, probabilities, projection, logits = independent(run, batch)
    found: list[Any] = []
    for path in exported_further.values():
        encoded = load_encoder(path, device="cpu").encode(batch)
        assert_same(encoded, features, probabilities, 1e-5)  # in nobody's way
    found.append(torch.jit.load(exported_further[".ts"])(torch.from_numpy(batch)))  # type: ignore[no-untyped-call]
    session = ort.InferenceSession(str(exported_further[".onnx"]), providers=["CPUExecutionProvider"])
    found.append(session.run(None, {"tiles": batch}))
    for out in found:
        for given, expected in zip((out[0], out[3], out[4]), (features, projection, logits), strict=True):
            np.testing.assert_allclose(given, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_batch_is_dynamic(exported: dict[str, Path], name: str, batch: int) -> None:
    encoder = load_encoder(exported[name], device="cpu")
    many = tiles(64)
    encoded = encoder.encode(many[:batch])
    assert encoded.features.shape == (batch, TINY_DIM)
    # 1e-2: half precision adds up in another order in another batch size
    near = 1e-5 if name.startswith("fp32") else 1e-2
    whole = encoder.encode(many).features[:batch]
    np.testing.assert_allclose(encoded.features, whole, atol=near * np.abs(whole).max())


@pytest.mark.parametrize("name", ["fp32.onnx", "fp16.onnx"])
def test_onnx_signature(exported: dict[str, Path], name: str) -> None:
    session = ort.InferenceSession(str(exported[name]), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape[1:]) == ("tiles", "tensor(uint8)", [32, 32, 3])
    assert isinstance(given.shape[0], str)
    assert [(o.name, o.type) for o in session.get_outputs()] == [
        ("features", "tensor(float)"),
        ("cluster", "tensor(int64)"),
        ("cluster_confidence", "tensor(float)"),
    ]
    features, cluster, confidence = session.run(None, {"tiles": tiles(3)})
    assert (features.shape, cluster.shape, confidence.shape) == ((3, TINY_DIM), (3,), (3,))


@pytest.mark.filterwarnings("ignore:.*torch.jit.load:FutureWarning")
def test_torchscript_signature(exported: dict[str, Path]) -> None:
    out = torch.jit.load(str(exported["fp16.ts"]))(torch.from_numpy(tiles(3)))  # type: ignore[no-untyped-call]
    assert [(o.dtype, tuple(o.shape)) for o in out] == [
        (torch.float32, (3, TINY_DIM)),
        (torch.int64, (3,)),
        (torch.float32, (3,)),
    ]


@pytest.mark.parametrize("name", ["fp32.onnx", "fp16.onnx"])
def test_onnx_file_is_whole_and_recent(exported: dict[str, Path], name: str) -> None:
    model = onnx.load(str(exported[name]))
    onnx.checker.check_model(model, full_check=True)
    assert {o.domain: o.version for o in model.opset_import}[""] >= 18
    assert {o.domain for o in model.opset_import} == {""}  # nothing a plain ONNX Runtime lacks


@pytest.mark.parametrize("name", ["fp32.onnx", "fp16.onnx"])
def test_the_file_says_nothing_of_the_machine_that_wrote_it(exported: dict[str, Path], name: str) -> None:
    """PyTorch's exporter notes a stack trace, with paths, at every node."""
    content = exported[name].read_bytes()
    for place in (Path(__file__).parents[2], Path.home(), Path(torch.__file__).parent):
        assert str(place).encode() not in content


def test_fp16_weights_are_half_as_large(exported: dict[str, Path]) -> None:
    sizes = {name: path.stat().st_size for name, path in exported.items()}
    assert sizes["fp16.onnx"] < 0.6 * sizes["fp32.onnx"]
    assert sizes["fp16.ts"] < 0.6 * sizes["fp32.ts"]


@pytest.mark.parametrize("name", NAMES)
def test_metadata_are_complete(exported: dict[str, Path], run: Path, name: str) -> None:
    about = load_encoder(exported[name], device="cpu").metadata
    ours = network(run)[1]
    assert (about.name, about.method, about.backbone) == ("tiny", "clubyol", TINY_BACKBONE)
    assert (about.tile_px, about.mpp, about.feature_dim, about.clusters) == (32, 0.5, TINY_DIM, 5)
    assert about.precision == name[:4]
    assert (list(about.mean), list(about.std)) == (list(ours["data"]["mean"]), list(ours["data"]["std"]))
    assert (about.training["epochs"], about.training["steps"], about.training["tiles"]) == (1, 2, 16)
    assert about.training["settings"]["alpha"] == 0.9
    assert re.fullmatch(r"last\.ckpt sha256:[0-9a-f]{16}", about.source_checkpoint or "")
    assert re.fullmatch(r"sha256:[0-9a-f]{32}", about.model_id)
    assert about.licence == "CC0-1.0"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", about.created)
    assert about.parity["min_cosine"] > 0.999
    assert about.parity["cluster_agreement"] > 0.995
    assert about.parity.keys() >= {"max_error", "min_centred_cosine", "confidence_error"}


@pytest.mark.filterwarnings("ignore:.*torch.jit.load:FutureWarning")
def test_metadata_lie_where_the_contract_says(exported: dict[str, Path]) -> None:
    props = {p.key: p.value for p in onnx.load(str(exported["fp32.onnx"])).metadata_props}
    extra = {FILE: ""}
    torch.jit.load(str(exported["fp32.ts"]), _extra_files=extra)  # type: ignore[no-untyped-call]
    assert json.loads(props[KEY])["schema"] == json.loads(extra[FILE])["schema"] == 1


def test_one_id_for_one_model(exported: dict[str, Path]) -> None:
    ids = {name: load_encoder(path, device="cpu").model_id for name, path in exported.items()}
    assert ids["fp32.onnx"] == ids["fp32.ts"]
    assert ids["fp16.onnx"] == ids["fp16.ts"]
    assert ids["fp32.onnx"] != ids["fp16.onnx"]


@pytest.mark.filterwarnings("error")
def test_exported_again_elsewhere_and_without_a_word(
    exported: dict[str, Path], run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    about = export(run, tmp_path / "deep" / "mine.ts", mpp=0.25)
    assert capfd.readouterr() == ("", "")
    assert (about.mpp, about.name) == (0.25, "mine")
    assert about.model_id == load_encoder(exported["fp32.ts"], device="cpu").model_id


def test_id_depends_on_weights_preprocessing_and_outputs(run: Path) -> None:
    def changed(**changes: Any) -> TileModel:
        return TileModel(replace(read_source(run), **changes))

    other = read_source(run)
    assert isinstance(other.cluster_head, torch.nn.Sequential)
    with torch.no_grad():
        other.cluster_head[1].bias[0] += 1e-3  # type: ignore[index, operator]
    models = [
        changed(),
        TileModel(other),
        changed(mean=(0.5, 0.5, 0.51)),
        changed(tile_px=64),
        TileModel(read_source(run), extra=["projection"]),
        TileModel(read_source(run), "fp16"),
    ]
    assert len({model.digest() for model in models}) == len(models)
    assert changed().digest() == models[0].digest()


def test_checkpoint_file_is_as_good_as_the_run_folder(exported: dict[str, Path], run: Path) -> None:
    model = TileModel(read_source(run / "checkpoints" / "last.ckpt"))
    assert model.digest() == load_encoder(exported["fp32.ts"], device="cpu").model_id


def untrained(folder: Path, recipe: str, **settings: Any) -> Path:
    """A checkpoint of a method with its first weights, as a run writes it."""
    torch.manual_seed(0)
    config = tiny_config(recipe, **settings)
    teacher = {"feature_dim": 12, "clusters": 4} if config.method == "distil" else None
    net = build_method(config.method, vars(config), 2, teacher)
    for module in net.encoder.backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    net.encoder.backbone(torch.randn(64, 3, 32, 32))  # norms without statistics let nothing through
    data = {"mean": (0.6, 0.5, 0.7), "std": (0.2, 0.2, 0.2), "tiles": 16, "source": "none"}
    if teacher:
        data["teacher"] = teacher
    if recipe == "supervised":
        data["classes"] = ["a", "b"]
    ours = {"config": config.to_dict(), "data": data, "epochs_done": 0, "steps": 0}
    state = {f"network.{name}": tensor for name, tensor in net.state_dict().items()}
    torch.save({"wsi_embed": ours, "state_dict": state}, folder / "last.ckpt")
    return folder / "last.ckpt"


@pytest.mark.parametrize("recipe", sorted({*METHODS} - {"clubyol"}))
def test_every_method_exports(tmp_path: Path, recipe: str) -> None:
    clusters = 5 if recipe == "clusiam" else None
    about = export(untrained(tmp_path, recipe), tmp_path / "model.ts")
    assert (about.method, about.clusters, about.feature_dim) == (recipe, clusters, TINY_DIM)
    encoded = load_encoder(tmp_path / "model.ts", device="cpu").encode(tiles(3))
    assert encoded.features.shape == (3, TINY_DIM)
    assert (encoded.cluster is not None) == (encoded.confidence is not None) == (clusters is not None)


def test_onnx_without_clusters_has_features_alone(tmp_path: Path) -> None:
    path = untrained(tmp_path, "simclr")
    export(path, tmp_path / "model.onnx", precision="fp16")
    session = ort.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [(o.name, o.type) for o in session.get_outputs()] == [("features", "tensor(float)")]
    encoder = load_encoder(tmp_path / "model.onnx", device="cpu")
    assert encoder.metadata.clusters is None
    assert encoder.encode(tiles(2)).cluster is None


def test_other_backbones_export(tmp_path: Path) -> None:
    """All other tests here have one of timm's."""
    name = "squeezenet1_1"
    about = export(untrained(tmp_path, "clubyol", backbone=name), tmp_path / "model.ts")
    assert about.backbone == name
    features = load_encoder(tmp_path / "model.ts", device="cpu").encode(tiles(2)).features
    assert features.shape == (2, about.feature_dim)


def test_a_checkpoint_of_an_earlier_version_exports_the_same(
    exported: dict[str, Path], run: Path, tmp_path: Path
) -> None:
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    config = content["wsi_embed"]["config"]
    for later in ("ema_end", "predictor_lr", "fix_pred_lr", "exclude_norm_bias", "warmup_epochs"):
        del config[later]
    torch.save(content, tmp_path / "old.ckpt")
    model = TileModel(read_source(tmp_path / "old.ckpt"))
    assert model.digest() == load_encoder(exported["fp32.ts"], device="cpu").model_id


@pytest.mark.parametrize(
    ("initializers", "factor", "output"),
    [
        (["backbone.conv1.0.weight"], -1, "features"),
        (["head.2.bias"], -1, "cluster"),
        (["head.2.weight", "head.2.bias"], 1.1, "cluster_confidence"),  # the same clusters, surer
    ],
)
def test_a_file_that_computes_something_else_is_not_left_behind(
    exported: dict[str, Path],
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    initializers: list[str],
    factor: float,
    output: str,
) -> None:
    def write(model: TileModel, metadata: ModelMetadata, path: Path, largest: int) -> None:
        proto = onnx.load(str(exported["fp32.onnx"]))
        for weight in (i for i in proto.graph.initializer if i.name in initializers):
            changed = numpy_helper.to_array(weight) * np.float32(factor)
            weight.CopyFrom(numpy_helper.from_array(changed, weight.name))
        onnx.save(proto, str(path))

    monkeypatch.setattr(writers, "write_onnx", write)
    with pytest.raises(ParityError, match=rf"differs from PyTorch in {output} \("):
        export(run, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_keeps_the_file_that_was_there(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(model: TileModel, metadata: ModelMetadata, path: Path, largest: int) -> None:
        path.write_bytes(b"half a mod")
        raise OSError("disk full")

    out = tmp_path / "model.onnx"
    out.write_bytes(b"before")
    monkeypatch.setattr(writers, "write_onnx", write)
    with pytest.raises(OSError, match="disk full"):
        export(run, out)
    assert out.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.filterwarnings("error")
def test_ids_of_training_slides_are_in_the_file_and_no_others(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    slides = tmp_path / "slides"
    (slides / "site").mkdir(parents=True)
    write_svs(slides / "site" / "a.svs", he_pixels(300, 300), mpp=0.5)
    (slides / "broken.svs").touch()
    train(slides, tmp_path / "run", tiny_config(epochs=1, mpp=0.5))
    capfd.readouterr()
    about = export(tmp_path / "run", tmp_path / "model.onnx")
    assert capfd.readouterr() == ("", ""), "the exporter has much to say"
    assert about.training_slides == ("site__a",)
    assert load_encoder(tmp_path / "model.onnx", device="cpu").metadata.training_slides == ("site__a",)
    assert about.training["slide_tiles"] == about.training["tiles"] >= 8
    assert "broken" not in about.to_json()
