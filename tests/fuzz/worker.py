"""One process of the fuzzer: cases or files one after the other, with limited memory and time.

Prints a JSON line before and after each. A case that ends the process has only the first.
"""

from __future__ import annotations

import faulthandler
import json
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fuzz.case import Case, WrongContentError, WrongResolutionError
from tests.fuzz.kinds import KINDS, bases_of, case, stored_case

SECONDS, PER_MEGABYTE = 20.0, 0.5  # of processor time; a second for most, and more for a large file
WAIT = 120.0  # on the clock, for what waits and does nothing
MEMORY = 1024 * 1024 * 1024  # above what the process has before


def cases(task: dict[str, Any]) -> Iterator[tuple[int | str, Case]]:
    """Yield the cases of a task, which names files or numbers."""
    for name in task.get("files", ()):
        yield name, stored_case(Path(name))
    if "first" in task:
        bases = bases_of(task["kind"], Path(task["real"]) if task.get("real") else None)
        for number in range(task["first"], task["last"]):
            yield number, case(task["kind"], bases, task["seed"], number)[1]


def write_case(folder: Path, found: Case) -> Path:
    """Write the files of a case into an empty folder, and return the one to open."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in found.files.items():
        (folder / name).write_bytes(content)
    return folder / next(iter(found.files))


def limit(memory: int) -> None:
    """Take no more memory than so many bytes from here on."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + memory, now + memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def say(**facts: Any) -> None:
    """Print a line for whoever started this process."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def how(error: Exception) -> str:
    """Return the word for a find that ends in an exception."""
    if isinstance(error, WrongContentError):
        return "wrong"
    if isinstance(error, WrongResolutionError):
        return "resolution"
    return "memory" if isinstance(error, MemoryError) else "error"


def main() -> None:
    """Do the task of the first argument, JSON, in the folder of the second."""
    task, folder = json.loads(sys.argv[1]), Path(sys.argv[2]) / "case"
    warnings.simplefilter("error", RuntimeWarning)  # numbers that overflow give wrong ones
    faulthandler.enable()
    for ending in (signal.SIGPROF, signal.SIGALRM):  # says where it was, and ends the process as before
        faulthandler.register(ending, all_threads=False, chain=True)
    exercise, limited = KINDS[task["kind"]].exercise, False
    for name, found in cases(task):
        if not limited:
            limit(task.get("memory", MEMORY))
            limited = True
        path = write_case(folder, found)
        say(begin=name)
        size = sum(map(len, found.files.values())) / 1e6
        signal.setitimer(signal.ITIMER_PROF, SECONDS + PER_MEGABYTE * size)  # both end the process
        signal.setitimer(signal.ITIMER_REAL, WAIT)
        began, find = time.process_time(), {}
        try:
            outcome = exercise(path, found.truth)
        except Exception as error:
            outcome, find = "find", {"how": how(error), "what": traceback.format_exc()}
        say(end=name, outcome=outcome, seconds=time.process_time() - began, **find)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main()
