"""What docs/mil.md shows can be run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from tests.bags.labels.made_labels import make_store
from wsi_embed.cli import app
from wsi_embed.convert.registry import FORMATS
from wsi_embed.inputs.columns import PATIENT, SLIDE

DOC = (Path(__file__).parent.parent / "docs" / "mil.md").read_text("utf-8")


def test_the_python_examples_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchmil")
    slides = {"s1": ("s1.svs", "ann", 5), "s2": ("s2.svs", "ann", 9), "s3": ("s3.svs", "bo", 4)}
    make_store(tmp_path / "feats.zarr", slides)
    rows = ["slide_id,label,split", "s1,tumour,train", "s2,tumour,train", "s3,normal,test"]
    (tmp_path / "slides.csv").write_text("\n".join(rows))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for example in re.findall(r"```python\n(.*?)```", DOC, re.DOTALL):
        exec(example, names)
    assert getattr(names["means"], "shape", None) == (3, 4)
    assert getattr(names["descriptors"], "shape", None) == (3, 3)
    assert getattr(names["logits"], "shape", None) == (2,)


def test_commands_are_taken() -> None:
    command = typer.main.get_command(app)
    lines = [line.partition("  #")[0] for line in DOC.splitlines() if line.startswith("    wsi-embed ")]
    assert len(lines) >= 5
    for line in lines:
        name, *arguments = shlex.split(line)[1:]
        of_all = app.info.context_settings or {}
        command.commands[name].make_context(name, arguments, **of_all)  # type: ignore[attr-defined]


def test_formats_and_columns_are_the_codes() -> None:
    described = set(re.findall(r"^\| `([a-z-]+)` \| .*\| (?:kept|left out) \|$", DOC, re.MULTILINE))
    assert described | {"anndata-joined"} == set(FORMATS)
    assert all(f"`{column}`" in DOC for column in (*SLIDE, *PATIENT))
