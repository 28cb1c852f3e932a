"""The files of the project itself agree: one version everywhere, and hooks and workflows run what exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import wsi_embed

ROOT = Path(__file__).parent.parent


def load_yaml(name: str) -> Any:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def test_the_version_is_the_same_everywhere() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## (\S+) \(.+\)$", changelog, re.MULTILINE)
    assert versions[0] == wsi_embed.__version__ == load_yaml("CITATION.cff")["version"]
    assert versions == sorted(versions, key=lambda v: [int(n) for n in v.split(".")], reverse=True)


def test_images_are_named_by_the_version() -> None:
    files = [ROOT / "docs" / "batch.md", *(ROOT / "docker").iterdir()]
    named = {path.name: re.findall(r"wsi-embed:(\d[\w.]*)", path.read_text("utf-8")) for path in files}
    assert {"batch.md", "k8s-job.yaml", "aws-batch.json"} <= {name for name, found in named.items() if found}
    assert {version for found in named.values() for version in found} == {wsi_embed.__version__}


def test_the_citation_has_the_licence_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert load_yaml("CITATION.cff")["license"] == project["license"]


def test_workflows_run_commands_that_the_repository_has() -> None:
    flows = [load_yaml(f".github/workflows/{name}.yml") for name in ("ci", "slow")]
    jobs = [job for flow in flows for job in flow["jobs"].values()]
    commands = {step["run"] for job in jobs for step in job["steps"] if "run" in step}
    versions = ".ci/versions ${{ matrix.which }}"
    assert commands == {"make check", "bash .ci/run", "make test-slow", versions}
    assert (ROOT / ".ci" / "run").is_file()
    assert (ROOT / ".ci" / "versions").is_file()
    for target in ("check", "test-slow"):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


def test_slow_tests_exist() -> None:
    for test in (ROOT / "tests" / "slow.txt").read_text("utf-8").splitlines():
        file, _, name = test.partition("::")
        sources = [ROOT / file, ROOT / "tests" / "convert" / "conformance.py"]
        name = name.partition("[")[0].rpartition("::")[2]
        assert any(f"def {name}(" in source.read_text("utf-8") for source in sources), test


def test_hooks_run_the_tools_of_make_check() -> None:
    (repo,) = load_yaml(".pre-commit-config.yaml")["repos"]
    hooks = {" ".join(hook["entry"].removeprefix(".venv-test/bin/").split()[:2]) for hook in repo["hooks"]}
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert recipe
    lines = [line.removeprefix("\t$(TEST_VENV)/bin/") for line in recipe[1].splitlines()]
    assert hooks == {" ".join(line.split()[:2]) for line in lines} == {"ruff format", "ruff check", "mypy"}


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_issue_forms_are_complete(name: str) -> None:
    form = load_yaml(f".github/ISSUE_TEMPLATE/{name}.yml")
    assert form["name"]
    assert form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields) > 0
    assert all(field["attributes"]["label"] for field in fields)


def test_a_bug_report_asks_for_the_output_of_doctor_and_info() -> None:
    form = load_yaml(".github/ISSUE_TEMPLATE/bug.yml")
    labels = " ".join(field["attributes"].get("label", "") for field in form["body"])
    assert "`wsi-embed doctor`" in labels
    assert "`wsi-embed info`" in labels
