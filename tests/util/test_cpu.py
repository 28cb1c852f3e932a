from __future__ import annotations

from pathlib import Path

import pytest

from tests.util.test_cgroups import grouped
from wsi_embed.util import cgroups, cpu


@pytest.mark.parametrize(("quota", "cores"), [("50000", 1), ("150000", 2), ("400000", 4), ("9900000", 8)])
def test_cores_are_limited_by_the_quota_and_by_the_affinity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int
) -> None:
    grouped(tmp_path, monkeypatch, "0::/job\n", {"job/cpu.max": f"{quota} 100000\n"})
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    assert cpu.cpu_count() == cores


def test_without_control_groups_the_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "OWN_GROUPS", tmp_path / "missing")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(3)))
    assert cpu.cpu_count() == 3
