"""Run a command and see what it takes: seconds on the wall, and memory of it and all that it starts."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# How often memory is looked at. A peak between two looks is seen all the same where one process has it.
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Measured:
    """What a command took.

    Attributes:
        seconds: From its start to its end.
        memory_mb: Most that it and its children held at a time; what they share counts once.
        output: Of its standard output.
    """

    seconds: float
    memory_mb: float
    output: str


def run(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> Measured:
    """Run a command to its end, in a folder.

    Raises:
        RuntimeError: It failed; with the end of what it said.
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
    """A process and all below it."""
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:  # it has ended
        return []
    return [pid] + [below for child in children for below in _tree(child)]


def _memory(pid: int) -> int:
    """Of a process, KiB; of pages that it shares with others, its share."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
