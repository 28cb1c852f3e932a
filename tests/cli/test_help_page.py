"""The help of commands: wrapped by words, in groups, without names of Python types."""

from __future__ import annotations

import itertools

import pytest

from tests.job_tools import invoke
from wsi_embed.cli import NAMES

COMMANDS = [[name] for name in NAMES] + [["eval", name] for name in ("knn", "mil", "clusters")]


def help_of(*command: str, columns: int = 80) -> str:
    done = invoke(*command, "--help", env={"COLUMNS": str(columns)})
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_no_types_and_fits(command: list[str]) -> None:
    text = help_of(*command)
    assert text.startswith(f"Usage: wsi-embed {' '.join(command)} ")
    for unwanted in ("<bool>", "<int", "<float", "<path", "list[", "[x>=", "╭", "{STORE}"):
        assert unwanted not in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_paragraphs_are_reflowed_to_the_width(columns: int) -> None:
    """No line ends early where the next word would have fitted."""
    text = help_of("embed", columns=columns)
    start = text.index("Slides that the store already contains")
    lines = text[start : text.index("\n\n", start)].splitlines()
    for line, following in itertools.pairwise(lines):
        assert len(line.rstrip()) + 1 + len(following.split()[0]) > min(columns, 110)


@pytest.mark.parametrize(
    ("command", "groups"),
    [
        ("train", ["Run:", "Recipe:", "Data:", "Weights:"]),
        ("plot", ["Files:", "Content:", "QuPath:"]),
        ("embed", ["Input and output:", "Tiles:", "Regions:", "Running:", "Jobs:"]),
    ],
)
def test_options_are_in_groups_and_the_help_option_comes_last(command: str, groups: list[str]) -> None:
    lines = help_of(command).splitlines()
    places = [lines.index(group) for group in groups]
    assert places == sorted(places)
    assert [line for line in lines if line.strip()][-1].split() == [
        "-h,",
        "--help",
        "Show",
        "this",
        "message",
        "and",
        "exit.",
    ]


def test_values_have_names_and_flags_have_none() -> None:
    lines = help_of("train").splitlines()
    names = {line.split("  ")[1] for line in lines if line.startswith("  --")}
    assert {"--out PATH", "--epochs N", "--lr NUMBER", "--set KEY=VALUE", "--resume"} <= names


def test_defaults_and_required_options_are_said() -> None:
    text = " ".join(help_of("tile", columns=200).split())
    assert "Output folder; created, or added to. Required." in text
    assert "Quality of a JPEG, 1 to 100. Default: 90." in text


@pytest.mark.parametrize("arguments", [[], ["eval"]])
def test_a_group_without_a_command_shows_its_help(arguments: list[str]) -> None:
    done = invoke(*arguments)
    assert done.returncode == 2
    assert "Commands:" in done.stdout


@pytest.mark.parametrize(
    ("typed", "expected"), [("wsi-embed tra", "train"), ("wsi-embed train --ba", "--batch-size")]
)
def test_shells_complete_commands_and_options(typed: str, expected: str) -> None:
    last = str(len(typed.split()) - 1)
    env = {"_WSI_EMBED_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": last}
    assert expected in invoke(env=env).stdout.split()
