"""Tissue by real ONNX networks, made with onnx.helper: what they see and what becomes of it."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import wsi_embed
from tests.job_tools import invoke, make_model
from tests.made_slides import he_pixels, write_tiff
from tests.made_tissue import MPP, UInt8Array, dice, made
from wsi_embed.errors import ModelError, SlideError, UsageError
from wsi_embed.plot import plot_bag
from wsi_embed.slide import open_slide
from wsi_embed.tissue import TissueRecipe, parse_recipe, tissue_mask
from wsi_embed.tissue.mask import find_tissue
from wsi_embed.tissue.network import load_network
from wsi_embed.tissue.network_metadata import KEY
from wsi_embed.tissue.segment import segment
from wsi_embed.tissue.windows import starts


def made_network(
    path: Path,
    *,
    sizes: tuple[Any, Any] = ("h", "w"),
    first: bool = True,
    kind: int = TensorProto.FLOAT,
    classes: int = 1,
    stride: int = 1,
    gain: float = -40.0,
    offset: float = 34.0,
    batch: Any = "n",
    about: dict[str, Any] | str | None = None,
) -> Path:
    """gain * green + offset as the last of `classes` outputs, the others 0, averaged over `stride`.

    With float32 input green is a share; with uint8 it is divided by 255 in the graph.
    """
    shape = [batch, 3, *sizes] if first else [batch, *sizes, 3]
    node = helper.make_node
    weights = np.zeros((classes, 3, stride, stride), np.float32)
    weights[-1, 1] = gain / stride**2 / (255 if kind == TensorProto.UINT8 else 1)
    bias = np.zeros(classes, np.float32)
    bias[-1] = offset
    nodes = [node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)]
    last = "f"
    if not first:
        nodes.append(node("Transpose", ["f"], ["t"], perm=[0, 3, 1, 2]))
        last = "t"
    nodes.append(node("Conv", [last, "weights", "bias"], ["y"], strides=[stride, stride]))
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    constants = [numpy_helper.from_array(a, n) for a, n in ((weights, "weights"), (bias, "bias"))]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", kind, shape)], [out], constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    if about is not None:
        helper.set_model_props(model, {KEY: about if isinstance(about, str) else json.dumps(about)})
    onnx.save(model, str(path))
    return path


VARIANTS: list[dict[str, Any]] = [
    {},
    {"first": False},
    {"kind": TensorProto.UINT8},
    {"kind": TensorProto.UINT8, "first": False, "sizes": (64, 96)},
    {"sizes": (128, 128), "stride": 4},
    {"sizes": (1024, 1024)},
    {"sizes": ("h", 256), "batch": 1, "stride": 2},
]


@pytest.mark.parametrize("options", VARIANTS)
def test_every_layout_type_and_size_sees_the_same(options: dict[str, Any], tmp_path: Path) -> None:
    pixels = he_pixels(500, 700, seed=3)
    recipe = parse_recipe(f"model:{made_network(tmp_path / 'a.onnx', **options)}", ["activation=sigmoid"])
    stride = options.get("stride", 1)
    expected = -40 * (pixels[..., 1] / 255) + 34 > 0
    found = segment(pixels, recipe, MPP).tissue
    assert found.shape == (500, 700)
    if stride == 1:
        np.testing.assert_array_equal(found, expected)
    else:
        assert dice(found, expected) > 0.9


def test_mean_and_std_are_subtracted_and_divided(tmp_path: Path) -> None:
    path = made_network(tmp_path / "a.onnx", gain=1.0, offset=0.0)
    given = ["mean=0.1,0.2,0.3", "std=1,2,4", "threshold=0.0"]
    network, recipe = load_network(path), parse_recipe(f"model:{path}", given)
    pixels = he_pixels(40, 50)
    pixels[..., 1] = np.maximum(pixels[..., 1], 60)
    expected = (pixels[..., 1] / 255 - 0.2) / 2
    np.testing.assert_allclose(network.probability(pixels, recipe), expected, atol=1e-5)


def test_softmax_takes_the_stated_channel(tmp_path: Path) -> None:
    path = made_network(tmp_path / "a.onnx", classes=3, gain=-4, offset=2)
    pixels = he_pixels(60, 70)
    logit = np.exp(-4 * (pixels[..., 1] / 255) + 2)
    for channel, expected in ((2, logit / (logit + 2)), (0, 1 / (logit + 2))):
        recipe = parse_recipe(f"model:{path}", [f"channel={channel}", "activation=softmax"])
        found = load_network(path).probability(pixels, recipe)
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_metadata_give_defaults_and_settings_win(tmp_path: Path) -> None:
    about = {
        "mpp": 16, "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "threshold": 0.4, "channel": 1,
        "activation": "softmax",
    }  # fmt: skip
    path = made_network(tmp_path / "a.onnx", classes=2, about=about)
    recipe = parse_recipe(f"model:{path}", ["threshold=0.7"])
    assert (recipe.mask_mpp, recipe.threshold, recipe.channel) == (16, 0.7, 1)
    assert recipe.mean == (0.5, 0.5, 0.5)


def test_the_record_knows_the_content_and_not_the_place(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    first, second = made_network(tmp_path / "a.onnx"), made_network(tmp_path / "b" / "a.onnx")
    other = made_network(tmp_path / "c.onnx", gain=-41)
    a, b, c = (parse_recipe(f"model:{p}", ["activation=sigmoid"]).to_dict() for p in (first, second, other))
    assert a == b
    assert a["model"] == "a.onnx"
    assert len(a["sha256"]) == 16
    assert a["sha256"] != c["sha256"]
    assert str(tmp_path) not in json.dumps(a)
    back = TissueRecipe.from_dict(json.loads(json.dumps(a)))
    assert back.to_dict() == a
    with pytest.raises(
        ModelError, match=r"the file of the tissue network a\.onnx \(.{16}\) was not found; give it again"
    ):
        segment(he_pixels(20, 20), back, MPP)


@pytest.mark.parametrize(
    ("options", "given", "message"),
    [
        (
            {},
            [],
            r"a\.onnx: returns -6 to -6, which are not probabilities; `tissue_set=.*activation.*sigmoid.*`",
        ),
        ({}, ["activation=relu"], "activation=relu'.`: choose none, sigmoid, softmax"),
        ({}, ["activation=softmax"], "one output per pixel, and softmax needs several; use"),
        ({}, ["pen=off"], "`tissue_set=.'pen'.`: model has no such setting; model has .*channel=0"),
        ({}, ["activation=sigmoid", "channel=1"], "has 1 output per pixel, and no channel 1"),
        ({}, ["std=0,1,1"], "std=0,1,1'.`: std must be 1e-06 to 255"),
        ({"classes": 2}, ["activation=softmax"], "has 2 outputs per pixel; choose the one for tissue"),
        ({"kind": TensorProto.UINT8}, ["mean=0,0,0"], r"`tissue_set=.'mean'.`: a\.onnx takes raw pixels"),
        ({"kind": TensorProto.DOUBLE}, [], r"takes x tensor\(double\).*takes one tensor of RGB"),
        ({"sizes": ("h", 3)}, [], "takes one tensor of RGB"),
        ({"batch": 2}, [], "takes 2 images at once; export it with batch 1 or dynamic"),
        (
            {"gain": float("nan")},
            ["activation=sigmoid"],
            "returns values that are not finite; check its weights",
        ),
        ({"about": "{"}, [], "its metadata 'wsi_embed_tissue' cannot be used"),
        ({"about": {"size": 3}}, [], "its metadata say 'size', which is not known"),
        ({"about": {"threshold": "high"}}, [], "its metadata 'wsi_embed_tissue' cannot be used"),
        ({"about": {"threshold": 7}}, [], r"cannot be used \(threshold must be 0 to 1\)"),
        ({"about": [1]}, [], "its metadata 'wsi_embed_tissue' cannot be used"),
    ],
)
def test_what_breaks_the_contract_is_refused(
    options: dict[str, Any], given: list[str], message: str, tmp_path: Path
) -> None:
    path = made_network(tmp_path / "a.onnx", **options)
    with pytest.raises(UsageError, match=message):
        parse_recipe(f"model:{path}", given)


def test_files_that_are_no_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        parse_recipe(f"model:{tmp_path / 'none.onnx'}")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ModelError, match=r"text\.onnx: not a model that can be loaded"):
        parse_recipe(f"model:{tmp_path / 'text.onnx'}")
    with pytest.raises(
        ModelError, match=r"two\.onnx: takes a tensor\(float\) .*; a tissue network takes one tensor"
    ):
        parse_recipe(f"model:{_two_inputs(tmp_path / 'two.onnx')}")
    with pytest.raises(ModelError):
        parse_recipe(f"model:{tmp_path}")


def _two_inputs(path: Path) -> Path:
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 8, 8]) for n in "abc"]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "two", infos[:2], infos[2:])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


def test_an_output_that_is_no_map_is_refused(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Flatten", ["x"], ["y"])], "flat", [x], [y])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(tmp_path / "a.onnx"))
    with pytest.raises(
        ModelError, match=r"^a\.onnx: returns \[1, 196608\] for 256 x 256 pixels; expected is \[1, channels"
    ):
        parse_recipe(f"model:{tmp_path / 'a.onnx'}")


def test_a_slide_whose_output_is_no_probability_fails_alone(tmp_path: Path) -> None:
    path = made_network(tmp_path / "a.onnx", gain=-4.0, offset=4.0)  # white: 0; dark: up to 4
    recipe = parse_recipe(f"model:{path}")
    with pytest.raises(SlideError, match="which are not probabilities"):
        segment(he_pixels(60, 60), recipe, MPP)


@settings(max_examples=200)
@given(length=st.integers(1, 5000), side=st.integers(1, 1200))
def test_windows_cover_an_axis_once_and_keep_off_their_borders(length: int, side: int) -> None:
    length = max(length, side)
    parts = starts(length, side)
    assert [a for _, (a, _) in parts] == [0, *[b for _, (_, b) in parts[:-1]]]
    assert parts[-1][1][1] == length
    for start, (a, b) in parts:
        assert 0 <= start <= a < b <= start + side <= length
    margin = min(64, side // 4) // 2
    assert all(a - start >= margin for start, (a, _) in parts[1:])
    assert all(start + side - b >= margin for start, (_, b) in parts[:-1])


def test_one_session_serves_all_threads_with_the_same_result(tmp_path: Path) -> None:
    path = made_network(tmp_path / "a.onnx", stride=4, sizes=(128, 128))
    recipe = parse_recipe(f"model:{path}", ["activation=sigmoid"])
    pixels: UInt8Array = he_pixels(400, 300, seed=2)
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(segment(pixels, recipe, MPP).tissue)) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert all(np.array_equal(f, found[0]) for f in found)
    assert load_network(path) is load_network(path)


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    recipe = parse_recipe(f"model:{made_network(tmp_path / 'a.onnx')}", ["activation=sigmoid"])
    made_network(tmp_path / "a.onnx", gain=-39.0, batch=1)
    with pytest.raises(ModelError, match=r"a\.onnx: has changed since it was loaded"):
        segment(he_pixels(20, 20), recipe, MPP)


def with_weights_in_a_file(path: Path, offset: float) -> Path:
    """Save a network with its weights beside it; the ONNX file is the same for all weights."""
    model = onnx.load(
        made_network(path.with_name("whole.onnx"), about={"activation": "sigmoid"}, offset=offset)
    )
    path.with_name("weights.bin").unlink(missing_ok=True)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def test_weights_in_a_file_of_their_own_belong_to_the_settings(tmp_path: Path) -> None:
    path = with_weights_in_a_file(tmp_path / "n.onnx", 34.0)
    before, content = parse_recipe(f"model:{path}"), path.read_bytes()
    with_weights_in_a_file(path, 20.0)
    assert path.read_bytes() == content
    after = parse_recipe(f"model:{path}")
    assert after.sha256 != before.sha256
    with pytest.raises(ModelError, match="has changed since it was loaded"):
        segment(np.full((32, 32, 3), 255, np.uint8), before, MPP)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match=r"its weights weights\.bin cannot be read"):
        parse_recipe(f"model:{path}")


def test_a_network_in_one_file_keeps_its_digest(tmp_path: Path) -> None:
    path = made_network(tmp_path / "n.onnx")
    assert load_network(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def test_made_tissue_is_found_by_a_network(tmp_path: Path) -> None:
    pixels, truth = made(3, "he")
    recipe = parse_recipe(f"model:{made_network(tmp_path / 'a.onnx')}", ["activation=sigmoid"])
    assert dice(find_tissue(pixels, recipe, MPP)[0], truth) > 0.93


def test_the_view_has_the_networks_resolution(tmp_path: Path) -> None:
    path = made_network(tmp_path / "a.onnx", about={"mpp": 16, "activation": "sigmoid"})
    Image.fromarray(he_pixels(400, 640)).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        assert tissue_mask(slide, 4.0, parse_recipe(f"model:{path}")).mask.shape == (100, 160)


def test_a_job_with_a_network_from_slide_to_picture(tmp_path: Path) -> None:
    slide = write_tiff(tmp_path / "s.tif", he_pixels(500, 600), mpp=0.5)
    network, model = made_network(tmp_path / "net.onnx"), make_model(tmp_path / "m")
    out = tmp_path / "f.zarr"
    flags: list[str | Path] = ["--tissue", f"model:{network}", "--model", model]
    env = {"WSI_EMBED_TISSUE_SET": "activation=sigmoid min_area_um2=100"}
    done = invoke(slide, "--out", out, *flags, env=env)
    assert done.returncode == 0, done.stderr
    bag = wsi_embed.open_store(out)["s"]
    assert len(bag) > 20
    assert (bag.attrs["tissue"]["model"], bag.attrs["tissue"]["min_area_um2"]) == ("net.onnx", 100)
    again = wsi_embed.embed(
        slide, out, model=model, tissue=f"model:{network}",
        tissue_set={"activation": "sigmoid", "min_area_um2": 100},
    )  # fmt: skip
    assert again.count("skipped") == 1
    with open_slide(slide) as opened:
        assert plot_bag(opened, bag, max_px=300).width > 600


def test_a_wrong_setting_ends_the_command_before_any_work(tmp_path: Path) -> None:
    slide = write_tiff(tmp_path / "s.tif", he_pixels(500, 600), mpp=0.5)
    network, out = made_network(tmp_path / "net.onnx"), tmp_path / "g.zarr"
    refused = invoke(slide, "--out", out, "--tissue", f"model:{network}", "--tissue-set", "depth=3")
    assert refused.returncode == 2
    assert "error: --tissue-set depth: model has no such setting" in refused.stderr
    assert not out.exists()
