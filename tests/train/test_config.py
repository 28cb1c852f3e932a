from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.job_tools import run
from wsi_embed.errors import UsageError
from wsi_embed_train import TrainConfig, load_recipe
from wsi_embed_train.config import parse_settings

PUBLISHED: dict[str, Any] = {
    "method": "clubyol", "backbone": "resnet18", "tile_px": 224, "feat_size": 256, "predictor_hidden": 4096,
    "clusters": 100, "alpha": 0.9, "ema": 0.99, "crop_scale": (0.2, 1.0), "jitter": (0.4, 0.4, 0.4, 0.1),
    "jitter_p": 0.8, "grey_p": 0.2, "blur_sigma": (0.1, 2.0), "blur_p": 0.5, "flip_p": 0.5, "epochs": 50,
    "batch_size": 512, "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4,
}  # fmt: skip


def test_shipped_recipe_has_the_published_values() -> None:
    recipe = load_recipe("clubyol")
    assert {name: getattr(recipe, name) for name in PUBLISHED} == PUBLISHED


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
        UsageError, match="unknown training setting 'learning_rate'; there are alpha, backbone"
    ):
        load_recipe("clubyol", learning_rate=1)
    with pytest.raises(UsageError, match="unknown training setting 'epoch'; did you mean epochs"):
        load_recipe("clubyol", epoch=1)


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
        ("workers", -1),
    ],
)  # fmt: skip
def test_nonsense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"{name} = .* makes no sense"):
        load_recipe("clubyol", **{name: value})


def test_unknown_recipe_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no recipe 'clubyl'.* did you mean clubyol\?"):
        load_recipe("clubyl")


def test_file_that_is_no_recipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text("- epochs\n")
    with pytest.raises(UsageError, match="expected `setting: value` lines"):
        load_recipe(str(path))


def test_any_setting_can_be_given_as_text() -> None:
    given = parse_settings(
        ["ema=0.996", "crop_scale=[0.3, 1]", "lr=5e-2", "mpp=null", "precision=16", "epochs=3"]
    )
    config = load_recipe("clubyol", **given)
    assert (config.ema, config.crop_scale, config.lr, config.mpp) == (0.996, (0.3, 1.0), 0.05, None)
    assert (config.precision, config.epochs) == ("16", 3)


@pytest.mark.parametrize("text", ["ema", "=3", "ema:0.9"])
def test_text_without_key_and_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="KEY=VALUE is expected"):
        parse_settings([text])


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("lr", "fast", "a number"), ("epochs", 2.5, "a whole number"), ("epochs", "many", "a whole number"),
        ("crop_scale", [0.2], "2 numbers"), ("jitter", "0.4", "4 numbers"), ("seed", True, "a whole number"),
        ("crop_scale", [0.2, "x"], "a number"), ("batch_size", float("inf"), "a whole number"),
    ],
)  # fmt: skip
def test_another_type_is_refused_by_name(name: str, value: Any, expected: str) -> None:
    with pytest.raises(UsageError, match=f"{name} = .* makes no sense: {expected} is expected"):
        load_recipe("clubyol", **{name: value})


def test_a_file_that_is_no_yaml_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text("a: [1, 2")
    with pytest.raises(UsageError, match="not YAML") as caught:
        load_recipe(str(path))
    assert "\n" not in str(caught.value)


def test_the_command_takes_settings_and_refuses_two_of_one(tmp_path: Path) -> None:
    (tmp_path / "tiles").mkdir()
    args: list[str | Path] = ["train", tmp_path / "tiles", "--out", tmp_path / "r"]
    twice = run(*args, "--epochs", "2", "--set", "epochs=3")
    unknown = run(*args, "--set", "emma=0.9")
    empty = run(*args, "--set", "ema=0.9")
    assert [done.returncode for done in (twice, unknown, empty)] == [2, 2, 2]
    assert "epochs is given twice" in twice.stderr
    assert "did you mean ema?" in unknown.stderr
    assert "no tile images found" in empty.stderr, "the setting is fine"
