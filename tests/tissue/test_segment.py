"""Tissue by networks of several classes: which are kept, which are left out, and what is said of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import wsi_embed
from tests.job_tools import invoke, make_model
from tests.made_slides import write_tiff
from wsi_embed.errors import ModelError, UsageError
from wsi_embed.tissue import TissueRecipe, parse_recipe
from wsi_embed.tissue.mask import find_tissue
from wsi_embed.tissue.network_metadata import KEY
from wsi_embed.tissue.segment import segment

CLASSES = ("background", "tissue", "fold", "pen")
COLOURS = np.array([[244, 244, 244], [205, 130, 185], [110, 40, 95], [30, 140, 90]], np.float32)
NAMED = ["classes=" + ",".join(CLASSES), "activation=softmax"]


def made_network(path: Path, about: dict[str, Any] | None = None, stride: int = 1, before: int = 0) -> Path:
    """A network whose class of a pixel is the nearest of `COLOURS`; |p|^2 is common to all and left out.

    Before these it has classes of colours that no slide has.
    """
    colours = np.concatenate([np.full((before, 3), -2.0, np.float32), COLOURS / 255])
    weights = np.zeros((len(colours), 3, stride, stride), np.float32)
    weights += (400 * colours / stride**2)[..., None, None]
    bias = -200 * (colours**2).sum(1)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "weights", "bias"], ["y"], strides=[stride, stride])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(a.astype(np.float32), n) for a, n in ((weights, "weights"), (bias, "bias"))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    if about is not None:
        helper.set_model_props(model, {KEY: json.dumps(about)})
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_network(tmp_path_factory.mktemp("n") / "artefacts.onnx")


@pytest.fixture
def truth() -> np.ndarray:
    """Tissue with a fold and a pen mark in it, a hole, and glass around, int [h, w]; 8 um per pixel."""
    found = np.zeros((400, 600), np.int64)
    found[60:340, 80:520] = 1
    found[100:300, 200:212] = 2  # 96 um wide, much less than holes that are filled
    found[200:230, 300:480] = 3
    found[90:96, 100:108] = 0  # a hole of 3,072 um2
    return found


def seen(truth: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 6, (*truth.shape, 3))
    return np.asarray((COLOURS[truth] + noise).clip(0, 255), np.uint8)


def test_the_most_probable_class_decides(network: Path, truth: np.ndarray) -> None:
    recipe = parse_recipe(f"model:{network}", [*NAMED, "keep=tissue"])
    found = segment(seen(truth), recipe, 8.0)
    np.testing.assert_array_equal(found.tissue, truth == 1)
    np.testing.assert_array_equal(found.left_out, truth >= 2)
    assert found.note is not None
    assert "0.2 mm2 of fold, 0.3 mm2 of pen left out (`tissue_set=['keep=...']`" in found.note


@pytest.mark.parametrize("keep", ["tissue", "tissue,fold", "tissue,fold,pen", " fold , tissue"])
def test_kept_classes_are_tissue_and_others_leave_holes(network: Path, truth: np.ndarray, keep: str) -> None:
    recipe = parse_recipe(f"model:{network}", [*NAMED, f"keep={keep}"])
    mask, note = find_tissue(seen(truth), recipe, 8.0)
    kept = [CLASSES.index(name.strip()) for name in keep.split(",")]
    assert mask[90:96, 100:108].all()  # small holes in the tissue are filled
    for number in (1, 2, 3):
        inside = truth == number
        assert mask[inside].mean() == pytest.approx(float(number in kept), abs=0.002)
    assert (note is None) == (len(kept) == 3)


def test_coarser_outputs_and_windows_give_the_same_areas(tmp_path: Path, truth: np.ndarray) -> None:
    path = made_network(tmp_path / "a.onnx", stride=4)
    recipe = parse_recipe(f"model:{path}", [*NAMED, "keep=tissue,pen"])
    wide = np.tile(truth, (4, 3))  # 1600 x 1800: four windows
    found = segment(seen(wide), recipe, 8.0).tissue
    assert ((wide == 1) | (wide == 3)).mean() == pytest.approx(found.mean(), abs=0.01)


def test_metadata_name_the_classes_and_what_is_kept(tmp_path: Path) -> None:
    about = {"classes": CLASSES, "keep": ["tissue", "fold"], "activation": "softmax", "mpp": 4}
    path = made_network(tmp_path / "a.onnx", about)
    recipe = parse_recipe(f"model:{path}")
    assert (recipe.classes, recipe.keep, recipe.mask_mpp) == (CLASSES, ("tissue", "fold"), 4)
    assert parse_recipe(f"model:{path}", ["keep=tissue"]).keep == ("tissue",)
    back = TissueRecipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert back.to_dict() == recipe.to_dict()
    assert not {"threshold", "channel"} & recipe.to_dict().keys()


def test_a_network_of_one_class_is_recorded_as_before(network: Path) -> None:
    recipe = parse_recipe(f"model:{network}", ["channel=1", "activation=softmax"])
    assert not {"classes", "keep"} & recipe.to_dict().keys()


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        (NAMED, ModelError, "has 4 outputs per pixel; choose those that are tissue by"),
        (["activation=softmax"], ModelError, "or name its `classes` and those to `keep`"),
        ([*NAMED, "keep=tumour"], UsageError, "no class is called 'tumour'; choose from background, tissue"),
        (["keep=tissue"], UsageError, "no class is called 'tissue'; name `classes` too"),
        (
            ["classes=a,b,c", "keep=a", "activation=softmax"],
            ModelError,
            "4 outputs per pixel, names of 3 classes",
        ),
        (
            [*NAMED, "keep=tissue", "threshold=0.6"],
            UsageError,
            "['threshold']`: without effect beside keep=tissue: ",
        ),
        ([*NAMED, "channel=1", "keep=fold"], UsageError, "['channel']`: without effect beside keep=fold: "),
        (
            [*NAMED, "keep=background,tissue,fold,pen"],
            UsageError,
            "['keep=background,tissue,fold,pen']`: is every class, so that the whole slide would be tissue",
        ),
        (["classes=tissue", "keep=tissue"], UsageError, "a network of one class has a `threshold`"),
        (["classes=a,b,a,c", "keep=a"], UsageError, "each class has a name of its own"),
        (["classes=a,b,c,d", "keep=b"], ModelError, "not probabilities"),
        ([*NAMED, "channel=1"], UsageError, "['classes']`: without effect unless `keep` names those that"),
    ],
)
def test_bad_settings_end_before_any_slide(
    network: Path, settings: list[str], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=re.escape(says)):
        parse_recipe(f"model:{network}", settings)


def test_a_job_says_what_was_left_out_and_notices_another_choice(
    network: Path, truth: np.ndarray, tmp_path: Path
) -> None:
    slide = write_tiff(tmp_path / "a.tiff", np.repeat(np.repeat(seen(truth), 2, 0), 2, 1), mpp=4.0)
    model = make_model(tmp_path / "m")
    options: dict[str, Any] = {"model": model, "mpp": 4.0, "device": "cpu", "tissue": f"model:{network}"}
    report = wsi_embed.embed(slide, tmp_path / "f.zarr", tissue_set=[*NAMED, "keep=tissue"], **options)
    assert "0.2 mm2 of fold, 0.3 mm2 of pen left out" in report.slides[0].warnings[0]
    bag = wsi_embed.open_store(tmp_path / "f.zarr")["a"]
    assert bag.attrs["tissue"]["keep"] == ["tissue"]
    again = wsi_embed.embed(slide, tmp_path / "f.zarr", tissue_set=[*NAMED, "keep=tissue,fold"], **options)
    assert "tissue.keep ['tissue'] -> ['tissue', 'fold']" in str(again.slides[0].reason)
    done = invoke(
        slide, "--out", tmp_path / "g.zarr", "--model", model, "--mpp", "4", "--tissue", f"model:{network}",
        *(part for setting in NAMED for part in ("--tissue-set", setting)), "--tissue-set", "keep=stain",
    )  # fmt: skip
    assert done.returncode == 2
    assert "--tissue-set keep=stain: no class is called 'stain'" in done.stderr


def test_more_classes_than_a_byte_counts(tmp_path: Path, truth: np.ndarray) -> None:
    """The last four of 300 are those of `CLASSES`."""
    others = [f"other {number}" for number in range(296)]
    recipe = parse_recipe(
        f"model:{made_network(tmp_path / 'n.onnx', before=296)}",
        [f"classes={','.join((*others, *CLASSES))}", "keep=tissue,pen", "activation=softmax"],
    )
    found = segment(seen(truth), recipe, 8.0)
    np.testing.assert_array_equal(found.tissue, (truth == 1) | (truth == 3))
    assert found.note is not None
    assert found.note.startswith("0.2 mm2 of fold left out")


@pytest.mark.parametrize(
    "about",
    [
        {"classes": "background, tissue,fold,pen", "keep": "fold,tissue"},
        {"classes": [" background", *CLASSES[1:]], "keep": ["tissue", "fold ", "tissue"]},
        {"classes": CLASSES, "keep": ["fold", "tissue"], "channel": 7},
    ],
)
def test_names_in_metadata_are_read_as_those_of_settings(tmp_path: Path, about: dict[str, Any]) -> None:
    """In any order, because the same classes are kept: the recorded settings are equal too."""
    file = made_network(tmp_path / "n.onnx", {"activation": "softmax"} | about)
    recorded = parse_recipe(f"model:{file}").to_dict()
    assert recorded["classes"] == list(CLASSES)
    assert recorded["keep"] == ["tissue", "fold"]
    assert parse_recipe(f"model:{file}", ["keep=fold,tissue"]).to_dict() == recorded


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"channel": 1.5}, "channel: a whole number is expected"),
        ({"mpp": "fine"}, "mask_mpp: a number is expected"),
        ({"mpp": True}, "mask_mpp: a number is expected"),
        ({"classes": None}, "classes: names are expected"),
        ({"std": [1, 1]}, "std: 3 numbers are expected"),
    ],
)
def test_metadata_of_other_kinds_are_one_clear_line(tmp_path: Path, about: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=rf"n\.onnx: its metadata .* cannot be used \({says}"):
        parse_recipe(f"model:{made_network(tmp_path / 'n.onnx', about)}", ["channel=1", "activation=softmax"])


def test_numbers_in_metadata_keep_their_fingerprint(tmp_path: Path) -> None:
    """An integer is not recorded as 8.0, nor one number for all colours as three."""
    about = {"mpp": 8, "threshold": 0, "mean": 0.5, "activation": "softmax", "channel": 1.0}
    recorded = parse_recipe(f"model:{made_network(tmp_path / 'n.onnx', about)}").to_dict()
    assert json.dumps([recorded[name] for name in ("mask_mpp", "threshold", "mean", "channel")]) == (
        "[8, 0, 0.5, 1]"
    )
