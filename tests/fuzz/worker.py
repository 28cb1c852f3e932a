"""One process of the fuzzer: cases or files one after the other, with limited memory and time.

Prints a JSON line before and after each. A case that ends the process has only the first.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SECONDS = 20.0  # of processor time; a second for most
WAIT = 120.0  # on the clock, for what waits and does nothing
MEMORY = 1024 * 1024 * 1024  # above what the process has before


def case(bases: dict[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """Name of the base, and content of a case: the same for the same bases, seed and number."""
    from tests.fuzz.mutate import mutated

    names = sorted(bases)
    name = names[number % len(names)]
    return name, mutated(bases[name], random.Random(f"{seed}:{number}"))


def contents(task: dict[str, Any], folder: Path) -> Iterator[tuple[int | str, bytes]]:
    """Of the cases or files of a task."""
    for name in task.get("files", ()):
        yield name, Path(name).read_bytes()
    if "first" in task:
        from tests.fuzz.bases import base_files

        bases = base_files(folder, Path(task["real"]) if task.get("real") else None)
        for number in range(task["first"], task["last"]):
            yield number, case(bases, task["seed"], number)[1]


def limit(memory: int) -> None:
    """Take no more memory than so many bytes from here on."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + memory, now + memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def say(**facts: Any) -> None:
    """A line for whoever started this."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Do the task of the first argument, JSON, in the folder of the second."""
    from tests.fuzz.exercise import exercise

    task, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
    path, limited = folder / "case.tif", False
    for name, content in contents(task, folder):
        if not limited:
            limit(task.get("memory", MEMORY))
            limited = True
        path.write_bytes(content)
        say(begin=name)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # both end the process
        signal.setitimer(signal.ITIMER_REAL, WAIT)
        began = time.process_time()
        try:
            outcome, trace = exercise(path), ""
        except Exception as error:
            outcome, trace = f"find: {type(error).__name__}: {error}", traceback.format_exc()
        say(end=name, outcome=outcome, seconds=time.process_time() - began, trace=trace)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main()
