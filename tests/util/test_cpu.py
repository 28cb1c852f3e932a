from __future__ import annotations

from pathlib import Path

import pytest

from wsi_embed.util import cpu


def grouped(folder: Path, patch: pytest.MonkeyPatch, lines: str, files: dict[str, str]) -> None:
    """Control groups of this process, and their files."""
    patch.setattr(cpu, "CGROUPS", folder / "fs")
    patch.setattr(cpu, "OWN_GROUPS", folder / "own")
    (folder / "own").write_text(lines)
    for name, text in files.items():
        (folder / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "fs" / name).write_text(text)


@pytest.mark.parametrize(
    ("lines", "files", "quota"),
    [
        ("0::/job\n", {"job/cpu.max": "50000 100000\n"}, 0.5),
        ("0::/job/step\n", {"job/step/cpu.max": "max 100000\n", "job/cpu.max": "400000 100000\n"}, 4.0),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/elsewhere/deep\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/job\n", {"job/cpu.max": "max 100000\n"}, None),
        (
            "4:memory:/q\n3:cpu,cpuacct:/q\n",
            {"cpu,cpuacct/q/cpu.cfs_quota_us": "200000", "cpu,cpuacct/q/cpu.cfs_period_us": "100000"},
            2.0,
        ),
        ("3:cpu:/q\n", {"cpu/q/cpu.cfs_quota_us": "-1", "cpu/q/cpu.cfs_period_us": "100000"}, None),
        ("3:cpu:/q\n", {"cpu/q/cpu.cfs_quota_us": "50000", "cpu/q/cpu.cfs_period_us": "0"}, None),
        ("0::/job\n", {"job/cpu.max": "nonsense"}, None),
        ("", {}, None),
    ],
)
def test_the_quota_of_control_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, files: dict[str, str], quota: float | None
) -> None:
    grouped(tmp_path, monkeypatch, lines, files)
    assert cpu.cpu_quota() == quota


@pytest.mark.parametrize(("quota", "cores"), [("50000", 1), ("150000", 2), ("400000", 4), ("9900000", 8)])
def test_cores_are_limited_by_the_quota_and_by_the_affinity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int
) -> None:
    grouped(tmp_path, monkeypatch, "0::/job\n", {"job/cpu.max": f"{quota} 100000\n"})
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    assert cpu.cpu_count() == cores


def test_without_control_groups_the_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "OWN_GROUPS", tmp_path / "missing")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(3)))
    assert cpu.cpu_count() == 3
