"""The files of docker/: what can be said of them without an engine, a cluster or a cloud."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from packaging.requirements import Requirement

from wsi_embed.cli import app, parameters
from wsi_embed.inputs.schedulers import array_task
from wsi_embed.jobs.report import JobReport, SlideResult

REPO = Path(__file__).parents[1]
DOCKER = REPO / "docker"
SCRIPTS = [DOCKER / name for name in ("build", "test", "slurm.sbatch", "slurm-train.sbatch")]


def environment(entries: list[dict[str, str]]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in entries}


@pytest.fixture
def job() -> Any:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((DOCKER / "k8s-job.yaml").read_text())


@pytest.mark.parametrize("version", ["1.33", "1.35", "1.37"])
def test_kubernetes_takes_the_job(job: Any, version: str) -> None:
    schemas = pytest.importorskip("kubernetes_validate")
    schemas.validate(job, version, strict=True)
    for change in ({"completionModes": "Indexed"}, {"completions": "8"}):
        with pytest.raises(schemas.ValidationError):
            schemas.validate(job | {"spec": job["spec"] | change}, version, strict=True)


def test_kubernetes_knows_how_many_shares_there_are_and_what_exit_codes_mean(job: Any) -> None:
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environ = environment(container["env"])
    assert array_task({**environ, "JOB_COMPLETION_INDEX": "7"}) == (7, spec["completions"])
    assert pod["restartPolicy"] == "Never"  # the policy counts for no other
    rules = spec["podFailurePolicy"]["rules"]
    actions = {
        code: rule["action"]
        for rule in rules
        for code in rule.get("onExitCodes", {}).get("values", ())
        if rule["onExitCodes"]["containerName"] == container["name"]
    }
    assert actions == {exit_code("stopped"): "Ignore", exit_code("failed"): "FailIndex", 2: "FailJob"}
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]


def exit_code(status: Any) -> int:
    """Of a job with a slide of this status."""
    slides = [SlideResult("a", "a.svs", status)]
    return JobReport("s", {}, {}, {}, slides, stopped=status == "stopped").exit_code


def test_aws_batch_tries_again_what_was_stopped() -> None:
    definition = json.loads((DOCKER / "aws-batch.json").read_text())
    submission = json.loads((DOCKER / "aws-batch-submit.json").read_text())
    assert submission["jobDefinition"] == definition["jobDefinitionName"]
    retry = definition["retryStrategy"]
    assert retry["evaluateOnExit"][0] == {"onExitCode": str(exit_code("stopped")), "action": "RETRY"}
    assert retry["evaluateOnExit"][-1] == {"onReason": "*", "action": "EXIT"}
    assert definition["containerProperties"]["readonlyRootFilesystem"]


@pytest.mark.parametrize(
    ("file", "operation"),
    [("aws-batch.json", "RegisterJobDefinition"), ("aws-batch-submit.json", "SubmitJob")],
)
def test_aws_batch_takes_the_files(file: str, operation: str) -> None:
    session = pytest.importorskip("botocore.session").get_session()
    validate = pytest.importorskip("botocore.validate").ParamValidator().validate
    shape = session.get_service_model("batch").operation_model(operation).input_shape
    content = json.loads((DOCKER / file).read_text())
    assert not validate(content, shape).has_errors(), validate(content, shape).generate_report()
    wrong = copy.deepcopy(content) | {"jobQueues": "a"}
    assert validate(wrong, shape).has_errors()


def test_every_setting_in_the_files_is_an_option() -> None:
    typer.main.get_command(app)  # the options are known when the commands are
    names = {
        name
        for file in DOCKER.iterdir()
        if file.suffix in (".yaml", ".json", ".sbatch") or file.name == "test"
        for name in re.findall(r"\bWSI_EMBED_[A-Z_]+\b", file.read_text())
    }
    assert {"WSI_EMBED_SHARD", "WSI_EMBED_SHARD_COUNT", "WSI_EMBED_OUT"} <= names
    assert names - parameters._ENV_NAMES == set()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_scripts_can_be_parsed_and_run(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
    if script.suffix != ".sbatch":
        assert script.stat().st_mode & 0o111
        return
    lines = script.read_text().splitlines()
    last = max(n for n, line in enumerate(lines) if line.startswith("#SBATCH"))
    assert all(line.startswith("#") for line in lines[:last]), "sbatch reads no option below a command"


def test_the_cpu_image_asks_for_the_small_onnx_runtime() -> None:
    """What the Dockerfile's sed makes of the dependencies, on every platform."""
    found = re.search(r"sed -i '([^']+)' pyproject.toml", (DOCKER / "Dockerfile").read_text())
    assert found is not None
    edited = subprocess.run(
        ["sed", found[1], REPO / "pyproject.toml"], capture_output=True, text=True, check=True
    ).stdout
    before, after = (
        tomllib.loads(text)["project"]["dependencies"]
        for text in ((REPO / "pyproject.toml").read_text(), edited)
    )
    changed = [Requirement(text) for text in after if text not in before]
    assert [(r.name, r.marker) for r in changed] == [("onnxruntime", None)]
    gone = [Requirement(text).name for text in before if text not in after]
    assert sorted(gone) == ["onnxruntime", "onnxruntime-gpu"]


def test_the_build_gets_all_that_the_wheel_is_made_of() -> None:
    ignored = (REPO / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    project = tomllib.loads((REPO / "pyproject.toml").read_text())
    needed = {
        name.partition("/")[0] for name in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    }
    needed |= {
        project["project"]["readme"],
        *(name.partition("/")[0] for name in project["project"]["license-files"]),
        "constraints.txt",
        "pyproject.toml",
    }
    assert needed <= allowed
    assert all((REPO / name).exists() for name in allowed)
    assert "*" in ignored


def test_both_builds_of_onnx_runtime_have_one_version() -> None:
    pinned = dict(
        line.split("==") for line in (REPO / "constraints.txt").read_text().splitlines() if "==" in line
    )
    assert pinned["onnxruntime"] == pinned["onnxruntime-gpu"]
