"""Tests of the command line's words: flags in place of Python's arguments, in everything that it shows."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.made_slides import he_pixels, write_tiff
from wsi_embed.cli import app, with_default_command
from wsi_embed.cli.training import settings_without_flag
from wsi_embed.cli.wording import OPTION, errors_in_flags, flags, in_flags, reworded
from wsi_embed.errors import SlideError, WsiEmbedError
from wsi_embed.jobs.report import JobReport, SlideResult
from wsi_embed.util.text import argument

ROOT = Path(__file__).parents[2]
# A command line that is named as a whole, a word that stores hold, and an option of sbatch.
COMMAND = re.compile(
    r"wsi-embed [a-z]+( timm:NAME| MODEL)? --\S+|^ (--weights FILE )?--out model\.onnx$"
    r"|^--mpp-(override|default)$|\(--array=0-9\)"
)
PROGRAMS = re.compile(r"\b(vips|gdcmconv|pip) ")
FLAG = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]*)")


@pytest.mark.parametrize(
    ("python", "flag"),
    [
        ("use `overwrite=True` to replace it", "use --overwrite to replace it"),
        ("use `edge='pad'` to keep it", "use --edge pad to keep it"),
        ("give `mpp_override=` or a column mpp", "give --mpp-override or a column mpp"),
        ("`tile_px=224`, `min_tissue=0.250`", "--tile-px 224, --min-tissue 0.250"),
        ("`tissue_set=['pen=off']` keeps them", "--tissue-set pen=off keeps them"),
        ("`tissue_set={'pen': 'off'}`: no", "--tissue-set pen=off: no"),
        ("`mean=(0.6, 0.5, 0.7)`", "--mean 0.6,0.5,0.7"),
        ("needs `roi=FILE|DIR`", "needs --roi FILE|DIR"),
        ("`format_name='clam'`: no", "--from clam: no"),
        ("`settings=['alpha']`: give KEY=VALUE", "--set alpha: give KEY=VALUE"),
        ("`edge=''`: choose", "--edge : choose"),
        ("`edge='a `b` \\'c'`: choose", "--edge a `b` 'c: choose"),
        ("`edge='\\x1b[2J'`: choose", "--edge '\\x1b[2J': choose"),
        ("a column `split` of `labels=`", "a column `split` of --labels"),
        ("`colour='red'`, `edge`, edge='pad'", "`colour='red'`, `edge`, edge='pad'"),
        ("`vips copy IN OUT`", "`vips copy IN OUT`"),
    ],
)
def test_arguments_become_flags_and_the_rest_stays(python: str, flag: str) -> None:
    assert in_flags(python) == flag


def test_settings_of_a_recipe_that_have_no_flag_are_set() -> None:
    text = "try `tissue='none'` or `tile_px=64`, see `min_tissue=`"
    assert (
        in_flags(text, settings_without_flag())
        == "try --set tissue=none or --tile-px 64, see --set min_tissue"
    )


def test_each_flag_of_each_command_can_be_named() -> None:
    count = 0
    for command in commands():
        for parameter in command.params:
            for flag in (each for each in parameter.opts if each.startswith("--")):
                name = flag[2:].replace("-", "_")
                assert in_flags(f"`{name}=`, `{name}='a b'`") == f"{flag}, {flag} a b"
                assert flags()[str(parameter.name)] in parameter.opts or str(parameter.name) == name
                count += 1
    assert count > 150


@given(st.sampled_from(sorted(flags())), st.text() | st.integers() | st.lists(st.text("abc=", min_size=1)))
def test_no_known_option_stays_in_python(name: str, value: object) -> None:
    text = in_flags(f"before {argument(name, value)} after")
    assert text.startswith(f"before {flags()[name]}")
    assert text.endswith(" after")
    if isinstance(value, str) and value.isprintable():
        assert text == f"before {flags()[name]} {value} after"


@given(st.text())
def test_texts_without_options_stay(text: str) -> None:
    assert in_flags(text) == text or OPTION.search(text)


def test_reports_are_reworded_as_a_whole() -> None:
    result = SlideResult("a", "a.svs", "failed", reason="a: no; `edge='pad'`", warnings=["see `icc=True`"])
    report = JobReport("f.zarr", {}, {"tissue": "otsu"}, {}, [result], {"a": ["`mpp=`"]}, error="`out=`")
    shown = reworded(report)
    assert (shown.slides[0].reason, shown.slides[0].warnings) == ("a: no; --edge pad", ["see --icc"])
    assert (shown.outliers, shown.error, shown.settings) == ({"a": ["--mpp"]}, "--out", report.settings)
    assert report.slides[0].reason == "a: no; `edge='pad'`"


def test_errors_are_reworded_in_all_fields_and_keep_their_kind() -> None:
    with pytest.raises(SlideError) as caught, errors_in_flags():
        raise SlideError("`mpp=` is", where="`roi='a'`", remedy="leave `icc=True` out")
    error = caught.value
    assert (error.where, error.what, error.remedy) == ("--roi a", "--mpp is", "leave --icc out")
    assert str(error) == "--roi a: --mpp is; leave --icc out"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["SLIDE", "--out", "f.zarr", "--edge", "paint"], "--edge paint: choose drop or pad"),
        (["SLIDE", "--out", "f.zarr", "--overlap", "900"], "--overlap 900 must be at least 0"),
        (["SLIDE", "--out", "f.zarr", "--tissue-set", "pen"], "--tissue-set pen: expected key=value"),
        (["SLIDE", "--out", "f.zarr", "--tissue-set", "pen=x"], "--tissue-set pen=x: on or off is expected"),
        (
            ["SLIDE", "--out", "f.zarr", "--tissue-set", "close_um=-4"],
            "--tissue-set close_um=-4: close_um must be",
        ),
        (["SLIDE", "--out", "f.zarr", "--workers", "0"], "--workers 0: 1 to 1000000 is expected"),
        (["SLIDE", "--out", "f.zarr", "--mpp", "500"], "--mpp 500: must be 0.05 to 20 um per pixel"),
        (["SLIDE", "--out", "f.zarr", "--device", "tpu"], "--device tpu: choose"),
        (["SLIDE", "--out", "f.zarr", "--reader", "none"], "--reader none: choose"),
        (["SLIDE", "--out", "f.zarr", "--roi", "gone"], "--roi gone: no such file or folder"),
        (["tile", "SLIDE", "--out", "t", "--format", "bmp"], "--format bmp: choose png or jpeg"),
        (["convert", "gone", "--from", "what", "--out", "s"], "--from what: choose"),
    ],
)
def test_errors_of_commands_speak_of_flags(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    slide = write_tiff(tmp_path / "a.tif", he_pixels(64, 64), levels=(1,))
    given = [str(slide) if each == "SLIDE" else each for each in arguments]
    done = CliRunner().invoke(app, with_default_command(given))
    assert isinstance(done.exception, WsiEmbedError)
    assert words in str(done.exception)
    assert not OPTION.search(str(done.exception))


def test_reasons_in_reports_and_on_the_screen_speak_of_flags(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", he_pixels(64, 64), mpp=None, levels=(1,))
    reports = [tmp_path / "r.json", tmp_path / "r.html"]
    arguments = ["tile", str(tmp_path / "a.tif"), "--out", str(tmp_path / "t"), "--mpp", "0.5"]
    for report in reports:
        arguments += ["--report", str(report)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    (slide,) = json.loads(reports[0].read_text())["slides"]
    assert slide["reason"].endswith(
        "; give it with --mpp-default (um per pixel of level 0) or a manifest column mpp"
    )
    assert slide["remedy"].startswith("give it with --mpp-default")
    for text in (done.output, *(report.read_text() for report in reports)):
        assert "--mpp-default" in text
        assert "mpp_default=" not in text


def test_the_library_names_no_flags() -> None:
    """Its users write Python; `wsi_embed.cli.wording` makes flags of it."""
    known = {flag[2:] for flag in flags().values()}
    files = [path for package in ("wsi_embed", "train", "export") for path in (ROOT / package).rglob("*.py")]
    named = [
        f"{path.relative_to(ROOT)}: {text}"
        for path in files
        if "cli" not in path.relative_to(ROOT).parts
        for text in texts(ast.parse(path.read_text("utf-8")))
        if not PROGRAMS.search(text) and known & set(FLAG.findall(COMMAND.sub("", text)))
    ]
    assert len(files) > 250
    assert named == []


def commands() -> Iterator[typer.core.TyperCommand]:
    waiting = [typer.main.get_command(app)]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        yield command  # type: ignore[misc]


def texts(tree: ast.Module) -> Iterator[str]:
    """Yield the string constants of a module, without docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value
