from __future__ import annotations

import re
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from wsi_embed.errors import UsageError
from wsi_embed_train import TrainConfig, load_recipe, parse_settings
from wsi_embed_train.methods import method_settings
from wsi_embed_train.recipe import settings_of_run

EARLIER = {
    "method", "backbone", "tile_px", "mpp", "feat_size", "predictor_hidden", "clusters", "alpha", "ema",
    "crop_scale", "jitter", "jitter_p", "grey_p", "blur_sigma", "blur_p", "flip_p", "epochs", "batch_size",
    "lr", "momentum", "weight_decay", "devices", "precision", "workers", "seed",
}  # fmt: skip
SHIPPED = [
    "clubyol",
    "clubyol-paper",
    "clusiam",
    "byol",
    "simsiam",
    "simclr",
    "swav",
    "barlow",
    "supervised",
    "pcl",
]
# Recipes with an augmentation or optimiser of their own.
OTHERS = ["dino", "distil"]
PUBLISHED: dict[str, Any] = {
    "method": "clubyol", "backbone": "resnet18", "tile_px": 224, "feat_size": 256, "predictor_hidden": 4096,
    "clusters": 100, "alpha": 0.9, "ema": 0.99, "crop_scale": (0.2, 1.0), "jitter": (0.4, 0.4, 0.4, 0.1),
    "jitter_p": 0.8, "grey_p": 0.2, "blur_sigma": (0.1, 2.0), "blur_p": 0.5, "flip_p": 0.5, "epochs": 50,
    "batch_size": 512, "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4, "ema_end": 0.99,
    "cluster_lr": 1.0, "gumbel_noise": 1.0,
    "predictor_lr": 1.0, "fix_pred_lr": False, "exclude_norm_bias": False, "warmup_epochs": 0,
}  # fmt: skip


def values(recipe: str) -> dict[str, Any]:
    return {name: getattr(load_recipe(recipe), name) for name in PUBLISHED}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5), ("1E3", 1000.0), ("-2.5e+2", -250.0), (".5e-1", 0.05), ("1.e2", 100.0), ("3", 3),
        ("'1e-5'", "1e-5"), ("e-5", "e-5"), ("1e", "1e"), ("1e-5m", "1e-5m"), ("[1e-5, 2]", [1e-5, 2]),
    ],
)  # fmt: skip
def test_numbers_with_an_exponent_are_numbers(text: str, value: object) -> None:
    """YAML 1.1, which PyYAML reads, takes those without a point for text."""
    found = parse_settings([f"init_values={text}"])["init_values"]
    assert (found, type(found)) == (value, type(value))


def test_clubyol_paper_has_the_published_values() -> None:
    assert values("clubyol-paper") == PUBLISHED


def test_clusiam_has_the_published_values() -> None:
    differ = {
        "method": "clusiam", "feat_size": 2048, "predictor_hidden": 512, "alpha": 0.5, "fix_pred_lr": True,
        "ema": None, "ema_end": None,
    }  # fmt: skip
    assert values("clusiam") == PUBLISHED | differ


def test_clubyol_is_the_published_one_but_for_four_settings() -> None:
    assert values("clubyol") == PUBLISHED | {
        "ema_end": 1.0, "exclude_norm_bias": True, "cluster_lr": 10.0, "gumbel_noise": 0.1,
    }  # fmt: skip


@pytest.mark.parametrize("name", SHIPPED + OTHERS)
def test_every_recipe_says_all_that_its_method_uses_and_nothing_else(name: str) -> None:
    given = yaml.safe_load(
        (resources.files("wsi_embed_train") / "recipes" / f"{name}.yaml").read_text("utf-8")
    )
    common = {f.name for f in fields(TrainConfig) if f.default is not None}
    assert given.keys() == common | method_settings(given["method"]).keys()
    assert load_recipe(name).method == name.removesuffix("-paper")


def test_recipes_of_the_comparison_have_the_published_data_and_optimizer() -> None:
    free = {"method", "exclude_norm_bias"}
    same = {f.name for f in fields(TrainConfig) if f.default is not None} - free
    for name in SHIPPED:
        recipe, paper = load_recipe(name), load_recipe("clubyol-paper")
        assert all(getattr(recipe, n) == getattr(paper, n) for n in same), name


def test_every_setting_is_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")
    assert [f.name for f in fields(TrainConfig) if f"| `{f.name}` |" not in text] == []


def test_overrides_replace_and_none_does_not() -> None:
    config = load_recipe("clubyol", epochs=3, lr=None, mpp=0.5, crop_scale=[0.5, 1.0])
    assert (config.epochs, config.lr, config.mpp, config.crop_scale) == (3, 0.05, 0.5, (0.5, 1.0))


def test_dictionary_and_back() -> None:
    config = load_recipe("clubyol", mpp=0.5)
    assert TrainConfig.from_dict(config.to_dict()) == config


def test_yaml_file_and_back(tmp_path: Path) -> None:
    config = load_recipe("clubyol", epochs=7)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(config.to_dict()))
    assert load_recipe(str(path)) == config


def test_precision_may_be_a_number_in_yaml() -> None:
    assert load_recipe("clubyol", precision=32).precision == "32"


def test_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(
        UsageError, match="unknown training setting 'learning_rate'; there are accumulate, alpha"
    ):
        load_recipe("clubyol", learning_rate=1)


@pytest.mark.parametrize(("wrong", "near"), [("weigth_decay", "weight_decay"), ("batchsize", "batch_size")])
def test_nearest_setting_is_offered(wrong: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"unknown training setting '{wrong}'; did you mean {near}"):
        load_recipe("clubyol", **{wrong: 1})


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ("simclr", "alpha"),
        ("simsiam", "clusters"),
        ("clusiam", "ema"),
        ("supervised", "feat_size"),
        ("byol", "queue"),
    ],
)
def test_setting_that_the_method_does_not_use_is_refused(recipe: str, name: str) -> None:
    value = {"alpha": 0.5, "ema": 0.9}.get(name, 8)
    with pytest.raises(UsageError, match=f"{recipe} has no setting '{name}'; of its own it has"):
        load_recipe(recipe, **{name: value})


def test_setting_that_the_method_needs_is_asked_for() -> None:
    given = {k: v for k, v in load_recipe("simclr").to_dict().items() if k != "temperature"}
    with pytest.raises(UsageError, match="'temperature' is missing, and simclr needs it"):
        TrainConfig.from_dict(given)


def test_unknown_method_is_refused() -> None:
    with pytest.raises(UsageError, match=r"`method='clusim'`: choose .*; did you mean clusiam"):
        load_recipe("clubyol", method="clusim")


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("epochs", "many", "a whole number"), ("epochs", 1.5, "a whole number"),
        ("epochs", True, "a whole number"), ("lr", "fast", "a number"), ("lr", float("nan"), "a number"),
        ("alpha", True, "a number"),
        ("backbone", ["resnet18"], "text"), ("fix_pred_lr", 1, "true or false"),
        ("jitter", 0.4, "a list of 4"),
        ("crop_scale", [0.2], "a list of 2 numbers"), ("crop_scale", [0.2, "x"], "a list of 2 numbers"),
    ],
)  # fmt: skip
def test_values_of_a_wrong_kind_are_refused(name: str, value: Any, kind: str) -> None:
    with pytest.raises(UsageError, match=rf"^`{name}=.*`: {kind}.* is expected$"):
        load_recipe("clubyol", **{name: value})


def test_pairs_of_the_command_line_are_yaml() -> None:
    pairs = ["alpha=0.5", "fix_pred_lr=true", "crop_scale=[0.5, 1]", "backbone=resnet50", "weight_decay=1e-4"]
    config = load_recipe("clubyol", **parse_settings(pairs))
    assert (config.alpha, config.fix_pred_lr, config.crop_scale) == (0.5, True, (0.5, 1.0))
    assert (config.backbone, config.weight_decay) == ("resnet50", 1e-4)  # text to YAML 1.1
    assert load_recipe("pcl", **parse_settings(["concepts=[3, 5]"])).concepts == (3, 5)


def test_a_setting_has_one_value() -> None:
    assert parse_settings(["alpha=0.5", "alpha=0.5"]) == {"alpha": 0.5}
    with pytest.raises(UsageError, match=r"`settings=\['alpha'\]` is given twice, with different values"):
        parse_settings(["alpha=0.5", " alpha =0.6"])


@pytest.mark.parametrize("pair", ["alpha", "=3", "alpha=", "alpha=[1", "alpha=null"])
def test_pairs_that_are_none_are_refused(pair: str) -> None:
    with pytest.raises(UsageError, match="`settings="):
        parse_settings([pair])


def test_settings_of_an_earlier_version_can_be_read() -> None:
    earlier = {k: v for k, v in load_recipe("clubyol", clusters=7).to_dict().items() if k in EARLIER} | {
        "gone": 1
    }
    assert settings_of_run(earlier).clusters == 7
    with pytest.raises(UsageError):
        TrainConfig.from_dict(earlier)


def test_missing_setting_is_refused_by_name() -> None:
    values = load_recipe("clubyol").to_dict()
    del values["lr"]
    with pytest.raises(UsageError, match="'lr' is missing"):
        TrainConfig.from_dict(values)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alpha", 1.1), ("alpha", -0.1), ("batch_size", 1), ("clusters", 1), ("epochs", 0), ("lr", 0.0),
        ("mpp", 0.01), ("mpp", 250.0), ("precision", "8"), ("devices", "tpu"), ("tile_px", 16),
        ("workers", -1), ("ema_end", 1.1), ("warmup_epochs", 50), ("warmup_epochs", -1), ("jitter_p", 2),
        ("crop_scale", [0.9, 0.2]), ("crop_scale", [0.0, 1.0]), ("predictor_lr", -1.0), ("seed", -1),
        ("jitter", [0.4, 0.4, 0.4, 1.1]), ("jitter", [0.4, 0.4, 0.4, 0.6]), ("vflip_p", 1.1),
        ("stain", -0.05), ("stain_p", 2), ("momentum", 1.5), ("weight_decay", -1e-4), ("feat_size", 0),
    ],
)  # fmt: skip
def test_nonsense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe("clubyol", **{name: value})
    assert str(caught.value.where).startswith(f"`{name}=")
    assert re.search("expected$|^choose|must come first$", caught.value.what)


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("lr", -1.0, "above 0 is expected"),
        ("epochs", 0, "1 or more is expected"),
        ("seed", -1, "0 to 4294967295 is expected"),
        ("precision", "8", "choose 32, bf16 or 16"),
        ("devices", "tpu", "choose auto, cpu, cuda"),
        ("warmup_epochs", 50, "fewer than 50 epochs are expected"),
    ],
)
def test_the_range_is_named(name: str, value: Any, what: str) -> None:
    with pytest.raises(UsageError, match=f"^`{name}=.*`: {what}"):
        load_recipe("clubyol", **{name: value})


def test_unknown_recipe_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^`recipe='clusam'`: no such recipe, .* did you mean clusiam"):
        load_recipe("clusam")


def test_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("epochs: [1\n")
    with pytest.raises(UsageError, match=r"broken\.yaml: not readable as YAML"):
        load_recipe(str(path))


def test_file_that_is_no_recipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text("- epochs\n")
    with pytest.raises(UsageError, match="expected `setting: value` lines"):
        load_recipe(str(path))
