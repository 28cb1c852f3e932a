from __future__ import annotations

from pathlib import Path

import pytest

from wsi_embed.util import cgroups


def grouped(folder: Path, patch: pytest.MonkeyPatch, lines: str, files: dict[str, str]) -> None:
    """Control groups of this process, and their files."""
    patch.setattr(cgroups, "CGROUPS", folder / "fs")
    patch.setattr(cgroups, "OWN_GROUPS", folder / "own")
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
    assert cgroups.cpu_quota() == quota


@pytest.mark.parametrize(
    ("lines", "files", "left"),
    [
        ("0::/job\n", {"job/pids.max": "max\n", "job/pids.current": "7\n"}, None),
        ("0::/job\n", {"job/pids.max": "100\n", "job/pids.current": "70\n"}, 30),
        ("0::/job\n", {"job/pids.max": "100\n", "job/pids.current": "170\n"}, 0),
        (
            "0::/job/step\n",
            {
                "job/step/pids.max": "100\n", "job/step/pids.current": "7\n",
                "job/pids.max": "64\n", "job/pids.current": "60\n",
            },
            4,
        ),
        ("5:pids:/q\n4:cpu:/c\n", {"pids/q/pids.max": "10\n", "pids/q/pids.current": "1\n"}, 9),
        ("0::/job\n", {"job/pids.max": "nonsense", "job/pids.current": "7\n"}, None),
        ("0::/job\n", {"job/pids.max": "100\n"}, None),
        ("", {}, None),
    ],
)  # fmt: skip
def test_the_threads_that_control_groups_still_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, files: dict[str, str], left: int | None
) -> None:
    grouped(tmp_path, monkeypatch, lines, files)
    assert cgroups.threads_left() == left
