"""Measurement of a command: wall-clock time, and memory including child processes."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Interval of the memory samples. The peak of a single process is also found between samples.
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Measured:
    """Resources used by a command.

    Attributes:
        seconds: Wall-clock time.
        memory_mb: Peak memory of the process with its children, megabytes. Shared pages count once.
        output: Standard output.
    """

    seconds: float
    memory_mb: float
    output: str


def run(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> Measured:
    """Run a command in a folder until it ends.

    Raises:
        RuntimeError: If it fails. The message has the end of its output.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command], stdout=output, stderr=errors, cwd=folder,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
        peak = 0
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, sum(_memory(each) for each in _tree(process.pid)))
            time.sleep(LOOK_SECONDS if time.perf_counter() - began > 1 else LOOK_SECONDS / 10)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read())
    if process.returncode:
        raise RuntimeError(f"{' '.join(process.args)}\n{texts[0][-1000:]}\n{texts[1][-3000:]}")  # type: ignore[arg-type]
    return Measured(seconds, max(peak, usage.ru_maxrss) / 1024, texts[0])


def _tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:  # the process has ended
        return []
    return [pid] + [below for child in children for below in _tree(child)]


def _memory(pid: int) -> int:
    """Return the memory of a process in KiB; shared pages count by its share."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
