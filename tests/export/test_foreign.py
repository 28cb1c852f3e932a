"""ONNX files of other tools: the right features from raw tiles, or one line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from tests.made_models import tiny_onnx, tiny_tiles
from wsi_embed.cli import app
from wsi_embed.cli.wording import in_flags
from wsi_embed.diagnostics.describe import describe
from wsi_embed.encoder import load_encoder
from wsi_embed.errors import UsageError
from wsi_embed_export import Given, wrap_onnx

PX, WIDTH = 16, 6
MEAN, STD = (0.7, 0.5, 0.6), (0.2, 0.25, 0.3)
GIVEN = Given(mean=MEAN, std=STD, mpp=0.5)
TILES = np.random.default_rng(0).integers(0, 256, (5, PX, PX, 3), np.uint8)
WEIGHTS = np.random.default_rng(1).normal(size=(WIDTH, 3, 4, 4)).astype(np.float32)


def made(
    path: Path,
    *,
    name: str = "pixel_values",
    batch: int | str = "batch_size",
    sides: Sequence[int | str] = (PX, PX),
    kind: int = TensorProto.FLOAT,
    layout: str = "nchw",
    outputs: Sequence[str] = ("pooler_output",),
    opset: int = 17,
    fixed: bool = False,
) -> Path:
    """Write a network of 4 x 4 pixel tokens, as optimum writes a vision transformer.

    Its outputs may be `last_hidden_state` [B, 16, 6], `pooler_output` [B, 6], the mean token, `map`
    [B, 6, 4, 4] and `narrow` [B, 6, 1, 1]; others are the mean token by another name. `fixed` writes the
    batch size into a reshape.
    """
    dtype = helper.tensor_dtype_to_np_dtype(kind if kind != TensorProto.UINT8 else TensorProto.FLOAT)
    count = batch if fixed and isinstance(batch, int) else 0
    node = helper.make_node
    nodes = [node("Transpose", [name], ["images"], perm=[0, 3, 1, 2])] if layout == "nhwc" else []
    images = "images" if layout == "nhwc" else name
    if kind == TensorProto.UINT8:
        nodes.append(node("Cast", [images], ["floats"], to=TensorProto.FLOAT))
        images = "floats"
    nodes += [
        node("Conv", [images, "weights"], ["map"], strides=[4, 4]),
        node("Reshape", ["map", "shape"], ["channels"]),
        node("Transpose", ["channels"], ["last_hidden_state"], perm=[0, 2, 1]),
        node("GlobalAveragePool", ["map"], ["narrow"]),
    ]
    pooled = [each for each in outputs if each not in ("map", "last_hidden_state", "narrow")]
    nodes += [node("Flatten", ["narrow"], [each], axis=1) for each in pooled]
    shape = [batch, 3, *sides] if layout == "nchw" else [batch, *sides, 3]
    constants = {"weights": WEIGHTS.astype(dtype), "shape": np.array([count, WIDTH, 16], np.int64)}
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info(name, kind, shape)],
        [
            helper.make_tensor_value_info(each, helper.np_dtype_to_tensor_dtype(dtype), None)
            for each in outputs
        ],
        [numpy_helper.from_array(array, key) for key, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, str(path))
    return path


def tokens(tiles: npt.NDArray[np.uint8], raw: bool = False) -> npt.NDArray[np.float64]:
    """Compute `last_hidden_state` by NumPy."""
    images = tiles.astype(np.float64)
    images = images if raw else (images / 255 - MEAN) / STD
    patches = images.reshape(-1, 4, 4, 4, 4, 3).transpose(0, 1, 3, 5, 2, 4).reshape(len(tiles), 16, -1)
    return np.asarray(patches @ WEIGHTS.reshape(WIDTH, -1).astype(np.float64).T)


def features(path: Path) -> npt.NDArray[np.float32]:
    return load_encoder(path, device="cpu").encode(TILES).features


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"layout": "nhwc"},
        {"name": "tiles", "outputs": ["features"]},
        {"name": "features", "outputs": ["tiles"]},
        {"sides": ("height", "width")},
        {"batch": 1},
        {"batch": 4},
        {"outputs": ["narrow"]},
        {"opset": 11},
        {"opset": 18},
    ],
)
def test_raw_tiles_give_the_features_of_normalised_images(tmp_path: Path, arguments: dict[str, Any]) -> None:
    source = made(tmp_path / "foreign.onnx", **arguments)
    given = Given(mean=MEAN, std=STD, mpp=0.5, tile_px=PX)
    about = wrap_onnx(source, tmp_path / "ours.onnx", given=given)
    np.testing.assert_allclose(features(tmp_path / "ours.onnx"), tokens(TILES).mean(1), atol=1e-5)
    assert (about.tile_px, about.mpp, about.feature_dim, about.precision) == (PX, 0.5, WIDTH, "fp32")
    assert (about.mean, about.std, about.backbone) == (MEAN, STD, "foreign")
    assert about.parity["min_cosine"] > 0.99999
    session_of = onnx.load(str(tmp_path / "ours.onnx")).graph
    assert [each.name for each in (*session_of.input, *session_of.output)] == ["tiles", "features"]


def test_half_precision(tmp_path: Path) -> None:
    source = made(tmp_path / "foreign.onnx", kind=TensorProto.FLOAT16)
    assert wrap_onnx(source, tmp_path / "ours.onnx", given=GIVEN).precision == "fp16"
    found = features(tmp_path / "ours.onnx")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, tokens(TILES).mean(1), atol=2e-2)


def test_raw_pixels_need_no_normalisation(tmp_path: Path) -> None:
    source = made(tmp_path / "foreign.onnx", kind=TensorProto.UINT8)
    with pytest.raises(UsageError, match=r"takes raw pixels, so that `mean=` and `std=` cannot be given"):
        wrap_onnx(source, tmp_path / "ours.onnx", given=GIVEN)
    about = wrap_onnx(source, tmp_path / "ours.onnx", given=Given(mpp=0.5))
    assert (about.mean, about.std) == ((), ())
    np.testing.assert_allclose(features(tmp_path / "ours.onnx"), tokens(TILES, raw=True).mean(1), rtol=1e-4)


@pytest.mark.parametrize("opset", [11, 18])
def test_tokens_are_chosen_by_the_user(tmp_path: Path, opset: int) -> None:
    source = made(tmp_path / "foreign.onnx", outputs=["last_hidden_state", "pooler_output"], opset=opset)
    expected = tokens(TILES)
    chosen = {
        "last_hidden_state[0]": expected[:, 0],
        "last_hidden_state[3]": expected[:, 3],
        "last_hidden_state[1:]": expected[:, 1:].mean(1),
        "pooler_output": expected.mean(1),
    }
    ids = set()
    for name, value in chosen.items():
        about = wrap_onnx(source, tmp_path / "ours.onnx", given=GIVEN, features=name)
        np.testing.assert_allclose(features(tmp_path / "ours.onnx"), value, atol=1e-5)
        assert about.training["features"] == name
        ids.add(about.model_id)
    assert len(ids) == len(chosen)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ({"outputs": ["last_hidden_state"]}, {}, r"holds tokens.*give --features last_hidden_state\[0\] for"),
        ({"outputs": ["last_hidden_state"]}, {"features": "last_hidden_state[16]"}, r"\[16\]"),
        ({"outputs": ["a", "b"]}, {}, r"does not say which output has the features \(it has a \[2, 6\], b"),
        ({"outputs": ["a", "b"]}, {"features": "c"}, r"has no output 'c' \(it has a \[2, 6\], b \[2, 6\]\)"),
        ({"outputs": ["logits"]}, {}, r"logits \[2, 6\] seems to hold the scores of classes, not features"),
        (
            {"outputs": ["class_probs"]},
            {},
            "or give --features class_probs if they are",
        ),
        ({"outputs": ["map"]}, {}, "holds no vector for each of 2 tiles"),
        ({}, {"features": "pooler_output[0]"}, r"pooler_output \[2, 6\] has no pooler_output\[0\]"),
        ({}, {"layout": "nhwc"}, r"takes pixel_values .*\[.batch_size., 3, 16, 16\], no nhwc"),
        ({}, {"layout": "chw"}, "choose nchw or nhwc"),
        ({"sides": ("h", "w")}, {}, "images of any size; give --tile-px"),
        ({"sides": (16, 32)}, {}, r"takes pixel_values .*16, 32\]"),
        ({}, {"given": Given(mean=MEAN, std=STD, tile_px=32)}, "not tiles of 32 pixels"),
        ({}, {"given": Given(mean=MEAN)}, "give --mean and --std of its model card"),
        ({"kind": TensorProto.UINT8, "outputs": ["a"], "opset": 9}, {"given": Given()}, "has opset 9"),
        ({"batch": 2, "fixed": True}, {}, "dynamic batch size"),
        ({"batch": 1, "fixed": True}, {}, "dynamic batch size"),
    ],
)
def test_what_does_not_fit_is_one_line(
    tmp_path: Path, arguments: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    source = made(tmp_path / "foreign.onnx", **arguments)
    with pytest.raises(UsageError) as failed:
        wrap_onnx(source, tmp_path / "ours.onnx", **({"given": GIVEN} | options))
    said = in_flags(str(failed.value))
    assert re.search(message, said)
    assert "\n" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["foreign.onnx"]


def test_an_exported_model_is_not_wrapped_again(tmp_path: Path) -> None:
    wrap_onnx(made(tmp_path / "foreign.onnx"), tmp_path / "ours.onnx", given=GIVEN)
    with pytest.raises(UsageError, match="was exported by wsi-embed and needs no wrapping"):
        wrap_onnx(tmp_path / "ours.onnx", tmp_path / "again.onnx", given=GIVEN)
    with pytest.raises(UsageError, match="no such file"):
        wrap_onnx(tmp_path / "missing.onnx", tmp_path / "again.onnx", given=GIVEN)
    with pytest.raises(UsageError, match=r"as \.onnx only"):
        wrap_onnx(tmp_path / "foreign.onnx", tmp_path / "again.ts", given=GIVEN)


def test_command_line(tmp_path: Path) -> None:
    source, out = made(tmp_path / "foreign.onnx"), tmp_path / "ours.onnx"
    colours = ["--mean", "0.7,0.5,0.6", "--std", "0.2,0.25,0.3"]
    command = ["export", str(source), "--out", str(out), "--mpp", "0.5", "--layout", "nchw", *colours]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "against foreign.onnx: max error" in done.output
    np.testing.assert_allclose(features(out), tokens(TILES).mean(1), atol=1e-5)
    refused = CliRunner().invoke(app, [*command, "--precision", "fp16"])
    assert str(refused.exception) == "foreign.onnx: --precision does not apply to this source"


def test_info_lists_inputs_and_outputs_of_any_file(tmp_path: Path) -> None:
    source = made(tmp_path / "foreign.onnx", outputs=["last_hidden_state", "pooler_output"])
    facts, _ = describe(str(source))
    assert facts["takes"] == ["pixel_values: float [batch_size, 3, 16, 16]"]
    assert [text.partition(":")[0] for text in facts["returns"]] == ["last_hidden_state", "pooler_output"]
    wrap_onnx(source, tmp_path / "ours.onnx", given=GIVEN, features="pooler_output")
    facts, _ = describe(str(tmp_path / "ours.onnx"))
    assert facts["takes"] == ["tiles: uint8 [batch, 16, 16, 3]"]
    assert facts["feature_dim"] == WIDTH


def test_info_and_compare_take_tile_size_and_resolution(tmp_path: Path) -> None:
    raw = tiny_onnx(tmp_path / "raw.onnx", metadata=False)
    about = ["--tile-px", "32", "--mpp", "0.5"]
    said = CliRunner().invoke(app, ["info", str(raw), *about, "--json"])
    assert json.loads(said.output)["feature_dim"] == 8
    tiles = tiny_tiles(tmp_path / "tiles")
    said = CliRunner().invoke(
        app, ["compare", str(raw), str(raw), "--tiles", str(tiles), "--device", "cpu", *about]
    )
    assert said.exit_code == 0, said.output
    assert "centred cosine" in said.output
    without = CliRunner().invoke(
        app, ["compare", str(raw), str(raw), "--tiles", str(tiles), "--device", "cpu"]
    )
    assert "pass the --tile-px and --mpp of the tiles it takes" in str(without.exception)
