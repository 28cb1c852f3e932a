"""Limits that control groups (Linux, version 1 or 2) set on this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

CGROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cpu_quota() -> float | None:
    """Return the number of cores that control groups grant this process, or None."""
    quotas = [_quota_v1(folder) if v1 else _quota_v2(folder) for v1, folder in own_groups("cpu")]
    return min((quota for quota in quotas if quota is not None), default=None)


def threads_left() -> int | None:
    """Return the number of processes and threads that control groups still allow, or None."""
    left = []
    for _, folder in own_groups("pids"):
        try:
            left.append(int((folder / "pids.max").read_text()) - int((folder / "pids.current").read_text()))
        except (OSError, ValueError):
            continue  # `max`, or a root without a limit
    return max(0, min(left)) if left else None


def own_groups(controller: str) -> Iterator[tuple[bool, Path]]:
    """Yield the folders of this process's groups and of those around them.

    Args:
        controller: Name of the controller, such as `cpu` or `pids`.

    Yields:
        Whether it is of version 1, and the folder (which need not exist).
    """
    try:
        lines = OWN_GROUPS.read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            roots = [CGROUPS, CGROUPS / "unified"]
        elif controller in controllers.split(","):
            roots = [CGROUPS / controllers, CGROUPS / controller]
        else:
            continue
        for root in roots:
            # a container sees its own group at the root, and others by their whole path
            own = root / group.strip("/")
            for folder in (own, *own.parents):
                if folder.is_relative_to(root):
                    yield bool(controllers), folder


def _quota_v2(folder: Path) -> float | None:
    """Read `cpu.max`: quota and period in microseconds, or `max`."""
    try:
        quota, period = (folder / "cpu.max").read_text("ascii").split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(folder: Path) -> float | None:
    """Read quota (-1 for none) and period in microseconds."""
    try:
        quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
