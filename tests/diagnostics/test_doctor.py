"""The doctor: every check says something, and what is wrong comes with its fix."""

from __future__ import annotations

import importlib.metadata
import json
import os
from pathlib import Path

import pytest

from tests.job_tools import invoke, run
from tests.made_packages import Packages
from wsi_embed.diagnostics import doctor
from wsi_embed.diagnostics.doctor import Check, diagnose
from wsi_embed.encoder.cuda import cuda_driver
from wsi_embed.util.extras import install_command


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_this_machine_runs_the_model(tmp_path: Path) -> None:
    found = by_name(diagnose(tmp_path))
    assert found.keys() == {
        "python", "libraries", "extras", "packages", "openslide", "onnxruntime", "gpu", "model", "disk",
        "cores",
    }  # fmt: skip
    assert found["model"].status == "ok"
    assert found["openslide"].message.startswith("library 4")
    assert "CPUExecutionProvider" in found["onnxruntime"].message


def test_readers_and_formats_of_other_packages_are_imported(packages: Packages) -> None:
    assert by_name(diagnose())["packages"].message == "no other package adds readers or formats"
    code = "from wsi_embed.convert import Format\nclass Csv(Format): pass"
    packages.install("made_csv", "wsi_embed.formats: csv = made_csv:Csv", code=code)
    found = by_name(diagnose())["packages"]
    assert (found.status, found.message) == ("ok", "`to='csv'` (made_csv 1.0)")
    packages.install("made_ill", "wsi_embed.suffixes: .ill = made_ill:Ill")
    found = by_name(diagnose())["packages"]
    assert found.status == "problem"
    assert found.message.startswith("reader of .ill: made_ill 1.0 cannot be used (AttributeError")


def test_every_problem_has_a_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "DISK_LOW", 10**18)
    monkeypatch.setattr(doctor, "cuda_driver", lambda: ((9, 2), 1))
    found = diagnose(tmp_path)
    assert by_name(found)["disk"].status == "warning"
    assert by_name(found)["gpu"].status in ("problem", "warning")
    assert all(check.fix for check in found if check.status != "ok")


def test_two_onnxruntimes_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.0")
    found = by_name(diagnose())["onnxruntime"]
    assert found.status == "problem"
    assert "overwrite each other" in found.message
    assert "pip uninstall" in str(found.fix)


def test_a_gpu_that_does_not_run_the_model_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    if cuda_driver()[1]:
        pytest.skip("there is a GPU here")
    monkeypatch.setattr(doctor, "cuda_driver", lambda: ((99, 0), 1))
    monkeypatch.setattr(doctor, "_wanted_cuda", lambda: (13, 0))
    found = by_name(diagnose())["gpu"]
    assert found.status == "problem"
    assert str(found.fix).startswith(install_command("cuda"))


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> tuple[tuple[int, int] | None, int]:
        raise RuntimeError("the driver is upside down")

    monkeypatch.setattr(doctor, "cuda_driver", broken)
    found = [check for check in diagnose() if check.status == "problem"]
    assert [check.name for check in found] == ["gpu"]
    assert "upside down" in found[0].message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert by_name(diagnose(tmp_path))["disk"].status == "problem"


def test_a_folder_that_will_be_created(tmp_path: Path) -> None:
    found = by_name(diagnose(tmp_path / "new" / "er"))["disk"]
    assert found.status in ("ok", "warning")
    assert "GB free where stores would be written" in found.message


def test_the_command_prints_text_and_json() -> None:
    text = run("doctor")
    found = json.loads(invoke("doctor", "--json").stdout)
    assert text.returncode == (1 if any(c["status"] == "problem" for c in found) else 0)
    assert "runs on the CPU" in text.stdout
    assert {c["name"] for c in found} >= {"gpu", "model"}
