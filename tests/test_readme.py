"""What the README says is true: its Python runs, its links lead somewhere, its options exist."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest

from tests.job_tools import invoke, make_slides
from wsi_embed.cli import COMMANDS, GROUPS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def test_the_python_examples_run_one_after_the_other(tmp_path: Path) -> None:
    pytest.importorskip("torchmil")
    make_slides(tmp_path / "slides", count=2)
    (tmp_path / "slides.csv").write_text("slide_id,label\ns0.tif,tumour\ns1.svs,normal\n")
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(examples) == 2
    with contextlib.chdir(tmp_path):
        for example in examples:
            exec(example, {"__name__": "__main__"})


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


SUBCOMMANDS = [f"{group} {sub.name}" for group, app in GROUPS.items() for sub in app.registered_commands]


@pytest.mark.parametrize("command", sorted([*COMMANDS, *SUBCOMMANDS]))
def test_options_in_examples_exist(command: str) -> None:
    lines = [line for line in README.splitlines() if re.match(rf"\s+wsi-embed {command} ", line)]
    if command == "embed":
        lines = [line for line in README.splitlines() if re.match(r"\s+wsi-embed slides/", line)]
    used = {option for line in lines for option in re.findall(r"--[a-z-]+", line)}
    help_text = invoke(*command.split(), "--help", env={"COLUMNS": "200"}).stdout
    assert lines
    assert {o for o in used if o not in help_text} == set()
